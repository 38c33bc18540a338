/// Facts about types that both directions of the generated code need.

extension FieldType {
    /// The Swift type of a value that is not null.
    var swiftType: String {
        switch self {
        case .bool: "Bool"
        case .int8: "Int8"
        case .int16: "Int16"
        case .uint16: "UInt16"
        case .int32: "Int32"
        case .int64: "Int64"
        case .float64: "Double"
        case .uuid: "TopicID"
        case .string: "String"
        case .bytes, .records: "[UInt8]"
        case .structure(let name): name
        case .array(let element): "[\(element.swiftType)]"
        }
    }

    /// The value that a field has when the schema names no default.
    var zero: String {
        switch self {
        case .bool: "false"
        case .int8, .int16, .uint16, .int32, .int64, .float64: "0"
        case .uuid: ".zero"
        case .string: "\"\""
        case .bytes, .records, .array: "[]"
        case .structure(let name): "\(name)()"
        }
    }

    /// The reader's and writer's method for a value of fixed size, and that size.
    var fixed: (method: String, size: Int)? {
        switch self {
        case .bool: ("bool", 1)
        case .int8: ("int8", 1)
        case .int16: ("int16", 2)
        case .uint16: ("uint16", 2)
        case .int32: ("int32", 4)
        case .int64: ("int64", 8)
        case .float64: ("float64", 8)
        case .uuid: ("topicID", 16)
        default: nil
        }
    }
}

extension Field {
    /// The field's name in Swift source.
    var identifier: String { name == "protocol" ? "`protocol`" : name }
    /// The name where a parameter may have the same.
    var reference: String { name == "version" ? "self.version" : identifier }

    var swiftType: String { type.swiftType + (nullable == nil ? "" : "?") }

    /// The default as a Swift expression. Null is the default of nullable records as well: a partition without any.
    var defaultExpression: String {
        if nullable != nil && (defaultValue == "null" || type == .records) { return "nil" }
        return defaultValue ?? type.zero
    }

    /// An expression that is true when the field has not its default value.
    func isSet(_ value: String) -> String {
        switch (defaultExpression, type) {
        case ("\"\"", _) where nullable == nil: "!\(value).isEmpty"
        case ("[]", _) where nullable == nil: "!\(value).isEmpty"
        case (_, .structure) where nullable == nil: "\(value) != .init()"
        case ("false", _): value
        case ("true", _): "!\(value)"
        default: "\(value) != \(defaultExpression)"
        }
    }
}

extension VersionRange {
    /// The condition under which `version`, known to be within `outer`, is in this range; nil when it always is.
    func condition(within outer: VersionRange) -> String? {
        switch (low > outer.low, high < outer.high) {
        case (false, false): nil
        case (true, false): "version >= \(low)"
        case (false, true): "version <= \(high)"
        case (true, true): low == high ? "version == \(low)" : "version >= \(low) && version <= \(high)"
        }
    }
}

extension Message {
    /// Whether a structure's lengths are compact, as an expression; `versions` are those in which it occurs.
    func flexibleExpression(_ versions: VersionRange) -> String {
        guard let from = flexibleFrom, from <= versions.high else { return "false" }
        return from <= versions.low ? "true" : "flexible"
    }

    /// The fewest bytes that an element of this type takes in any version in which it occurs.
    func minimumSize(_ type: FieldType, in versions: VersionRange) -> Int {
        (versions.low...versions.high).map { size(type, $0, classic: false) }.min()!
    }

    private func size(_ type: FieldType, _ version: Int, classic: Bool) -> Int {
        let flexible = (flexibleFrom.map { version >= $0 } ?? false) && !classic
        if let fixed = type.fixed { return fixed.size }
        switch type {
        case .string: return flexible ? 1 : 2
        case .structure(let name):
            var total = flexible ? 1 : 0
            for field in structure(named: name)!.fields where field.versions.contains(version) && field.tag == nil {
                // A structure that may be null takes one byte when it is.
                if case .structure = field.type, field.nullable != nil {
                    total += 1
                } else {
                    total += size(field.type, version, classic: field.isClassic)
                }
            }
            return total
        default: return flexible ? 1 : 4
        }
    }

    /// Whether some version cannot carry every value of `structure`, so that it gets a check.
    func needsCheck(_ structure: Structure) -> Bool {
        structure.fields.contains { field in
            if !field.isIgnorable && field.versions != structure.versions { return true }
            if let nullable = field.nullable, nullable != field.versions { return true }
            return inner(field.type).map { needsCheck($0) } ?? false
        }
    }

    /// The structure that values of `type` are or hold.
    func inner(_ type: FieldType) -> Structure? {
        switch type {
        case .structure(let name): structure(named: name)
        case .array(let element): inner(element)
        default: nil
        }
    }
}
