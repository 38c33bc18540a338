import BrokerTestKit
import ByteBuffers
import KafkaModel
import RecordFormat

@testable import LogStorage

extension TestStore {
    func batch(
        count: Int = 1, of producer: Int64, sequence: Int32 = 0, epoch: Int16 = 0, isTransactional: Bool = true
    ) -> TestBatch {
        var batch = TestBatch(count: count, valueSize: 100)
        (batch.producerID, batch.producerEpoch, batch.baseSequence) = (producer, epoch, sequence)
        batch.isTransactional = isTransactional
        return batch
    }

    /// Appends a batch of a transaction, which the coordinator knows of.
    @discardableResult
    func append(
        count: Int = 1, of producer: Int64, sequence: Int32 = 0, epoch: Int16 = 0, timestamp: Int64 = TestStore.now
    ) -> AppendReceipt {
        var batch = batch(count: count, of: producer, sequence: sequence, epoch: epoch)
        batch.baseTimestamp = timestamp
        return append(batch, nowMs: timestamp)
    }

    /// Appends a batch of which the coordinator has said `verified`; gives why it is refused.
    func refusal(of batch: TestBatch, _ verified: TransactionGuard? = nil) -> ErrorCode? {
        let slice = batch.bytes().withUnsafeBytes { ChunkPool.shared.slice(copying: $0) }
        switch log.append(slice, origin: .client, nowMs: TestStore.now, verified: verified) {
        case .success: return nil
        case .failure(let refusal): return refusal.code
        }
    }

    func end(_ producer: Int64, isCommit: Bool, epoch: Int16 = 0, isVersion2: Bool = false) throws {
        _ = try log.endTransaction(
            TransactionMarker(
                producerID: ProducerID(producer), epoch: ProducerEpoch(epoch), isCommit: isCommit, coordinatorEpoch: 0,
                isVersion2: isVersion2), nowMs: TestStore.now
        ).get()
    }

    /// What a client shows that reads committed transactions: the offsets of records from `offset` on, to where one
    /// fetch after the other leads.
    func stable(from offset: Int64, maxBytes: Int = 1 << 20, fileFrom: Int = .max) throws -> (offsets: [Int64], end: Int64) {
        var next = offset
        var shown: [Int64] = []
        while true {
            let records = try log.read(
                from: Offset(next), maxBytes: maxBytes, visibility: .stable, fileFrom: fileFrom
            ).get()
            guard let end = records.endOffset else { return (shown, next) }
            var upcoming = try log.abortedTransactions(from: Offset(next), to: end).get()[...]
            var hidden: Set<Int64> = []
            for slice in try records.loaded() {
                var cursor = RecordBatchCursor(slice.bytes)
                while let batch = try cursor.next() {
                    while let first = upcoming.first, first.firstOffset <= batch.lastOffset.rawValue {
                        hidden.insert(first.producerID)
                        upcoming.removeFirst()
                    }
                    if batch.isControl {
                        let marker = AbortedTransaction.read(batch)?.0
                        if marker?.isCommit == false { hidden.remove(batch.producerID.rawValue) }
                    } else if !(batch.isTransactional && hidden.contains(batch.producerID.rawValue)) {
                        var iterator = RecordIterator()
                        try iterator.open(batch)
                        while let record = try iterator.next() {
                            if record.offset.rawValue >= next { shown.append(record.offset.rawValue) }
                        }
                    }
                }
            }
            next = end.rawValue
        }
    }
}

/// Transactions of one partition beside a plain list of what was appended.
struct TransactionModel {
    private struct Entry {
        var offsets: ClosedRange<Int64>
        /// -1: no transaction.
        var producer: Int64
        /// Of a marker.
        var isCommit: Bool?
    }

    private struct Producer {
        var epoch: Int16 = 0
        var sequence: Int32 = 0
        var isOpen = false
    }

    private let store: TestStore
    private var random: SeededRandom
    private var log: [Entry] = []
    private var producers: [Int64: Producer] = [:]
    private let isVersion2: Bool
    private var acknowledged: Int64 = 0

    struct Failure: Error { let what: String }

    init(seed: UInt64) throws {
        random = SeededRandom(seed: seed)
        isVersion2 = random.chance(0.5)
        var settings = TestStore.settings
        settings.segmentBytes = 3000
        var options = TestStore.options
        options.cacheBytes = random.number(in: 0...20_000)
        store = try TestStore(SimulatedFileSystem(seed: seed), options: options, settings: settings)
    }

