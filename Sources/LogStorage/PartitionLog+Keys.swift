import KafkaModel
import RecordFormat

/// Compaction keeps the newest record of each key, so in a compacted topic every record needs one.
extension PartitionLog {
    /// Record errors that the message of a refusal spells out, as Kafka does.
    private static let spelledErrors = 3
    /// Record errors that a refusal lists: a client resends the records that are not listed without those that are. A
    /// batch of librdkafka has at most 10,000 records by default. Those beyond are not listed, and are refused when they
    /// are sent again; so a batch of the shortest records does not become a reply many times its size.
    static let maxRecordErrors = 10_000

    /// What is wrong with the records of a producer's batch in a compacted topic: one has no key, or they cannot be
    /// read, which the cleaner would stumble over for ever.
    func keyRefusal(_ batch: RecordBatchHeader) -> AppendRefusal? {
        let context = store.codecs.take()
        defer { store.codecs.give(context) }
        var records = RecordIterator(context: context)
        var keyless: [Int32] = []
        var count = 0
        do throws(RecordBatchError) {
            try records.open(batch)
            while let record = try records.next() {
                if record.offsetDelta != record.index {
                    throw RecordBatchError.invalidRecord(index: record.index, .offsetDelta)
                }
                guard record.key == nil else { continue }
                count += 1
                if keyless.count < Self.maxRecordErrors { keyless.append(record.index) }
            }
        } catch {
            return AppendRefusal(error.errorCode, "\(error)")
        }
        guard count > 0 else { return nil }
        let message = "Compacted topic cannot accept message without key in topic partition \(name)"
        let errors = keyless.prefix(Self.spelledErrors).map { "RecordError(batchIndex=\($0), message='\(message)')" }
            .joined(separator: ", ")
        var refusal = AppendRefusal(
            .invalidRecord,
            "One or more records have been rejected due to \(count) record errors in total, and only showing the first "
                + "three errors at most: [\(errors)]")
        refusal.recordErrors = keyless.enumerated().map { place, index in
            AppendRefusal.RecordError(index: index, message: place < Self.spelledErrors ? message : nil)
        }
        return refusal
    }
}
