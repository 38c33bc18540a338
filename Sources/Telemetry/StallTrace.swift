public import ByteBuffers
import Synchronization

/// The newest stalls of the process: what took 5 ms or longer where clients may have waited for it, so that a bad p99.9 can be
/// laid at somebody's door afterwards. Always on.
///
/// Cost: a stage whose two times are known pays a comparison; the others two looks at the clock, 20 ns each. Only what was slow
/// is written down, in about 1 us.
///
/// A ring of `capacity` entries in 128 KiB; beyond it the oldest are overwritten. No lock: a writer takes a number and marks
/// that number's place while it writes, and a reader skips places that changed meanwhile. A writer who finds its place marked,
/// because somebody sleeps in it and the ring has gone round, gives up the entry (`droppedCount`). Counts and longest times by
/// stage are kept for all.
///
///     place:  | version | began | ns | bytes | count | stage | thread, 16 bytes | subject, 64 bytes |     words of 8 bytes
///              2 n - 1 while stall n is being written, then 2 n
public final class StallTrace: @unchecked Sendable {
    // SAFETY: the pointers are set once and point at atomics only.
    private let words: UnsafeMutablePointer<Atomic<UInt64>>
    private let totals: UnsafeMutablePointer<Atomic<UInt64>>
    private let last = Atomic<UInt64>(0)
    private let dropped = Atomic<UInt64>(0)

    /// Of the process, as the log is.
    public static let shared = StallTrace()
    /// What is shorter is nobody's stall: 5 ms is what the p99.9 of durable writes is to be at half of the most.
    @inlinable public static var slowNanoseconds: Int64 { 5_000_000 }
    /// Stalls that are kept. A reply of all of them is some 200 KB, which a loop makes in a millisecond.
    public static let capacity = 1024
    /// Bytes of a subject, and of a thread's name; what is longer is cut.
    public static let subjectBytes = 64
    private static let threadBytes = 16

    /// Places of the words of an entry.
    private enum Word {
        static let version = 0
        static let began = 1
        static let nanoseconds = 2
        static let bytes = 3
        static let count = 4
        static let stage = 5
        static let thread = 6
        static let subject = 8
        static let all = 16
    }

    init() {
        words = Self.zeros(Self.capacity * Word.all)
        totals = Self.zeros(Stall.Stage.allCases.count * 3)
    }

    deinit {
        words.deallocate()
        totals.deallocate()
    }

    private static func zeros(_ count: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
        let words = UnsafeMutablePointer<Atomic<UInt64>>.allocate(capacity: count)
        for index in 0..<count { (words + index).initialize(to: Atomic(0)) }
        return words
    }

    // MARK: Writing

    /// Notes a stage that has ended, if it took long. `subject` is made only then.
    @inlinable @inline(__always)
    public static func note(
        _ stage: Stall.Stage, from began: Int64, to ended: Int64, bytes: Int = 0, count: Int = 0,
        _ subject: @autoclosure () -> String = ""
    ) {
        if ended &- began < slowNanoseconds { return }
        shared.record(stage, began, ended &- began, bytes: bytes, count: count, subject())
    }

