import HTTPWire

/// What a path leads to.
enum Route {
    /// `/v1/topics/{t}/events`
    case events(topic: UnsafeRawBufferPointer)
    /// `/v1/topics/{t}/records` and `/v1/topics/{t}/partitions/{p}/records`
    case records(topic: UnsafeRawBufferPointer, partition: UnsafeRawBufferPointer?)
    /// `/events`
    case webhook
    /// `/ingest` and `/`
    case ingest
    case health
    case readiness
    case metrics
    case statistics
    /// `*`: what the whole server serves, asked by OPTIONS alone.
    case server

    /// The value of the `route` label; also the index of its counters.
    enum Name: Int, CaseIterable {
        case events, records, webhook, ingest, health, readiness, metrics, statistics, server, none

        var text: String {
            switch self {
            case .events: "/v1/topics/{topic}/events"
            case .records: "/v1/topics/{topic}/records"
            case .webhook: "/events"
            case .ingest: "/ingest"
            case .health: "/healthz"
            case .readiness: "/readyz"
            case .metrics: "/metrics"
            case .statistics: "/stats"
            case .server: "*"
            case .none: "none"
            }
        }
    }

    var name: Name {
        switch self {
        case .events: .events
        case .records: .records
        case .webhook: .webhook
        case .ingest: .ingest
        case .health: .health
        case .readiness: .readiness
        case .metrics: .metrics
        case .statistics: .statistics
        case .server: .server
        }
    }

    /// Takes a body and appends it.
    var isIngest: Bool {
        switch self {
        case .events, .webhook, .ingest: true
        default: false
        }
    }

    /// Writes or reads events: what it does not understand of a request is refused. The other paths take any query, for
    /// probes and scrapers append their own.
    var isStrict: Bool {
        if case .records = self { return true }
        return isIngest
    }

    /// The query's parameters, for people; `takes` must agree.
    var parameters: StaticString {
        switch self {
        case .events: "results"
        case .records(_, .none): "partition, offset, timestamp, limit, max_bytes"
        case .records: "offset, timestamp, limit, max_bytes"
        default: "no parameters"
        }
    }

    func takes(parameter name: UnsafeRawBufferPointer) -> Bool {
        switch self {
        case .events: name.equals("results")
        case .records(_, let partition):
            name.equals("offset") || name.equals("timestamp") || name.equals("limit") || name.equals("max_bytes")
                || partition == nil && name.equals("partition")
        default: false
        }
    }

    /// For `Allow`.
    var methods: StaticString {
        if case .server = self { return "GET, HEAD, POST, OPTIONS" }
        return isIngest ? "POST, OPTIONS" : "GET, HEAD, OPTIONS"
    }

    func allows(_ method: HTTPMethod) -> Bool {
        isIngest ? method == .post : method == .get || method == .head
    }

    /// Returns the route of a path as it stands on the wire; `nil` when there is none. Paths are compared byte for
    /// byte, so that a proxy's rules for a path cannot be walked around: a slash at the end, or an escaped letter,
    /// makes another path.
    static func match(_ path: UnsafeRawBufferPointer) -> Route? {
        if let rest = path.dropping("/v1/topics/") { return matchTopic(rest) }
        if path.equals("/ingest") || path.equals("/") || path.isEmpty { return .ingest }
        if path.equals("/events") { return .webhook }
        if path.equals("/healthz") { return .health }
        if path.equals("/readyz") { return .readiness }
        if path.equals("/metrics") { return .metrics }
        if path.equals("/stats") { return .statistics }
        if path.equals("*") { return .server }
        return nil
    }

    private static func matchTopic(_ rest: UnsafeRawBufferPointer) -> Route? {
        guard let slash = rest.firstIndex(of: UInt8(ascii: "/")), slash > 0 else { return nil }
        let topic = UnsafeRawBufferPointer(rebasing: rest[..<slash])
        let tail = UnsafeRawBufferPointer(rebasing: rest[slash...])
        if tail.equals("/events") { return .events(topic: topic) }
        if tail.equals("/records") { return .records(topic: topic, partition: nil) }
        guard let inner = tail.dropping("/partitions/"), let end = inner.firstIndex(of: UInt8(ascii: "/")), end > 0,
            UnsafeRawBufferPointer(rebasing: inner[end...]).equals("/records")
        else { return nil }
        return .records(topic: topic, partition: UnsafeRawBufferPointer(rebasing: inner[..<end]))
    }
}

extension UnsafeRawBufferPointer {
    func equals(_ text: StaticString) -> Bool {
        count == text.utf8CodeUnitCount && startsLike(text)
    }

    /// Returns what follows `prefix`; `nil` when these bytes do not begin with it.
    func dropping(_ prefix: StaticString) -> UnsafeRawBufferPointer? {
        let length = prefix.utf8CodeUnitCount
        guard count >= length, startsLike(prefix) else { return nil }
        return UnsafeRawBufferPointer(rebasing: self[length...])
    }

    private func startsLike(_ text: StaticString) -> Bool {
        guard let base = baseAddress else { return true }
        let other = UnsafeRawPointer(text.utf8Start)
        for index in 0..<text.utf8CodeUnitCount
        where ByteScan.byte(base, index) != ByteScan.byte(other, index) {
            return false
        }
        return true
    }

    /// A plain non-negative decimal number of at most 18 digits.
    var decimalValue: Int? {
        guard count > 0, count <= 18 else { return nil }
        var value = 0
        for digit in self {
            guard digit &- UInt8(ascii: "0") <= 9 else { return nil }
            value = value &* 10 &+ Int(digit &- UInt8(ascii: "0"))
        }
        return value
    }
}
