/// The bodies of the generated functions.
extension Emitter {
    mutating func emitDecode(_ structure: Structure, of message: Message, isMessage: Bool) {
        let flexible = message.flexibleExpression(structure.versions)
        block("public init(from reader: inout ByteReader, version: Int16) throws(DecodeError)") { emitter in
            emitter.line("self.init()")
            if isMessage { emitter.line("try Self.checkVersion(version, reader)") }
            emitter.declareFlexible(structure, message)
            for field in structure.fields where field.tag == nil {
                emitter.when(field.versions.condition(within: structure.versions)) {
                    $0.line(
                        "\(field.reference) = \(decodeExpression(field, message, field.isClassic ? "false" : flexible))"
                    )
                }
            }
            if flexible == "false" { return }
            emitter.when(flexible == "true" ? nil : flexible) { $0.emitReadTags(structure, message) }
        }
    }

    private mutating func emitReadTags(_ structure: Structure, _ message: Message) {
        let tagged = structure.fields.filter { $0.tag != nil }
        if tagged.isEmpty {
            line("unknownTaggedFields = try reader.unknownTaggedFields()")
            return
        }
        block("for _ in 0..<(try reader.unsignedVarint())") { emitter in
            emitter.line("let tag = try reader.tag()")
            emitter.line("switch tag.number {")
            for field in tagged {
                // Tags occur in flexible versions only.
                let outer = VersionRange(
                    low: max(structure.versions.low, message.flexibleFrom!), high: structure.versions.high)
                let condition = field.versions.condition(within: outer).map { " where \($0)" } ?? ""
                emitter.line("case \(field.tag!)\(condition):")
                emitter.line("    \(field.reference) = \(decodeExpression(field, message, "true"))")
                emitter.line("    try reader.finish(tag)")
            }
            emitter.line("default: unknownTaggedFields.append(try reader.unknownTaggedField(tag))")
            emitter.line("}")
        }
    }

    mutating func emitEncode(_ structure: Structure, of message: Message, isMessage: Bool) {
        let flexible = message.flexibleExpression(structure.versions)
        block("public func encode(to writer: inout ByteWriter, version: Int16)") { emitter in
            if isMessage { emitter.line("checkEncodable(version)") }
            emitter.declareFlexible(structure, message)
            for field in structure.fields where field.tag == nil {
                emitter.when(field.versions.condition(within: structure.versions)) {
                    $0.emitWrite(field, message, field.isClassic ? "false" : flexible, to: "writer")
                }
            }
            if flexible == "false" { return }
            emitter.when(flexible == "true" ? nil : flexible) { $0.emitWriteTags(structure, message) }
        }
    }

    private mutating func emitWriteTags(_ structure: Structure, _ message: Message) {
        let tagged = structure.fields.filter { $0.tag != nil }.sorted { $0.tag! < $1.tag! }
        if tagged.isEmpty {
            line("writer.unknownTaggedFields(unknownTaggedFields)")
            return
        }
        line("var tags = TaggedFieldWriter(unknownTaggedFields)")
        let outer = VersionRange(
            low: max(structure.versions.low, message.flexibleFrom!), high: structure.versions.high)
        for field in tagged {
            let set = field.isSet(field.reference)
            let condition = field.versions.condition(within: outer).map { "\($0) && \(set)" } ?? set
            block("if \(condition)") { emitter in
                emitter.line("var body = ByteWriter(capacity: 64)")
                emitter.emitWrite(field, message, "true", to: "body")
                emitter.line("tags.append(\(field.tag!), body)")
            }
        }
        line("tags.finish(to: &writer)")
    }

