/// The quick way over a producer's plain records: over those whose fields have up to two bytes (the offset delta
/// three), as nearly all have. It stops at any other record and at a wrong one: what that is, the full way says
/// (`RecordBatchValidator.checkRecord`).
///
/// Two ways in truth. `endOfShortRecord` decodes a record's lengths, in some 75 instructions. Where records are of one
/// length after each other, `RecordRun` compares them with the first, in a fifth of that.
struct RecordWalk {
    /// Base timestamps that no timestamp delta of two bytes makes negative, or too great.
    static let baseTimestampsMs: ClosedRange<Int64> = 1 << 14...1 << 62
    /// A run shorter than this costs more than it saves: after each such one, four times as many records as before are
    /// passed without looking for a run, up to `maxPause`. Where two lengths alternate at random, few runs are begun.
    static let worthwhileRun: Int32 = 16
    static let maxPause: Int32 = 1024

    var at: UnsafeRawPointer
    let end: UnsafeRawPointer
    let count: Int32
    /// The next record's.
    var index: Int32 = 0
    private var lastSize = 0
    private var nextRun: Int32 = 0
    private var pause: Int32 = 1

    init(_ at: UnsafeRawPointer, _ end: UnsafeRawPointer, count: Int32) {
        self.at = at
        self.end = end
        self.count = count
    }

    /// Walks on until all records are passed or one needs the full way.
    mutating func passShortRecords() {
        while index < count, let delta = OffsetDelta(index) {
            let stop = min(count, delta.sizeEnd)
            let isRun = passShortRecords(delta, stop)
            if isRun {
                passRun(stop)
            } else if index < stop {
                return
            }
        }
    }

    /// Walks on to record number `stop`, to one that needs the full way (false) or to one that may begin a run (true).
    @inline(never)
    private mutating func passShortRecords(_ first: OffsetDelta, _ stop: Int32) -> Bool {
        // Kept in registers.
        let (end, nextRun) = (end, nextRun)
        var (at, index, lastSize) = (at, index, lastSize)
        defer { (self.at, self.index, self.lastSize) = (at, index, lastSize) }
        var delta = first.bytes
        while index < stop {
            guard end - at >= 16, let recordEnd = Self.endOfShortRecord(at, end, delta, first.size, first.mask) else {
                return false
            }
            let size = recordEnd - at
            if index >= nextRun, size == lastSize { return true }
            lastSize = size
            at = recordEnd
            index &+= 1
            delta = (delta &+ OffsetDelta.step) | first.more
        }
        return false
    }

    /// Passes at least the record that was found to begin a run, unless no run can be made of it: then it is left, and
    /// none looked for at once.
    @inline(never)
    private mutating func passRun(_ stop: Int32) {
        guard let delta = OffsetDelta(index), let run = RecordRun(of: at, delta) else {
            nextRun = index &+ 1
            return
        }
        let passed = run.pass(&at, end, maximum: stop &- index)
        assert(passed > 0 && run.size == lastSize, "the record a run is made of is not of it")
        index &+= passed
        pause = passed < Self.worthwhileRun ? min(pause &* 4, Self.maxPause) : 1
        nextRun = index &+ pause
    }

    /// Passes a record of short fields: lengths below 8 KiB, no headers. `delta` are the bytes its offset delta must
    /// have. Nil: it is something else, or wrong. Sixteen bytes can be read from `start`.
    @inline(__always)
    private static func endOfShortRecord(
        _ start: UnsafeRawPointer, _ end: UnsafeRawPointer, _ delta: UInt64, _ deltaSize: Int, _ deltaMask: UInt64
    ) -> UnsafeRawPointer? {
        var word = UInt64(littleEndian: start.loadUnaligned(as: UInt64.self))
        guard let length = shortCount(word) else { return nil }
        let recordEnd = start + length.size + length.count
        guard recordEnd <= end else { return nil }
        var at = start + length.size
        word &>>= UInt64(8 &* length.size)
        // The byte of attributes, of which none are defined, and the timestamp delta: both signs are right beside a
        // base timestamp of `baseTimestampsMs`. Three bytes of the word are left, as many as the offset delta has.
        if word & 0x8000 == 0 {
            word &>>= 16
            at += 2
        } else {
            guard word & 0x80_0000 == 0 else { return nil }
            word &>>= 24
            at += 3
        }
        guard (word ^ delta) & deltaMask == 0 else { return nil }
        at += deltaSize
        let keyWord = UInt64(UInt16(littleEndian: at.loadUnaligned(as: UInt16.self)))
        if keyWord & 0xff == 1 {
            at += 1
        } else {
            guard let key = shortCount(keyWord) else { return nil }
            at += key.size + key.count
        }
        // The value fills what is left but for the last byte, which says that there are no headers.
        let rest = recordEnd - at - 1
        guard rest >= 1 else { return nil }
        let valueWord = UInt16(littleEndian: at.loadUnaligned(as: UInt16.self))
        let isFilled: Bool
        if valueWord & 0x80 == 0 {
            isFilled = Int(valueWord & 0xff) == rest &* 2 &- 2 || (valueWord & 0xff == 1 && rest == 1)
        } else {
            // What fits a record of a short length fits two bytes.
            let zigzag = (rest &- 2) &* 2
            isFilled = rest >= 2 && Int(valueWord) == (zigzag &+ (zigzag & 0x3f80)) | 0x80
        }
        guard isFilled, (recordEnd - 1).load(as: UInt8.self) == 0 else { return nil }
        return recordEnd
    }

    /// Reads a length of one or two bytes, not negative, in the low bytes of `word`. Nil: it is another.
    @inline(__always)
    private static func shortCount(_ word: UInt64) -> (size: Int, count: Int)? {
        guard word & 1 == 0 else { return nil }
        let low = Int(truncatingIfNeeded: word &>> 1 & 0x3f)
        if word & 0x80 == 0 { return (1, low) }
        guard word & 0x8000 == 0 else { return nil }
        return (2, low | Int(truncatingIfNeeded: word &>> 2 & 0x1fc0))
    }
}
