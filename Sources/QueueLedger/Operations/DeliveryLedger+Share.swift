internal import KafkaModel

/// What a share consumer says of one record. The raw values are those of ShareAcknowledge. Source: KIP-932, KIP-1222.
public enum ShareAcknowledgement: Int8, Sendable {
    case gap = 0
    case accept = 1
    case release = 2
    case reject = 3
    case renew = 4
}

/// One range of a share consumer's acknowledgement: one type for all, or one for each offset.
public struct ShareBatch: Sendable {
    public var range: OffsetRange
    public var types: [ShareAcknowledgement]

    public init(_ range: OffsetRange, _ types: [ShareAcknowledgement]) {
        self.range = range
        self.types = types
    }
}

public enum ShareReply: Equatable, Sendable {
    case done
    /// INVALID_REQUEST: ranges that overlap or descend, or a wrong number of types.
    case invalidRequest
    /// INVALID_RECORD_STATE: a record of it is not acquired, or by another member. Nothing of the request has an
    /// effect.
    case invalidRecordState
}

/// A share group's part: records are acquired by `receive` with an owner, and settled by ranges. The window
/// (`LedgerSettings.maxWindow`), the limit of deliveries and the start offset (`floor`) are the ledger's own.
extension DeliveryLedger {
    /// Settles ranges of records that the owner has acquired, all or nothing.
    ///
    /// - Parameter lockMs: milliseconds by which `renew` lets the lock last from now on.
    public mutating func acknowledge(
        _ batches: [ShareBatch], owner: UInt32, lockMs: Int64, nowMs: Int64
    ) -> LedgerStep<ShareReply> {
        requireActive()
        passTime(nowMs)
        var offsets: [ShareAcknowledgement: [Int64]] = [:]
        var before = Int64(-1)
        for batch in batches {
            let (first, last) = (batch.range.first.rawValue, batch.range.last.rawValue)
            guard first > before, batch.range.count <= Int64(LedgerRecord.maxLeased),
                batch.types.count == 1 || Int64(batch.types.count) == batch.range.count
            else { return LedgerStep(reply: .invalidRequest) }
            before = last
            // A record that is ended since, with all before it, is settled as far as its consumer is concerned.
            let alive = max(first, floor.rawValue)
            if last < alive { continue }
            for offset in alive...last {
                let type = batch.types.count == 1 ? batch.types[0] : batch.types[Int(offset - first)]
                switch settling(offset, type, owner, nowMs) {
                case .acquired: offsets[type, default: []].append(offset)
                case .nothing: break
                case .invalid: return LedgerStep(reply: .invalidRecordState)
                }
            }
        }
        return LedgerStep(records: Self.records(offsets, lockEndMs: nowMs + lockMs), reply: .done)
    }

    private enum Settling {
        case acquired, nothing, invalid
    }

    private func settling(_ offset: Int64, _ type: ShareAcknowledgement, _ owner: UInt32, _ nowMs: Int64) -> Settling {
        guard let slot = slots.slot(of: offset) else {
            // Control records lie within acquired ranges, and have no lock.
            let isEnded = offset < end && !backlog.contains(offset) && !held.contains(offset)
            return type == .gap && isEnded ? .nothing : .invalid
        }
        let isOwn =
            slots.states[Int(slot)] == .inFlight && slots.owners[Int(slot)] == owner
            && slots.deadlines[Int(slot)] > nowMs
        return isOwn ? .acquired : .invalid
    }

    private static func records(
        _ offsets: [ShareAcknowledgement: [Int64]], lockEndMs: Int64
    ) -> [LedgerRecord] {
        var records = ended(offsets[.gap] ?? [], .gap) + ended(offsets[.accept] ?? [], .acknowledged)
        if let released = offsets[.release] {
            records.append(.released(OffsetRange.covering(released), visibleAtMs: 0, isUncounted: false))
        }
        if let rejected = offsets[.reject] { records.append(.rejected(OffsetRange.covering(rejected))) }
        if let renewed = offsets[.renew] {
            records.append(.extended(OffsetRange.covering(renewed), deadlineMs: lockEndMs))
        }
        return records
    }

    /// Gives back all that a member has acquired, because its session ended.
    ///
    /// - Parameter isUncounted: the records were never delivered to it, and their deliveries do not count.
    public mutating func releaseAll(of owner: UInt32, isUncounted: Bool, nowMs: Int64) -> LedgerStep<Void> {
        releaseAll(isUncounted: isUncounted, nowMs: nowMs) { $0 == owner }
    }

    /// Gives back all that anybody has acquired, because sessions are not what is stored: after a loading there are none. Their deliveries
    /// count.
    public mutating func releaseAll(nowMs: Int64) -> LedgerStep<Void> {
        releaseAll(isUncounted: false, nowMs: nowMs) { _ in true }
    }

    private mutating func releaseAll(
        isUncounted: Bool, nowMs: Int64, _ isMeant: (_ owner: UInt32) -> Bool
    ) -> LedgerStep<Void> {
        requireActive()
        passTime(nowMs)
        let own = slots.occupied.filter {
            slots.states[Int($0)] == .inFlight && isMeant(slots.owners[Int($0)])
        }
        if own.isEmpty { return LedgerStep(reply: ()) }
        let ranges = OffsetRange.covering(own.map { slots.offsets[Int($0)] })
        return LedgerStep(records: [.released(ranges, visibleAtMs: 0, isUncounted: isUncounted)], reply: ())
    }

    /// Receipts of all that a member has acquired, in the order of the offsets. A step for each message with state.
    public mutating func receipts(of owner: UInt32, nowMs: Int64) -> [Receipt] {
        requireActive()
        passTime(nowMs)
        return slots.occupied.filter { slots.states[Int($0)] == .inFlight && slots.owners[Int($0)] == owner }
            .map {
                Receipt(
                    offset: Offset(slots.offsets[Int($0)]), lease: LeaseNumber(rawValue: slots.leases[Int($0)]))
            }
            .sorted { $0.offset < $1.offset }
    }
}
