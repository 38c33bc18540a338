/// Sentences for whoever sent the batch or keeps it: a producer shows them to its user. Where Kafka has words for the same
/// fault, they are Kafka's. Source: Kafka's `DefaultRecordBatch.ensureValid`, `LogValidator`, `ProduceRequest.validateRecords`.
extension RecordBatchError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .truncated(let needed, let available):
            "Record batch is cut off: \(needed) bytes are needed, \(available) are there"
        case .invalidLength(let length): "Record batch is corrupt (batch length = \(length))"
        case .tooLarge(let size, let limit):
            "The record batch size is \(size) bytes, which exceeds the maximum of \(limit)"
        case .unsupportedMagic(let magic):
            "Only record batches of magic version 2 are taken, and this one has magic version \(magic)"
        case .corruptCRC(let stored, let computed):
            "Record is corrupt (stored crc = \(stored), computed crc = \(computed))"
        case .unknownCompression(let number): "Unknown compression type id: \(number)"
        case .invalidRecordCount(let count, let lastOffsetDelta):
            "Invalid reported count for record batch: \(count) (last offset delta = \(lastOffsetDelta))"
        case .invalidSequence(let sequence):
            "Invalid sequence number \(sequence) in a record batch with a producer id"
        case .controlBatchFromClient: "Clients are not allowed to write control records"
        case .noBatch: "Exactly one record batch per partition is taken, and there is none"
        case .severalBatches(let trailingBytes):
            "Exactly one record batch per partition is taken, and \(trailingBytes) bytes follow the first"
        case .invalidRecord(let index, let defect): "Record \(index) of the batch is invalid: \(defect)"
        case .invalidTimestamp(let index, let timestampMs):
            "Record \(index) of the batch has the invalid timestamp \(timestampMs)"
        case .trailingBytes(let count): "Record batch is corrupt (\(count) bytes follow its last record)"
        case .compression(let error): "The records of the batch cannot be unpacked: \(error)"
        }
    }
}

extension RecordBatchError.RecordDefect: CustomStringConvertible {
    public var description: String {
        switch self {
        case .length: "a length reaches past what holds it, or is negative"
        case .unusedBytes: "its length leaves bytes that no field uses"
        case .offsetDelta: "its offset does not follow from the batch's"
        case .missingKey: "it has no key, which a compacted topic needs"
        }
    }
}

extension CompressionError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .corrupt(let codec): "what \(codec.name) has packed is corrupt"
        case .outputLimit(let limit): "they are longer than \(limit) bytes"
        case .unavailable(let codec): "\(codec.name) could not begin, for want of memory"
        }
    }
}
