import Configuration
import Security

/// A schema as the configuration writes it.
struct JSONSchemaReader {
    private var schema = JSONSchema()
    /// `#/$defs/NAME`, as far as they are read.
    private var definitions: [String: Int] = [:]
    private var isWrong = false

    /// nil: it is wrong, and the place has noted why.
    static func read(_ place: ConfigurationPlace) -> JSONSchema? {
        var reader = JSONSchemaReader()
        let root = reader.schema.add()
        reader.definitions["#"] = root
        reader.define(place)
        reader.fill(root, place)
        if reader.isWrong { return nil }
        if reader.schema.isEndless {
            place.refuse(
                "a part of it refers to itself and to nothing inside", remedy: "Remove the $ref that leads back")
            return nil
        }
        return reader.schema
    }

    /// Names the parts of `$defs` before any of them is read, for they may refer to each other.
    private mutating func define(_ place: ConfigurationPlace) {
        guard case .mapping(let entries) = place.node.content, entries.contains(where: { $0.key == "$defs" }),
            let found = place.entries()?.first(where: { $0.key == "$defs" })?.place.entries()
        else { return }
        for (name, _) in found { definitions["#/$defs/" + name] = schema.add() }
        for (name, part) in found { fill(definitions["#/$defs/" + name]!, part) }
    }

    private mutating func refuse(_ place: ConfigurationPlace, _ reason: String, _ remedy: String) {
        isWrong = true
        place.refuse(reason, remedy: remedy)
    }

    private mutating func read(_ place: ConfigurationPlace) -> Int {
        let index = schema.add()
        fill(index, place)
        return index
    }

    private mutating func fill(_ index: Int, _ place: ConfigurationPlace) {
        guard schema.parts.count <= JSONSchema.maxParts else {
            if !isWrong { refuse(place, "a schema has at most \(JSONSchema.maxParts) parts", "Make it smaller") }
            return
        }
        var part = JSONSchema.Part()
        // A schema may be a truth value.
        if case .text(let text, isPlain: true) = place.node.content, text == "true" || text == "false" {
            if text == "false" { part.not = schema.add() }
            return schema.replace(index, part)
        }
        guard let entries = place.entries() else {
            isWrong = true
            return
        }
        var required: [(name: String, place: ConfigurationPlace)] = []
        for (keyword, value) in entries {
            if keyword == "required" {
                required = texts(value).map { ($0, value) }
            } else {
                read(keyword, value, into: &part)
            }
        }
        for (name, _) in required {
            let bytes = Array(name.utf8)
            if let known = part.properties.firstIndex(where: { $0.name == bytes }) {
                part.properties[known].isRequired = true
            } else {
                part.properties.append(JSONSchema.Property(name: bytes, part: nil, isRequired: true))
            }
        }
        schema.replace(index, part)
    }

    private mutating func read(_ keyword: String, _ value: ConfigurationPlace, into part: inout JSONSchema.Part) {
        switch keyword {
        case "$schema", "$id", "$comment", "$defs", "title", "description", "default", "examples", "deprecated": break
        case "type":
            for word in value.oneOrMore() ?? [] {
                if let type = checked(word.choice(JSONTypes.named)) { part.types.insert(type) }
            }
        case "enum": part.constants = constants(value)
        case "const": part.constants = constant(value).map { [$0] }
        case "format":
            guard let text = checked(value.text()) else { return }
            part.format = TextFormat(rawValue: text)
            if part.format == nil {
                let known = TextFormat.allCases.map(\.rawValue).joined(separator: ", ")
                refuse(value, "this format is not checked here", "Leave it out, or write one of \(known)")
            }
        case "pattern":
            guard let text = checked(value.text()) else { return }
            do throws(BoundedPattern.SyntaxError) {
                part.pattern = JSONSchema.SchemaPattern(source: text, form: try LinearPattern(text))
            } catch {
                refuse(value, "is no pattern that is matched here: \(error.problem)", "Write it in another way")
            }
        case "minLength", "maxLength": bound(value, keyword == "minLength", &part.length)
        case "minItems", "maxItems": bound(value, keyword == "minItems", &part.itemCount)
        case "minProperties", "maxProperties": bound(value, keyword == "minProperties", &part.memberCount)
        case "minimum": part.minimum = number(value)
        case "maximum": part.maximum = number(value)
        case "exclusiveMinimum": part.exclusiveMinimum = number(value)
        case "exclusiveMaximum": part.exclusiveMaximum = number(value)
        default: readApplicator(keyword, value, into: &part)
        }
    }

