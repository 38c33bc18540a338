public import Security

/// What is asked of a server: a GET, or a POST where there is a body.
public struct HTTPCall: Sendable {
    /// Whom a connection may be made to, by the address that a name has turned out to stand for.
    public enum Reach: Sendable {
        case anybody
        /// This machine alone.
        case loopback
        /// Anybody but where machines of clouds find their credentials (`NetworkAddress.isMetadata`); those of the list are taken.
        case notMetadata(except: [NetworkAddress])
        /// The internet at large (`NetworkAddress.isGlobal`), and networks of the list.
        case global(or: [NetworkRange])

        func contains(_ address: NetworkAddress) -> Bool {
            switch self {
            case .anybody: true
            case .loopback: address.isLoopback
            case .notMetadata(let exceptions): !address.isMetadata || exceptions.contains(address)
            case .global(let networks): address.isGlobal || networks.contains { $0.contains(address) }
            }
        }
    }

    /// Of https, or of http.
    public var url: String
    /// Nil: a GET.
    public var body: [UInt8]?
    /// Lines, `Name: value`.
    public var headers: [String] = []
    /// A PEM file with the certificates that sign those of servers; nil: the system's.
    public var authorities: String?
    public var reach: Reach
    /// Whether a proxy of the environment's is used.
    public var usesProxy = false
    /// Until a connection stands, TLS included.
    public var connectTimeoutMs = 5_000
    /// From the look-up of the name to the last byte.
    public var timeoutMs = 10_000
    /// Of the answer; a longer one is a failure.
    public var maxBodyBytes: Int
    public var maxHeaderBytes = 64 << 10

    public init(url: String, reach: Reach, maxBodyBytes: Int) {
        (self.url, self.reach, self.maxBodyBytes) = (url, reach, maxBodyBytes)
    }

    var isPlain: Bool { url.hasPrefix("http://") }
}

/// What a server has answered, whatever its status is.
public struct HTTPAnswer: Sendable {
    public var status: Int
    public var body: [UInt8]
    /// As it is written; nil: there is none.
    public var retryAfter: String?
    /// Where else it is to be looked for, as it is written; nil: the answer does not say.
    public var location: String?
    /// The values of the fields Link, as they are written.
    public var links: [String] = []

    public init(status: Int, body: [UInt8], retryAfter: String? = nil) {
        (self.status, self.body, self.retryAfter) = (status, body, retryAfter)
    }
}

/// Why there is no answer.
public struct HTTPCallFailure: Error, Equatable, Sendable {
    public enum Kind: Sendable {
        /// Nothing was sent: there was no connection.
        case notSent
        /// Nothing was sent, for the address is none that may be called.
        case forbidden
        /// The request was sent, or a part of it, and nobody knows what came of it.
        case lost
        case timedOut
        /// It has more bytes than may be.
        case tooLong
    }

    public var kind: Kind
    /// For people.
    public var reason: String

    public init(_ kind: Kind, _ reason: String) { (self.kind, self.reason) = (kind, reason) }
}
