import ByteBuffers
import HTTPWire

/// The reply to one request while it is made: what goes into the head, and the body in the loop's writer.
struct Reply {
    var status = 200
    var contentType: StaticString = "application/json"
    /// The commit that must be durable before the reply may leave; 0: none.
    private(set) var ticket: UInt64 = 0
    /// Bytes of events that wait in memory for that commit.
    private(set) var appendedBytes = 0
    /// The connection ends with this reply.
    var closes = false
    /// A machine-readable reason for the metrics; empty on success.
    var code: StaticString = ""
    /// Methods, for 405 and OPTIONS.
    var allow: RouteMethods?
    /// Media types, for 415.
    var accept: MediaTypes?
    /// Content codings, for 415.
    var acceptEncoding: StaticString?
    /// Seconds.
    var retryAfter: Int?
    /// Policy and what is left of it, on routes with a rate.
    var rateLimit: (rate: Int, burst: Int, remaining: Int)?

    /// Lets the reply wait until its events are on disk.
    mutating func rest(on placement: Placement) {
        ticket = placement.ticket
        appendedBytes = placement.bytes
    }

    /// Lets it wait for nothing: it acknowledges nothing.
    mutating func restOnNothing() { (ticket, appendedBytes) = (0, 0) }
}

extension ByteWriter {
    /// Writes text as it stands.
    mutating func text(_ text: StaticString) { ResponseHead.literal(&self, text) }

    mutating func decimal(_ value: Int) { ResponseHead.decimal(&self, value) }

    /// `,"name":` or, as the first member, `"name":`.
    mutating func member(_ name: StaticString, first: Bool = false) {
        text(first ? "\"" : ",\"")
        text(name)
        text("\":")
    }
}
