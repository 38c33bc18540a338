import BrokerTestKit
import KafkaModel
import StorageIO
import Testing

@testable import LogStorage

/// What `millrace log verify` shows of a stopped broker's folder is what the next start decides.
@Suite struct InspectionTests {
    /// A log of several segments, written and not in any checkpoint, but for its first `checkpointed` batches.
    private func killed(checkpointed: Int) throws -> TestStore {
        var settings = TestStore.settings
        settings.segmentBytes = 1000
        let store = try TestStore(settings: settings)
        for _ in 0..<checkpointed { store.append() }
        if checkpointed > 0 { try store.checkpoint() }
        for _ in checkpointed..<20 { store.append() }
        store.store.commitPending()
        try store.log.writeBehind(with: nil)
        try #require(store.log.segmentCount > 3)
        return store
    }

    private func bases(_ store: TestStore) -> [Int64] {
        store.files.compactMap(Segment.baseOffset(ofLogName:)).sorted()
    }

    private func look(_ disk: SimulatedFileSystem, _ store: TestStore) throws -> [LogInspection.SegmentFinding] {
        try LogInspection(disk, dataFolder: "/data").segments(of: store.folder) { _, _, _ in }
    }

    /// Nothing vouches for a partition that no checkpoint has told of yet, and nothing that it had is lost: what ends in the
    /// middle of a batch is torn, wherever it is.
    @Test func whatAStartCutsIsShownAsTorn() throws {
        let store = try killed(checkpointed: 0)
        let path = store.path(Segment.name(bases(store)[1], ".log"))
        var shown: [LogInspection.SegmentFinding] = []
        try store.kill { disk in
            let file = try! disk.open(path, .readWrite(create: false))
            try! file.truncate(to: try! file.size() - 10)
            shown = try! look(disk, store)
        }
        #expect(shown.map { $0.places.map(\.kind) }.prefix(3) == [[], [.torn], []])
        #expect(store.summary.cutBytes > 0 && store.summary.damage.isEmpty)
    }

    /// Each field of a batch's header but its epoch, which the broker alone knows, and one of its records; in batches at the
    /// start, in the middle and at the end of segments. The journal, which could heal them, is gone.
    @Test func damageIsShownWhereAStartFindsIt() throws {
        let store = try killed(checkpointed: 3)
        let disk = store.fileSystem.kill()
        for name in try disk.list("/data/journal") { try disk.remove(Path.join("/data/journal", name)) }
        let batch = try #require(disk.contents(store.path(Segment.name(0, ".log")))).count / Int(bases(store)[1])
        var found = 0
        for base in bases(store) {
            let path = store.path(Segment.name(base, ".log"))
            let count = try #require(disk.contents(path)).count / batch
            for place in Set([base == 0 ? 3 : 0, count / 2, count - 1]) where base > 0 || place >= 3 {
                for byte in [0, 4, 7, 8, 11, 16, 17, 20, 22, 23, 26, 34, 42, 50, 52, 56, 60, 70] {
                    let flipped = disk.kill()
                    flipped.flipBit(path, at: Int64(place * batch + byte), bit: byte % 8)
                    let shown = try look(flipped, store)
                    let opened = try TestStore(flipped, settings: store.settings)
                    let met = opened.log.quarantine.damaged.filter { $0.startPosition < $0.endPosition }
                    #expect(
                        shown.flatMap { segment in
                            segment.places.filter { $0.kind == .damage }.map { [segment.baseOffset, $0.position] }
                        } == met.map { [$0.segmentBase, $0.startPosition] }, "\(path), batch \(place), byte \(byte)")
                    let isTorn = shown.contains { $0.places.contains { $0.kind == .torn } }
                    #expect(isTorn == (opened.summary.cutBytes > 0), "\(path), batch \(place), byte \(byte)")
                    found += met.count
                }
            }
        }
        #expect(found > 50)
    }
}
