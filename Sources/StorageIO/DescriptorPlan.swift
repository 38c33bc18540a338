/// How a broker divides the descriptors that its process may have: connections are refused before files are, since a file
/// that cannot be opened is a partition that cannot be served.
///
/// ```
/// limit  =  reserve  |  segments' files: a quarter, 32 to 16,384  |  connections: the rest, 16 at least
/// ```
public struct DescriptorPlan: Equatable, Sendable {
    /// Journal, metadata, locks, listeners, event loops and their threads' wake-ups, and files that are open for a moment
    /// (indexes, checkpoints, folders being synced).
    public static let reserve = 96
    static let maxSegments = 16_384
    static let leastSegments = 32
    static let leastConnections = 16
    /// Fewer connections than this are worth a warning: some dozens of services with a few processes each come near it.
    public static let fewConnections = 1_000

    /// Most segments whose files are open at a time.
    public let segments: Int
    /// Most connections, of all listeners together.
    public let connections: Int

    /// `limit` is RLIMIT_NOFILE as it is in force.
    public init(limit: Int) {
        segments = min(Self.maxSegments, max(Self.leastSegments, limit / 4))
        connections = max(Self.leastConnections, limit - Self.reserve - segments)
    }

    /// Whether so few connections are left that clients may notice.
    public var isTight: Bool { connections < Self.fewConnections }

    /// What each of several listeners may have of the connections, of what it would like: less, in proportion, where
    /// all together would like more.
    public func share(_ wanted: [Int]) -> [Int] {
        let sum = wanted.reduce(0, +)
        guard sum > connections else { return wanted }
        return wanted.map { max(1, Int(Double($0) / Double(sum) * Double(connections))) }
    }
}
