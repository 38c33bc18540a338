import BrokerTestKit
import KafkaModel
import StorageIO
import Testing

@testable import LogStorage

/// One sparse table for offsets and times, which can always be made again from the log.
@Suite struct SegmentIndexTests {
    private var index: SegmentIndex {
        var index = SegmentIndex()
        index.append(IndexEntry(relativeOffset: 10, position: 1000, maxTimestampBefore: 500))
        index.append(IndexEntry(relativeOffset: 20, position: 2000, maxTimestampBefore: 500))
        index.append(IndexEntry(relativeOffset: 30, position: 3000, maxTimestampBefore: 900))
        return index
    }

    @Test func theLastEntryAtOrBelowAnOffsetIsFound() {
        #expect(
            [0, 9, 10, 19, 20, 30, 4000].map { index.floor(offset: $0).position } == [
                0, 0, 1000, 1000, 2000, 3000, 3000,
            ])
    }

    /// An entry counts for a time only when all before it is older: a batch of just that time may stand before it.
    @Test func theLastEntryBeforeATimeIsFound() {
        #expect([0, 500, 501, 900, 901].map { index.floor(timestamp: $0).position } == [0, 0, 2000, 2000, 3000])
    }

    @Test func truncationRemovesEntriesAtOrPastAPosition() {
        var index = index
        index.truncate(toPosition: 2000)
        #expect(index.entries.map(\.position) == [1000])
    }

    @Test func aFileIsReadBackAsItWas() throws {
        let bytes = index.encode(baseOffset: 77, segmentSize: 4000, maxTimestamp: 950, firstTimestamp: 5)
        let stored = try #require(bytes.withUnsafeBytes { SegmentIndex.decode($0, baseOffset: 77) })
        #expect(stored.index.entries == index.entries)
        #expect(stored.segmentSize == 4000)
        #expect(stored.maxTimestamp == 950)
        #expect(stored.firstTimestamp == 5)
        #expect(bytes.withUnsafeBytes { SegmentIndex.decode($0, baseOffset: 78) } == nil)
    }

    @Test func damageAnywhereMakesTheFileUseless() {
        let bytes = index.encode(baseOffset: 77, segmentSize: 4000, maxTimestamp: 950, firstTimestamp: 5)
        for at in bytes.indices where at != 6 && at != 7 {
            var damaged = bytes
            damaged[at] ^= 0x04
            #expect(damaged.withUnsafeBytes { SegmentIndex.decode($0, baseOffset: 77) } == nil, "byte \(at)")
        }
        for count in bytes.indices {
            #expect(bytes[..<count].withUnsafeBytes { SegmentIndex.decode($0, baseOffset: 77) } == nil)
        }
    }

    // MARK: In a log

    /// Three closed segments and an active one, in their files, ten batches each at ascending times.
    private func log() throws -> TestStore {
        var settings = TestStore.settings
        settings.segmentBytes = 2000
        let store = try TestStore(settings: settings)
        for number in 0..<40 { store.append(timestamp: TestStore.now + Int64(number) * 10) }
        try store.checkpoint()
        try #require(store.files.filter { $0.hasSuffix(".index") }.count >= 3)
        return store
    }

    private func expectWhole(_ store: TestStore) throws {
        #expect(try store.readAll() == Array(0..<40))
        for number in [0, 3, 17, 39] {
            #expect(try store.read(from: Int64(number), maxBytes: 1) == [Int64(number)...Int64(number)])
            let found = try store.log.firstOffset(notBefore: TestStore.now + Int64(number) * 10).get()
            #expect(found?.offset == Offset(Int64(number)))
        }
    }

    @Test func lostIndexesAreMadeAgain() throws {
        let store = try log()
        try store.crash { disk in
            for name in store.files where name.hasSuffix(".index") { try? disk.remove(store.path(name)) }
        }
        #expect(store.summary.scannedBytes > 0)
        try expectWhole(store)
    }

    @Test func damagedIndexesAreMadeAgain() throws {
        for byte in [0, 9, 18, 22, 30, 36, 44, 60, 70] {
            let store = try log()
            try store.crash(keeping: .everything) { disk in
                for name in store.files where name.hasSuffix(".index") {
                    disk.flipBit(store.path(name), at: Int64(byte))
                }
            }
            try expectWhole(store)
        }
    }

    @Test func anIndexThatGoesWhileTheLogIsServedIsDoneWithout() throws {
        let store = try log()
        for name in store.files where name.hasSuffix(".index") { try store.fileSystem.remove(store.path(name)) }
        try expectWhole(store)
    }
}
