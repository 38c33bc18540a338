import CommandSyntax

/// The members of a JSON object that a gateway has answered with: what is missing, or is something else, is empty or 0.
struct JSONFields {
    private let members: [JSONValue.Member]
    private let document: [UInt8]

    init?(_ value: JSONValue, of document: [UInt8]) {
        guard case .object(let members) = value.content else { return nil }
        self.members = members
        self.document = document
    }

    private func value(_ name: String) -> JSONValue? { members.first { $0.name == name }?.value }

    /// In the document's order.
    var names: [String] { members.map(\.name) }

    /// Whether there is a number of that name.
    func has(_ name: String) -> Bool {
        if case .number? = value(name)?.content { true } else { false }
    }

    func list(_ name: String) -> [JSONFields] {
        guard case .array(let values)? = value(name)?.content else { return [] }
        return values.compactMap { JSONFields($0, of: document) }
    }

    func object(_ name: String) -> JSONFields? { value(name).flatMap { JSONFields($0, of: document) } }

    func texts(_ name: String) -> [String] {
        guard case .array(let values)? = value(name)?.content else { return [] }
        return values.compactMap { value in
            guard case .string(let bytes) = value.content else { return nil }
            return String(decoding: bytes, as: UTF8.self)
        }
    }

    func text(_ name: String) -> String {
        guard case .string(let bytes)? = value(name)?.content else { return "" }
        return String(decoding: bytes, as: UTF8.self)
    }

    func number(_ name: String) -> Int64 {
        guard let value = value(name), case .number = value.content else { return 0 }
        return Int64(String(decoding: document[value.range], as: UTF8.self)) ?? 0
    }

    /// The value as it stands in the answer.
    func raw(_ name: String) -> [UInt8] { value(name).map { Array(document[$0.range]) } ?? [] }
}
