internal import ByteBuffers

/// The unsent output of a connection: references to bytes in order, and gates that hold back what follows them.
///
/// ```
///   sent        limit = the first gate's position, else enqueued          enqueued
///    │ may leave    │ waits for ticket 7          │ waits for ticket 9       │
///    ▼──────────────▼────────────────────────────▼──────────────────────────▼
/// ```
/// Positions count bytes since the connection began. Invariant: `sent <= limit <= enqueued`; gate positions do not
/// fall.
struct OutputQueue {
    private(set) var segments = FIFO<ByteSlice>()
    private var gates = FIFO<Gate>()
    private(set) var enqueued = 0
    private(set) var sent = 0

    private struct Gate {
        var ticket: UInt64
        let position: Int
        var tag: UInt32
        var weight: Int
    }

    /// Bytes of the requests whose replies wait at the gates.
    private(set) var gatedWeight = 0

    /// Bytes not yet sent, held back or not.
    var pending: Int { enqueued - sent }
    /// Bytes that may leave now.
    var sendable: Int { (gates.first?.position ?? enqueued) - sent }
    var isGated: Bool { !gates.isEmpty }

    mutating func append(_ slice: ByteSlice) {
        if slice.count == 0 { return }
        enqueued += slice.count
        if !segments.isEmpty, let last = segments.last, last.chunk === slice.chunk,
            last.offset + last.count == slice.offset
        {
            segments.last = ByteSlice(chunk: last.chunk, offset: last.offset, count: last.count + slice.count)
        } else {
            segments.append(slice)
        }
    }

    /// What is appended from here on waits for `ticket`, and for all gates before it.
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
        sent += count
        var rest = count
        while rest > 0, let first = segments.first {
            if first.count > rest {
                segments.replaceFirst(first.slice(rest, count: first.count - rest))
                return
            }
            rest -= first.count
            segments.removeFirst()
        }
        precondition(rest == 0, "sent \(rest) bytes more than were queued")
    }

    /// All that stands behind the first gate whose ticket `hasFailed`; nil without such a gate.
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
        var position = sent
        held.bytes.reserveCapacity(enqueued - start)
        for index in 0..<segments.count {
            let segment = segments[index]
            let skipped = max(0, start - position)
            if skipped < segment.count { held.bytes += segment.bytes[skipped...] }
            position += segment.count
        }
        return held
    }

    /// Drops what `held` gave, with its gates.
    mutating func dropHeld(_ held: HeldOutput) {
        let end = enqueued - held.bytes.count
        var kept: [ByteSlice] = []
        var position = sent
        for index in 0..<segments.count where position < end {
            let segment = segments[index]
            kept.append(segment.slice(0, count: min(segment.count, end - position)))
            position += segment.count
        }
        segments.removeAll()
        for slice in kept { segments.append(slice) }
        var before: [Gate] = []
        for index in 0..<(gates.count - held.gates.count) { before.append(gates[index]) }
        gates.removeAll()
        for gate in before { gates.append(gate) }
        gatedWeight = before.reduce(0) { $0 + $1.weight }
        enqueued = end
    }

    mutating func removeAll() {
        segments.removeAll()
        gates.removeAll()
        gatedWeight = 0
        sent = enqueued
    }
}

/// Replies that will not leave as they are, because a commit has failed: all of a connection's output from the first of
/// them on.
public struct HeldOutput {
    public var bytes: [UInt8] = []
    /// Where in `bytes` each gate stands, and the tag that the reply behind it was given.
    public var gates: [(position: Int, tag: UInt32)] = []
}
