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
    }

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
    mutating func gate(_ ticket: UInt64) {
        if !gates.isEmpty, var last = gates.last, last.position == enqueued {
            last.ticket = max(last.ticket, ticket)
            gates.last = last
        } else {
            gates.append(Gate(ticket: ticket, position: enqueued))
        }
    }

    /// Opens the gates up to `published`, in order: one that is not reached holds those behind it.
    mutating func release(_ published: UInt64) {
        while let gate = gates.first, gate.ticket <= published { gates.removeFirst() }
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

    mutating func removeAll() {
        segments.removeAll()
        gates.removeAll()
        sent = enqueued
    }
}
