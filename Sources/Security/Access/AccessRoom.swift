public import KafkaModel

/// Why an ACL, a credential or a quota is not changed or shown: an error of the reply, with words for who asked.
public struct AccessRefusal: Error, Hashable, Sendable {
    public let error: ErrorCode
    public let message: String

    public init(_ error: ErrorCode, _ message: String) {
        self.error = error
        self.message = message
    }
}

/// What may still be added of one kind: ACLs, users, entities with quotas. Whoever keeps them says how much.
public struct AccessRoom: Sendable {
    public var entries: Int
    /// Of the names in them, which are as long as somebody made them.
    public var bytes: Int

    public init(entries: Int, bytes: Int = .max) {
        self.entries = entries
        self.bytes = bytes
    }

    public static let unbounded = AccessRoom(entries: .max)

    /// Takes the place of one more, or says why there is none.
    public mutating func take(_ textBytes: Int, _ kind: String, _ error: ErrorCode) -> AccessRefusal? {
        guard entries > 0 else { return AccessRefusal(error, "There are as many \(kind) as there may be") }
        guard textBytes <= bytes else {
            return AccessRefusal(error, "The names of all \(kind) are as long as they may be together")
        }
        entries -= 1
        bytes -= textBytes
        return nil
    }
}
