import BrokerCore
import ByteBuffers
import HTTPWire
import KafkaModel
import LogStorage
import RecordFormat

/// The body of one reply of `GET …/records` while it is made, in slices: however much it reads and writes, a slice takes
/// about a millisecond, and no more of it is in memory than one read and one slice.
///
/// ```
///                      ┌► (unpack) ─┐
///  locate ─► read ─► batches ─► records ─► (long record: its parts) ─► ending ─► done
///             ▲─────────┴──────────┘  until limit, max_bytes or the log's end
/// ```
/// What may wait for a disk or take long (`Elsewhere`: to find a time, to read what is not at hand, to unpack a batch) is
/// asked of the caller, who has a worker `perform` it. Everything else is work on bytes that are there. With one thread at a
/// time: its connection's loop, or that worker.
final class RecordsReply {
    struct Question {
        var offset: Offset?
        var fromEnd = false
        /// Milliseconds since 1970: the first record not before it.
        var timestampMs: Int64?
        var partition: Int?
        var limit = defaultRecords
        /// Bytes of the reply; the last record may pass them.
        var maxBytes = defaultBytes
    }

    /// What is to happen next.
    enum Step {
        /// A slice is full; the rest in a later turn.
        case pause
        /// Another thread has to `perform` this; then go on.
        case leave(Elsewhere)
        case done
        /// Nothing can be answered. Never after `hasRecords`.
        case failed(Problem)
    }

    /// What an event loop must not do.
    enum Elsewhere {
        /// Find the first record not before this time: reads indexes and batches, and unpacks them.
        case locate(timestampMs: Int64)
        /// Read from here, at most so many bytes but at least one batch: they are on the disk alone.
        case read(Offset, maxBytes: Int)
        /// Unpack the next batch, to at most so many bytes; if that is not all, the next step is tried.
        case unpack(mostBytes: Int)

        /// Memory that it takes and that is worth being reserved before.
        var price: Int {
            if case .unpack(let bytes) = self, bytes > unpackSteps[0] { bytes } else { 0 }
        }
    }

    /// Records of one reply, unless `limit` says otherwise, and at most.
    static let defaultRecords = 100
    static let maxRecords = 10_000
    /// Bytes of one reply, unless `max_bytes` says otherwise, and at most.
    static let defaultBytes = 1 << 20
    static let maxBytes = 4 << 20
    /// Bytes of log that are read at once, unless a batch is larger: what a reply to a slow peer holds.
    static let readBytes = 256 << 10
    /// A slice ends with so many bytes of reply, or when so many bytes of log were looked at: about half a millisecond.
    static let sliceBytes = 64 << 10
    static let sliceWork = 256 << 10
    /// A record without so many bytes is written in one go.
    private static let longRecord = 16 << 10
    /// What a record costs beside its bytes, in bytes.
    private static let recordWork = 64
    /// Bytes that the loop unpacks of a batch, and reads of a packed one: some 50 microseconds. Larger batches are a worker's.
    private static let unpackedInline = 64 << 10
    /// What a worker unpacks of a batch: usual ones; all that are legal. The first step is not worth a reservation: there are
    /// few workers.
    static let unpackSteps = [4 << 20, RecordIterator.defaultOutputLimit]

    let topic: Topic
    let partition: PartitionLog
    private let question: Question
    /// Values up to this many bytes are looked at as JSON; larger ones stand in the reply as text.
    private let maxJSONBytes: Int
    private let pool: ChunkPool
    /// The loop's; a worker has one of its own.
    private let context: CompressionContext
    private var workersContext: CompressionContext?

    private var stage = Stage.locate
    private var from = Offset.zero
    private var next = Offset.zero
    private var end = Offset.zero
    private var start = Offset.zero
    private var count = 0
    /// Bytes of the slices before this one.
    private var written = 0
    private var work = 0

    private var slices: [ByteSlice] = []
    private var sliceIndex = 0
    private var cursor = RecordBatchCursor(UnsafeRawBufferPointer(start: nil, count: 0))
    private var batchEnd = Offset.zero
    private var records: RecordIterator
    private var long: LongRecord?
    /// The batch to be unpacked by a worker, and which of `unpackSteps` is to be tried. A log's batches are much alike: those
    /// behind one that was too large for the loop are not tried there.
    private var packed: RecordBatchHeader?
    private var unpackStep = -1
    /// What a worker has found to be wrong: nothing can be answered, or the batch is damaged.
    private var problem: Problem?
    private var isDamaged = false

