public import KafkaModel

/// Why a read gave no records.
public enum ReadRefusal: Error, Sendable {
    /// The offset lies outside `logStartOffset ... highWatermark`.
    case outOfRange(logStartOffset: Offset, highWatermark: Offset)
    /// Another node leads the partition, or none.
    case notLeader
    /// The bytes on disk are not what was written.
    case corrupt(String)
    /// The file system failed.
    case storage(String)
    /// It would have to wait for the disk, and was asked not to (`mayWait`): to be made again where it may.
    case wouldWait
}

extension ReadRefusal: CustomStringConvertible {
    public var description: String {
        switch self {
        case .outOfRange(let start, let highWatermark):
            "the offset is out of range: the log has offsets from \(start.rawValue) up to, not including, "
                + "\(highWatermark.rawValue)"
        case .notLeader: "this node does not lead the partition"
        case .corrupt(let reason), .storage(let reason): reason
        case .wouldWait: "it would have to wait for the disk"
        }
    }
}
