public import ByteBuffers
public import JobLedger
import KafkaModel
import LogStorage
import RecordFormat

/// The ledger of jobs, whose records stand in the one partition of `__jobs`.
struct JobShard: StoredMachine {
    enum Phase { case loading, active }

    var maxBatchBytes = 1 << 20
    var memoryElsewhere = 0
    var ledger = JobLedger()
    var phase = Phase.loading
    var memoryBytes: Int { ledger.memoryBytes }

    mutating func replay(_ record: RecordView, of batch: RecordBatchHeader) throws(DecodeError) {
        guard !batch.isControl, let key = record.key else { return }
        try ledger.replay(key: key, value: record.value)
    }

    mutating func beginLoading() {
        ledger = JobLedger()
        phase = .loading
    }
}

/// What the first record of each of a job's batches says: the header `job_id`, with the job's id as text. So what a job has in a topic
/// can be counted from the topic alone: each batch that begins so has its rows and nothing else.
public enum JobMark {
    public static let headerName: StaticString = "job_id"

    /// Bytes that it adds to a record.
    public static let bytes = 2 + headerName.utf8CodeUnitCount + JobID.textLength

    /// Writes it as one header of a record.
    public static func write(_ id: JobID, into out: inout ByteWriter) {
        out.varint(Int32(headerName.utf8CodeUnitCount))
        out.bytes(UnsafeRawBufferPointer(start: headerName.utf8Start, count: headerName.utf8CodeUnitCount))
        out.varint(Int32(JobID.textLength))
        out.utf8(id.text)
    }

    /// Of a pull each record has this header as well, with the number of its row, from 1.
    public static let lineName: StaticString = "line"

    /// Bytes that it adds to a record at most.
    public static let lineBytes = 2 + lineName.utf8CodeUnitCount + 20

    /// Writes it as one header of a record.
    public static func write(line: Int, into out: inout ByteWriter) {
        let text = String(line)
        out.varint(Int32(lineName.utf8CodeUnitCount))
        out.bytes(UnsafeRawBufferPointer(start: lineName.utf8Start, count: lineName.utf8CodeUnitCount))
        out.varint(Int32(text.utf8.count))
        out.utf8(text)
    }

    /// The rows that a job has in a topic's logs behind `ends`: none where the topic is another one now. On a thread that may wait.
    ///
    /// Damage hides the batches that it has hit.
    static func rows(of id: JobID, in topic: Topic?, behind ends: JobFloors.Ends?) throws(JobRefusal) -> Int64 {
        var rows: Int64 = 0
        try visit(id, topic, ends) { _, _ in rows += 1 }
        return rows
    }

    /// The same rows of a pull by their numbers.
    static func lines(of id: JobID, in topic: Topic?, behind ends: JobFloors.Ends?) throws(JobRefusal) -> Set<Int64> {
        var lines: Set<Int64> = []
        try visit(id, topic, ends) { record, _ in
            guard let text = header(lineName, of: record), let line = Int64(String(decoding: text, as: UTF8.self))
            else { return }
            lines.insert(line)
        }
        return lines
    }

    /// The same rows, partition by partition; empty: there is no such topic.
    static func rowsByPartition(
        of id: JobID, in topic: Topic?, behind ends: JobFloors.Ends?
    ) throws(JobRefusal) -> [Int64] {
        guard let topic else { return [] }
        if let ends, ends.topicID != topic.id { return [] }
        var rows = [Int64](repeating: 0, count: topic.partitions.count)
        try visit(id, topic, ends) { _, index in rows[index] += 1 }
        return rows
    }

    /// - Parameter body: is called with each record and the index of its partition.
    private static func visit(
        _ id: JobID, _ topic: Topic?, _ ends: JobFloors.Ends?, _ body: (RecordView, Int) -> Void
    ) throws(JobRefusal) {
        guard let topic else { return }
        if let ends, ends.topicID != topic.id { return }
        for log in topic.partitions {
            // Partitions that were added later, and those of a topic that was made for the job, are its own from their start.
            let index = Int(log.partitionIndex)
            let floor = ends.map { $0.offsets.indices.contains(index) ? $0.offsets[index] : .zero } ?? .zero
            try visit(id, in: log, from: max(floor, log.logStartOffset)) { body($0, index) }
        }
    }

    private static func visit(
        _ id: JobID, in log: PartitionLog, from start: Offset, _ body: (RecordView) -> Void
    ) throws(JobRefusal) {
        let text = Array(id.text.utf8)
        var offset = start
        var records = RecordIterator()
        while offset < log.highWatermark {
            let fetched: FetchedRecords
            switch log.read(from: offset, maxBytes: readBytes, visibility: .committed) {
            case .success(let found): fetched = found
            case .failure(let refusal):
                guard let next = log.endOfDamage(at: offset), next > offset else {
                    throw .unavailable("\(log.name) cannot be read: \(refusal)")
                }
                offset = next
                continue
            }
            guard fetched.byteCount > 0 else { break }
            do {
                for slice in fetched.slices {
                    var cursor = RecordBatchCursor(slice.bytes)
                    while let batch = try cursor.next() {
                        defer { offset = max(offset, batch.lastOffset + 1) }
                        // Those of jobs are as the gateway builds them.
                        guard batch.baseOffset >= offset, batch.attributes.compression == Compression.none,
                            batch.producerID == ProducerID.none, !batch.isControl
                        else { continue }
                        try records.open(batch)
                        guard let first = try records.next(),
                            header(headerName, of: first)?.elementsEqual(text) == true
                        else { continue }
                        body(first)
                        while let record = try records.next() { body(record) }
                    }
                }
            } catch {
                throw .unavailable("\(log.name) at offset \(offset.rawValue) cannot be read: \(error)")
            }
        }
    }

    private static let readBytes = 1 << 20

    /// The value of the first header of that name; nil: there is none.
    private static func header(_ name: StaticString, of record: RecordView) -> UnsafeRawBufferPointer? {
        let name = UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount)
        for header in record.headers where header.key.elementsEqual(name) { return header.value }
        return nil
    }
}
