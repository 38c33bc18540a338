import KafkaWire

/// Where a reply tells how long its client has to wait: found in the encoded frame, for replies are made by loops and workers
/// before it is known.
enum ThrottleField {
    /// Returns the position of the four bytes in a frame, its length included; nil where this version has none. Produce and
    /// Fetch are not asked for: their writers are told the time.
    static func position(_ ticket: ReplyTicket, in frame: UnsafeRawBufferPointer) -> Int? {
        let isFlexible = ResponseHeader.version(apiKey: ticket.key, apiVersion: ticket.version) >= 1
        switch ticket.key {
        case .createDelegationToken, .renewDelegationToken, .expireDelegationToken, .describeDelegationToken:
            // The last of all, before the tagged fields, of which there are none.
            return frame.count - 4 - (isFlexible ? 1 : 0)
        default: return offset(ticket, in: frame).map { 4 + 4 + (isFlexible ? 1 : 0) + $0 }
        }
    }

    /// From the beginning of the message.
    private static func offset(_ ticket: ReplyTicket, in frame: UnsafeRawBufferPointer) -> Int? {
        switch ticket.key {
        case .saslHandshake, .saslAuthenticate, .writeTxnMarkers, .describeQuorum: nil
        case .apiVersions: ticket.version >= 1 ? behindVersions(ticket.version, frame) : nil
        // Behind the error.
        case .offsetDelete: 2
        case .metadata, .offsetCommit, .offsetFetch: ticket.version >= 3 ? 0 : nil
        case .listOffsets, .joinGroup: ticket.version >= 2 ? 0 : nil
        case .findCoordinator, .heartbeat, .leaveGroup, .syncGroup, .describeGroups, .listGroups:
            ticket.version >= 1 ? 0 : nil
        default: 0
        }
    }

    /// Behind the error and a list of entries of three numbers, whose count is in one byte: there are not 127 APIs.
    private static func behindVersions(_ version: Int16, _ frame: UnsafeRawBufferPointer) -> Int {
        // The reply's header is the old one in all versions.
        let list = 8 + 2
        guard version < 3 else { return 2 + 1 + 7 * max(0, Int(frame[list]) - 1) }
        return 2 + 4 + 6 * Int(Int32(bigEndian: frame.loadUnaligned(fromByteOffset: list, as: Int32.self)))
    }
}
