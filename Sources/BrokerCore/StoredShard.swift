import ByteBuffers
import Coordinators
import KafkaModel
import LogStorage
import RecordFormat
import StorageIO

/// A pure state machine whose state is what a log's records give: the same records in the same order, the same state.
protocol StoredMachine: Sendable {
    /// The largest batch that the log takes, in bytes.
    var maxBatchBytes: Int { get set }
    /// Bytes of memory, about, and those of the broker's other machines of this kind.
    var memoryBytes: Int { get }
    var memoryElsewhere: Int { get set }
    /// Applies one record of the log, in the log's order, while it is loading. Throws where the record is damaged or newer: the log
    /// must not be served then.
    mutating func replay(_ record: RecordView, of batch: RecordBatchHeader) throws(DecodeError)
}

/// A state machine with the partition that stores it, under one lock: an event's records are appended to the log while that is
/// held, so state and log have one order, and what is answered waits for the shard's newest append.
protocol StoredShard {
    associatedtype Machine: StoredMachine

    var machine: Machine { get set }
    var log: PartitionLog { get }
    /// The leader epoch by which this node serves the shard; nil where it does not lead the partition.
    var term: LeaderEpoch? { get set }
    /// The ticket of the newest append; 0 once that is on disk.
    var ticket: UInt64 { get set }
    /// What `machine` was counted as taking.
    var countedBytes: Int { get set }
    /// Its log cannot be read, or may lose what was appended last: nothing is served until that is over, and the machine is empty
    /// and loading.
    var isSuspended: Bool { get set }
    /// How often it was suspended: what was replayed for an earlier time is not what is to be served.
    var suspensions: Int { get set }
    var resumption: Resumption { get set }

    /// Lets the machine, which is empty, begin to load.
    mutating func beginLoading()
    /// The machine has been made of the log, from its start on, which has so many bytes.
    mutating func wasReplayed(_ bytes: Int64)
    /// A batch of so many bytes was appended.
    mutating func wasAppended(_ receipt: AppendReceipt, _ bytes: Int)
}

/// When a suspended shard's log is tried again.
struct Resumption {
    private(set) var atMs: Int64 = 0
    private var backoff = Backoff()

    mutating func failed(_ nowMs: Int64) { atMs = nowMs + backoff.failed() }
}

extension StoredShard {
    /// Serves nothing until the log was replayed.
    mutating func suspend() {
        isSuspended = true
        suspensions += 1
        resumption = Resumption()
        beginLoading()
    }

    /// Gives the machine what it needs from outside, with the memory of all shards.
    mutating func prepare(memoryBytes: Int) {
        machine.maxBatchBytes = log.settings.maxBatchBytes
        machine.memoryElsewhere = memoryBytes - countedBytes
    }

    /// By how much the machine's memory has changed since this was last asked.
    mutating func countMemory() -> Int {
        defer { countedBytes = machine.memoryBytes }
        return machine.memoryBytes - countedBytes
    }

    /// Takes in what is on disk. False: the log has left out what was appended to it, or may have, and the machine has gone ahead of it.
    mutating func follow(_ store: LogStore) -> Bool {
        // In this order: who sees a ticket durable sees what its commit left out.
        let durable = store.durableTicket
        if log.hasLeftOutAppends { return false }
        // All of the shard's appends are on disk, though others' of the same commit may have failed.
        if ticket <= durable { ticket = 0 }
        return true
    }

    /// Appends in batches that the topic takes, and returns whether the data folder has taken them. A larger single record is a
    /// batch of its own.
    mutating func append(_ records: [CoordinatorRecord], _ now: CoordinatorTime) -> Bool {
        for batch in CoordinatorRecord.batches(records, atMost: machine.maxBatchBytes) {
            guard appendBatch(CoordinatorRecord.batch(batch, now), now) != nil else { return false }
        }
        return true
    }

    /// Appends one batch; gives nil where the log does not take it.
    mutating func appendBatch(
        _ batch: ByteSlice, _ now: CoordinatorTime, verified: TransactionGuard? = nil
    ) -> AppendReceipt? {
        let size = batch.count
        guard
            case .success(let receipt) = log.append(
                batch, origin: .broker, nowMs: now.wallClockMs, verified: verified)
        else { return nil }
        ticket = receipt.ticket
        wasAppended(receipt, size)
        return receipt
    }

    /// Feeds a log to a machine that is loading; gives the bytes read. Damage loses only the records that it hit, and is reported
    /// elsewhere.
    static func replay(
        _ log: PartitionLog, _ visibility: PartitionLog.Visibility, into machine: inout Machine
    ) throws(StorageError) -> Int64 {
        var bytes: Int64 = 0
        var offset = log.logStartOffset
        let end = visibility == .committed ? log.highWatermark : log.logEndOffset
        var records = RecordIterator()
        while offset < end {
            let fetched: FetchedRecords
            switch log.read(from: offset, maxBytes: 1 << 20, visibility: visibility) {
            case .success(let found): fetched = found
            case .failure(let refusal):
                if let next = log.endOfDamage(at: offset) {
                    offset = next
                    continue
                }
                throw StorageError(.corrupt("\(refusal)"), .read, path: log.folderName)
            }
            guard fetched.byteCount > 0 else { return bytes }
            bytes += Int64(fetched.byteCount)
            for slice in fetched.slices {
                var cursor = RecordBatchCursor(slice.bytes)
                do {
                    while let batch = try cursor.next() {
                        try records.open(batch)
                        while let record = try records.next() {
                            if record.offset >= offset { try machine.replay(record, of: batch) }
                        }
                        offset = batch.lastOffset + 1
                    }
                } catch {
                    throw StorageError(
                        .corrupt("record at offset \(offset.rawValue) or after it: \(error)"), .read,
                        path: log.folderName)
                }
            }
        }
        return bytes
    }
}

extension GroupShard: StoredMachine {
    mutating func replay(_ record: RecordView, of batch: RecordBatchHeader) throws(DecodeError) {
        guard let key = record.key else { return }
        let producerID = batch.isTransactional ? batch.producerID : .none
        if !batch.isControl { return try replay(key: key, value: record.value, producerID: producerID) }
        guard let marker = EndTransactionMarker(record) else { return }
        replayTransactionEnd(of: producerID, committed: marker.isCommit)
    }
}

extension TransactionShard: StoredMachine {
    mutating func replay(_ record: RecordView, of batch: RecordBatchHeader) throws(DecodeError) {
        if batch.isControl { return }
        if let key = record.key { try replay(key: key, value: record.value) }
    }
}
