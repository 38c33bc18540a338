public import ByteBuffers
import KafkaModel
import RecordFormat
import Synchronization

/// Compaction keeps the newest record of each key, so in a compacted topic every record needs one.
extension PartitionLog {
    /// Record errors that the message of a refusal spells out, as Kafka does.
    private static let spelledErrors = 3
    /// Record errors that a refusal lists: a client resends the records that are not listed without those that are. A
    /// batch of librdkafka has at most 10,000 records by default. Those beyond are not listed, and are refused when they
    /// are sent again; so a batch of the shortest records does not become a reply many times its size.
    static let maxRecordErrors = 10_000

    /// Whether a client's batch needs a look at its keys before it is appended.
    public var requiresKeys: Bool { isCompacted.load(ordering: .relaxed) }

    /// How much a look at a batch's keys may take.
    public enum KeyCheckEffort: Sendable {
        /// For event loops: well under a millisecond.
        case brief
        /// For batches of usual sizes, on a thread that may take its time.
        case usual
        /// For every batch that is legal.
        case full

        /// Bytes that may be unpacked.
        public var unpackedBytes: Int {
            switch self {
            case .brief: 64 << 10
            case .usual: 4 << 20
            case .full: RecordIterator.defaultOutputLimit
            }
        }

        /// The largest batch, as received, that may be looked at. A compressed batch may be long and unpack to little,
        /// so it has a limit of its own; walking an uncompressed one costs at worst some nanoseconds per byte.
        fileprivate func batchBytes(isPacked: Bool) -> Int {
            guard case .brief = self else { return .max }
            return isPacked ? 64 << 10 : 128 << 10
        }
    }

    /// What a look at a batch's keys has found.
    public enum KeyCheck: Sendable {
        case sound
        case refused(AppendRefusal)
        /// It takes more than the effort that was allowed.
        case tooLong
    }

    /// Looks through the records of a client's batch, as `append` does where the caller has not. To be called where
    /// `requiresKeys`; the caller has checked the batch's header and CRC.
    public func checkKeys(of batch: ByteSlice, _ effort: KeyCheckEffort) -> KeyCheck {
        let header = RecordBatchHeader(unchecked: batch.pointer)
        let isPacked = header.attributes.compression != Compression.none
        guard batch.count <= effort.batchBytes(isPacked: isPacked) else { return .tooLong }
        return checkKeys(header, effort)
    }

    /// What is wrong with the records of a producer's batch in a compacted topic: one has no key, or they cannot be
    /// read, which the cleaner would stumble over for ever.
    func checkKeys(_ batch: RecordBatchHeader, _ effort: KeyCheckEffort) -> KeyCheck {
        let context = store.codecs.take()
        defer { store.codecs.give(context) }
        var records = RecordIterator(outputLimit: effort.unpackedBytes, context: context)
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
            if case .compression(.outputLimit) = error, effort != .full { return .tooLong }
            return .refused(AppendRefusal(error.errorCode, "\(error)"))
        }
        return count > 0 ? .refused(refusal(ofKeyless: keyless, count)) : .sound
    }

    private func refusal(ofKeyless keyless: [Int32], _ count: Int) -> AppendRefusal {
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
