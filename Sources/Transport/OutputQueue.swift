internal import ByteBuffers

/// The unsent output of a connection: references to bytes in order, in memory or in files, and gates that hold back
/// what follows them.
///
/// ```
///   sent        limit = the first gate's position, else enqueued          enqueued
///    │ may leave    │ waits for ticket 7          │ waits for ticket 9       │
///    ▼──────────────▼────────────────────────────▼──────────────────────────▼
/// ```
/// Positions count bytes since the connection began. Invariant: `sent <= limit <= enqueued`; gate positions do not
/// fall.
struct OutputQueue {
    /// What is in memory, in order.
    private(set) var segments = FIFO<ByteSlice>()
    /// What is in files, in order. No segment reaches across one.
    private var files = FIFO<FilePart>()
    private var gates = FIFO<Gate>()
    private(set) var enqueued = 0
    private(set) var sent = 0

    private struct Gate {
        var commits: CommitSpan
        var position: Int
        var tag: UInt32
        var weight: Int
    }

    private struct FilePart {
        var slice: FileSlice
        /// Position of its first byte.
        var position: Int
        var end: Int { position + slice.count }
    }

    /// Bytes of the requests whose replies wait at the gates.
    private(set) var gatedWeight = 0

    /// Bytes not yet sent, held back or not.
    var pending: Int { enqueued - sent }
    /// Bytes not yet sent that are in memory, not in files.
    var pendingInMemory: Int { pending - pendingInFiles }
    private var pendingInFiles = 0
    /// Bytes that may leave now.
    var sendable: Int { (gates.first?.position ?? enqueued) - sent }
    var isGated: Bool { !gates.isEmpty }

    mutating func append(_ slice: ByteSlice) {
        if slice.count == 0 { return }
        enqueued += slice.count
        if !segments.isEmpty, let last = segments.last, last.chunk === slice.chunk,
            last.offset + last.count == slice.offset, files.isEmpty || files.last!.end < enqueued - slice.count
        {
            segments.last = ByteSlice(chunk: last.chunk, offset: last.offset, count: last.count + slice.count)
        } else {
            segments.append(slice)
        }
    }

    mutating func append(_ slice: FileSlice) {
        if slice.count == 0 { return }
        files.append(FilePart(slice: slice, position: enqueued))
        enqueued += slice.count
        pendingInFiles += slice.count
    }

    /// The part of a file that is to be sent next; nil when bytes in memory are.
    var nextFile: FileSlice? {
        guard let first = files.first, first.position == sent else { return nil }
        return first.slice
    }

    /// Bytes in memory that may leave before the next part of a file, and whether that may follow at once.
    var sendableFromMemory: (count: Int, isFollowed: Bool) {
        let sendable = sendable
        guard let first = files.first, first.position - sent < sendable else { return (sendable, false) }
        return (first.position - sent, true)
    }

    /// Holds back what is appended from here on until `commits`, and all gates before it, are reached.
    mutating func gate(_ commits: CommitSpan, tag: UInt32 = 0, weight: Int = 0) {
        gatedWeight += weight
        if !gates.isEmpty, var last = gates.last, last.position == enqueued {
            last.commits.add(commits)
            last.tag = tag
            last.weight += weight
            gates.last = last
        } else {
            gates.append(Gate(commits: commits, position: enqueued, tag: tag, weight: weight))
        }
    }

    /// Opens the gates up to `published`, in order: one that is not reached holds those behind it.
    mutating func release(_ published: UInt64) {
        while let gate = gates.first, gate.commits.last <= published {
            gatedWeight -= gate.weight
            gates.removeFirst()
        }
    }

    mutating func didSend(_ count: Int) {
        var rest = count
        if !files.isEmpty, var first = files.first, first.position == sent {
            precondition(rest <= first.slice.count, "sent \(rest) bytes of \(first.slice.count) in a file")
            sent += rest
            pendingInFiles -= rest
            if rest == first.slice.count { return files.removeFirst() }
            first.slice = first.slice.dropFirst(rest)
            first.position = sent
            return files.replaceFirst(first)
        }
        sent += count
        while rest > 0, !segments.isEmpty {
            // Read only the length: copying the slice would retain and release its chunk.
            let length = segments[0].count
            if length > rest {
                return segments.replaceFirst(segments[0].slice(rest, count: length - rest))
            }
            rest -= length
            segments.removeFirst()
        }
        precondition(rest == 0, "sent \(rest) bytes more than were queued")
    }

