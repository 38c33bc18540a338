import BrokerCore
import ByteBuffers
import KafkaModel
import LogStorage
import RecordFormat

/// The records of one partition, one after the other, for a reply that is made of one or several.
///
/// ```
///                      ┌► (unpack) ─┐
///  locate ─► read ─► batches ─► records ⇄ held: a record is at hand
///             ▲─────────┴──────────┘    ended: nothing more for now ─► read, when it is looked for again
/// ```
/// What may wait for a disk or take long (`Errand`: to find a time, to read what is not at hand, to unpack a batch) is not done
/// by `fill` but by `perform`, on a worker. Confined to whoever has its reply.
final class PartitionSource {
    /// Where it begins.
    enum Start {
        case earliest, latest
        case offset(Offset)
        /// The first record not before it, in milliseconds since 1970.
        case time(Int64)
    }

    enum Outcome {
        /// `current` is the next record.
        case record
        /// There is nothing more up to the high watermark as it was seen, or up to the end that was asked for.
        case end
        /// The slice's work is done.
        case pause
        case leave(Errand)
        /// It needs memory that it may not take now.
        case full
        /// Nothing can be read from here on.
        case failed(ReplyEnd)
    }

    /// What an event loop must not do.
    enum Errand {
        /// Find where it begins and ends: reads indexes and batches, and unpacks them.
        case locate
        /// Read what is on the disk alone, at least one batch.
        case read
        /// Unpack the next batch, to at most so many bytes; if that is not all, the next step is tried.
        case unpack(mostBytes: Int)

        /// Memory that it takes and that is worth being reserved before.
        var price: Int {
            if case .unpack(let bytes) = self, bytes > PartitionSource.unpackSteps[0] { bytes } else { 0 }
        }
    }

    /// Bytes that the loop unpacks of a batch, and reads of a packed one: some 50 microseconds. Larger batches are a worker's.
    private static let unpackedInline = 64 << 10
    /// What a worker unpacks of a batch: usual ones; all that are legal. The first step is not worth a reservation: there are
    /// few workers.
    static let unpackSteps = [4 << 20, RecordIterator.defaultOutputLimit]

    let partition: PartitionLog
    private let start: Start
    /// Records from the first one not before this on are left out, in milliseconds since 1970; nil: none are.
    private let until: Int64?
    /// Bytes of log that are read at once, unless a batch is larger.
    private let readBytes: Int
    /// Read as a shard is: without records of transactions that are open or were aborted; and where those that come next are gone,
    /// from the log's start on.
    private let isShard: Bool
    private let pool: ChunkPool
    /// The loop's; a worker has one of its own.
    private let context: CompressionContext

    private(set) var current: RecordView?
    /// Behind the last record that was taken, and all that is none before the next.
    private(set) var next = Offset.zero
    /// Exclusive; what `until` has led to.
    private var limit = Offset(.max)
    /// As they were when it was read last.
    private(set) var highWatermark = Offset.zero
    private(set) var logStart = Offset.zero

    private var stage = Stage.locate
    private var slices: [ByteSlice] = []
    private var sliceIndex = 0
    private var cursor = RecordBatchCursor(UnsafeRawBufferPointer(start: nil, count: 0))
    private var batchEnd = Offset.zero
    /// Of a shard: those that reach into what was read.
    private var aborted: [AbortedTransaction] = []
    private var records: RecordIterator
    /// The batch to be unpacked by a worker, and which of `unpackSteps` is to be tried. A log's batches are much alike: those
    /// behind one that was too large for the loop are not tried there.
    private var packed: RecordBatchHeader?
    private var unpackStep = -1
    private var failure: ReplyEnd?

    private enum Stage { case locate, read, batches, unpack, records, held, ended }

    init(
        _ partition: PartitionLog, from start: Start, until: Int64? = nil, readBytes: Int, isShard: Bool = false,
        pool: ChunkPool, context: CompressionContext
    ) {
        self.partition = partition
        self.start = start
        self.until = until
        self.readBytes = readBytes
        self.isShard = isShard
        self.pool = pool
        self.context = context
        records = RecordIterator(outputLimit: Self.unpackedInline, context: context)
    }

