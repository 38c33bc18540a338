import ByteBuffers
import KafkaModel
import LogStorage
import QueueLedger
import RecordFormat

/// Reads the records of a queue's partition that consumers of committed transactions see, on a thread that may wait.
struct QueueWalk {
    let log: PartitionLog
    var visibility = PartitionLog.Visibility.stable
    /// Where what no reader can make out is noted.
    var unreadable: UnreadableRecords?

    /// Bytes of log that are read at once, unless a batch is larger.
    static let readBytes = 1 << 20

    /// Calls `body` with the records from `start` up to, not including, `end`, by one read at most; returns where to go on, which is behind
    /// `start`: who reads step by step comes to an end.
    func step(
        from start: Offset, to end: Offset, maxBytes: Int = Self.readBytes, _ records: inout RecordIterator,
        _ body: (RecordView) -> Void
    ) throws(QueueRefusal) -> Offset {
        let fetched: FetchedRecords
        switch log.read(from: start, maxBytes: maxBytes, visibility: visibility) {
        case .success(let found): fetched = found
        case .failure(let refusal):
            // Damage hides what it has hit, and is reported elsewhere.
            if let next = log.endOfDamage(at: start), next > start { return min(next, end) }
            if case .outOfRange(let logStart, _) = refusal, logStart > start { return min(logStart, end) }
            throw QueueRefusal(.unavailable, "messages of \(log.name) cannot be read: \(refusal)")
        }
        guard fetched.byteCount > 0 else { return end }
        var next = start
        var aborted: [AbortedTransaction]?
        do {
            for slice in fetched.slices {
                var cursor = RecordBatchCursor(slice.bytes)
                while let batch = try cursor.next() {
                    if batch.baseOffset >= end { return end }
                    next = batch.lastOffset + 1
                    if batch.isControl { continue }
                    if batch.isTransactional {
                        if aborted == nil { aborted = try abortedTransactions(start, fetched.endOffset ?? end) }
                        if aborted?.contains(where: { $0.holds(batch) }) == true { continue }
                    }
                    var behind = max(batch.baseOffset, start)
                    do throws(RecordBatchError) {
                        try records.open(batch)
                        while let record = try records.next() {
                            behind = max(behind, record.offset + 1)
                            if record.offset >= start, record.offset < end { body(record) }
                        }
                    } catch {
                        // Not for want of memory, it is so for ever: its offsets hold no messages, as those of damage.
                        if error.mayPass { throw error }
                        unreadable?.note(from: behind, to: min(batch.lastOffset + 1, end), "\(error)")
                    }
                }
            }
        } catch let refusal as QueueRefusal {
            throw refusal
        } catch {
            throw QueueRefusal(
                .unavailable, "messages of \(log.name) at offset \(next.rawValue) cannot be read: \(error)")
        }
        guard next > start else {
            throw QueueRefusal(.unavailable, "messages of \(log.name) at offset \(start.rawValue) cannot be read")
        }
        return min(next, end)
    }

    /// Offsets between two records up to which both are read by one go through the log.
    private static let readThrough: Int64 = 256
    /// Bytes that one read takes of a log by `visit`, unless a batch is larger.
    private static let visitBytes = 256 << 10

    /// Calls `body` with the records at `offsets`, each named once, neighbours that ascend read together; it says whether there is room
    /// for the record and for more.
    ///
    /// - Parameter looked: how many of `offsets`, from the first on, were looked at and had room: what `body` did not see of those is
    ///   no message. Also where it throws.
    func visit(
        _ offsets: [Offset], _ records: inout RecordIterator, looked: inout Int, _ body: (RecordView) -> Bool
    ) throws(QueueRefusal) {
        looked = 0
        while looked < offsets.count {
            let first = looked
            var last = first
            while last + 1 < offsets.count, offsets[last + 1] > offsets[last],
                offsets[last + 1].rawValue - offsets[last].rawValue <= Self.readThrough
            {
                last += 1
            }
            let wanted = Set(offsets[first...last])
            var (next, end, isFull) = (offsets[first], offsets[last] + 1, false)
            while next < end, !isFull {
                var stop = end
                // Whole reads of what nobody asks for may lie before the next one.
                next = max(next, offsets[looked])
                // One alone is in one batch.
                let bytes = looked == last ? 1 : Self.visitBytes
                next = try step(from: next, to: end, maxBytes: bytes, &records) { record in
                    guard !isFull, wanted.contains(record.offset), !body(record) else { return }
                    (isFull, stop) = (true, record.offset)
                }
                if isFull { end = stop }
                while looked <= last, offsets[looked] < min(next, end) { looked += 1 }
            }
            if isFull { return }
        }
    }

    private func abortedTransactions(_ start: Offset, _ end: Offset) throws(QueueRefusal) -> [AbortedTransaction] {
        switch log.abortedTransactions(from: start, to: end) {
        case .success(let found): return found
        case .failure(let refusal):
            throw QueueRefusal(.unavailable, "transactions of \(log.name) cannot be read: \(refusal)")
        }
    }
}

/// Offsets that walks have come by and passed over: a producer has packed their records by nothing that the broker has, or they break the
/// format. Producers' batches are stored as they come, so any producer can write some.
final class UnreadableRecords {
    private var ranges: [OffsetRange] = []
    /// Of the first of them.
    private(set) var reason = ""

    /// - Parameter end: exclusive.
    func note(from first: Offset, to end: Offset, _ reason: String) {
        guard first < end else { return }
        if ranges.isEmpty { self.reason = reason }
        ranges.append(OffsetRange(first, Offset(end.rawValue - 1)))
    }

    var first: Offset? { ranges.first?.first }

    var count: Int { ranges.reduce(0) { $0 + Int($1.count) } }

    func count(in others: [OffsetRange]) -> Int {
        var count = Int64(0)
        for own in ranges {
            for other in others {
                count += max(0, min(own.last, other.last).rawValue - max(own.first, other.first).rawValue + 1)
            }
        }
        return Int(count)
    }
}

extension RecordBatchError {
    /// A later try may come to something else.
    fileprivate var mayPass: Bool {
        if case .compression(.unavailable) = self { true } else { false }
    }
}
