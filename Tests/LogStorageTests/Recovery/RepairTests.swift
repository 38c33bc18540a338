import BrokerTestKit
import ByteBuffers
import KafkaModel
import StorageIO
import Testing

@testable import LogStorage

/// `log repair`: damage becomes a gap, its bytes are kept, and the partition takes appends again.
@Suite struct RepairTests {
    private func repair(_ disk: SimulatedFileSystem, isDryRun: Bool = false) throws -> [String] {
        let inspection = try LogInspection(disk, dataFolder: "/data")
        var done: [String] = []
        for folder in try inspection.folders() {
            done += try inspection.repair(try inspection.look(at: folder), isDryRun: isDryRun)
        }
        return done
    }

    @Test func anUndamagedFolderNeedsNone() throws {
        for isClean in [true, false] {
            let folder = try DamagedFolder(isClean: isClean)
            #expect(try repair(folder.stopped).isEmpty)
        }
    }

    @Test func aDamagedBatchBecomesAGap() throws {
        let folder = try DamagedFolder(isClean: true)
        let victim = folder.written[0][3]
        let name = Segment.name(0, ".log")
        let position = Int64(folder.written[0][..<3].reduce(0) { $0 + $1.records.count + 61 })
        let disk = folder.stopped.crash(keeping: .everything, seed: 1)
        disk.flipBit(Path.join(folder.folder(0), name), at: position + 70)
        let before = disk.contents(Path.join(folder.folder(0), name))
        #expect(try repair(disk, isDryRun: true).count == 2)
        #expect(try disk.exists(Path.join(folder.folder(0), Quarantine.fileName)) == false, "a dry run changes nothing")
        #expect(try repair(disk).count == 2)
        #expect(try repair(disk).isEmpty, "once is enough")
        #expect(disk.contents(Path.join(folder.folder(0), name)) == before, "the segment stays as it is")
        let aside = try #require(disk.contents(Path.join(folder.folder(0), "\(name).damaged-\(position)")))
        #expect(aside == Array(before![Int(position)..<Int(position) + victim.records.count + 61]))

        let after = try DamagedFolder(opening: disk)
        #expect(after.summary.damage.isEmpty)
        // Reading from within the gap goes on behind it; everything else is there.
        let records = try after.logs[0].read(from: Offset(victim.baseOffset), maxBytes: 1).get()
        let next = try #require(records.slices.first)
        #expect(next.bytes.loadUnaligned(as: Int64.self).bigEndian == victim.lastOffset + 1)
        for batch in folder.written[0] where batch.baseOffset != victim.baseOffset {
            #expect(try after.logs[0].read(from: Offset(batch.baseOffset), maxBytes: 1).get().byteCount > 0)
        }
        #expect(after.append(to: 0) != nil)
        // Gone for good: the next starts find no damage either.
        try after.restart()
        #expect(after.summary.damage.isEmpty)
    }

    @Test func aPartitionWithALostEndTakesAppendsAgain() throws {
        let folder = try DamagedFolder(isClean: true)
        try folder.reopen { try $0.removeTree(folder.folder(2)) }
        #expect(folder.append(to: 2) == nil)
        try folder.store.stop()
        #expect(try !repair(folder.fileSystem).isEmpty)
        try folder.restart()
        #expect(folder.append(to: 2) == folder.written[2].last!.lastOffset + 1, "no offset is given twice")
        #expect(folder.summary.damage.isEmpty)
        try folder.restart()
        #expect(folder.summary.damage.isEmpty)
    }
}
