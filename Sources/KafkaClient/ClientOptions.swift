import ByteBuffers
public import Security
public import TLS

/// How a client behaves; the defaults suit a tool that a person waits for.
public struct ClientOptions: Sendable {
    /// The name in every request header, for the broker's logs and quotas.
    public var clientID = "millrace"
    public var softwareVersion = "0"
    /// How long one attempt to connect to one address may take.
    public var connectTimeoutMs: Int64 = 5_000
    /// How long a request may take from asking to the answer, over all attempts.
    public var requestTimeoutMs: Int64 = 15_000
    /// Pause between two attempts at something transient; doubles up to sixteen times this.
    public var retryBackoffMs: Int64 = 50
    /// The longest answer taken. A fetch asks for less; a longer one is a broken peer.
    public var maxAnswerBytes = 256 << 20
    /// Asked whenever the client waits; true ends the wait with `.cancelled`.
    public var isCancelled: (@Sendable () -> Bool)?

    /// How connections are protected, each with its own handshake; nil: not at all.
    public var tls: TLSClientSettings?

    /// Who it says that it is, by SASL; nil: nobody, for listeners that do not ask.
    public var login: Login?

    public init() {}

    public struct Login: Sendable {
        public var user: String
        public var password: Secret
        public var mechanism: ScramMechanism

        public init(user: String, password: Secret, mechanism: ScramMechanism = .sha256) {
            self.user = user
            self.password = password
            self.mechanism = mechanism
        }
    }
}

/// A point on the monotonic clock until which to wait.
public struct Deadline: Sendable {
    let nanoseconds: Int64

    public static func after(milliseconds: Int64) -> Deadline {
        let (sum, overflow) = MonotonicClock.nanoseconds.addingReportingOverflow(
            milliseconds.multipliedClamped(by: 1_000_000))
        return Deadline(nanoseconds: overflow ? .max : sum)
    }

    public var hasPassed: Bool { MonotonicClock.nanoseconds >= nanoseconds }

    /// At least 0, rounded up.
    public var remainingMs: Int64 { max(0, (nanoseconds - MonotonicClock.nanoseconds + 999_999) / 1_000_000) }

    func earlier(of other: Deadline) -> Deadline { nanoseconds < other.nanoseconds ? self : other }
}

extension Int64 {
    fileprivate func multipliedClamped(by factor: Int64) -> Int64 {
        let (product, overflow) = multipliedReportingOverflow(by: factor)
        return overflow ? .max : product
    }
}
