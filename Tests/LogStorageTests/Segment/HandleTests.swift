import BrokerTestKit
import ByteBuffers
import Glibc
import KafkaModel
import RecordFormat
import StorageIO
import Synchronization
import Testing

@testable import LogStorage

/// A bounded number of descriptors serves any number of segments, and a want of them is over by itself.
@Suite struct HandleTests {
    private let now = TestStore.now

    private func options(openSegments: Int) -> LogStoreOptions {
        var options = TestStore.options
        options.openSegments = openSegments
        return options
    }

    private func append(to log: PartitionLog, size: Int = 100) -> AppendReceipt? {
        let slice = TestBatch(count: 1, valueSize: size).bytes().withUnsafeBytes {
            ChunkPool.shared.slice(copying: $0)
        }
        return try? log.append(slice, origin: .client, nowMs: TestStore.now).get()
    }

    /// 200 partitions and segments with 8 handles and room for 24 files in all.
    @Test func manySegmentsLiveOnFewDescriptors() throws {
        var settings = TestStore.settings
        settings.segmentBytes = 600
        let disk = SimulatedFileSystem()
        let store = try TestStore(
            disk, options: options(openSegments: 8), settings: settings, neighbours: (0..<100).map { "n\($0)" })
        disk.openLimit = 24
        for round in 0..<8 {
            for log in store.neighbours {
                #expect(append(to: log) != nil)
                if round % 4 == 3 { store.store.commitPending() }
            }
            store.store.commitPending()
            store.store.maintain(nowMs: now + Int64(round) * 2000)
            #expect(store.store.handles.count <= 8 && store.store.faults.isEmpty)
            if round % 3 == 2 { try store.checkpoint() }
        }
        #expect(store.neighbours.reduce(0) { $0 + $1.segmentCount } >= 200)
        // Long runs of all of them in one commit, with a sync each.
        for log in store.neighbours { #expect(append(to: log, size: 9000) != nil) }
        store.store.commitPending()
        for _ in 0..<2 {
            for log in store.neighbours {
                var offset: Int64 = 0
                while offset < 9 {
                    offset = try log.read(from: Offset(offset), maxBytes: 2000).get().endOffset?.rawValue ?? .max
                }
                #expect(offset == 9)
            }
            #expect(disk.openFiles <= 24 && store.store.handles.count <= 8)
            #expect(!store.store.isOffline && store.store.faults.isEmpty)
            try store.restart()
        }
    }

    /// Connections have taken all descriptors: nothing is final, nothing acknowledged is at stake.
    @Test func withoutDescriptorsEverythingWaits() throws {
        let disk = SimulatedFileSystem()
        let store = try TestStore(disk, options: options(openSegments: 64), neighbours: (0..<20).map { "n\($0)" })
        disk.openLimit = disk.openFiles
        for log in store.neighbours { #expect(append(to: log) != nil) }
        store.store.commitPending()
        // A new data folder has no journal file yet: the commit waits.
        #expect(store.store.durableTicket == 0 && !store.store.isOffline && store.store.fullness == nil)
        disk.openLimit = nil
        store.store.commitPending()
        #expect(store.store.durableTicket == 1)
        disk.openLimit = disk.openFiles
        for round in 1...3 as ClosedRange<Int64> {
            store.store.maintain(nowMs: now + round * 2000)
            #expect(!store.store.isOffline && store.store.refusal == nil)
            // Not told to clients at once.
            for log in store.neighbours { #expect(append(to: log) != nil) }
            store.store.commitPending()
        }
        #expect(store.store.faults.count == 20)
        store.store.requests.add(.checkpoint)
        store.store.maintain(nowMs: now + 10_000)
        store.store.clean(nowMs: now + 10_000)
        #expect(!store.store.isOffline)
        disk.openLimit = nil
        store.store.maintain(nowMs: now + 20_000)
        #expect(store.store.faults.isEmpty && !store.store.isOffline)
        try store.crash()
        for log in store.neighbours {
            #expect(try log.read(from: Offset(0), maxBytes: 1 << 20).get().endOffset == Offset(4))
        }
    }

    @Test func theOneNotUsedForLongestIsClosed() throws {
        let disk = SimulatedFileSystem()
        try disk.createDirectory("/p")
        let handles = SegmentHandles(disk, limit: 3)
        let segments = (0..<5).map { Segment(baseOffset: Int64($0)) }
        for segment in segments.prefix(3) { _ = try segment.openFile(handles, in: "/p", create: true) }
        // One that has to be synced stays, however long ago it was used; so does what a reader holds.
        handles.markUnsynced(segments[0])
        let held = try segments[1].openFile(handles, in: "/p", create: true)
        try held.write([7], at: 0)
        for segment in segments[3...] { _ = try segment.openFile(handles, in: "/p", create: true) }
        #expect(handles.count == 3)
        for _ in 0..<4 {
            for segment in segments[2...] { _ = try segment.openFile(handles, in: "/p", create: true) }
        }
        #expect(handles.count == 3 && disk.openFiles == 4, "one is open for its reader alone")
        #expect(try held.read(1, at: 0) == [7])
        handles.markSynced(segments[0])
        #expect(handles.makeRoom())
        #expect(handles.makeRoom())
        #expect(!handles.makeRoom() || handles.count == 0)
    }

    @Test(arguments: [EMFILE, ENFILE, ENOMEM, EINTR, EAGAIN])
    func whatIsShortJustNowIsNeverFinal(_ errno: Int32) throws {
        for operation in [
            StorageError.Operation.open, .syncDirectory, .syncAll, .list, .rename, .createDirectory, .remove,
        ] {
            let disk = SimulatedFileSystem()
            let store = try TestStore(disk, neighbours: (0..<20).map { "n\($0)" })
            for log in store.neighbours { #expect(append(to: log) != nil) }
            disk.inject(Fault(.fail(errno: errno), on: operation, times: 7))
            for round in 1...8 as ClosedRange<Int64> {
                store.store.commitPending()
                store.store.requests.add(.checkpoint)
                store.store.maintain(nowMs: now + round * 2000)
                #expect(!store.store.isOffline, "\(operation)")
            }
            disk.removeFaults()
            store.store.maintain(nowMs: now + 30_000)
            #expect(store.store.faults.isEmpty, "\(operation)")
            try store.crash()
            for log in store.neighbours { #expect(log.highWatermark == Offset(1), "\(operation)") }
        }
    }
}