    private enum Stage { case locate, read, batches, unpack, records, long, ending, done }

    init(
        _ topic: Topic, _ partition: PartitionLog, _ question: Question, maxJSONBytes: Int, pool: ChunkPool,
        context: CompressionContext
    ) {
        self.topic = topic
        self.partition = partition
        self.question = question
        self.maxJSONBytes = maxJSONBytes
        self.pool = pool
        self.context = context
        records = RecordIterator(outputLimit: Self.unpackedInline, context: context)
    }

    /// At least one record is in the reply, or a part of it: from now on it does not fail, it ends.
    var hasRecords: Bool { count > 0 }

    /// Whether nothing but its end is still to be written.
    var isEnding: Bool { stage == .ending }

    /// Bytes that it keeps in memory: what was read, and a batch decompressed.
    var heldBytes: Int { slices.reduce(0) { $0 + $1.count } + records.outputBytes }

    // MARK: Steps

    /// Appends to `out`, which holds this slice alone, until something else must happen.
    func advance(_ out: inout ByteWriter) -> Step {
        if let problem { return .failed(problem) }
        while out.count < Self.sliceBytes, work < Self.sliceWork {
            switch stage {
            case .locate:
                if let time = question.timestampMs { return leave(.locate(timestampMs: time), out.count) }
                let offsets = partition.offsets
                begin(at: question.fromEnd ? offsets.highWatermark : question.offset ?? offsets.logStart)
            case .read:
                let wanted = min(question.maxBytes, Self.readBytes)
                let found = partition.read(from: next, maxBytes: wanted, mayWait: false, pool: pool)
                if case .failure(.wouldWait) = found { return leave(.read(next, maxBytes: wanted), out.count) }
                if let problem = took(found) { return .failed(problem) }
            case .unpack:
                if isDamaged {
                    if let step = damaged() { return step }
                } else {
                    return leave(.unpack(mostBytes: Self.unpackSteps[unpackStep]), out.count)
                }
            case .batches, .records:
                do throws(RecordBatchError) {
                    if stage == .batches { try openBatch(out.count) } else { try writeRecord(&out) }
                } catch {
                    if let step = damaged() { return step }
                }
            case .long:
                guard let done = long?.advance(&out, &work) else { preconditionFailure("no long record at hand") }
                if done {
                    long = nil
                    stage = .records
                }
            case .ending:
                writeEnd(&out)
                stage = .done
            case .done: return .done
            }
        }
        if stage == .done { return .done }
        endSlice(out.count)
        return .pause
    }

    private func leave(_ what: Elsewhere, _ inSlice: Int) -> Step {
        endSlice(inSlice)
        return .leave(what)
    }

    private func endSlice(_ bytes: Int) {
        written += bytes
        work = 0
    }

    /// Does what the reply needs, on a thread that may wait and take its time.
    func perform(_ what: Elsewhere) {
        switch what {
        case .locate(let timestampMs):
            switch partition.firstOffset(notBefore: timestampMs) {
            case .success(let found): begin(at: found?.offset ?? partition.offsets.highWatermark)
            case .failure: problem = Self.damage(after: partition.offsets.logStart)
            }
        case .read(let offset, let maxBytes):
            problem = took(partition.read(from: offset, maxBytes: maxBytes, pool: pool))
        case .unpack(let mostBytes): unpack(mostBytes)
        }
    }

    private func unpack(_ mostBytes: Int) {
        guard let batch = packed else { preconditionFailure("no batch to unpack") }
        let context = workersContext ?? CompressionContext()
        workersContext = context
        records = RecordIterator(outputLimit: mostBytes, context: context)
        do throws(RecordBatchError) {
            try records.open(batch)
            stage = .records
        } catch {
            if case .compression(.outputLimit) = error, unpackStep < Self.unpackSteps.count - 1 {
                unpackStep += 1
            } else {
                isDamaged = true
            }
        }
    }

