import KafkaModel
public import Security

/// One pull, as the configuration has it: pages of rows that are asked for, again and again.
public struct PullDefinition: Sendable, Equatable {
    public let name: String
    let topic: String
    let quarantine: String
    /// What is made of a row.
    let plan: IngestPlan
    /// Milliseconds from the begin of a run to that of the next; nil: runs are asked for.
    var everyMs: Int64?
    /// Where a page has its rows; nil: it is the list of them.
    var records: JSONPointer?
    var pages: PullPages.Plan
    var headers: [Header] = []
    var retry = PullRetry.Rule()
    var maxRedirects = 3
    /// Bytes of an answer.
    public var maxBytes = 4 << 20
    /// Milliseconds of one request, from the look-up of the name to the last byte of the answer.
    public var timeoutMs: Int64 = 30_000
    /// Networks that may be called although they are not of the internet at large.
    public var allowed: [NetworkRange] = []
    /// A PEM file with the certificates that sign the server's; nil: the system's.
    public var authorityFile: String?
    /// The leaves of its section: by them and the secrets a change is seen.
    let leaves: [String]

    /// A field of each request.
    struct Header: Sendable, Equatable {
        let name: String
        /// Before the secret, or all there is.
        let text: String
        let secret: Secret?

        var line: String {
            guard let secret else { return "\(name): \(text)" }
            return secret.withBytes { "\(name): \(text)\(String(decoding: $0, as: UTF8.self))" }
        }
    }

    static let everyLimitsMs: ClosedRange<Int64> = 1_000...7 * 24 * 3_600_000
    static let pagesLimits: ClosedRange<Int64> = 1...1_000_000
    static let bytesLimits: ClosedRange<Int64> = 1_024...16 << 20
    static let timeoutLimitsMs: ClosedRange<Int64> = 100...900_000
    static let redirectsLimits: ClosedRange<Int64> = 0...10
    static let attemptsLimits: ClosedRange<Int64> = 1...100
    static let waitLimitsMs: ClosedRange<Int64> = 1...3_600_000
    static let sizeLimits: ClosedRange<Int64> = 1...Int64(PageReader.maxRows)

    public static func == (one: PullDefinition, other: PullDefinition) -> Bool {
        one.name == other.name && one.leaves == other.leaves && one.headers == other.headers
    }
}
