public import Configuration

/// What came of reading the configuration again.
public struct ReloadOutcome: Sendable {
    /// Absolute path of the file.
    public let file: String
    /// What is served now and was not, or would be, a line each: `~ routes[0].rate.rps: 5 -> 6`.
    public var changes: [String] = []
    /// What of topics and queues that are there already is not as declared, and stays as it is, a line each with what changes it:
    /// `topics.events.partitions: has 2, declared 4; …`.
    public var leftAsTheyAre: [String] = []
    /// Broker keys that have changed; they are read at the next start.
    public var waitingKeys: [String] = []
    /// Why nothing has changed; empty: it was taken.
    public var problems: [ConfigurationError.Problem] = []

    public init(file: String) { self.file = file }
}

/// Who reads the configuration again for the gateway, which knows of no file.
public protocol ConfigurationReader: Sendable {
    /// Reads it, and serves what it says unless `isTrial`. nil: it is being read for somebody else. Blocks for the disk.
    func reload(isTrial: Bool) -> ReloadOutcome?
}