    /// Takes what was read, or the problem for which nothing can be answered.
    private func took(_ result: Result<FetchedRecords, ReadRefusal>) -> Problem? {
        switch result {
        case .success(let fetched):
            (start, end) = (fetched.logStartOffset, fetched.highWatermark)
            slices = fetched.slices
            work += fetched.byteCount
            (sliceIndex, stage) = (0, slices.isEmpty ? .ending : .batches)
            if let first = slices.first { cursor = RecordBatchCursor(first.bytes) }
            return nil
        case .failure(let refusal):
            if hasRecords {
                stage = .ending
                return nil
            }
            switch refusal {
            case .outOfRange(let first, let last):
                return Problem(
                    .offsetOutOfRange,
                    "Offset \(next.rawValue) is not in \(first.rawValue) to \(last.rawValue); offset=earliest and offset=latest are "
                        + "always there.")
            case .notLeader:
                return Problem(.storageUnavailable, "This broker does not lead the partition.", retryAfter: 5)
            case .corrupt, .storage, .wouldWait: return Self.damage(after: next)
            }
        }
    }

    /// Ends the reply before the next record, as no memory is left for what was read. False: there is no record yet, so
    /// the request must be refused.
    func giveUp() -> Bool {
        if !hasRecords { return false }
        if long == nil {
            drop()
            stage = .ending
        }
        return true
    }

    /// Ends a reply that cannot go on: before the next record, or, without one yet, with this problem.
    func refuse(_ problem: Problem) {
        if !giveUp() { self.problem = problem }
    }

    private func begin(at offset: Offset) {
        (from, next) = (offset, offset)
        stage = .read
    }

    /// Writes the head and the beginning. Nothing is written before there is a record, so that a refusal can still be
    /// sent.
    private func writeStart(_ out: inout ByteWriter) {
        out.text("{\"topic\":\"")
        // A topic's name needs no escape.
        out.bytes(topic.nameBytes)
        out.text("\",\"partition\":")
        out.decimal(Int(partition.partitionIndex))
        out.text(",\"records\":[")
    }

    private static func damage(after offset: Offset) -> Problem {
        Problem(.storageUnavailable, "The records from offset \(offset.rawValue) on could not be read.")
    }

    /// Ends the reply at damage. What came before it is good; the next request begins at it and is told.
    private func damaged() -> Step? {
        drop()
        stage = .ending
        return hasRecords ? nil : .failed(Self.damage(after: next))
    }

    private func drop() {
        slices = []
        packed = nil
        dropUnpacked()
    }

    /// Lets go of what a worker has unpacked.
    private func dropUnpacked() {
        guard records.outputLimit > Self.unpackedInline else { return }
        records = RecordIterator(outputLimit: Self.unpackedInline, context: context)
    }

    // MARK: Batches and records

    private func isFull(_ inSlice: Int) -> Bool {
        count == question.limit || count > 0 && written + inSlice >= question.maxBytes
    }

    private func openBatch(_ inSlice: Int) throws(RecordBatchError) {
        if isFull(inSlice) { return stage = .ending }
        guard let batch = try cursor.next() else {
            sliceIndex += 1
            if sliceIndex < slices.count {
                cursor = RecordBatchCursor(slices[sliceIndex].bytes)
            } else {
                drop()
                stage = next < end ? .read : .ending
            }
            return
        }
        work += Self.recordWork
        batchEnd = batch.lastOffset + 1
        if batch.isControl {
            next = max(next, batchEnd)
            return
        }
        dropUnpacked()
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

    private func writeRecord(_ out: inout ByteWriter) throws(RecordBatchError) {
        if isFull(out.count) { return stage = .ending }
        guard let record = try records.next() else {
            // Also past offsets that compaction has taken.
            next = max(next, batchEnd)
            stage = .batches
            return
        }
        let bytes = (record.key?.count ?? 0) + (record.value?.count ?? 0) + record.headers.bytes.count
        if record.offset < from {
            work += Self.recordWork
            return
        }
        if count == 0 { writeStart(&out) }
        out.text(count == 0 ? "{\"offset\":" : ",{\"offset\":")
        count += 1
        next = record.offset + 1
        if bytes > Self.longRecord {
            long = LongRecord(record, maxJSONBytes: maxJSONBytes, &out)
            stage = .long
        } else {
            work += Self.recordWork + bytes
            var whole = LongRecord(record, maxJSONBytes: maxJSONBytes, &out)
            while !whole.advance(&out, &work) {}
        }
    }

    private func writeEnd(_ out: inout ByteWriter) {
        if count == 0 { writeStart(&out) }
        out.text("],\"next_offset\":")
        out.decimal(Int(next.rawValue))
        out.text(",\"high_watermark\":")
        out.decimal(Int(end.rawValue))
        out.text(",\"log_start_offset\":")
        out.decimal(Int(start.rawValue))
        out.text("}")
    }
}
