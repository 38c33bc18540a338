internal import ByteBuffers

/// The messages that were never given out and have no slot: runs of offsets, each with the time from which it may be
/// received. Without delays it is one run, whatever its length; a gap in the offsets, or another time, begins a new
/// one. Runs that became empty take no more room than the others.
struct Backlog: Sendable {
    struct Run: Sendable {
        var first: Int64
        /// Exclusive.
        var end: Int64
        /// Milliseconds since 1970; `always`: now.
        var visibleAtMs: Int64

        var count: Int { Int(end - first) }
    }

    private struct DueRun: HeapElement, Sendable {
        var at: Int64
        /// The run's number: its place among all runs that there ever were.
        var number: Int

        func precedes(_ other: DueRun) -> Bool { at != other.at ? at < other.at : number < other.number }
    }

    static let always = Int64.min
    /// Empty runs that are not worth moving the others for.
    private static let keptRuns = 16

    /// In the order of their offsets. One in the middle that became empty stays until those before it are, or until
    /// most are such: a delayed message may be in front of any number of others that come and go.
    private var runs: ContiguousArray<Run> = []
    /// Empty runs from `head` on.
    private var emptied = 0
    /// The number of `runs[0]`.
    private var base = 0
    /// Runs before this one are taken; they are cut off when they are the greater part.
    private var head = 0
    /// Numbers of visible runs, in the order in which they became visible.
    private var ready = FIFO<Int>()
    private var waiting = BinaryHeap<DueRun>()
    private(set) var visible = 0
    private(set) var delayed = 0

    /// Runs that take memory.
    var runCount: Int { runs.count }
    var isEmpty: Bool { visible == 0 && delayed == 0 }
    var nextDeadline: Int64? { waiting.first?.at }
    /// The lowest offset in it.
    var firstOffset: Int64? { isEmpty ? nil : runs[head].first }
    var memoryBytes: Int {
        runs.capacity * MemoryLayout<Run>.stride + ready.count * MemoryLayout<Int?>.stride
            + waiting.count * MemoryLayout<DueRun>.stride
    }
    /// The runs that have messages, in the order of their offsets.
    var all: [Run] { runs[head...].filter { $0.first < $0.end } }

    /// Adds messages behind all that there are.
    mutating func append(_ first: Int64, end: Int64, visibleAtMs: Int64, nowMs: Int64) {
        if let last = runs.last { precondition(first >= last.end, "offset \(first) came after \(last.end - 1)") }
        let at = visibleAtMs <= nowMs ? Self.always : visibleAtMs
        let count = Int(end - first)
        if at == Self.always { visible += count } else { delayed += count }
        if let last = runs.indices.last, last >= head, runs[last].end == first, runs[last].visibleAtMs == at,
            runs[last].count > 0
        {
            runs[last].end = end
            return
        }
        let number = base + runs.count
        runs.append(Run(first: first, end: end, visibleAtMs: at))
        if at == Self.always { ready.append(number) } else { waiting.insert(DueRun(at: at, number: number)) }
    }

    /// Makes visible what is due, of `most` runs at most; `nextDeadline` tells that there are more.
    mutating func passTime(_ nowMs: Int64, most: Int) {
        for _ in 0..<most {
            guard let due = waiting.first, due.at <= nowMs else { break }
            waiting.removeFirst()
            guard due.number >= base + head else { continue }
            let at = due.number - base
            runs[at].visibleAtMs = Self.always
            delayed -= runs[at].count
            visible += runs[at].count
            if runs[at].count > 0 { ready.append(due.number) }
        }
    }

    /// Returns the next visible offsets to give out, `count` at most, as ranges with exclusive ends; takes none.
    func peek(_ count: Int) -> [Range<Int64>] {
        var ranges: [Range<Int64>] = []
        var room = Int64(count)
        for at in 0..<ready.count where room > 0 {
            let number = ready[at]
            guard number >= base + head else { continue }
            let run = runs[number - base]
            guard run.first < run.end else { continue }
            let end = min(run.end, run.first + room)
            ranges.append(run.first..<end)
            room -= end - run.first
        }
        return ranges
    }

