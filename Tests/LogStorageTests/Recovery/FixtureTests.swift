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
/// `MILLRACE_WRITE_FIXTURE=1` writes the folder of this version anew: only when the format has not been released yet, or
/// under the name of a new version.
@Suite struct FixtureTests {
    private static let version1 = Path.join(Path.parent(#filePath), "Fixtures/version-1")
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

    @Test func aFolderOfVersion1IsReadWhole() throws {
        if getenv("MILLRACE_WRITE_FIXTURE") != nil { try write() }
        let disk = SimulatedFileSystem()
        try load(Self.version1, disk, as: "/data")
        let folder = try DamagedFolder(opening: disk)
        #expect(folder.summary.replayedBatches > 0, "the journal is part of it")
        #expect(folder.summary.damage.isEmpty && folder.summary.notices.isEmpty)
        var found = ""
        for (place, log) in folder.logs.enumerated() {
            #expect(place == 2 || log.segmentCount > 2, "closed segments are part of it")
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
        let bytes = try Self.files.readWhole(Path.join(Self.version1, "expected"), limit: 1 << 20)
        #expect(found == String(decoding: bytes, as: UTF8.self))
        #expect(folder.append(to: 0) != nil)
    }

    private func write() throws {
        let folder = try DamagedFolder(isClean: false)
        try Self.files.removeTree(Self.version1)
        for path in try folder.files() where !path.hasSuffix(".lock") {
            let target = Path.join(Self.version1, String(path.dropFirst("/data/".count)))
            try Self.files.createDirectory(Path.parent(target))
            try Self.files.open(target, .readWrite(create: true)).write(
                try folder.stopped.readWhole(path, limit: 1 << 20), at: 0)
        }
        try Self.files.open(Path.join(Self.version1, "expected"), .readWrite(create: true)).write(
            Array(expected(folder).utf8), at: 0)
    }
}
