public import KafkaModel

/// A message that the caller is to append to the dead letters. It may be named again until that is confirmed, also
/// after a restart: the append is made once by the id (queue, partition, offset).
public struct DeadLetter: Equatable, Sendable {
    public enum Reason: Sendable {
        case maxReceives
        case rejected
    }

    public var offset: Offset
    public var receiveCount: Int
    /// Milliseconds since 1970.
    public var firstReceivedMs: Int64
    /// As KIP-1191 tells them apart: by whether the limit is reached.
    public var reason: Reason
}

/// Ends other than by an acknowledgement.
extension DeliveryLedger {
    /// Lets happen what is due at `nowMs`: leases and delays end. To be called at `nextDeadline`; every other call does
    /// the same first. With `EndOfDeliveries.archive` it ends what had its last delivery, `LedgerRecord.maxLeased`
    /// messages at most.
    public mutating func advance(nowMs: Int64) -> LedgerStep<Void> {
        requireActive()
        passTime(nowMs)
        guard settings.endOfDeliveries == .archive else { return LedgerStep(reply: ()) }
        return LedgerStep(records: Self.ended(endingOffsets(LedgerRecord.maxLeased), .archived), reply: ())
    }

    /// Names messages that wait for their move to the dead letters, the longest waiting first, those that were put back
    /// last. They are no longer in flight and hold up nothing, however long that takes.
    public func deadLetters(max: Int) -> [DeadLetter] {
        endingOffsets(max).map { offset in
            let slot = Int(slots.slot(of: offset)!)
            let isLimit = settings.hasReachedLimit(slots.counts[slot])
            return DeadLetter(
                offset: Offset(offset), receiveCount: Int(slots.counts[slot]),
                firstReceivedMs: slots.firstReceived[slot], reason: isLimit ? .maxReceives : .rejected)
        }
    }

    /// Puts messages that wait for their move behind the others that do: what was refused holds up none of them. In memory alone.
    public mutating func putBack(_ offsets: [Offset]) {
        requireActive()
        for offset in offsets {
            guard let slot = slots.slot(of: offset.rawValue), slots.states[Int(slot)] == .ending else { continue }
            ending.unlink(slot, &slots)
            ending.append(slot, &slots)
        }
    }

    /// Ends messages that the dead letters have on disk. Others than those that wait for it are left alone.
    public func confirmDeadLetters(_ offsets: [Offset]) -> LedgerStep<Void> {
        requireActive()
        let waiting = offsets.map(\.rawValue).filter { offset in
            slots.slot(of: offset).map { slots.states[Int($0)] == .ending } ?? false
        }
        return LedgerStep(records: Self.ended(waiting, .deadLettered), reply: ())
    }

    private func endingOffsets(_ most: Int) -> [Int64] {
        var offsets: [Int64] = []
        var slot = ending.head
        while slot != MessageSlots.none, offsets.count < most {
            offsets.append(slots.offsets[Int(slot)])
            slot = slots.next[Int(slot)]
        }
        return offsets
    }

    /// Ends messages by their offsets, whoever has them: who asks knows by other means than a receipt that their work is done. Those that
    /// have ended, or were never told, are left alone.
    public func finish(_ offsets: [Offset]) -> LedgerStep<Void> {
        requireActive()
        let told = offsets.map(\.rawValue).filter { $0 >= floor.rawValue && $0 < end }
        let records = stride(from: 0, to: told.count, by: LedgerRecord.maxLeased).flatMap { start in
            Self.ended(Array(told[start..<min(start + LedgerRecord.maxLeased, told.count)]), .acknowledged)
        }
        return LedgerStep(records: records, reply: ())
    }

    /// Ends all messages that were told so far, in whatever state. Source: SQS, PurgeQueue.
    public func purge() -> LedgerStep<Void> {
        requireActive()
        return LedgerStep(records: [.started(at: end)], reply: ())
    }

    /// Ends all messages below the log's start, or older than the retention: they can be read no more, or shall not. A
    /// receipt of one has no effect from then on. Source: SQS, MessageRetentionPeriod; KIP-932, the log start offset.
    public func retain(from logStartOffset: Offset) -> LedgerStep<Void> {
        requireActive()
        let isNews = logStartOffset.rawValue > floor.rawValue
        return LedgerStep(records: isNews ? [.started(at: logStartOffset.rawValue)] : [], reply: ())
    }
}
