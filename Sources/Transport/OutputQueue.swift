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
        var ticket: UInt64
        let position: Int
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

    /// Holds back what is appended from here on until `ticket`, and all gates before it, are reached.
    mutating func gate(_ ticket: UInt64, tag: UInt32 = 0, weight: Int = 0) {
        gatedWeight += weight
        if !gates.isEmpty, var last = gates.last, last.position == enqueued {
            last.ticket = max(last.ticket, ticket)
            last.tag = tag
            last.weight += weight
            gates.last = last
        } else {
            gates.append(Gate(ticket: ticket, position: enqueued, tag: tag, weight: weight))
        }
    }

    /// Opens the gates up to `published`, in order: one that is not reached holds those behind it.
    mutating func release(_ published: UInt64) {
        while let gate = gates.first, gate.ticket <= published {
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

    /// Returns all that stands behind the first gate whose ticket `hasFailed`; nil without such a gate.
    func held(_ hasFailed: (UInt64) -> Bool) -> HeldOutput? {
        var index = 0
        while index < gates.count, !hasFailed(gates[index].ticket) { index += 1 }
        guard index < gates.count else { return nil }
        let start = gates[index].position
        var held = HeldOutput()
        while index < gates.count {
            held.gates.append((position: gates[index].position - start, tag: gates[index].tag))
            index += 1
        }
        held.bytes.reserveCapacity(enqueued - start)
        var position = sent
        var part = 0
        for index in 0...segments.count {
            while part < files.count, files[part].position == position {
                let slice = files[part].slice
                if position >= start, !held.append(slice) { held.isWhole = false }
                position += slice.count
                part += 1
            }
            if index == segments.count { break }
            let segment = segments[index]
            let skipped = max(0, start - position)
            if skipped < segment.count { held.bytes += segment.bytes[skipped...] }
            position += segment.count
        }
        return held
    }

    /// Drops the output that `held` contains, together with its gates.
    mutating func dropHeld(_ held: HeldOutput) {
        let end = enqueued - held.bytes.count
        var kept: [ByteSlice] = []
        var keptFiles: [FilePart] = []
        var position = sent
        var part = 0
        for index in 0...segments.count {
            // A gate stands before or behind a reply, so a part of a file is kept or dropped whole.
            while part < files.count, files[part].position == position, position < end {
                keptFiles.append(files[part])
                position = files[part].end
                part += 1
            }
            if index == segments.count || position >= end { break }
            let segment = segments[index]
            kept.append(segment.slice(0, count: min(segment.count, end - position)))
            position += segment.count
        }
        segments.removeAll()
        for slice in kept { segments.append(slice) }
        files.removeAll()
        for part in keptFiles { files.append(part) }
        pendingInFiles = keptFiles.reduce(0) { $0 + $1.slice.count }
        var before: [Gate] = []
        for index in 0..<(gates.count - held.gates.count) { before.append(gates[index]) }
        gates.removeAll()
        for gate in before { gates.append(gate) }
        gatedWeight = before.reduce(0) { $0 + $1.weight }
        enqueued = end
    }

    mutating func removeAll() {
        segments.removeAll()
        files.removeAll()
        gates.removeAll()
        (gatedWeight, pendingInFiles) = (0, 0)
        sent = enqueued
    }
}

/// Replies that will not leave as they are, because a commit has failed: all of a connection's output from the first of
/// them on.
public struct HeldOutput {
    public var bytes: [UInt8] = []
    /// Where in `bytes` each gate stands, and the tag that the reply behind it was given.
    public var gates: [(position: Int, tag: UInt32)] = []
    /// Whether all of it is in `bytes`; false when some is in a file that could not be read.
    var isWhole = true

    /// Adds bytes of a file; false when they cannot be read.
    mutating func append(_ slice: FileSlice) -> Bool {
        let start = bytes.count
        bytes.append(contentsOf: repeatElement(0, count: slice.count))
        return bytes.withUnsafeMutableBytes { bytes in
            slice.read(into: UnsafeMutableRawBufferPointer(rebasing: bytes[start...]))
        }
    }
}
