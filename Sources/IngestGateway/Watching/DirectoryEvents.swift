import Glibc
import Telemetry

/// Says into which directories something has come, by inotify, and is woken by other threads. One thread waits.
///
/// What it says is no more than that it is worth to look: names are not kept, for the directory has them, however many there are.
final class DirectoryEvents: @unchecked Sendable {
    // SAFETY: all are written by `init`; a write to a pipe may come from any thread.
    /// -1: the system has none for us, and directories are looked at now and then alone.
    private let watches: Int32
    /// -1: the system has no pipe for us, and who waits looks up now and then.
    private let reading: Int32
    private let writing: Int32

    enum News: Equatable {
        case none
        case directories(Set<Int32>)
        /// Of all: some were lost.
        case all
    }

    /// How long one waits whom nobody can wake.
    private static let pipelessMs: Int64 = 200

    /// `makePipe`: as `pipe` does it.
    init(makePipe: (UnsafeMutablePointer<Int32>) -> Int32 = { pipe($0) }) {
        watches = inotify_init1(Int32(IN_NONBLOCK) | Int32(IN_CLOEXEC))
        if watches < 0 { Log.warning("directories are looked at once a minute alone", "reason", FileFailure.words) }
        var ends: [Int32] = [-1, -1]
        if makePipe(&ends) != 0 {
            Log.warning("directories are watched without a pipe", "reason", FileFailure.words)
            ends = [-1, -1]
        }
        (reading, writing) = (ends[0], ends[1])
        for end in ends where end >= 0 {
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
        }
    }

    deinit { for descriptor in [watches, reading, writing] where descriptor >= 0 { close(descriptor) } }

    /// Has a directory watched from now on; a second time it has the same name. nil: it cannot be.
    func watch(_ path: String) -> Int32? {
        if watches < 0 { return nil }
        let mask =
            UInt32(IN_CLOSE_WRITE) | UInt32(IN_MOVED_TO) | UInt32(IN_CREATE) | UInt32(IN_ATTRIB) | UInt32(IN_ONLYDIR)
        let name = inotify_add_watch(watches, path, mask)
        return name >= 0 ? name : nil
    }

    /// On any thread: has the one that waits go on.
    func wake() {
        if writing < 0 { return }
        var byte: UInt8 = 1
        // A full pipe wakes as well.
        _ = write(writing, &byte, 1)
    }

    /// Waits until something comes, or for so long; nil: without end.
    func wait(timeoutMs: Int64?) -> News {
        var polled = [pollfd(fd: reading, events: Int16(POLLIN), revents: 0)]
        if watches >= 0 { polled.append(pollfd(fd: watches, events: Int16(POLLIN), revents: 0)) }
        let timeoutMs = reading < 0 ? min(timeoutMs ?? Self.pipelessMs, Self.pipelessMs) : timeoutMs
        let timeout = timeoutMs.map { Int32(clamping: max(0, $0)) } ?? -1
        guard poll(&polled, nfds_t(polled.count), timeout) > 0 else { return .none }
        var bytes = [UInt8](repeating: 0, count: 64)
        while reading >= 0, read(reading, &bytes, bytes.count) > 0 {}
        return watches >= 0 ? takeNews() : .none
    }

    private func takeNews() -> News {
        var found: Set<Int32> = []
        var isAll = false
        var bytes = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = read(watches, &bytes, bytes.count)
            guard count > 0 else { break }
            bytes.withUnsafeBytes { bytes in
                // Two numbers, a cookie, the length of the name, the name.
                var at = 0
                while at + 16 <= count {
                    let name = bytes.loadUnaligned(fromByteOffset: at, as: Int32.self)
                    let mask = bytes.loadUnaligned(fromByteOffset: at + 4, as: UInt32.self)
                    if mask & UInt32(IN_Q_OVERFLOW) != 0 { isAll = true } else { found.insert(name) }
                    at += 16 + Int(bytes.loadUnaligned(fromByteOffset: at + 12, as: UInt32.self))
                }
            }
        }
        if isAll { return .all }
        return found.isEmpty ? .none : .directories(found)
    }
}

/// Why something of a directory cannot be done, for people.
struct FileFailure: Error {
    let reason: String

    /// Of the call that has just failed.
    init(_ what: String) { reason = "\(what): \(Self.words)" }

    init(reason: String) { self.reason = reason }

    static var words: String { String(cString: strerror(errno)) }
}
