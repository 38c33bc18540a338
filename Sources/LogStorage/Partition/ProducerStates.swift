import ByteBuffers
public import KafkaModel
import RecordFormat

/// What a partition remembers of its idempotent producers: for each the epoch and its newest five batches, so that a
/// retry is recognised and a gap refused, and whether a transaction of it is open here. Source: KIP-98, KIP-360, KIP-890; rules
/// as in Kafka's ProducerAppendInfo.
///
/// Limits: `maxProducers` of one partition, `ProducerLimit` of all; beyond them the longest silent are forgotten, which
/// treats their next batch as a new producer's first. A producer with an open transaction is never forgotten, so their number
/// has limits of its own (`maxOpenTransactions`, and of all partitions `ProducerLimit.openLimit`). A producer id needs not have been given out by this broker: as in
/// Kafka, the first batch of an unknown one is taken with any sequence.
public struct ProducerStates: Sendable {
    /// Batches of one producer that a retry may repeat; a client has at most five in flight (KIP-98).
    static let windowSize = 5
    static let maxProducers = 32_768
    /// Transactions that are open in one partition at a time: half of the producers. One more is refused with
    /// NOT_ENOUGH_REPLICAS, which producers try again.
    static let maxOpenTransactions = maxProducers / 2

    struct Batch: Sendable, Equatable {
        var firstSequence: Int32
        var lastSequence: Int32
        var lastOffset: Int64
    }

    struct Entry: Sendable, Equatable {
        var epoch: Int16
        var lastTimestampMs: Int64
        /// Oldest first; at most `windowSize`. Empty where only a marker, or a coordinator's batch, is known of the epoch.
        var window: [Batch]
        /// Of the newest marker; -1: none is known.
        var coordinatorEpoch: Int32 = -1
        var markerOffset: Int64 = -1
        /// First offset of the open transaction; -1: none is open.
        var transactionStart: Int64 = -1
        /// Of the newest batch that has no sequence; -1: none.
        var unnumberedOffset: Int64 = -1

        var hasOpenTransaction: Bool { transactionStart >= 0 }
        /// Last offset of the newest batch, or of the newest marker where there is none.
        var lastOffset: Int64 { max(window.last?.lastOffset ?? markerOffset, unnumberedOffset) }
        fileprivate var hasMore: Bool {
            coordinatorEpoch >= 0 || markerOffset >= 0 || transactionStart >= 0 || unnumberedOffset >= 0
        }
    }

    private(set) var entries: [Int64: Entry] = [:]
    /// Of all producers, in the order in which they began.
    private(set) var ongoing = OngoingTransactions()

    public init() {}

    public enum Verdict: Equatable, Sendable {
        case accept
        case duplicate(baseOffset: Int64, lastOffset: Int64)
        case refuse(ErrorCode)
    }

    public var count: Int { entries.count }

    /// By producer: last offset of its newest batch.
    var lastOffsets: [Int64: Int64] { entries.mapValues(\.lastOffset) }

    /// What is to be done with a client's batch. `verified`: what the transaction coordinator has said of it. `mayBegin`: the
    /// partitions together have room for one more open transaction.
    public func check(
        _ batch: ProducerBatch, verified: TransactionGuard? = nil, mayBegin: Bool = true
    ) -> Verdict {
        guard let entry = entries[batch.producerID] else {
            // Nothing is known: it expired, or the records that told of it were deleted. Any sequence may begin, but for a
            // producer whose transactions all begin with 0.
            guard batch.isTransactional else { return .accept }
            guard let verified else { return .refuse(.invalidTxnState) }
            if verified.isVersion2, batch.hasSequence, batch.baseSequence != 0 { return .refuse(.outOfOrderSequenceNumber) }
            return roomForTransaction(mayBegin)
        }
        if batch.producerEpoch < entry.epoch { return .refuse(.invalidProducerEpoch) }
        if batch.producerEpoch == entry.epoch, batch.hasSequence {
            for known in entry.window
            where known.firstSequence == batch.baseSequence && known.lastSequence == batch.lastSequence {
                let count = Int64(Self.distance(from: known.firstSequence, to: known.lastSequence))
                return .duplicate(baseOffset: known.lastOffset - count, lastOffset: known.lastOffset)
            }
        }
        if batch.isTransactional || entry.hasOpenTransaction,
            let refusal = transactionRefusal(batch, entry, verified, mayBegin)
        {
            return .refuse(refusal)
        }
        guard batch.hasSequence else { return .accept }
        if batch.producerEpoch > entry.epoch {
            return batch.baseSequence == 0 ? .accept : .refuse(.outOfOrderSequenceNumber)
        }
        // After a marker that has raised the epoch, the first sequence is 0.
        let last = entry.window.last?.lastSequence ?? -1
        let expected = last < 0 ? 0 : Sequence32(last).advanced(by: 1).rawValue
        return batch.baseSequence == expected ? .accept : .refuse(.outOfOrderSequenceNumber)
    }

