import ByteBuffers
import KafkaModel
import Security

/// Checks of passwords that wait: those of one address in their order, the addresses in turn. So whoever guesses makes others
/// wait for one of his checks each, not for all.
struct PasswordQueue {
    /// Checks that wait. Of so many the last waits for 1.4 to 12 s (SHA-256 of 4,096 iterations to SHA-512 of 16,384, two at a
    /// time), which clients still do. Beyond it a check is refused, and the client tries again.
    static let maxWaiting = 1_000
    /// An address may have as many as an eighth of the places that nobody has: one alone gets 111, ten that fill the queue
    /// 55 each, and whoever has none yet gets one as long as there is one.
    static let shareOfOne = 8

    struct Check: Sendable {
        let user: ExactString
        let password: Secret
        /// An address, or a network of IPv6; nil: nobody knows.
        let source: NetworkAddress?
        let pending: PendingCheck
        let done: @Sendable (SaslVerdict) -> Void
    }

    private(set) var count = 0
    private var checks: [NetworkAddress?: FIFO<Check>] = [:]
    /// Who has checks here, each once.
    private var turns = FIFO<NetworkAddress?>()

    /// False: too many wait.
    mutating func add(_ check: Check) -> Bool {
        let ofOne = checks[check.source]?.count ?? 0
        guard count < Self.maxWaiting, ofOne == 0 || ofOne < (Self.maxWaiting - count) / Self.shareOfOne else {
            return false
        }
        checks[check.source, default: FIFO()].append(check)
        if ofOne == 0 { turns.append(check.source) }
        count += 1
        return true
    }

    /// The next that somebody still waits for.
    mutating func take() -> Check? {
        while let source = turns.first {
            turns.removeFirst()
            guard let check = checks[source]?.first else { preconditionFailure("a turn of who has no check") }
            checks[source]?.removeFirst()
            if checks[source]?.isEmpty == true { checks[source] = nil } else { turns.append(source) }
            count -= 1
            if !check.pending.isGivenUp { return check }
        }
        return nil
    }
}