    func contains(_ offset: Int64) -> Bool {
        let at = place(of: offset)
        return at < runs.count && runs[at].first <= offset
    }

    /// Takes offsets out, wherever they are; those that are not in it are ignored. Returns how many there were.
    mutating func take(_ first: Int64, end: Int64) -> Int {
        var at = place(of: first)
        var taken = 0
        while at < runs.count, runs[at].first < end {
            let run = runs[at]
            let (from, to) = (max(first, run.first), min(end, run.end))
            if from < to {
                count(run, -Int(to - from))
                taken += Int(to - from)
                if from > run.first, to < run.end {
                    // The range ends within the run, so there is nothing to take behind it.
                    split(at, around: from..<to)
                    return taken
                } else if from == run.first {
                    runs[at].first = to
                } else {
                    runs[at].end = from
                }
                if runs[at].first == runs[at].end { emptied += 1 }
            }
            at += 1
        }
        if taken > 0 { cut() }
        return taken
    }

    /// Takes the lowest offset out, and returns it with the time from which it may be received.
    mutating func takeFirst() -> (offset: Int64, visibleAtMs: Int64)? {
        guard !isEmpty else { return nil }
        let run = runs[head]
        count(run, -1)
        runs[head].first += 1
        if runs[head].first == runs[head].end { emptied += 1 }
        cut()
        return (run.first, run.visibleAtMs)
    }

    mutating func removeAll() { self = Backlog() }

    /// Gives back the room of what is gone, where it is the greater part.
    mutating func shrink() {
        if isEmpty {
            removeAll()
        } else if (runs.count - head) * 8 < runs.capacity, runs.capacity > 2 * Self.keptRuns {
            rebuild(Array(runs[head...]))
        }
    }

    private mutating func count(_ run: Run, _ change: Int) {
        if run.visibleAtMs == Self.always { visible += change } else { delayed += change }
    }

    /// The place of the first run that ends behind `offset`. Ends ascend, also those of empty runs.
    private func place(of offset: Int64) -> Int {
        var (low, high) = (head, runs.count)
        while low < high {
            let middle = (low + high) / 2
            if runs[middle].end <= offset { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// Makes two of a run. Costs a step for each run: only gaps in the middle of a run do it, which are found where a
    /// log was compacted.
    private mutating func split(_ place: Int, around removed: Range<Int64>) {
        var rest = runs[place]
        rest.first = removed.upperBound
        runs[place].end = removed.lowerBound
        rebuild(runs[head...place] + [rest] + runs[(place + 1)...])
    }

    /// Takes these runs instead of all that there are, but for empty ones. Numbers change, so what refers to them is
    /// made anew; the visible ones are in the order of their offsets then.
    private mutating func rebuild(_ all: some Sequence<Run>) {
        let (visible, delayed) = (visible, delayed)
        removeAll()
        for run in all where run.first < run.end {
            let number = runs.count
            runs.append(run)
            if run.visibleAtMs == Self.always {
                ready.append(number)
            } else {
                waiting.insert(DueRun(at: run.visibleAtMs, number: number))
            }
        }
        (self.visible, self.delayed) = (visible, delayed)
    }

    /// Drops the empty runs at the front, and all of them when they are the greater part.
    private mutating func cut() {
        while head < runs.count, runs[head].first >= runs[head].end {
            head += 1
            emptied -= 1
        }
        if emptied > Self.keptRuns, emptied * 2 > runs.count - head { return rebuild(Array(runs[head...])) }
        while let number = ready.first, number < base + head || runs[number - base].first >= runs[number - base].end {
            ready.removeFirst()
        }
        guard head > Self.keptRuns, head * 2 > runs.count else { return }
        runs.removeFirst(head)
        base += head
        head = 0
    }
}
