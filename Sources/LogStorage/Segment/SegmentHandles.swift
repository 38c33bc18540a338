import ByteBuffers
import StorageIO
import Synchronization

/// The open files of all partitions' segments: at most `limit`, so that descriptors are left for the journal, checkpoints
/// and connections.
///
/// Beyond the limit the handle that was not used for longest is closed. The order is kept by the clock algorithm with a
/// second chance, so that a use costs one store. Readers and senders hold a reference, and the descriptor is closed with the
/// last one, so nobody loses a file that is in use.
///
/// Two kinds of segments keep their handle: those that were written and not synced, because a failed write-back may be
/// reported to that handle alone, and those whose file does not have its name yet. When they fill half of the limit
/// (`isCrowded`), whoever writes syncs at once.
final class SegmentHandles: Sendable {
    private let base: any FileSystem
    let limit: Int
    /// Handles that must stay open, whose segments were written and not synced.
    private let unsynced = Atomic<Int>(0)
    private let clock = Lock(Clock())

    private struct Clock {
        var segments: [Segment] = []
        var hand = 0
    }

    init(_ fileSystem: any FileSystem, limit: Int) {
        base = fileSystem
        self.limit = max(1, limit)
    }

    /// The file system that makes room here when it finds no descriptor.
    var fileSystem: RoomyFileSystem { RoomyFileSystem(base: base, handles: self) }

    /// Handles that are open and may be closed, or will be.
    var count: Int { clock.withLock { $0.segments.count } }

    /// Whether unsynced segments hold half of all handles.
    var isCrowded: Bool { unsynced.load(ordering: .relaxed) >= max(1, limit / 2) }

    /// Marks a segment before it is written. Called with the partition's I/O lock held, or on a segment that nobody else knows
    /// of yet.
    func markUnsynced(_ segment: Segment) {
        if !segment.setNeedsSync(true) { unsynced.add(1, ordering: .relaxed) }
    }

    /// Marks a segment whose bytes are all on disk, or whose file is going. Called as `markUnsynced`.
    func markSynced(_ segment: Segment) {
        if segment.setNeedsSync(false) { unsynced.subtract(1, ordering: .relaxed) }
    }

    /// Adds a segment whose file was just opened, and closes others beyond the limit.
    func add(_ segment: Segment) {
        clock.withLock { clock in
            // Not added: whoever retires a segment removes it from this list, perhaps before this call.
            if segment.isRetired.load(ordering: .acquiring) { return }
            clock.segments.append(segment)
            Self.shrink(&clock, to: limit)
        }
    }

    /// Closes the handle of a segment whose file is going, and retires the segment so that nobody opens it again.
    func retire(_ segment: Segment) {
        segment.isRetired.store(true, ordering: .releasing)
        close(segment)
    }

    /// Gives up the handle of a segment that nobody uses.
    func close(_ segment: Segment) {
        remove(segment)
        segment.closeFile()
        if segment.needsSync { markSynced(segment) }
    }

    /// Stops counting a segment that another has taken the place of. Its readers keep its file.
    func remove(_ segment: Segment) {
        clock.withLock { clock in
            guard let place = clock.segments.firstIndex(where: { $0 === segment }) else { return }
            clock.segments.swapAt(place, clock.segments.count - 1)
            clock.segments.removeLast()
        }
    }

    /// Closes half of the handles, because a call found no descriptor. Gives false when none could be closed.
    func makeRoom() -> Bool {
        clock.withLock { clock in
            let before = clock.segments.count
            Self.shrink(&clock, to: before / 2)
            return clock.segments.count < before
        }
    }

    private static func shrink(_ clock: inout Clock, to limit: Int) {
        // Two rounds: the first takes the second chance away.
        var looks = 2 * clock.segments.count
        while clock.segments.count > limit, looks > 0 {
            looks -= 1
            if clock.hand >= clock.segments.count { clock.hand = 0 }
            let segment = clock.segments[clock.hand]
            guard segment.giveUpHandle() else {
                clock.hand += 1
                continue
            }
            clock.segments.swapAt(clock.hand, clock.segments.count - 1)
            clock.segments.removeLast()
        }
    }
}
