import ByteBuffers
public import KafkaModel
import RecordFormat

/// What a partition remembers of its idempotent producers: for each the epoch and its newest five batches, so that a
/// retry is recognised and a gap refused. Source: KIP-98, KIP-360; rules as in Kafka's ProducerAppendInfo.
///
/// Limits: `maxProducers` of one partition, `ProducerLimit` of all; beyond them the longest silent are forgotten, which
/// treats their next batch as a new producer's first. A producer id needs not have been given out by this broker: as in
/// Kafka, the first batch of an unknown one is taken with any sequence.
public struct ProducerStates: Sendable {
    /// Batches of one producer that a retry may repeat; a client has at most five in flight (KIP-98).
    static let windowSize = 5
    static let maxProducers = 32_768

    struct Batch: Sendable, Equatable {
        var firstSequence: Int32
        var lastSequence: Int32
        var lastOffset: Int64
    }

    struct Entry: Sendable, Equatable {
        var epoch: Int16
        var lastTimestampMs: Int64
        /// Oldest first; never empty, at most `windowSize`.
        var window: [Batch]
    }

    private(set) var entries: [Int64: Entry] = [:]

    public init() {}

    public enum Verdict: Equatable, Sendable {
        case accept
        case duplicate(baseOffset: Int64, lastOffset: Int64)
        case refuse(ErrorCode)
    }

    public var count: Int { entries.count }

    /// By producer: last offset of its newest batch.
    var lastOffsets: [Int64: Int64] { entries.mapValues { $0.window[$0.window.count - 1].lastOffset } }

    /// What is to be done with a client's batch.
    public func check(_ batch: ProducerBatch) -> Verdict {
        guard let entry = entries[batch.producerID] else {
            // Nothing is known: it expired, or the records that told of it were deleted. Any sequence may begin.
            return .accept
        }
        if batch.producerEpoch < entry.epoch { return .refuse(.invalidProducerEpoch) }
        if batch.producerEpoch > entry.epoch {
            return batch.baseSequence == 0 ? .accept : .refuse(.outOfOrderSequenceNumber)
        }
        for known in entry.window
        where known.firstSequence == batch.baseSequence && known.lastSequence == batch.lastSequence {
            let count = Int64(Self.distance(from: known.firstSequence, to: known.lastSequence))
            return .duplicate(baseOffset: known.lastOffset - count, lastOffset: known.lastOffset)
        }
        let expected = Sequence32(entry.window[entry.window.count - 1].lastSequence).advanced(by: 1).rawValue
        return batch.baseSequence == expected ? .accept : .refuse(.outOfOrderSequenceNumber)
    }

    /// Notes an appended batch. Batches that the state already holds (a replay) change nothing.
    public mutating func record(_ batch: ProducerBatch, lastOffset: Int64, timestampMs: Int64) {
        let seen = Batch(firstSequence: batch.baseSequence, lastSequence: batch.lastSequence, lastOffset: lastOffset)
        guard var entry = entries[batch.producerID] else {
            if entries.count >= Self.maxProducers { forgetLongestSilent() }
            entries[batch.producerID] = Entry(
                epoch: batch.producerEpoch, lastTimestampMs: timestampMs, window: [seen])
            return
        }
        guard entry.window[entry.window.count - 1].lastOffset < lastOffset else { return }
        // Taken out first, so that the window is not copied on write.
        entries[batch.producerID] = nil
        if batch.producerEpoch != entry.epoch {
            entry.epoch = batch.producerEpoch
            entry.window.removeAll(keepingCapacity: true)
        } else if entry.window.count == Self.windowSize {
            entry.window.removeFirst()
        }
        entry.window.append(seen)
        entry.lastTimestampMs = timestampMs
        entries[batch.producerID] = entry
    }

    /// Forgets producers that have been silent since before `timestampMs`. Source: `producer.id.expiration.ms`.
    public mutating func expire(silentSince timestampMs: Int64) {
        guard entries.contains(where: { $0.value.lastTimestampMs < timestampMs }) else { return }
        entries = entries.filter { $0.value.lastTimestampMs >= timestampMs }
    }

    /// Forgets the eighth that was silent for longest, one at least.
    mutating func forgetLongestSilent() {
        let oldest = entries.sorted { $0.value.lastTimestampMs < $1.value.lastTimestampMs }
        for (producerID, _) in oldest.prefix(max(1, entries.count / 8)) { entries[producerID] = nil }
    }

    /// Forgets those that were silent since before `timestampMs`, and of those heard of in that very millisecond as many
    /// as `more` allows.
    mutating func forget(silentSince timestampMs: Int64, more: inout Int) {
        entries = entries.filter { _, entry in
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

    func encode(to writer: inout ByteWriter) {
        writer.int32(Int32(entries.count))
        for (producerID, entry) in entries {
            writer.int64(producerID)
            writer.int16(entry.epoch)
            writer.int64(entry.lastTimestampMs)
            writer.int8(Int8(entry.window.count))
            for batch in entry.window {
                writer.int32(batch.firstSequence)
                writer.int32(batch.lastSequence)
                writer.int64(batch.lastOffset)
            }
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
            let length = try reader.int8()
            guard length >= 1, length <= Self.windowSize else {
                throw .invalid("producer window", position: reader.position)
            }
            var window: [Batch] = []
            for _ in 0..<length {
                window.append(
                    Batch(
                        firstSequence: try reader.int32(), lastSequence: try reader.int32(),
                        lastOffset: try reader.int64()))
            }
            entries[producerID] = Entry(epoch: epoch, lastTimestampMs: timestamp, window: window)
        }
    }
}

extension ProducerStates: Equatable {}