    private func transactionRefusal(
        _ batch: ProducerBatch, _ entry: Entry, _ verified: TransactionGuard?, _ mayBegin: Bool
    ) -> ErrorCode? {
        guard batch.isTransactional else { return .invalidTxnState }
        if entry.hasOpenTransaction, entry.epoch == batch.producerEpoch { return nil }
        guard let verified, entry.markerOffset < verified.logEndOffset else { return .invalidTxnState }
        if case .refuse(let code) = roomForTransaction(mayBegin) { return code }
        return nil
    }

    private func roomForTransaction(_ mayBegin: Bool) -> Verdict {
        mayBegin && ongoing.openCount < Self.maxOpenTransactions ? .accept : .refuse(.notEnoughReplicas)
    }

    /// Whether a transaction of this producer, in this epoch, is open here: its batches need no look at the coordinator.
    func hasOpenTransaction(of producerID: Int64, _ epoch: Int16) -> Bool {
        guard let entry = entries[producerID] else { return false }
        return entry.hasOpenTransaction && entry.epoch == epoch
    }

    /// The epoch that is known of a producer.
    func epoch(of producerID: Int64) -> Int16? { entries[producerID]?.epoch }

    /// What is to be done with the marker of a transaction.
    enum MarkerVerdict: Equatable {
        /// `firstOffset` of the transaction that it ends here; nil: none is open.
        case accept(firstOffset: Int64?)
        /// It was appended before, at this offset.
        case repeated(Int64)
        case refuse(ErrorCode)
    }

    /// Source: KIP-98, KIP-890, KAFKA-19999.
    func checkMarker(_ marker: TransactionMarker) -> MarkerVerdict {
        guard let entry = entries[marker.producerID.rawValue] else { return .accept(firstOffset: nil) }
        if marker.coordinatorEpoch < entry.coordinatorEpoch { return .refuse(.transactionCoordinatorFenced) }
        let epoch = marker.epoch.rawValue
        if marker.isVersion2, epoch == entry.epoch, epoch < Int16.max {
            // The last transaction's marker has this epoch, or the batches of this one, whose epoch is then too low.
            return entry.hasOpenTransaction ? .refuse(.invalidProducerEpoch) : .repeated(entry.markerOffset)
        }
        if epoch < entry.epoch { return .refuse(.invalidProducerEpoch) }
        return .accept(firstOffset: entry.hasOpenTransaction ? entry.transactionStart : nil)
    }

    /// Notes an appended batch. Batches that the state already holds (a replay) change nothing. `baseOffset` and `position`
    /// (see `OngoingTransactions`) are of a batch that may begin a transaction.
    public mutating func record(
        _ batch: ProducerBatch, baseOffset: Int64 = -1, lastOffset: Int64, timestampMs: Int64, position: Int64 = 0
    ) {
        guard var entry = entries[batch.producerID] else {
            if entries.count >= Self.maxProducers { forgetLongestSilent() }
            var entry = Entry(epoch: batch.producerEpoch, lastTimestampMs: timestampMs, window: [])
            note(batch, lastOffset, &entry)
            if batch.isTransactional { begin(baseOffset, position, &entry) }
            entries[batch.producerID] = entry
            return
        }
        guard entry.lastOffset < lastOffset else { return }
        // Taken out first, so that the window is not copied on write.
        entries[batch.producerID] = nil
        if batch.producerEpoch != entry.epoch {
            entry.epoch = batch.producerEpoch
            entry.window.removeAll(keepingCapacity: true)
        }
        note(batch, lastOffset, &entry)
        if batch.isTransactional { begin(baseOffset, position, &entry) }
        entry.lastTimestampMs = timestampMs
        entries[batch.producerID] = entry
    }

    private func note(_ batch: ProducerBatch, _ lastOffset: Int64, _ entry: inout Entry) {
        guard batch.hasSequence else {
            entry.unnumberedOffset = lastOffset
            return
        }
        if entry.window.count == Self.windowSize { entry.window.removeFirst() }
        entry.window.append(
            Batch(firstSequence: batch.baseSequence, lastSequence: batch.lastSequence, lastOffset: lastOffset))
    }

    private mutating func begin(_ baseOffset: Int64, _ position: Int64, _ entry: inout Entry) {
        guard !entry.hasOpenTransaction, baseOffset >= 0 else { return }
        entry.transactionStart = baseOffset
        ongoing.begin(at: baseOffset, position: position)
    }

    /// Notes the marker of a transaction's end, at `offset`.
    mutating func recordMarker(
        of producerID: Int64, epoch: Int16, coordinatorEpoch: Int32, offset: Int64, timestampMs: Int64
    ) {
        if entries[producerID] == nil, entries.count >= Self.maxProducers { forgetLongestSilent() }
        var entry =
            entries.removeValue(forKey: producerID) ?? Entry(epoch: epoch, lastTimestampMs: timestampMs, window: [])
        defer { entries[producerID] = entry }
        guard entry.markerOffset < offset else { return }
        if epoch != entry.epoch {
            entry.epoch = epoch
            entry.window.removeAll()
        }
        if entry.hasOpenTransaction { ongoing.end(entry.transactionStart, markerOffset: offset) }
        entry.transactionStart = -1
        entry.coordinatorEpoch = coordinatorEpoch
        entry.markerOffset = offset
        entry.lastTimestampMs = timestampMs
    }

