import BrokerTestKit
import ByteBuffers
import Glibc
import KafkaModel
import RecordFormat
import StorageIO
import Testing

@testable import LogStorage

/// Data folders that earlier versions left are opened by this one, with exactly their records.
///
/// A change of the format raises `Checkpoint.version`, writes a folder of the new version with `MILLRACE_WRITE_FIXTURE=1`,
/// and adds its line to `folders`. The folders of earlier versions are never written again.
@Suite struct FixtureTests {
    struct Folder: Sendable, CustomStringConvertible {
        let version: UInt16
        /// How often its logs were truncated before it was written.
        let truncations: UInt32

        var path: String { Path.join(Path.parent(#filePath), "Fixtures/version-\(version)") }
        var description: String { "version \(version)" }
    }

    static let folders = [
        Folder(version: 1, truncations: 0), Folder(version: 2, truncations: 3), Folder(version: 3, truncations: 3),
    ]
    private static let files = PosixFileSystem()

    /// Copies a real folder into a simulated one.
    private func load(_ folder: String, _ disk: SimulatedFileSystem, as target: String) throws {
        try disk.createDirectory(target)
        for name in try Self.files.list(folder) where name != "expected" {
            let (from, to) = (Path.join(folder, name), Path.join(target, name))
            if try Self.files.isDirectory(from) {
                try load(from, disk, as: to)
            } else {
                try disk.open(to, .readWrite(create: true)).write(try Self.files.readWhole(from, limit: 1 << 20), at: 0)
            }
        }
    }

    /// `partition first last CRC-32C of the batch's records`, one line a batch.
    private func expected(_ folder: DamagedFolder) -> String {
        folder.written.enumerated().map { place, batches in
            batches.map { batch in
                let crc = batch.records.withUnsafeBytes { testCRC32C($0) }
                return "\(place) \(batch.baseOffset) \(batch.lastOffset) \(String(crc, radix: 16))\n"
            }.joined()
        }.joined()
    }

    @Test func everyVersionHasAFolder() { #expect(Self.folders.map(\.version) == Array(1...Checkpoint.version)) }

    @Test(arguments: folders) func aFolderIsReadWhole(_ fixture: Folder) throws {
        if getenv("MILLRACE_WRITE_FIXTURE") != nil, fixture.version == Checkpoint.version { try write(fixture) }
        let disk = SimulatedFileSystem()
        try load(fixture.path, disk, as: "/data")
        let folder = try DamagedFolder(opening: disk)
        #expect(folder.summary.replayedBatches > 0, "the journal is part of it")
        #expect(folder.summary.damage.isEmpty && folder.summary.notices.isEmpty)
        var found = ""
        for (place, log) in folder.logs.enumerated() {
            #expect(place == 2 || log.segmentCount > 2, "closed segments are part of it")
            #expect(log.state.withLock { $0.truncations } == fixture.truncations)
            var offset = log.logStartOffset
            while offset < log.highWatermark {
                let records = try log.read(from: offset, maxBytes: 1).get()
                let header = RecordBatchHeader(unchecked: try #require(records.slices.first).pointer)
                let crc = testCRC32C(header.recordsBytes)
                found +=
                    "\(place) \(header.baseOffset.rawValue) \(header.lastOffset.rawValue) \(String(crc, radix: 16))\n"
                offset = header.lastOffset + 1
            }
        }
        let bytes = try Self.files.readWhole(Path.join(fixture.path, "expected"), limit: 1 << 20)
        #expect(found == String(decoding: bytes, as: UTF8.self))
        let log = folder.logs[0]
        let open = log.knownProducers.filter { $0.transactionStart >= 0 }
        #expect(open.map(\.producerID) == (fixture.version >= 3 ? [6] : []))
        #expect(log.lastStableOffset.rawValue == open.first?.transactionStart ?? log.highWatermark.rawValue)
        let aborted = try log.abortedTransactions(from: log.logStartOffset, to: log.highWatermark).get()
        #expect(aborted.map(\.producerID) == (fixture.version >= 3 ? [5] : []))
        #expect(folder.append(to: 0) != nil)
    }

    /// Without a checkpoint of this version the earlier program may be started again. It would take journal frames of this
    /// version for torn ones, so there must be none that anybody was told of.
    @Test(arguments: folders.dropLast()) func anEarlierFolderIsServedWithANewCheckpointOrNotAtAll(_ fixture: Folder)
        throws
    {
        let disk = SimulatedFileSystem()
        try load(fixture.path, disk, as: "/data")
        let journal = disk.contents("/data/journal/1.journal")
        disk.inject(Fault(.fail(errno: ENOSPC), on: .write, pathContains: "/data/checkpoint", times: .max))
        #expect(storageError { _ = try DamagedFolder(opening: disk) }?.errno == ENOSPC)
        #expect(try Checkpoint.load(disk, folder: "/data").isOfEarlierVersion)
        #expect(journal != nil && disk.contents("/data/journal/1.journal") == journal)
        disk.removeFaults()
        _ = try DamagedFolder(opening: disk.kill())
    }

    private func write(_ fixture: Folder) throws {
        let folder = try DamagedFolder(isClean: false, truncations: fixture.truncations, hasTransactions: true)
        if try Self.files.exists(fixture.path) { try Self.files.removeTree(fixture.path) }
        for path in try folder.files() where !path.hasSuffix(".lock") {
            let target = Path.join(fixture.path, String(path.dropFirst("/data/".count)))
            try Self.files.createDirectory(Path.parent(target))
            try Self.files.open(target, .readWrite(create: true)).write(
                try folder.stopped.readWhole(path, limit: 1 << 20), at: 0)
        }
        try Self.files.open(Path.join(fixture.path, "expected"), .readWrite(create: true)).write(
            Array(expected(folder).utf8), at: 0)
    }
}
