import Glibc

/// A file-system call that failed: what was attempted, on which path, and why.
///
/// A failed `sync` is never retried: the kernel may have dropped the dirty pages, and a second sync would report
/// success for bytes that are not on disk. The file is then out of service until it was recovered from what a read
/// finds.
public struct StorageError: Error, Equatable, Sendable {
    public enum Kind: Equatable, Sendable {
        /// The system call's errno.
        case io(errno: Int32)
        /// The lock file is held by another process: most likely another broker on the same data folder.
        case lockedByAnother
        /// A direct file was used with memory, an offset or a length that is not a multiple of `required`.
        case unaligned(required: Int)
        /// An earlier sync of this file failed with this errno, so nothing more is written to it.
        case outOfService(errno: Int32)
        /// A start found in the file what may be in the page cache alone, and had no room to write it again.
        case noRoomToRewrite(errno: Int32)
        /// The file has `actual` bytes, and at most `limit` were to be read whole.
        case tooLarge(actual: Int64, limit: Int)
        /// The bytes are not what was written; the text says where and what is wrong.
        case corrupt(String)
    }

    public enum Operation: String, Equatable, Sendable {
        case open, read, write, sync, syncDirectory, syncAll, rename, remove, createDirectory, list, size, truncate
        case allocate, lock, freeBytes, advise, close, exists
    }

    public let kind: Kind
    public let operation: Operation
    public let path: String

    public init(_ kind: Kind, _ operation: Operation, path: String) {
        self.kind = kind
        self.operation = operation
        self.path = path
    }

    /// The errno behind this error, if there is one.
    public var errno: Int32? {
        switch kind {
        case .io(let errno), .outOfService(let errno), .noRoomToRewrite(let errno): errno
        case .lockedByAnother, .unaligned, .tooLarge, .corrupt: nil
        }
    }

    /// The disk, the quota or the file-size limit is exhausted: produces are refused, reads and deletes still work.
    public var isNoSpace: Bool { errno == ENOSPC || errno == EDQUOT || errno == EFBIG }
    /// There is no such file or directory.
    public var isNotFound: Bool { errno == ENOENT }
    public var isLockedByAnother: Bool { kind == .lockedByAnother }
    /// The device or the file system is damaged, or was turned read-only because of damage.
    public var isDeviceFailure: Bool { errno == EIO || errno == EROFS || errno == ENODEV || errno == ENXIO }
    public var isTooManyOpenFiles: Bool { errno == EMFILE || errno == ENFILE }
    /// Something is short just now that comes back by itself: descriptors, memory. Nothing was done, and the same call may
    /// be made again later. (A sync is never made again: see above.)
    public var isNotNow: Bool {
        isTooManyOpenFiles || errno == ENOMEM || errno == EINTR || errno == EAGAIN
    }
}

extension StorageError: CustomStringConvertible {
    /// One line: what failed, why, and what to do.
    public var description: String {
        let what = "cannot \(operation.phrase) \(path)"
        switch kind {
        case .io(let errno):
            let advice = Self.advice(errno, operation).map { "; \($0)" } ?? ""
            return "\(what): \(Self.text(errno))\(advice)"
        case .lockedByAnother:
            return "\(what): another process holds it; stop the other broker or choose another data folder"
        case .unaligned(let required):
            return "\(what): a direct file needs memory, offset and length in multiples of \(required) bytes"
        case .outOfService(let errno):
            return
                "\(what): an earlier sync of this file failed (\(Self.text(errno))), so what is on disk is unknown; "
                + "check the disk and the kernel log, then restart the broker to recover"
        case .noRoomToRewrite(let errno):
            return
                "\(what) once more: \(Self.text(errno)); what was found in it may be in memory only, after a sync that "
                + "failed, and is not served before it is on disk; free space on this file system, then start the broker"
        case .corrupt(let detail):
            return "\(what): \(detail)"
        case .tooLarge(let actual, let limit):
            return "\(what): it has \(actual) bytes where at most \(limit) are expected; it is damaged or not ours"
        }
    }

    private static func text(_ errno: Int32) -> String {
        guard let message = strerror(errno) else { return "errno \(errno)" }
        return "\(String(cString: message)) (errno \(errno))"
    }

    private static func advice(_ errno: Int32, _ operation: Operation) -> String? {
        switch errno {
        case ENOSPC: "free space on this file system, lower retention or delete topics"
        case EDQUOT: "raise the disk quota of the broker's user or lower retention"
        case EFBIG: "raise the file-size limit of the process (ulimit -f)"
        case EMFILE: "raise the limit of open files (ulimit -n, or LimitNOFILE= in the unit)"
        case ENFILE: "raise the system's limit of open files (sysctl fs.file-max)"
        case EACCES, EPERM: "give the broker's user read and write rights on it"
        case EROFS: "the file system is read-only, perhaps after an error: check the kernel log and remount it"
        case EIO: "the device failed: check the kernel log and the disk before trusting this data folder"
        case ENOENT where operation != .remove: "check that the path exists"
        case ENOTDIR: "a part of the path is a file where a folder is expected"
        case EINVAL where operation == .open: "the file system may not support direct I/O"
        default: nil
        }
    }
}

extension StorageError.Operation {
    fileprivate var phrase: String {
        switch self {
        case .open, .read, .write, .sync, .rename, .remove, .list, .truncate, .lock, .advise, .close: rawValue
        case .syncDirectory: "sync the folder"
        case .syncAll: "sync the file system of"
        case .createDirectory: "create the folder"
        case .size: "read the size of"
        case .exists: "look for"
        case .allocate: "allocate space for"
        case .freeBytes: "read the free space of"
        }
    }
}
