/// A line of a schema that the language does not allow. Stops the generator.
struct SchemaError: Error {
    var path: String
    var line: Int
    var reason: String
}

/// Parses one schema file, line by line; nesting is by indentation of two spaces.
struct Parser {
    private struct Line {
        var number: Int
        var indent: Int
        var words: [Substring]
    }

    private let path: String
    private var lines: [Line] = []
    private var summary: [String] = []
    private var next = 0

    private var versions = VersionRange(low: 0, high: 0)
    private var flexibleFrom: Int?
    private var structures: [Structure] = []

    init(path: String, text: String) throws {
        self.path = path
        for (index, raw) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            if raw.first == "#" {
                summary.append(String(raw.dropFirst(raw.hasPrefix("# ") ? 2 : 1)))
                continue
            }
            let words = raw.split(separator: " ")
            if words.isEmpty { continue }
            let spaces = raw.prefix { $0 == " " }.count
            guard spaces % 2 == 0 else {
                throw SchemaError(path: path, line: index + 1, reason: "indentation is not a multiple of two")
            }
            lines.append(Line(number: index + 1, indent: spaces / 2, words: words))
        }
    }

    mutating func parse() throws -> SchemaFile {
        let head = try take("api, header, data or key")
        var apiKey: Int?
        var apiName: String?
        var single: (MessageKind, String)?
        switch (head.words[0], head.words.count) {
        case ("api", 3):
            guard let key = Int(head.words[1]) else { throw error(head, "the API key is not a number") }
            apiKey = key
            apiName = String(head.words[2])
        case ("header", 2): single = (.header, String(head.words[1]))
        case ("data", 2): single = (.data, String(head.words[1]))
        case ("key", 3):
            guard let type = Int(head.words[1]) else { throw error(head, "the record type is not a number") }
            single = (.key(type), String(head.words[2]))
        default: throw error(head, "expected `api <key> <name>`, `header`, `data` or `key <type> <name>`")
        }

        let versionLine = try take("versions")
        guard versionLine.words.count == 2, versionLine.words[0] == "versions",
            let range = range(versionLine.words[1], in: VersionRange(low: 0, high: 999))
        else { throw error(versionLine, "expected `versions <range>`") }
        versions = range
        var advertised = range
        if next < lines.count, lines[next].words[0] == "advertise" {
            let line = try take("advertise")
            guard line.words.count == 2, let wider = self.range(line.words[1], in: VersionRange(low: 0, high: 999))
            else { throw error(line, "expected `advertise <range>`") }
            advertised = wider
        }
        let flexibleLine = try take("flexible")
        guard flexibleLine.words.count == 2, flexibleLine.words[0] == "flexible" else {
            throw error(flexibleLine, "expected `flexible <version>+` or `flexible never`")
        }
        if flexibleLine.words[1] != "never" {
            guard flexibleLine.words[1].last == "+", let from = Int(flexibleLine.words[1].dropLast()) else {
                throw error(flexibleLine, "expected `flexible <version>+` or `flexible never`")
            }
            flexibleFrom = from
        }

        var messages: [Message] = []
        if let (kind, name) = single {
            messages.append(try message(kind, name, heading: "fields"))
        } else {
            messages.append(try message(.request, apiName! + "Request", heading: "request"))
            messages.append(try message(.response, apiName! + "Response", heading: "response"))
        }
        if next < lines.count { throw error(lines[next], "expected the end of the file") }
        return SchemaFile(
            path: path, summary: summary, apiKey: apiKey, apiName: apiName, versions: versions,
            advertised: advertised, flexibleFrom: flexibleFrom, messages: messages)
    }

    private mutating func message(_ kind: MessageKind, _ name: String, heading: Substring) throws -> Message {
        let line = try take(String(heading))
        guard line.indent == 0, line.words == [heading] else { throw error(line, "expected `\(heading)`") }
        structures = []
        try structure(named: name, versions: versions, indent: 1)
        return Message(
            kind: kind, name: name, versions: versions, flexibleFrom: flexibleFrom, structures: structures)
    }

    /// Lets a structure be used in further versions: its fields that have no versions of their own are in those, too.
    private mutating func widen(_ name: String, to versions: VersionRange) {
        guard let place = structures.firstIndex(where: { $0.name == name }) else { return }
        let before = structures[place].versions
        if before.contains(versions) { return }
        let hull = VersionRange(low: min(before.low, versions.low), high: max(before.high, versions.high))
        structures[place].versions = hull
        for field in structures[place].fields.indices where structures[place].fields[field].versions == before {
            structures[place].fields[field].versions = hull
            if let inner = structureName(structures[place].fields[field].type) { widen(inner, to: hull) }
        }
    }

    private mutating func structure(named name: String, versions: VersionRange, indent: Int) throws {
        let place = structures.count
        structures.append(Structure(name: name, versions: versions, fields: []))
        while next < lines.count, lines[next].indent == indent {
            let line = lines[next]
            next += 1
            let field = try field(line, within: versions)
            if structures[place].fields.contains(where: { $0.name == field.name }) {
                throw error(line, "a second field of that name")
            }
            structures[place].fields.append(field)
            let hasBody = next < lines.count && lines[next].indent > indent
            guard let inner = structureName(field.type) else {
                if hasBody { throw error(lines[next], "only a structure has fields") }
                continue
            }
            if hasBody {
                if structures.contains(where: { $0.name == inner }) { throw error(line, "structure defined twice") }
                try structure(named: inner, versions: field.versions, indent: indent + 1)
            } else if structures.contains(where: { $0.name == inner }) {
                widen(inner, to: field.versions)
            } else {
                throw error(line, "unknown type \(inner)")
            }
        }
        if next < lines.count, lines[next].indent > indent { throw error(lines[next], "indented too far") }
    }

    private func structureName(_ type: FieldType) -> String? {
        switch type {
        case .structure(let name): name
        case .array(let element): structureName(element)
        default: nil
        }
    }

    private func field(_ line: Line, within versions: VersionRange) throws -> Field {
        guard line.words.count >= 2 else { throw error(line, "a field needs a name and a type") }
        var text = line.words[1]
        let isNullable = text.last == "?"
        if isNullable { text = text.dropLast() }
        var field = Field(
            name: String(line.words[0]), type: try type(text, line), versions: versions, nullable: nil, tag: nil,
            isClassic: false, isIgnorable: false, defaultValue: nil)
        var nullableText: Substring?
        var words = line.words.dropFirst(2)
        while let word = words.popFirst() {
            if word == "ignorable" {
                field.isIgnorable = true
            } else if word == "classic" {
                field.isClassic = true
            } else if word == "=" {
                guard let value = words.popFirst() else { throw error(line, "no value after =") }
                field.defaultValue = String(value)
            } else if word.hasPrefix("tag:") {
                guard let tag = Int(word.dropFirst(4)) else { throw error(line, "the tag is not a number") }
                field.tag = tag
            } else if word.hasPrefix("null:") {
                nullableText = word.dropFirst(5)
            } else if let range = range(word, in: versions) {
                field.versions = range
            } else {
                throw error(line, "`\(word)` is neither a range of versions here nor an attribute")
            }
        }
        if isNullable { field.nullable = field.versions }
        if let text = nullableText {
            guard isNullable, let range = range(text, in: field.versions) else {
                throw error(line, "`null:` needs a type with ? and a range within the field's")
            }
            field.nullable = range
        }
        if field.tag != nil, flexibleFrom.map({ $0 > field.versions.low }) ?? true {
            throw error(line, "tagged before the message is flexible")
        }
        return field
    }

    private func type(_ text: Substring, _ line: Line) throws -> FieldType {
        if text.first == "[", text.last == "]" { return .array(try type(text.dropFirst().dropLast(), line)) }
        switch text {
        case "bool": return .bool
        case "int8": return .int8
        case "int16": return .int16
        case "uint16": return .uint16
        case "int32": return .int32
        case "int64": return .int64
        case "float64": return .float64
        case "uuid": return .uuid
        case "string": return .string
        case "bytes": return .bytes
        case "records": return .records
        default:
            guard let first = text.first, first.isUppercase else { throw error(line, "unknown type \(text)") }
            return .structure(String(text))
        }
    }

    /// `3`, `3-5`, `3+` (to the last of `outer`) or `-5` (from its first); nil when it is none or leaves `outer`.
    private func range(_ text: Substring, in outer: VersionRange) -> VersionRange? {
        var result = outer
        if text.last == "+" {
            guard let low = Int(text.dropLast()) else { return nil }
            result.low = low
        } else if text.first == "-" {
            guard let high = Int(text.dropFirst()) else { return nil }
            result.high = high
        } else {
            let ends = text.split(separator: "-")
            guard let low = ends.first.flatMap({ Int($0) }), let high = ends.last.flatMap({ Int($0) }), ends.count < 3
            else { return nil }
            result = VersionRange(low: low, high: high)
        }
        return result.low <= result.high && outer.contains(result) ? result : nil
    }

    private mutating func take(_ expected: String) throws -> Line {
        guard next < lines.count else {
            throw SchemaError(path: path, line: 0, reason: "the file ends before `\(expected)`")
        }
        defer { next += 1 }
        return lines[next]
    }

    private func error(_ line: Line, _ reason: String) -> SchemaError {
        SchemaError(path: path, line: line.number, reason: reason)
    }
}