    /// Keywords that hold schemas.
    private mutating func readApplicator(
        _ keyword: String, _ value: ConfigurationPlace, into part: inout JSONSchema.Part
    ) {
        switch keyword {
        case "properties":
            for (name, inner) in checked(value.entries()) ?? [] {
                let index = read(inner)
                part.properties.append(JSONSchema.Property(name: Array(name.utf8), part: index, isRequired: false))
            }
        case "additionalProperties":
            if case .text("false", isPlain: true) = value.node.content {
                part.otherMembers = .forbidden
            } else {
                part.otherMembers = .part(read(value))
            }
        case "items": part.items = read(value)
        case "allOf": part.all += list(value)
        case "anyOf": part.any.append(list(value))
        case "oneOf": part.one = list(value)
        case "not": part.not = read(value)
        case "$ref":
            guard let text = checked(value.text()) else { return }
            if let index = definitions[text] {
                part.all.append(index)
            } else {
                refuse(value, "there is no such part", "Write #, or #/$defs/NAME of the schema's own $defs")
            }
        default:
            refuse(
                value, "this keyword of JSON Schema is not checked here",
                "Leave it out; the page Routes lists those that are")
        }
    }

    private mutating func list(_ place: ConfigurationPlace) -> [Int] {
        guard let items = checked(place.items()) else { return [] }
        if items.isEmpty { refuse(place, "must have one schema at least", "Add one, or leave the keyword out") }
        return items.map { read($0) }
    }

    private mutating func bound(_ place: ConfigurationPlace, _ isLower: Bool, _ range: inout ClosedRange<Int>) {
        guard let number = checked(place.integer(0...Int64(Int32.max))) else { return }
        guard isLower ? number <= range.upperBound : number >= range.lowerBound else {
            return refuse(place, "the least is more than the most", "Exchange the two")
        }
        range = isLower ? number...range.upperBound : range.lowerBound...number
    }

    private mutating func number(_ place: ConfigurationPlace) -> JSONNumber? {
        if case .text(let text, isPlain: true) = place.node.content, let number = JSONNumber(text) { return number }
        refuse(place, "must be a number of JSON", "Write one, without quotes")
        return nil
    }

    private mutating func texts(_ place: ConfigurationPlace) -> [String] { checked(place.texts()) ?? [] }

    private mutating func constants(_ place: ConfigurationPlace) -> [JSONConstant] {
        guard let items = checked(place.items()) else { return [] }
        if items.isEmpty { refuse(place, "must have one value at least", "Add one, or leave the keyword out") }
        return items.compactMap { constant($0) }
    }

    /// What stands plain and looks like a number, a truth value or null is that; anything else is a string.
    private mutating func constant(_ place: ConfigurationPlace) -> JSONConstant? {
        guard case .text(let text, let isPlain) = place.node.content else {
            refuse(place, "must be a string, a number, true, false or null", "Write one of these")
            return nil
        }
        if isPlain {
            if place.node.isNull { return .null }
            if text == "true" || text == "false" { return .boolean(text == "true") }
            if let number = JSONNumber(text) { return .number(number) }
        }
        return .string(Array(text.utf8))
    }

    private mutating func checked<Value>(_ value: Value?) -> Value? {
        if value == nil { isWrong = true }
        return value
    }
}
