public enum HTTPMethod: UInt8, Sendable {
    case get, head, post, put, patch, delete, options
    /// Known, so that it can be refused as one that is not allowed; served nowhere.
    case trace

    public var name: StaticString {
        switch self {
        case .get: "GET"
        case .head: "HEAD"
        case .post: "POST"
        case .put: "PUT"
        case .patch: "PATCH"
        case .delete: "DELETE"
        case .options: "OPTIONS"
        case .trace: "TRACE"
        }
    }
}

/// How the length of a request's body is given.
public enum BodyFraming: Equatable, Sendable {
    /// Exactly this many bytes follow the head; 0 when neither header is there.
    case length(Int)
    case chunked
}

/// What became of the bytes so far.
public enum HeadOutcome: Equatable, Sendable {
    /// The head has not ended; more bytes are needed.
    case incomplete
    /// The head takes this many bytes; its body, if any, starts there.
    case complete(length: Int)
    case failure(HTTPFailure)
}

/// How far the search for a head's end has come; one for each connection, reset when a head is complete.
///
/// It bounds the work for a head that arrives in small pieces: the bytes are searched once, and parsed again only when
/// their end is there or they have grown by half (so that garbage is refused long before the limits).
public struct HeadProgress: Sendable {
    /// Bytes searched for the empty line.
    var searched = 0
    /// Bytes that there were when they were last parsed.
    var parsed = 0

    public init() {}
}

/// One request's head, parsed in place: method, target and fields are ranges of the caller's bytes, so a head costs no
/// allocation. Make one for each event loop and parse every head of the loop with it.
///
/// What it hands out is valid until the next `parse`, and only while the bytes given to the last `parse` are.
public struct RequestHead: ~Copyable {
    struct FieldEntry {
        var nameStart: UInt16
        var nameCount: UInt16
        var valueStart: UInt16
        var valueCount: UInt16
    }

    public let limits: HTTPLimits
    let entries: UnsafeMutablePointer<FieldEntry>
    /// For each known field, 1 + the index of its first entry, or 0.
    let known: UnsafeMutablePointer<UInt8>
    let table: KnownFieldTable
    var base: UnsafeRawPointer

    /// Number of fields.
    public internal(set) var fieldCount = 0
    /// The known ones among them.
    public internal(set) var present = KnownFields()
    public internal(set) var method = HTTPMethod.get
    /// 0 for HTTP/1.0; 1 for HTTP/1.1 and what comes after it.
    public internal(set) var minorVersion = 1
    public internal(set) var body = BodyFraming.length(0)
    /// Whether the peer wants the connection to stay open after the reply.
    public internal(set) var keepAlive = true
    /// Whether the peer waits for "100 Continue" before it sends the body.
    public internal(set) var expectsContinue = false
    var pathStart = 0
    var pathCount = 0
    var queryStart = 0
    var queryCount = 0
    var authorityStart = 0
    var authorityCount = 0

    public init(limits: HTTPLimits = HTTPLimits()) {
        precondition(limits.head <= Int(UInt16.max), "ranges of a head are 16-bit")
        precondition(limits.fields < Int(UInt8.max), "indexes of fields are 8-bit")
        self.limits = limits
        entries = .allocate(capacity: limits.fields)
        known = .allocate(capacity: KnownField.allCases.count)
        known.initialize(repeating: 0, count: KnownField.allCases.count)
        table = .shared
        base = UnsafeRawPointer(known)
    }

    deinit {
        entries.deallocate()
        known.deallocate()
    }

    // MARK: What was parsed

    @inline(__always)
    func range(_ start: Int, _ count: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: base + start, count: count)
    }

    /// The path, from its first `/`, as it stands on the wire (percent-encoded), without the query; `*` for `OPTIONS *`.
    public var path: UnsafeRawBufferPointer { range(pathStart, pathCount) }
    /// What follows the first `?`, as it stands on the wire; empty when there is none.
    public var query: UnsafeRawBufferPointer { range(queryStart, queryCount) }
    /// Host and port: of the target when it is in absolute form, of the Host field otherwise. May be empty.
    public var authority: UnsafeRawBufferPointer { range(authorityStart, authorityCount) }

    /// The value of the first such field, without surrounding whitespace; `nil` when there is none.
    public subscript(_ field: KnownField) -> UnsafeRawBufferPointer? {
        let index = known[Int(field.rawValue)]
        return index == 0 ? nil : fieldValue(Int(index) - 1)
    }

    /// Returns the name of field `index`, as it stands on the wire.
    public func fieldName(_ index: Int) -> UnsafeRawBufferPointer {
        precondition(index >= 0 && index < fieldCount)
        return range(Int(entries[index].nameStart), Int(entries[index].nameCount))
    }

    /// Returns the value of field `index`, without surrounding whitespace.
    public func fieldValue(_ index: Int) -> UnsafeRawBufferPointer {
        precondition(index >= 0 && index < fieldCount)
        return range(Int(entries[index].valueStart), Int(entries[index].valueCount))
    }

    /// Whether field `index` is called `name`, which is in lower case.
    public func isField(_ index: Int, named name: String) -> Bool {
        let own = fieldName(index)
        guard own.count == name.utf8.count else { return false }
        return zip(own, name.utf8).allSatisfy { byte, other in
            (byte &- UInt8(ascii: "A") < 26 ? byte | 0x20 : byte) == other
        }
    }

    /// Returns the index of the first field whose name is longer than `prefix` (in lower case) and begins with it,
    /// whatever the case of its letters.
    public func firstField(withPrefix prefix: StaticString) -> Int? {
        let length = prefix.utf8CodeUnitCount
        for index in 0..<fieldCount where Int(entries[index].nameCount) > length {
            if Self.equals(range(Int(entries[index].nameStart), length), prefix) { return index }
        }
        return nil
    }
}
