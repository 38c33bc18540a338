import Glibc
import StorageIO

/// Whom a failed call on a partition's files concerns. <doc:Faults> has the whole table.
enum FaultReach {
    /// What was written may be lost, perhaps not only here: the data folder is offline until the next start.
    case folder
    /// The disk is full: everybody's appends wait.
    case space
    /// Nobody: a call for the whole folder is made again later.
    case later
    /// The partition alone.
    case partition
}

extension StorageError {
    var reach: FaultReach {
        if case .outOfService = kind { return .folder }
        switch operation {
        case .sync: return .folder
        case .syncAll: return isNotNow ? .later : .folder
        // What else it fails with comes from opening the folder: nothing was synced, and nothing lost.
        case .syncDirectory where isDeviceFailure || isNoSpace: return .folder
        default: break
        }
        // A limit of the size of files (EFBIG) concerns the one that has reached it.
        return isNoSpace && errno != EFBIG ? .space : .partition
    }
}
