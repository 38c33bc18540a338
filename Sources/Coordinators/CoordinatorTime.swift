/// The moment of one event, given by the caller: coordinators read no clock.
public struct CoordinatorTime: Hashable, Sendable {
    /// Milliseconds of a clock that never goes back; all timers are measured on it.
    public var monotonicMs: Int64
    /// Milliseconds since 1970; written into records (commit and state timestamps) and used for retention.
    public var wallClockMs: Int64

    @inlinable
    public init(monotonicMs: Int64, wallClockMs: Int64) {
        self.monotonicMs = monotonicMs
        self.wallClockMs = wallClockMs
    }
}

/// Names one request that waits for its reply. The caller chooses the number; no two requests that wait at the same
/// time in one shard may share it.
public struct WaiterID: RawRepresentable, Hashable, Sendable {
    public var rawValue: UInt64
    @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }
    @inlinable public init(_ value: UInt64) { rawValue = value }
}

/// What a coordinator has to know of the connection and header that a request came with.
public struct RequestContext: Sendable {
    /// The header's client id; empty when it is null. Begins the ids of dynamic members.
    public var clientID: String
    /// The peer's address as Kafka's tools show it: `/127.0.0.1`.
    public var clientHost: String
    public var apiVersion: Int16

    public init(clientID: String, clientHost: String, apiVersion: Int16) {
        self.clientID = clientID
        self.clientHost = clientHost
        self.apiVersion = apiVersion
    }
}
