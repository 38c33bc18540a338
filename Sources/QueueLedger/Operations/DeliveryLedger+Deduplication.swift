public import KafkaModel

/// The five minutes in which a message that is sent again is the one that was sent before. Source: SQS, "exactly-once
/// processing".
extension DeliveryLedger {
    /// Returns the message that was sent under this id in the last five minutes; nil: the id is new, and the message is
    /// to be appended. The digest is of all that the id counts within: with a DeduplicationScope of messageGroup also
    /// of the group.
    public func original(of id: NameDigest, nowMs: Int64) -> Offset? {
        sent.original(of: id, nowMs: nowMs).map { Offset($0) }
    }

    /// Notes that a message was appended under an id; while loading, of each record of the last five minutes that has
    /// one, ended messages included: so the window survives a restart.
    ///
    /// - Parameter sentMs: milliseconds since 1970 of the record.
    public mutating func noteSent(_ id: NameDigest, at offset: Offset, sentMs: Int64) {
        sent.note(id, offset: offset.rawValue, atMs: sentMs)
    }
}
