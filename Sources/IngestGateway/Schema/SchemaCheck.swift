import Security

/// Holds the events of one text, which is checked JSON, against a schema.
///
/// A schema whose alternatives lead back to itself doubles the work with each level of an event. So there is only as much work
/// as the text is worth, and what is left of it belongs to all its events.
struct SchemaCheck {
    private let schema: JSONSchema
    private let walk: JSONWalk
    private let effort: Effort

    /// One part of the schema held against one value is one step; so is a look at 64 bytes, or at 8 names of properties.
    private final class Effort {
        var left: Int
        var depth = 0

        init(bytes: Int) { left = SchemaCheck.freeSteps + SchemaCheck.stepsPerByte * bytes }
    }

    /// Steps that any text is worth: some milliseconds.
    static let freeSteps = 100_000
    /// Steps for each byte. A schema of 50 forms of events takes less than one.
    static let stepsPerByte = 8
    /// Parts within each other, those that say more of the same value included: five for each level of an event.
    static let maxDepth = 320

    init(_ schema: JSONSchema, _ text: UnsafeRawBufferPointer) {
        self.schema = schema
        walk = JSONWalk(text)
        effort = Effort(bytes: text.count)
    }

    /// What is wrong first, in the order of the schema; nil: nothing.
    func failure(of event: JSONRange) -> SchemaFailure? {
        let found = failure(of: walk.value(event), 0)
        // Whatever was found: what was not looked at counted as wrong, and within a `not` as right.
        return effort.left < 0 ? SchemaFailure("type", .tooComplex) : found
    }

    private func failure(of value: JSONWalk.Value, _ index: Int) -> SchemaFailure? {
        effort.left -= 1 + value.range.count / 64
        if effort.depth == Self.maxDepth { effort.left = -1 }
        guard effort.left >= 0 else { return SchemaFailure("type", .tooComplex) }
        effort.depth += 1
        defer { effort.depth -= 1 }
        let part = schema.parts[index]
        if let failure = failureOfItself(value, part) { return failure }
        let inner: SchemaFailure? =
            switch value.kind {
            case .object: failure(ofObject: value, part)
            case .array: failure(ofArray: value, part)
            case .string: failure(ofString: value, part)
            case .number: failure(ofNumber: value, part)
            case .true, .false, .null: nil
            }
        return inner ?? failureOfCombinations(value, part)
    }

    private func failureOfItself(_ value: JSONWalk.Value, _ part: JSONSchema.Part) -> SchemaFailure? {
        if let constants = part.constants, !constants.contains(where: { isEqual(value, $0) }) {
            return SchemaFailure("enum", .unknown(allowed: constants.map(\.words).joined(separator: ", ")))
        }
        if !part.types.isEmpty, !isOne(of: part.types, value) { return SchemaFailure("type", .wrongType(part.types)) }
        return nil
    }

    private func isOne(of types: JSONTypes, _ value: JSONWalk.Value) -> Bool {
        switch value.kind {
        case .object: types.contains(.object)
        case .array: types.contains(.array)
        case .string: types.contains(.string)
        case .true, .false: types.contains(.boolean)
        case .null: types.contains(.null)
        case .number: types.contains(.number) || types.contains(.integer) && walk.number(value)?.isInteger == true
        }
    }

    private func isEqual(_ value: JSONWalk.Value, _ constant: JSONConstant) -> Bool {
        switch constant {
        case .null: value.kind == .null
        case .boolean(let wanted): value.kind == (wanted ? .true : .false)
        case .number(let number): value.kind == .number && walk.number(value) == number
        case .string(let text):
            value.kind == .string
                && walk.equals(JSONRange(Int(value.range.start) + 1, Int(value.range.end) - 1), text)
        }
    }

    // MARK: Strings and numbers

    private func failure(ofString value: JSONWalk.Value, _ part: JSONSchema.Part) -> SchemaFailure? {
        guard part.length != 0...Int.max || part.format != nil || part.pattern != nil else { return nil }
        guard let text = walk.string(value) else {
            return SchemaFailure("type", .other(" has half of a surrogate pair"))
        }
        // A code point begins with a byte that continues none.
        let count = text.reduce(0) { $0 + ($1 & 0xc0 == 0x80 ? 0 : 1) }
        if count < part.length.lowerBound {
            return SchemaFailure("minLength", .other(" must have \(part.length.lowerBound) characters or more"))
        }
        if count > part.length.upperBound {
            return SchemaFailure("maxLength", .other(" must have \(part.length.upperBound) characters or fewer"))
        }
        if let format = part.format, !format.holds(text) {
            return SchemaFailure("format", .other(" must be a \(format.rawValue)"))
        }
        if let pattern = part.pattern, !pattern.form.matches(text) {
            return SchemaFailure("pattern", .other(" must match \(pattern.source)"))
        }
        return nil
    }

