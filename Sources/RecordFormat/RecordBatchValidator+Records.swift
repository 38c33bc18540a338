import ByteBuffers
import KafkaModel

extension RecordBatchValidator {
    /// Walks a producer's plain records, field by field: as many as the header counts, numbered without gaps, each
    /// filling its length, all of them filling the batch. Records that are compressed are not looked at: only their readers
    /// and compacted topics do that.
    ///
    /// A timestamp of -1 is none; no other may be negative, whatever the topic's settings.
    ///
    /// `quickly` changes the time alone: without it every record is taken in full, as tests compare.
    @usableFromInline
    package static func checkRecords(
        _ header: RecordBatchHeader, quickly: Bool = true
    ) throws(RecordBatchError) {
        let baseTimestampMs = header.baseTimestampMs
        guard baseTimestampMs >= -1, header.maxTimestampMs >= -1 else {
            throw .invalidTimestamp(index: 0, timestampMs: min(baseTimestampMs, header.maxTimestampMs))
        }
        guard header.attributes.codecNumber == Compression.none.rawValue else { return }
        let records = header.recordsBytes
        guard let start = records.baseAddress.map({ UnsafeRawPointer($0) }) else { throw .noBatch }
        var walk = RecordWalk(start, start + records.count, count: header.recordCount)
        let isQuick = quickly && RecordWalk.baseTimestampsMs.contains(baseTimestampMs)
        while walk.index < walk.count {
            if isQuick {
                walk.passShortRecords()
                guard walk.index < walk.count else { break }
            }
            try checkRecord(&walk.at, walk.end, walk.index, baseTimestampMs)
            walk.index &+= 1
        }
        guard walk.at == walk.end else { throw .trailingBytes(walk.end - walk.at) }
    }

    /// Checks any record, in full.
    @inline(never)
    private static func checkRecord(
        _ at: inout UnsafeRawPointer, _ end: UnsafeRawPointer, _ index: Int32, _ baseTimestampMs: Int64
    ) throws(RecordBatchError) {
        guard let length = Varint.read32(&at, end), length > 0, Int(length) <= end - at else {
            throw .invalidRecord(index: index, .length)
        }
        let recordEnd = at + Int(length)
        // The byte of attributes, of which none are defined.
        at += 1
        guard let timestampDelta = Varint.read64(&at, recordEnd), let offsetDelta = Varint.read32(&at, recordEnd),
            skipField(&at, recordEnd), skipField(&at, recordEnd),
            RecordHeadersView(walking: &at, recordEnd) != nil
        else { throw .invalidRecord(index: index, .length) }
        guard at == recordEnd else { throw .invalidRecord(index: index, .unusedBytes) }
        guard offsetDelta == index else { throw .invalidRecord(index: index, .offsetDelta) }
        let timestampMs = baseTimestampMs &+ timestampDelta
        guard timestampMs >= -1 else { throw .invalidTimestamp(index: index, timestampMs: timestampMs) }
    }

    /// Passes a key or value: a length, -1 for null, and that many bytes. False when it passes `end`.
    @inline(__always)
    private static func skipField(_ at: inout UnsafeRawPointer, _ end: UnsafeRawPointer) -> Bool {
        guard let length = Varint.read32(&at, end), length >= -1, Int(length) <= end - at else { return false }
        at += max(0, Int(length))
        return true
    }
}
