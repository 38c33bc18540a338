import ByteBuffers
import StorageIO
import Synchronization

/// The open files of segments, of all partitions together: at most `limit`, so that descriptors are left for the
/// journal, checkpoints and connections.
///
/// Beyond the limit the one that was not used for longest loses its handle (by a clock with a second chance, so that a
/// use costs one store). Nobody who reads or sends from it loses anything: they hold a reference, and the descriptor is
/// closed with the last one. A segment that was written and not synced keeps its handle, because an error of the write
/// back may be told to that handle alone; so does one whose file has not got its name yet. When such ones fill the half
/// of the limit (`isCrowded`), whoever writes syncs what it wrote at once.
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

    /// What it opens with, and everybody else who wants it to make room.
    var fileSystem: RoomyFileSystem { RoomyFileSystem(base: base, handles: self) }

    /// Handles that are open and may be closed, or will be.
    var count: Int { clock.withLock { $0.segments.count } }

    /// Unsynced segments take the half of all handles.
    var isCrowded: Bool { unsynced.load(ordering: .relaxed) >= max(1, limit / 2) }

    /// Before the first write since a sync. Called with the partition's I/O lock held.
    func markUnsynced(_ segment: Segment) {
        if !segment.setNeedsSync(true) { unsynced.add(1, ordering: .relaxed) }
    }

    /// All that was written to it is on disk, or its file goes. Called with the partition's I/O lock held.
    func markSynced(_ segment: Segment) {
        if segment.setNeedsSync(false) { unsynced.subtract(1, ordering: .relaxed) }
    }

    /// Notes a segment whose file was just opened, and closes others beyond the limit.
    func add(_ segment: Segment) {
        clock.withLock { clock in
            // Whoever retired it has looked for it here already, or will.
            if segment.isRetired.load(ordering: .acquiring) { return }
            clock.segments.append(segment)
            Self.shrink(&clock, to: limit)
        }
    }

    /// Gives up the handle of a segment whose file goes. Who still reads it opens no other: it is retired.
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

    /// No longer counts a segment that another has taken the place of; who reads it keeps its file.
    func remove(_ segment: Segment) {
        clock.withLock { clock in
            guard let place = clock.segments.firstIndex(where: { $0 === segment }) else { return }
            clock.segments.swapAt(place, clock.segments.count - 1)
            clock.segments.removeLast()
        }
    }

    /// No descriptor was to be had: the half of what is open is given back. False: there was nothing to give.
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