    /// Does `body` and notes it, if it took long.
    @inlinable
    public static func timed<Result, Failure: Error>(
        _ stage: Stall.Stage, bytes: Int = 0, count: Int = 0, _ subject: @autoclosure () -> String = "",
        _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result {
        let began = MonotonicClock.nanoseconds
        defer { note(stage, from: began, to: MonotonicClock.nanoseconds, bytes: bytes, count: count, subject()) }
        return try body()
    }

    @inline(never)
    public func record(
        _ stage: Stall.Stage, _ began: Int64, _ nanoseconds: Int64, bytes: Int, count: Int, _ subject: String
    ) {
        let total = totals + Int(stage.rawValue) * 3
        total[0].wrappingAdd(1, ordering: .relaxed)
        total[1].wrappingAdd(UInt64(nanoseconds), ordering: .relaxed)
        total[2].max(UInt64(nanoseconds), ordering: .relaxed)

        let number = last.wrappingAdd(1, ordering: .relaxed).newValue
        let place = words + Int(number % UInt64(Self.capacity)) * Word.all
        let before = place[Word.version].load(ordering: .relaxed)
        guard before % 2 == 0, before < 2 * number,
            place[Word.version].compareExchange(expected: before, desired: 2 * number - 1, ordering: .acquiring)
                .exchanged
        else {
            dropped.wrappingAdd(1, ordering: .relaxed)
            return
        }
        // A reader that sees one of the words below sees the mark above, too.
        atomicMemoryFence(ordering: .releasing)
        place[Word.began].store(UInt64(bitPattern: began), ordering: .relaxed)
        place[Word.nanoseconds].store(UInt64(nanoseconds), ordering: .relaxed)
        place[Word.bytes].store(UInt64(bitPattern: Int64(bytes)), ordering: .relaxed)
        place[Word.count].store(UInt64(bitPattern: Int64(count)), ordering: .relaxed)
        place[Word.stage].store(UInt64(stage.rawValue), ordering: .relaxed)
        Self.put(Thread.currentName, place + Word.thread, Self.threadBytes)
        Self.put(subject, place + Word.subject, Self.subjectBytes)
        place[Word.version].store(2 * number, ordering: .releasing)
    }

    /// Puts text into words, its first byte in the lowest place, and zeros behind it.
    private static func put(_ text: String, _ words: UnsafeMutablePointer<Atomic<UInt64>>, _ most: Int) {
        var bytes = text.utf8.makeIterator()
        for index in 0..<most / 8 {
            var word: UInt64 = 0
            for shift in stride(from: UInt64(0), to: 64, by: 8) { word |= UInt64(bytes.next() ?? 0) << shift }
            words[index].store(word, ordering: .relaxed)
        }
    }

    // MARK: Reading

    /// Stalls that were not written down because their place was taken.
    public var droppedCount: UInt64 { dropped.load(ordering: .relaxed) }

    /// The stalls in the ring, oldest first.
    public var stalls: [Stall] {
        var found: [Stall] = []
        for index in 0..<Self.capacity { if let stall = stall(at: words + index * Word.all) { found.append(stall) } }
        return found.sorted { $0.number < $1.number }
    }

    private func stall(at place: UnsafeMutablePointer<Atomic<UInt64>>) -> Stall? {
        let version = place[Word.version].load(ordering: .acquiring)
        guard version > 0, version % 2 == 0,
            let stage = Stall.Stage(rawValue: UInt8(truncatingIfNeeded: place[Word.stage].load(ordering: .relaxed)))
        else { return nil }
        func number(_ word: Int) -> Int { Int(truncatingIfNeeded: place[word].load(ordering: .relaxed)) }
        let stall = Stall(
            number: version / 2, stage: stage, began: Int64(number(Word.began)),
            nanoseconds: Int64(number(Word.nanoseconds)), bytes: number(Word.bytes), count: number(Word.count),
            thread: Self.text(place + Word.thread, Self.threadBytes),
            subject: Self.text(place + Word.subject, Self.subjectBytes))
        atomicMemoryFence(ordering: .acquiring)
        return place[Word.version].load(ordering: .relaxed) == version ? stall : nil
    }

    private static func text(_ words: UnsafeMutablePointer<Atomic<UInt64>>, _ most: Int) -> String {
        var bytes: [UInt8] = []
        for index in 0..<most / 8 {
            let word = words[index].load(ordering: .relaxed)
            for shift in stride(from: UInt64(0), to: 64, by: 8) {
                bytes.append(UInt8(truncatingIfNeeded: word >> shift))
            }
        }
        return String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }

    /// Of a stage: its stalls so far, their sum and the longest, in nanoseconds.
    public func total(of stage: Stall.Stage) -> (count: UInt64, sum: UInt64, longest: UInt64) {
        let total = totals + Int(stage.rawValue) * 3
        return (
            total[0].load(ordering: .relaxed), total[1].load(ordering: .relaxed), total[2].load(ordering: .relaxed)
        )
    }
}