    /// Bytes that it keeps in memory: what was read, and a batch decompressed.
    var heldBytes: Int {
        slices.reduce(0) { $0 + $1.count } + records.outputBytes
            + aborted.count * MemoryLayout<AbortedTransaction>.stride
    }

    /// Whether there may be records that `fill` has not seen when it said `.end`.
    var hasNews: Bool { next < limit && partition.offsets.highWatermark > highWatermark }

    /// Whether more may come: it does not end where it was asked to.
    var mayGrow: Bool { next < limit }

    /// Where it stands when it has nothing at hand.
    struct Mark {
        let next: Offset
        let highWatermark: Offset
        let logStart: Offset
    }

    var mark: Mark { Mark(next: next, highWatermark: highWatermark, logStart: logStart) }

    /// Whether it has nothing at hand and lacks nothing but a look.
    var isResting: Bool { stage == .ended || stage == .read && slices.isEmpty && failure == nil }

    /// Stands where another source of the partition has come to from the same place.
    func jump(to mark: Mark) {
        (next, highWatermark, logStart) = (mark.next, mark.highWatermark, mark.logStart)
        stage = .ended
    }

    // MARK: The next record

    /// Looks for the next record, and adds what that has taken to `work`, which is no more than `most` before.
    /// - Parameter mayTake: whether more may be read, or a batch unpacked that is a worker's.
    func fill(_ work: inout Int, most: Int, mayTake: Bool) -> Outcome {
        while failure == nil {
            if stage == .held { return .record }
            if stage == .ended { return .end }
            if work >= most { return .pause }
            switch stage {
            case .locate:
                if until != nil { return .leave(.locate) }
                switch start {
                case .time: return .leave(.locate)
                case .earliest: next = partition.offsets.logStart
                case .latest: next = partition.offsets.highWatermark
                case .offset(let offset): next = offset
                }
                stage = .read
            case .read:
                if next >= limit {
                    stage = .ended
                } else if !mayTake {
                    return .full
                } else {
                    let found = read(mayWait: false)
                    if case .failure(.wouldWait) = found { return .leave(.read) }
                    take(found, &work)
                }
            case .unpack: return mayTake ? .leave(.unpack(mostBytes: Self.unpackSteps[unpackStep])) : .full
            case .batches, .records:
                do throws(RecordBatchError) {
                    if stage == .batches { try openBatch(&work) } else { try readRecord(&work) }
                } catch { fail(.unreadable(from: next)) }
            case .held, .ended: break
            }
        }
        return .failed(failure ?? .unreadable(from: next))
    }

    /// The record at hand was dealt with.
    func takeCurrent() {
        guard let record = current else { preconditionFailure("no record is at hand") }
        next = record.offset + 1
        current = nil
        stage = .records
    }

    /// Looks for more than there was.
    func goOn() { if stage == .ended { stage = .read } }

    /// Lets go of what was read: it is read again. Not while a record at hand is in the middle of being written.
    func drop() {
        if stage == .locate || stage == .ended { return }
        current = nil
        letGo()
        stage = .read
    }

    private func letGo() {
        slices = []
        aborted = []
        packed = nil
        // Also of a small batch: a stream that waits would keep it, and be charged for it, until the next one comes.
        if records.outputBytes > 0 { dropUnpacked() }
    }

    private func dropUnpacked() { records = RecordIterator(outputLimit: Self.unpackedInline, context: context) }

    private func fail(_ end: ReplyEnd) {
        letGo()
        failure = end
    }

    private func read(mayWait: Bool) -> Result<FetchedRecords, ReadRefusal> {
        guard isShard else { return partition.read(from: next, maxBytes: readBytes, mayWait: mayWait, pool: pool) }
        let found = partition.read(
            from: next, maxBytes: readBytes, visibility: .stable, mayWait: mayWait, pool: pool)
        guard case .success(let fetched) = found, let end = fetched.endOffset else { return found }
        return partition.abortedTransactions(from: next, to: end, mayWait: mayWait).map { transactions in
            aborted = transactions
            return fetched
        }
    }