    /// Returns what stands behind the first gate that `isRefused`, up to the next one that is not; nil without such a gate. Looks
    /// at gates up to `published` alone.
    func held(upTo published: UInt64 = .max, _ isRefused: (CommitSpan) -> Bool) -> HeldOutput? {
        var index = 0
        while index < gates.count, gates[index].commits.last <= published, !isRefused(gates[index].commits) {
            index += 1
        }
        guard index < gates.count, gates[index].commits.last <= published else { return nil }
        var held = HeldOutput(from: gates[index].position, firstGate: index)
        while index < gates.count, isRefused(gates[index].commits) {
            held.gates.append((position: gates[index].position - held.start, tag: gates[index].tag))
            index += 1
        }
        held.end = index < gates.count ? gates[index].position : enqueued
        held.bytes.reserveCapacity(held.end - held.start)
        Self.forEachPart(segments, files, after: sent, from: held.start, to: held.end) { part in
            switch part {
            case .memory(let slice): held.bytes += slice.bytes
            case .file(let slice): if !held.append(slice) { held.isWhole = false }
            }
        }
        return held
    }

    /// Puts `replacement` in place of what `held` contains, and of its gates; with `isLast` nothing stands behind it any more.
    mutating func replace(_ held: HeldOutput, by replacement: ByteSlice?, isLast: Bool) {
        let (oldSegments, oldFiles, oldGates, oldEnd) = (segments, files, gates, enqueued)
        segments.removeAll()
        files.removeAll()
        gates.removeAll()
        (enqueued, pendingInFiles, gatedWeight) = (sent, 0, 0)
        let first = sent
        Self.forEachPart(oldSegments, oldFiles, after: first, from: first, to: held.start) { append($0) }
        if let replacement { append(replacement) }
        let moved = enqueued - held.end
        if !isLast {
            Self.forEachPart(oldSegments, oldFiles, after: first, from: held.end, to: oldEnd) { append($0) }
        }
        for index in 0..<oldGates.count where !held.gateIndexes.contains(index) {
            var gate = oldGates[index]
            if index >= held.gateIndexes.upperBound {
                if isLast { break }
                gate.position += moved
            }
            gates.append(gate)
            gatedWeight += gate.weight
        }
    }

    private enum Part {
        case memory(ByteSlice)
        case file(FileSlice)
    }

    private mutating func append(_ part: Part) {
        switch part {
        case .memory(let slice): append(slice)
        case .file(let slice): append(slice)
        }
    }

    /// Goes through what stands between two positions, in order. A gate stands before or behind a reply, and a part of a file
    /// within one, so such a part is between them or not.
    private static func forEachPart(
        _ segments: FIFO<ByteSlice>, _ files: FIFO<FilePart>, after sent: Int, from start: Int, to end: Int,
        _ body: (Part) -> Void
    ) {
        var position = sent
        var part = 0
        for index in 0...segments.count {
            while part < files.count, files[part].position == position {
                if position >= start, position < end { body(.file(files[part].slice)) }
                position = files[part].end
                part += 1
            }
            if index == segments.count { break }
            let segment = segments[index]
            let lower = max(0, start - position)
            let upper = min(segment.count, end - position)
            if lower < upper { body(.memory(segment.slice(lower, count: upper - lower))) }
            position += segment.count
        }
    }

    mutating func removeAll() {
        segments.removeAll()
        files.removeAll()
        gates.removeAll()
        (gatedWeight, pendingInFiles) = (0, 0)
        sent = enqueued
    }
}

/// Replies that will not leave as they are, because a commit has failed on which they rest, in part at least; with what
/// stands behind them and rests on nothing.
public struct HeldOutput {
    public var bytes: [UInt8] = []
    /// Where in `bytes` each gate stands, and the tag that the reply behind it was given.
    public var gates: [(position: Int, tag: UInt32)] = []
    /// Whether all of it is in `bytes`; false when some is in a file that could not be read.
    var isWhole = true
    /// Where it stands in the queue.
    let start: Int
    var end: Int
    private let firstGate: Int
    var gateIndexes: Range<Int> { firstGate..<firstGate + gates.count }

    init(from start: Int, firstGate: Int) {
        self.start = start
        end = start
        self.firstGate = firstGate
    }

    /// Adds bytes of a file; false when they cannot be read.
    mutating func append(_ slice: FileSlice) -> Bool {
        let start = bytes.count
        bytes.append(contentsOf: repeatElement(0, count: slice.count))
        return bytes.withUnsafeMutableBytes { bytes in
            slice.read(into: UnsafeMutableRawBufferPointer(rebasing: bytes[start...]))
        }
    }
}

/// What is sent in place of replies that do not leave as they are.
public struct ReplacedOutput {
    public var bytes: [UInt8]
    /// Nothing that stands behind them leaves either.
    public var isLast: Bool

    public init(_ bytes: [UInt8], isLast: Bool = false) {
        self.bytes = bytes
        self.isLast = isLast
    }
}
