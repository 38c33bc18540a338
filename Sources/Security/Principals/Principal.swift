public import KafkaModel

/// Who somebody is: `User:alice`, `Group:ops`, `Scope:orders/read`. Equal only byte by byte (`ExactString`).
public struct Principal: Hashable, Sendable, CustomStringConvertible {
    public let type: ExactString
    public let name: ExactString

    public init(type: String, name: String) {
        self.type = ExactString(type)
        self.name = ExactString(name)
    }

    public static func user(_ name: String) -> Principal { Principal(type: "User", name: name) }
    public static func group(_ name: String) -> Principal { Principal(type: "Group", name: name) }
    /// What a token was issued for.
    public static func scope(_ name: String) -> Principal { Principal(type: "Scope", name: name) }

    /// Whoever comes over a listener that asks nobody who he is.
    public static let anonymous = Principal.user("ANONYMOUS")

    /// `Type:name`; the name is everything after the first colon, further colons included. Nil without a colon, and
    /// with nothing before it.
    public init?(parsing text: String) {
        guard let colon = text.utf8.firstIndex(of: UInt8(ascii: ":")), colon > text.startIndex else { return nil }
        self.init(type: String(text[..<colon]), name: String(text[text.utf8.index(after: colon)...]))
    }

    public var description: String { "\(type):\(name)" }
}
