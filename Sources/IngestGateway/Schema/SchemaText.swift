import ByteBuffers
import Configuration

/// A route's schema as JSON, for the description of the routes: what the configuration has, with references that lead within it.
enum SchemaText {
    /// The name under which the description has it.
    static func component(of id: String) -> String { "route-\(id)" }

    static func json(_ schema: ConfigurationNode, of id: String) -> [UInt8] {
        var out = ByteWriter(capacity: 256)
        write(schema, component(of: id), into: &out)
        return out.array
    }

    private static func write(_ node: ConfigurationNode, _ component: String, into out: inout ByteWriter) {
        switch node.content {
        case .list(let items):
            out.text("[")
            for (index, item) in items.enumerated() {
                if index > 0 { out.text(",") }
                write(item, component, into: &out)
            }
            out.text("]")
        case .mapping(let entries):
            out.text("{")
            for (index, entry) in entries.enumerated() {
                if index > 0 { out.text(",") }
                JSONText.write(entry.key, into: &out)
                out.text(":")
                if entry.key == "$ref", case .text(let target, _) = entry.value.content, target.hasPrefix("#") {
                    JSONText.write("#/components/schemas/\(component)\(target.dropFirst())", into: &out)
                } else {
                    write(entry.value, component, into: &out)
                }
            }
            out.text("}")
        case .text(let text, let isPlain):
            let isLiteral = ["true", "false", "null"].contains(text) || JSONNumber(text) != nil
            if isPlain, isLiteral { out.utf8(text) } else { JSONText.write(text, into: &out) }
        }
    }
}