    /// Readers see everything below `highWatermark`.
    mutating func advance(to highWatermark: Int64) { ongoing.advance(to: highWatermark) }

    /// Forgets producers that have been silent since before `timestampMs`. Source: `producer.id.expiration.ms`.
    public mutating func expire(silentSince timestampMs: Int64) {
        guard entries.contains(where: { $0.value.lastTimestampMs < timestampMs }) else { return }
        entries = entries.filter { $0.value.lastTimestampMs >= timestampMs || $0.value.hasOpenTransaction }
    }

    /// When those were last heard of that may be forgotten.
    var silentSinceMs: [Int64] {
        entries.values.compactMap { $0.hasOpenTransaction ? nil : $0.lastTimestampMs }
    }

    /// Forgets the eighth that was silent for longest, one at least, of those that have no open transaction.
    mutating func forgetLongestSilent() {
        let oldest = entries.lazy.filter { !$0.value.hasOpenTransaction }
            .sorted { $0.value.lastTimestampMs < $1.value.lastTimestampMs }
        for (producerID, _) in oldest.prefix(max(1, entries.count / 8)) { entries[producerID] = nil }
    }

    /// Forgets those that were silent since before `timestampMs`, and of those heard of in that very millisecond as many
    /// as `more` allows; none that has an open transaction.
    mutating func forget(silentSince timestampMs: Int64, more: inout Int) {
        entries = entries.filter { _, entry in
            if entry.hasOpenTransaction { return true }
            if entry.lastTimestampMs == timestampMs, more > 0 {
                more -= 1
                return false
            }
            return entry.lastTimestampMs >= timestampMs
        }
    }

    /// Records between two sequences of one batch, wrapped.
    static func distance(from first: Int32, to last: Int32) -> Int32 {
        Int32((Int64(last) - Int64(first)) & 0x7fff_ffff)
    }

    // MARK: Snapshot form, inside a checkpoint

    /// Set in the count of a producer's batches when what is known of transactions follows them.
    private static let moreFlag: UInt8 = 0x80

    func encode(to writer: inout ByteWriter) {
        writer.int32(Int32(entries.count))
        for (producerID, entry) in entries {
            writer.int64(producerID)
            writer.int16(entry.epoch)
            writer.int64(entry.lastTimestampMs)
            writer.int8(Int8(bitPattern: UInt8(entry.window.count) | (entry.hasMore ? Self.moreFlag : 0)))
            for batch in entry.window {
                writer.int32(batch.firstSequence)
                writer.int32(batch.lastSequence)
                writer.int64(batch.lastOffset)
            }
            guard entry.hasMore else { continue }
            writer.int32(entry.coordinatorEpoch)
            writer.int64(entry.markerOffset)
            writer.int64(entry.transactionStart)
            writer.int64(entry.unnumberedOffset)
        }
    }

    init(from reader: inout ByteReader) throws(DecodeError) {
        let count = try reader.int32()
        guard count >= 0, Int(count) <= reader.remaining else {
            throw .invalid("producer count", position: reader.position)
        }
        entries.reserveCapacity(Int(count))
        for _ in 0..<count {
            let producerID = try reader.int64()
            let epoch = try reader.int16()
            let timestamp = try reader.int64()
            let lengthAndFlag = UInt8(bitPattern: try reader.int8())
            let length = Int(lengthAndFlag & ~Self.moreFlag)
            let hasMore = lengthAndFlag & Self.moreFlag != 0
            guard length >= 1 || hasMore, length <= Self.windowSize else {
                throw .invalid("producer window", position: reader.position)
            }
            var window: [Batch] = []
            for _ in 0..<length {
                window.append(
                    Batch(
                        firstSequence: try reader.int32(), lastSequence: try reader.int32(),
                        lastOffset: try reader.int64()))
            }
            var entry = Entry(epoch: epoch, lastTimestampMs: timestamp, window: window)
            if hasMore {
                entry.coordinatorEpoch = try reader.int32()
                entry.markerOffset = try reader.int64()
                entry.transactionStart = try reader.int64()
                entry.unnumberedOffset = try reader.int64()
            }
            entries[producerID] = entry
        }
        // How many bytes stand before them is not known any more: a wait for them ends as soon as they have ended.
        for start in entries.values.lazy.map(\.transactionStart).filter({ $0 >= 0 }).sorted() {
            ongoing.begin(at: start, position: 0)
        }
    }
}

extension ProducerStates: Equatable {
    public static func == (one: ProducerStates, other: ProducerStates) -> Bool { one.entries == other.entries }
}