    private func take(_ result: Result<FetchedRecords, ReadRefusal>, _ work: inout Int) {
        switch result {
        case .success(let fetched):
            logStart = fetched.logStartOffset
            highWatermark = isShard ? fetched.lastStableOffset : fetched.highWatermark
            slices = fetched.slices
            work += fetched.byteCount + PartitionLog.readWork
            (sliceIndex, stage) = (0, slices.isEmpty ? .ended : .batches)
            if let first = slices.first { cursor = RecordBatchCursor(first.bytes) }
        case .failure(.outOfRange(let first, _)) where isShard && next < first:
            (next, stage) = (first, .read)
            work += PartitionLog.readWork
        case .failure(.outOfRange(let first, let last)): fail(.outOfRange(next, first, last))
        case .failure(.notLeader): fail(.notLeader)
        case .failure(.corrupt), .failure(.storage), .failure(.wouldWait): fail(.unreadable(from: next))
        }
    }

    private func openBatch(_ work: inout Int) throws(RecordBatchError) {
        guard let batch = try cursor.next() else {
            sliceIndex += 1
            if sliceIndex < slices.count {
                cursor = RecordBatchCursor(slices[sliceIndex].bytes)
            } else {
                letGo()
                stage = next < highWatermark ? .read : .ended
            }
            return
        }
        work += RecordsReply.recordWork
        batchEnd = batch.lastOffset + 1
        // Each is looked at.
        if batch.isTransactional { work += aborted.count }
        if batch.isControl || batch.isTransactional && aborted.contains(where: { $0.holds(batch) }) {
            next = max(next, batchEnd)
            return
        }
        // What the loop unpacks goes where the batch before has been.
        if records.outputLimit > Self.unpackedInline { dropUnpacked() }
        if batch.attributes.compression == Compression.none {
            try records.open(batch)
            return stage = .records
        }
        // Packed bytes may be many and give nothing.
        if unpackStep < 0, batch.totalSize <= Self.unpackedInline {
            do throws(RecordBatchError) {
                try records.open(batch)
                work += records.outputBytes
                return stage = .records
            } catch {
                guard case .compression(.outputLimit) = error else { throw error }
            }
        }
        unpackStep = max(unpackStep, 0)
        (packed, stage) = (batch, .unpack)
    }

    private func readRecord(_ work: inout Int) throws(RecordBatchError) {
        guard let record = try records.next() else {
            // Also past offsets that compaction has taken.
            next = max(next, batchEnd)
            stage = .batches
            return
        }
        work += RecordsReply.recordWork
        if record.offset < next { return }
        guard record.offset < limit else {
            letGo()
            next = limit
            return stage = .ended
        }
        (current, stage) = (record, .held)
    }

    // MARK: On a worker

    /// Does what it needs, on a thread that may wait and take its time.
    func perform(_ errand: Errand, _ context: CompressionContext) {
        switch errand {
        case .locate: locate()
        case .read:
            var work = 0
            take(read(mayWait: true), &work)
        case .unpack(let mostBytes): unpack(mostBytes, context)
        }
    }

    private func locate() {
        switch start {
        case .time(let timestampMs):
            next = find(timestampMs) ?? (isShard ? partition.lastStableOffset : partition.offsets.highWatermark)
        case .earliest: next = partition.offsets.logStart
        case .latest: next = partition.offsets.highWatermark
        case .offset(let offset): next = offset
        }
        if let until, let end = find(until) { limit = end }
        if failure == nil { stage = .read }
    }

    private func find(_ timestampMs: Int64) -> Offset? {
        switch partition.firstOffset(notBefore: timestampMs, visibility: isShard ? .stable : .committed) {
        case .success(let found): return found?.offset
        case .failure:
            fail(.unreadable(from: partition.offsets.logStart))
            return nil
        }
    }

    private func unpack(_ mostBytes: Int, _ context: CompressionContext) {
        guard let batch = packed else { preconditionFailure("no batch to unpack") }
        records = RecordIterator(outputLimit: mostBytes, context: context)
        do throws(RecordBatchError) {
            try records.open(batch)
            stage = .records
        } catch {
            if case .compression(.outputLimit) = error, unpackStep < Self.unpackSteps.count - 1 {
                unpackStep += 1
            } else {
                fail(.unreadable(from: next))
            }
        }
    }
}

extension PartitionLog {
    /// What a look at it costs a reply beside what is read, in bytes.
    fileprivate static let readWork = 256
}