    /// The function that names a field whose value the version cannot carry.
    mutating func emitCheck(_ structure: Structure, of message: Message) {
        block("public func unsupportedField(in version: Int16) -> StaticString?") { emitter in
            for field in structure.fields {
                let condition = field.versions.condition(within: structure.versions)
                if let condition, !field.isIgnorable {
                    let absent = condition.contains("&&") ? "!(\(condition))" : negated(condition)
                    emitter.block("if \(absent) && \(field.isSet(field.reference))") {
                        $0.line("return \"\(field.name)\"")
                    }
                }
                if let nullable = field.nullable, let allowed = nullable.condition(within: field.versions) {
                    let present = condition.map { "\($0) && " } ?? ""
                    let refused = allowed.contains("&&") ? "!(\(allowed))" : negated(allowed)
                    emitter.block("if \(present)\(refused) && \(field.name) == nil") {
                        $0.line("return \"\(field.name)\"")
                    }
                }
                guard let inner = message.inner(field.type), message.needsCheck(inner) else { continue }
                emitter.when(condition) { $0.emitInnerCheck(field) }
            }
            emitter.line("return nil")
        }
    }

    private mutating func emitInnerCheck(_ field: Field) {
        let name = "if let name = element.unsupportedField(in: version) { return name }"
        if case .array = field.type {
            block("for element in \(field.reference)\(field.nullable == nil ? "" : " ?? []")") { $0.line(name) }
        } else if field.nullable != nil {
            line("if let name = \(field.name)?.unsupportedField(in: version) { return name }")
        } else {
            line("if let name = \(field.name).unsupportedField(in: version) { return name }")
        }
    }

    private mutating func declareFlexible(_ structure: Structure, _ message: Message) {
        guard message.flexibleExpression(structure.versions) == "flexible" else { return }
        line("let flexible = version >= \(message.flexibleFrom!)")
    }

    private mutating func emitWrite(_ field: Field, _ message: Message, _ flexible: String, to writer: String) {
        if let fixed = field.type.fixed {
            line("\(writer).\(fixed.method)(\(field.reference))")
            return
        }
        if case .structure = field.type {
            line(
                field.nullable == nil
                    ? "\(field.reference).encode(to: &\(writer), version: version)"
                    : "\(writer).nullableStructure(\(field.reference), version)")
            return
        }
        var arguments = "\(field.reference), \(flexible)"
        if case .array(let element) = field.type, message.inner(element) != nil { arguments += ", version" }
        if let allowed = field.nullable?.condition(within: field.versions) { arguments += ", allowed: \(allowed)" }
        line("\(writer).\(method(field.nullable == nil ? "" : "nullable", field.type))(\(arguments))")
    }
}

private func decodeExpression(_ field: Field, _ message: Message, _ flexible: String) -> String {
    if let fixed = field.type.fixed { return "try reader.\(fixed.method)()" }
    let prefix = field.nullable == nil ? "" : "nullable"
    var arguments = flexible
    if case .array(let element) = field.type, message.inner(element) != nil {
        arguments += ", version, minimumSize: \(message.minimumSize(element, in: field.versions))"
    }
    if let allowed = field.nullable?.condition(within: field.versions) { arguments += ", allowed: \(allowed)" }
    switch field.type {
    case .structure:
        return field.nullable == nil
            ? "try .init(from: &reader, version: version)" : "try reader.nullableStructure(version)"
    default:
        return "try reader.\(method(prefix, field.type))(\(arguments))"
    }
}

/// The name of the reader's and writer's method; `prefix` is empty or "nullable".
private func method(_ prefix: String, _ type: FieldType) -> String {
    let name =
        switch type {
        case .string: "string"
        case .bytes, .records: "byteArray"
        case .array(.string): "stringArray"
        case .array(let element) where element.fixed != nil: "integerArray"
        default: "array"
        }
    return prefix.isEmpty ? name : prefix + name.prefix(1).uppercased() + name.dropFirst()
}

private func negated(_ condition: String) -> String {
    condition.split(separator: " ").map { word in
        switch word {
        case ">=": "<"
        case "<=": ">"
        case "==": "!="
        default: String(word)
        }
    }.joined(separator: " ")
}
