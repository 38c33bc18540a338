/// A partition that has damage, for metrics, the log line and `readyz`.
public struct PartitionDamage: Sendable, Equatable {
    public var folderName: String
    public var quarantine: Quarantine
    /// Appends are refused until `log repair`.
    public var refusesAppends: Bool { quarantine.endReason != nil }
    public var bytes: Int { quarantine.damaged.reduce(0) { $0 + Int($1.endPosition - $1.startPosition) } }
}
