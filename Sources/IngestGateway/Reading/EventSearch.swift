import BrokerCore
import ByteBuffers
import KafkaModel
import LogStorage
import RecordFormat

/// Finds an event by the id that its route gave it, in the header `event_id`. Nothing is kept for that: such an id begins with the time at
/// which it was given (RFC 9562, 5.7), and the events of a partition stand nearly in the order of those times. So the place of a time
/// is found by halving, and the log around it is read.
///
/// Confined to the worker that has it.
struct EventSearch {
    /// Some batches of a partition.
    struct Stretch {
        /// Of the first batch.
        var base: Offset
        /// Exclusive.
        var next: Offset
        /// When the ids were given that stand there; where none stands there, the times of the records. Milliseconds since 1970.
        var times: ClosedRange<Int64>
        /// The event itself.
        var found: Offset?
        /// Bytes of log, and of what was unpacked.
        var bytes: Int
    }

    /// What one search reads and unpacks of all partitions.
    static let mostReadBytes = 32 << 20
    /// How far from the time of its id an event is looked for, in milliseconds: commits wait for a disk, and each loop for its own. The
    /// usual ones are found at the first, and little is read.
    static let slacksMs: [Int64] = [50, 2_000, 30_000]

    /// When its id was given, in milliseconds since 1970.
    let timeMs: Int64
    private(set) var readBytes = 0

    init(timeMs: Int64) { self.timeMs = timeMs }

    /// Whether it has read as much as it may: there is more that it has not looked at.
    var isCut: Bool { readBytes >= Self.mostReadBytes }

    /// - Parameters:
    ///   - end: exclusive.
    ///   - look: what stands at an offset, or next behind it; nil: nothing that can be read.
    mutating func find(from start: Offset, to end: Offset, _ look: (Offset) -> Stretch?) -> Offset? {
        for slackMs in Self.slacksMs {
            var at = place(notBefore: timeMs - slackMs, from: start, to: end, look)
            while at < end, !isCut, let stretch = take(at, look) {
                if let found = stretch.found { return found }
                if stretch.times.lowerBound > timeMs + slackMs { break }
                at = stretch.next
            }
        }
        return nil
    }

    /// The first batch, nearly, with an id that was not given before that time.
    private mutating func place(
        notBefore wantedMs: Int64, from start: Offset, to end: Offset, _ look: (Offset) -> Stretch?
    ) -> Offset {
        var (low, high) = (start, end)
        while low < high, !isCut {
            let middle = Offset(low.rawValue + (high.rawValue - low.rawValue) / 2)
            if let stretch = take(middle, look), stretch.times.upperBound < wantedMs {
                low = stretch.next
            } else if let stretch = last, stretch.base > low, stretch.base < middle {
                high = stretch.base
            } else {
                high = middle
            }
        }
        return low
    }

    /// The stretch that was looked at last.
    private var last: Stretch?

    private mutating func take(_ offset: Offset, _ look: (Offset) -> Stretch?) -> Stretch? {
        last = look(offset)
        guard let last, last.next > offset else { return nil }
        readBytes += last.bytes
        return last
    }
}

/// Reads the stretches of partitions that are searched for an id.
final class EventLook {
    /// Bytes of log that are read at once, unless a batch is larger.
    private static let readBytes = 64 << 10
    /// What the events of one batch unpack to; the gateway packs no more into one. Nothing is found in a batch that has more.
    private static let mostUnpackedBytes = 4 << 20
    /// What a look costs that finds nothing.
    private static let leastBytes = 4 << 10
    static let header: StaticString = "event_id"

    private let text: [UInt8]
    private let pool: ChunkPool
    /// Whether nobody waits for it any more.
    private let isGivenUp: () -> Bool
    private let context = CompressionContext()

    /// - Parameter text: the id, as its route wrote it.
    init(_ text: [UInt8], pool: ChunkPool, isGivenUp: @escaping () -> Bool) {
        self.text = text
        self.pool = pool
        self.isGivenUp = isGivenUp
    }

    func look(_ partition: PartitionLog, at offset: Offset) -> EventSearch.Stretch? {
        guard !isGivenUp(),
            case .success(let fetched) = partition.read(from: offset, maxBytes: Self.readBytes, pool: pool)
        else {
            return nil
        }
        var stretch: EventSearch.Stretch?
        var given: ClosedRange<Int64>?
        for slice in fetched.slices {
            var cursor = RecordBatchCursor(slice.bytes)
            while let batch = try? cursor.next() {
                let last = max(batch.baseTimestampMs, batch.maxTimestampMs)
                var sum =
                    stretch
                    ?? EventSearch.Stretch(
                        base: batch.baseOffset, next: batch.lastOffset + 1, times: last...last, found: nil,
                        bytes: max(Self.leastBytes, fetched.byteCount))
                sum.next = batch.lastOffset + 1
                sum.times = sum.times.including(batch.baseTimestampMs).including(last)
                if !batch.isControl, sum.found == nil { sum.found = find(in: batch, &given, &sum.bytes) }
                stretch = sum
            }
        }
        if let given { stretch?.times = given }
        return stretch
    }

    /// The record with the id, and when the ids of the batch were given.
    private func find(
        in batch: RecordBatchHeader, _ given: inout ClosedRange<Int64>?, _ bytes: inout Int
    ) -> Offset? {
        var records = RecordIterator(outputLimit: Self.mostUnpackedBytes, context: context)
        defer { bytes += records.outputBytes }
        do throws(RecordBatchError) {
            try records.open(batch)
            while let record = try records.next() {
                guard let id = id(of: record) else { continue }
                if id.elementsEqual(text) { return record.offset }
                guard let timeMs = UUIDv7(text: id)?.milliseconds else { continue }
                given = given?.including(timeMs) ?? timeMs...timeMs
            }
        } catch {
            // Whoever reads it is told.
        }
        return nil
    }

    private func id(of record: RecordView) -> UnsafeRawBufferPointer? {
        for header in record.headers where header.key.equals(Self.header) {
            if let value = header.value, value.count == UUIDv7.textLength { return value }
        }
        return nil
    }
}

extension ClosedRange<Int64> {
    fileprivate func including(_ value: Int64) -> Self { Swift.min(lowerBound, value)...Swift.max(upperBound, value) }
}
