/// Fields that the parser recognises while it reads a head, so that asking for one is an array access.
public enum KnownField: UInt8, CaseIterable, Sendable {
    // What frames the message.
    case host, contentLength, transferEncoding, connection, expect
    // What routes and describes it.
    case contentType, contentEncoding, accept, authorization, apiKey, userAgent
    case partitionKey, batchMode, idempotencyKey, eventType, eventTime, prefer
    case cloudEventsVersion, correlationID, requestID, flowID, traceParent
    /// Which operation of a service of AWS is asked for.
    case amzTarget
    /// Where a stream of events is to go on.
    case lastEventID

    /// In lower case.
    public var name: StaticString {
        switch self {
        case .host: "host"
        case .contentLength: "content-length"
        case .transferEncoding: "transfer-encoding"
        case .connection: "connection"
        case .expect: "expect"
        case .contentType: "content-type"
        case .contentEncoding: "content-encoding"
        case .accept: "accept"
        case .authorization: "authorization"
        case .apiKey: "x-api-key"
        case .userAgent: "user-agent"
        case .partitionKey: "partition-key"
        case .batchMode: "x-batch-mode"
        case .idempotencyKey: "idempotency-key"
        case .eventType: "x-event-type"
        case .eventTime: "x-event-time"
        case .prefer: "prefer"
        case .cloudEventsVersion: "ce-specversion"
        case .correlationID: "x-correlation-id"
        case .requestID: "x-request-id"
        case .flowID: "x-flow-id"
        case .traceParent: "traceparent"
        case .amzTarget: "x-amz-target"
        case .lastEventID: "last-event-id"
        }
    }

    /// Whether a second one makes the request ambiguous: two readers could pick different ones. Lists may be split
    /// over several fields; of the trace fields the first counts.
    var isSingleton: Bool {
        switch self {
        case .connection, .accept, .prefer, .userAgent, .correlationID, .requestID, .flowID, .traceParent: false
        default: true
        }
    }
}

/// Some of the known fields, as bits.
public struct KnownFields: OptionSet, Sendable {
    public let rawValue: UInt32

    @inlinable
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    @inlinable
    public init(_ fields: KnownField...) { rawValue = fields.reduce(0) { $0 | 1 << UInt32($1.rawValue) } }
}

/// Finds a known field by its name: by length, then by the name's lower-cased words.
///
/// A name is not checked to be a token where it is found here, so nothing but the two cases of a letter may meet: a CR
/// that was read as `-` would frame a body by a line that others take for two.
struct KnownFieldTable {
    struct Entry {
        var first: UInt64
        var last: UInt64
        var middle: UInt64
        var field: KnownField
    }

    /// Longest known name plus one.
    static let lengths = 24
    private let entries: UnsafeMutablePointer<Entry>
    /// Entries of length `n` are at `starts[n]..<starts[n + 1]`.
    private let starts: UnsafeMutablePointer<UInt8>

    /// One table for the process, never freed.
    // SAFETY: written here once, read-only afterwards.
    nonisolated(unsafe) static let shared = KnownFieldTable()

    private init() {
        let sorted = KnownField.allCases.sorted { $0.name.utf8CodeUnitCount < $1.name.utf8CodeUnitCount }
        entries = .allocate(capacity: sorted.count)
        starts = .allocate(capacity: Self.lengths + 2)
        var next = 0
        for length in 0...Self.lengths {
            starts[length] = UInt8(next)
            while next < sorted.count, sorted[next].name.utf8CodeUnitCount == length {
                let name = UnsafeRawPointer(sorted[next].name.utf8Start)
                let words = Self.words(name, 0, length, end: length)
                entries[next] = Entry(first: words.0, last: words.2, middle: words.1, field: sorted[next])
                next += 1
            }
        }
        starts[Self.lengths + 1] = UInt8(next)
        precondition(next == sorted.count, "a known field name is longer than \(Self.lengths)")
    }

    /// Three overlapping lower-cased words that together cover a name of at most 24 bytes.
    @inline(__always)
    private static func words(
        _ base: UnsafeRawPointer, _ at: Int, _ length: Int, end: Int
    ) -> (UInt64, UInt64, UInt64) {
        if length >= 8 {
            return (
                lowercased(ByteScan.word(base, at)),
                lowercased(ByteScan.word(base, at &+ min(8, length &- 8))),
                lowercased(ByteScan.word(base, at &+ length &- 8))
            )
        }
        let mask = (UInt64(1) &<< UInt64(length &* 8)) &- 1
        var word: UInt64 = 0
        if at &+ 8 <= end {
            word = ByteScan.word(base, at)
        } else {
            for index in 0..<length { word |= UInt64(ByteScan.byte(base, at &+ index)) &<< UInt64(index &* 8) }
        }
        return (lowercased(word & mask), 0, 0)
    }

    /// Sets bit 5 of the bytes that have bit 6: of 0x40 to 0x7f, whose letters are the only ones that known names hold
    /// (and of 0xc0 to 0xff, which stay above them).
    @inline(__always)
    private static func lowercased(_ word: UInt64) -> UInt64 { word | (word & 0x4040_4040_4040_4040) &>> 1 }

    /// Returns the known field whose name stands at `at..<at + length`; `end` bounds what may be read.
    @inline(__always)
    func find(_ base: UnsafeRawPointer, _ at: Int, _ length: Int, end: Int) -> KnownField? {
        guard length > 0, length <= Self.lengths else { return nil }
        var index = Int(starts[length])
        let stop = Int(starts[length &+ 1])
        guard index < stop else { return nil }
        let words = Self.words(base, at, length, end: end)
        while index < stop {
            let entry = entries + index
            if entry.pointee.first == words.0, entry.pointee.last == words.2, entry.pointee.middle == words.1 {
                return entry.pointee.field
            }
            index &+= 1
        }
        return nil
    }
}