    private func failure(ofNumber value: JSONWalk.Value, _ part: JSONSchema.Part) -> SchemaFailure? {
        guard part.hasNumberBounds, let number = walk.number(value) else { return nil }
        if let least = part.minimum, number < least {
            return SchemaFailure("minimum", .other(" must be \(least.text) or more"))
        }
        if let most = part.maximum, number > most {
            return SchemaFailure("maximum", .other(" must be \(most.text) or less"))
        }
        if let bound = part.exclusiveMinimum, number <= bound {
            return SchemaFailure("exclusiveMinimum", .other(" must be more than \(bound.text)"))
        }
        if let bound = part.exclusiveMaximum, number >= bound {
            return SchemaFailure("exclusiveMaximum", .other(" must be less than \(bound.text)"))
        }
        return nil
    }

    // MARK: Objects and arrays

    private func failure(ofObject object: JSONWalk.Value, _ part: JSONSchema.Part) -> SchemaFailure? {
        guard part.looksAtMembers else { return nil }
        var found = [JSONWalk.Value?](repeating: nil, count: part.properties.count)
        var count = 0
        var failure: SchemaFailure?
        walk.members(of: object.range) { member in
            count += 1
            effort.left -= part.properties.count / 8
            let key = walk.text(inside: member.key)
            if let index = part.properties.firstIndex(where: { key.equals($0.name) }) {
                // Two readers could act on different ones.
                if found[index] != nil {
                    failure = SchemaFailure("properties", .other(" stands twice")).within(name(of: member.key))
                }
                found[index] = member.value
            } else {
                failure = self.failure(ofOther: member, part)
            }
            return failure == nil
        }
        return failure ?? self.failure(ofProperties: found, part) ?? Self.failure(ofMembers: count, part)
    }

    private func failure(ofOther member: JSONWalk.Member, _ part: JSONSchema.Part) -> SchemaFailure? {
        switch part.otherMembers {
        case nil: nil
        case .forbidden:
            SchemaFailure("additionalProperties", .other(" is not allowed here")).within(name(of: member.key))
        case .part(let index): failure(of: member.value, index)?.within(name(of: member.key))
        }
    }

    /// A required member that is wrong, and that JavaScript would take for none, is missing: so the service answered whose
    /// clients come here.
    private func failure(ofProperties found: [JSONWalk.Value?], _ part: JSONSchema.Part) -> SchemaFailure? {
        for (index, property) in part.properties.enumerated() {
            var failure: SchemaFailure?
            if let value = found[index] {
                failure = property.part.flatMap { self.failure(of: value, $0) }
                if failure != nil, property.isRequired, walk.isFalsy(value) {
                    failure = SchemaFailure("required", .missing)
                }
            } else if property.isRequired {
                failure = SchemaFailure("required", .missing)
            }
            if let failure { return failure.within(String(decoding: property.name, as: UTF8.self)) }
        }
        return nil
    }

    private static func failure(ofMembers count: Int, _ part: JSONSchema.Part) -> SchemaFailure? {
        if count < part.memberCount.lowerBound {
            return SchemaFailure(
                "minProperties", .other(" must have \(part.memberCount.lowerBound) members or more"))
        }
        if count > part.memberCount.upperBound {
            return SchemaFailure(
                "maxProperties", .other(" must have \(part.memberCount.upperBound) members or fewer"))
        }
        return nil
    }

    private func failure(ofArray array: JSONWalk.Value, _ part: JSONSchema.Part) -> SchemaFailure? {
        guard part.items != nil || part.itemCount != 0...Int.max else { return nil }
        var count = 0
        var failure: SchemaFailure?
        walk.elements(of: array.range) { element in
            failure = part.items.flatMap { self.failure(of: element, $0) }?.within(String(count))
            count += 1
            return failure == nil
        }
        if let failure { return failure }
        if count < part.itemCount.lowerBound {
            return SchemaFailure("minItems", .other(" must have \(part.itemCount.lowerBound) items or more"))
        }
        if count > part.itemCount.upperBound {
            return SchemaFailure("maxItems", .other(" must have \(part.itemCount.upperBound) items or fewer"))
        }
        return nil
    }

    /// A key as it stands: its escapes are not worth a second look.
    private func name(of key: JSONRange) -> String { String(decoding: key.bytes(of: walk.text), as: UTF8.self) }

    // MARK: Combinations

    private func failureOfCombinations(_ value: JSONWalk.Value, _ part: JSONSchema.Part) -> SchemaFailure? {
        for index in part.all {
            if let failure = self.failure(of: value, index) { return failure }
        }
        for list in part.any where !list.contains(where: { failure(of: value, $0) == nil }) {
            return SchemaFailure("anyOf", .other(" is none of the forms that are allowed here"))
        }
        if !part.one.isEmpty, part.one.filter({ failure(of: value, $0) == nil }).count != 1 {
            return SchemaFailure("oneOf", .other(" must be exactly one of the forms that are allowed here"))
        }
        if let not = part.not, failure(of: value, not) == nil {
            return SchemaFailure("not", .other(" has a form that is not allowed here"))
        }
        return nil
    }
}

extension JSONSchema.Part {
    fileprivate var hasNumberBounds: Bool {
        minimum != nil || maximum != nil || exclusiveMinimum != nil || exclusiveMaximum != nil
    }

    fileprivate var looksAtMembers: Bool {
        !properties.isEmpty || otherMembers != nil || memberCount != 0...Int.max
    }
}
