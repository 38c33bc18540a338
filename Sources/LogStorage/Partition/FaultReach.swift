import Glibc
import StorageIO

/// How far the failure of a call on a partition's files reaches. <doc:Faults> has the whole table.
enum FaultReach {
    /// The data folder goes offline until the next start: what was written may be lost, perhaps not only here.
    case folder
    /// The disk is full: everybody's appends wait.
    case space
    /// Nobody is concerned: a call for the whole folder is made again later.
    case later
    /// The partition alone is concerned.
    case partition
}

extension StorageError {
    var reach: FaultReach {
        if case .outOfService = kind { return .folder }
        switch operation {
        case .sync: return .folder
        case .syncAll: return isNotNow ? .later : .folder
        // Its other errors come from opening the folder, before anything was synced: nothing is lost.
        case .syncDirectory where isDeviceFailure || isNoSpace: return .folder
        default: break
        }
        // A limit of the size of files (EFBIG) concerns the one that has reached it.
        return isNoSpace && errno != EFBIG ? .space : .partition
    }
}