    mutating func step() throws {
        switch random.below(100) {
        case 0..<45: append()
        case 45..<65: try end()
        case 65..<80:
            store.store.commitPending()
            acknowledged = store.log.highWatermark.rawValue
        case 80..<86: try store.checkpoint()
        case 86..<88: store.store.maintain(nowMs: TestStore.now)
        case 88..<90: try restart()
        case 90..<92:
            let target = random.number(in: 0...Int(store.log.highWatermark.rawValue))
            if target < 200 || random.chance(0.1) { _ = try store.log.deleteRecords(before: Offset(Int64(target))).get() }
        default: try verify()
        }
    }

    private mutating func append() {
        let id = Int64(random.below(5))
        let count = random.number(in: 1...3)
        if id == 4 {
            let receipt = store.append(count: count, size: random.number(in: 10...400))
            log.append(Entry(offsets: receipt.baseOffset.rawValue...receipt.lastOffset.rawValue, producer: -1))
            return
        }
        var producer = producers[id] ?? Producer()
        let receipt = store.append(count: count, of: id, sequence: producer.sequence, epoch: producer.epoch)
        log.append(Entry(offsets: receipt.baseOffset.rawValue...receipt.lastOffset.rawValue, producer: id))
        producer.sequence += Int32(count)
        producer.isOpen = true
        producers[id] = producer
    }

    private mutating func end() throws {
        guard let id = producers.keys.sorted().filter({ producers[$0]!.isOpen }).randomElement(using: &random) else {
            return
        }
        let isCommit = random.chance(0.5)
        let offset = store.log.logEndOffset.rawValue
        try store.end(id, isCommit: isCommit, epoch: producers[id]!.epoch + (isVersion2 ? 1 : 0), isVersion2: isVersion2)
        log.append(Entry(offsets: offset...offset, producer: id, isCommit: isCommit))
        close(id)
    }

    private mutating func close(_ id: Int64) {
        producers[id]!.isOpen = false
        if isVersion2 {
            producers[id]!.epoch += 1
            producers[id]!.sequence = 0
        }
    }

    mutating func restart() throws {
        switch random.below(4) {
        case 0: try store.restart()
        case 1: try store.kill()
        default: try store.crash(keeping: .random)
        }
        let end = store.log.logEndOffset.rawValue
        guard end >= acknowledged else { throw Failure(what: "the log ends at \(end), acknowledged to \(acknowledged)") }
        let kept = log.filter { $0.offsets.upperBound < end }
        (log, producers, acknowledged) = ([], [:], end)
        for entry in kept {
            log.append(entry)
            if entry.isCommit != nil {
                close(entry.producer)
            } else if entry.producer >= 0 {
                producers[entry.producer, default: Producer()].sequence += Int32(entry.offsets.count)
                producers[entry.producer]!.isOpen = true
            }
        }
        try verify()
    }

    /// Where the next marker of an entry's producer is, and what it says.
    private func outcome(of place: Int) -> Entry? {
        log[place...].first { $0.producer == log[place].producer && $0.isCommit != nil }
    }

    mutating func verify() throws {
        let (start, watermark, _) = store.log.offsets
        let visible = watermark.rawValue
        var stable = visible
        for place in log.indices where log[place].producer >= 0 && log[place].isCommit == nil {
            let end = outcome(of: place)?.offsets.upperBound ?? .max
            if end >= visible { stable = min(stable, log[place].offsets.lowerBound) }
        }
        stable = max(stable, start.rawValue)
        guard store.log.lastStableOffset.rawValue == stable else {
            throw Failure(what: "last stable offset \(store.log.lastStableOffset.rawValue) in place of \(stable)")
        }
        let committed = log.indices.filter { place in
            log[place].isCommit == nil && (log[place].producer < 0 || outcome(of: place)?.isCommit == true)
        }.flatMap { Array(log[$0].offsets) }.filter { $0 < stable }
        for _ in 0..<4 {
            let from = Int64(random.number(in: Int(start.rawValue)...Int(visible)))
            let fileFrom = random.chance(0.3) ? 1 : Int.max
            let shown = try store.stable(from: from, maxBytes: random.number(in: 1...6000), fileFrom: fileFrom)
            let expected = committed.filter { $0 >= from }
            guard shown.offsets == expected else {
                throw Failure(what: "from \(from): \(shown.offsets) in place of \(expected)")
            }
            guard shown.end == max(from, stable) else { throw Failure(what: "ends at \(shown.end), not \(stable)") }
        }
    }
}
