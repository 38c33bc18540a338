import KafkaModel
import RecordFormat

/// Compaction keeps the newest record of each key, so in a compacted topic every record needs one.
extension PartitionLog {
    /// Record errors that a refusal spells out, as Kafka does.
    private static let maxRecordErrors = 3

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
        let errors = keyless.map { "RecordError(batchIndex=\($0), message='\(message)')" }.joined(separator: ", ")
        var refusal = AppendRefusal(
            .invalidRecord,
            "One or more records have been rejected due to \(count) record errors in total, and only showing the first "
                + "three errors at most: [\(errors)]")
        refusal.recordErrors = keyless.map { AppendRefusal.RecordError(index: $0, message: message) }
        return refusal
    }
}
