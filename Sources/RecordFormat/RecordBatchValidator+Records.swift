import ByteBuffers
import KafkaModel

extension RecordBatchValidator {
    /// Walks a producer's plain records, field by field: as many as the header counts, numbered without gaps, each
    /// filling its length, all of them filling the batch. Records that are compressed are not looked at: only their readers
    /// and compacted topics do that.
    ///
    /// A timestamp of -1 is none; no other may be negative, whatever the topic's settings.
    @usableFromInline
    static func checkRecords(_ header: RecordBatchHeader) throws(RecordBatchError) {
        let baseTimestampMs = header.baseTimestampMs
        guard baseTimestampMs >= -1, header.maxTimestampMs >= -1 else {
            throw .invalidTimestamp(index: 0, timestampMs: min(baseTimestampMs, header.maxTimestampMs))
        }
        guard header.attributes.codecNumber == Compression.none.rawValue else { return }
        let records = header.recordsBytes
        guard var at = records.baseAddress.map({ UnsafeRawPointer($0) }) else { throw .noBatch }
        let end = at + records.count
        for index in 0..<header.recordCount {
            if let next = endOfPlainRecord(at, end, index, baseTimestampMs) {
                at = next
            } else {
                try checkRecord(&at, end, index, baseTimestampMs)
            }
        }
        guard at == end else { throw .trailingBytes(end - at) }
    }

    /// Fields of up to two bytes, as nearly all are: lengths below 8 KiB, no headers. A record of them is walked by three
    /// loads, in some 50 instructions. Nil: it is something else, or wrong.
    @inline(__always)
    private static func endOfPlainRecord(
        _ start: UnsafeRawPointer, _ end: UnsafeRawPointer, _ index: Int32, _ baseTimestampMs: Int64
    ) -> UnsafeRawPointer? {
        guard end - start >= 16 else { return nil }
        var at = start
        var word = UInt64(littleEndian: at.loadUnaligned(as: UInt64.self))
        guard let length = short(&word, &at), length & 1 == 0 else { return nil }
        let recordEnd = at + Int(length &>> 1)
        guard recordEnd <= end else { return nil }
        // The byte of attributes, of which none are defined.
        word &>>= 8
        at += 1
        // Both signs are right beside a time of our days.
        guard short(&word, &at) != nil, baseTimestampMs >= 1 << 14 else { return nil }
        guard let offsetDelta = short(&word, &at), offsetDelta == UInt64(UInt32(bitPattern: index)) &<< 1 else {
            return nil
        }
        for _ in 0..<2 {
            // A key or value: a length, -1 for null, and that many bytes.
            guard end - at >= 8 else { return nil }
            word = UInt64(littleEndian: at.loadUnaligned(as: UInt64.self))
            guard let size = short(&word, &at), size & 1 == 0 || size == 1 else { return nil }
            at += Int(size &>> 1)
            guard at < recordEnd else { return nil }
        }
        // No headers, and nothing behind.
        guard at + 1 == recordEnd, at.load(as: UInt8.self) == 0 else { return nil }
        return recordEnd
    }

    /// A field of one or two bytes, not yet decoded from zigzag, from the low bytes of `word`; moves both on. Nil: longer.
    @inline(__always)
    private static func short(_ word: inout UInt64, _ at: inout UnsafeRawPointer) -> UInt64? {
        let low = word & 0xff
        if low < 0x80 {
            word &>>= 8
            at += 1
            return low
        }
        let high = word &>> 8 & 0xff
        guard high < 0x80 else { return nil }
        word &>>= 16
        at += 2
        return low & 0x7f | high &<< 7
    }

    /// Any record, in full.
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

    /// A key or value: a length, -1 for null, and that many bytes. False when it passes `end`.
    @inline(__always)
    private static func skipField(_ at: inout UnsafeRawPointer, _ end: UnsafeRawPointer) -> Bool {
        guard let length = Varint.read32(&at, end), length >= -1, Int(length) <= end - at else { return false }
        at += max(0, Int(length))
        return true
    }
}
