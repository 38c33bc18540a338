import BrokerTestKit
import Foundation
import StorageIO
import Testing

/// `millrace log` on the data folder of a broker that was stopped. It must see what recovery sees.
@Suite struct LogCommandTests {
    private let harness: CommandHarness
    private let segment: String
    private var data: String { harness.folder.path }

    /// Twenty batches of one record each.
    init() throws {
        harness = try CommandHarness()
        let lines = (0..<20).map { "value \($0) " + String(repeating: "x", count: 1_000) + "\n" }.joined()
        try harness.run("produce", "t", "--batch-bytes", "1", text: lines)
        try harness.stop()
        let partitions = Path.join(harness.folder.path, "partitions")
        let folder = try #require(
            FileManager.default.contentsOfDirectory(atPath: partitions).first { $0.hasPrefix("t-0") })
        segment = Path.join(Path.join(partitions, folder), "00000000000000000000.log")
    }

    @Test func aFolderAsItWasWrittenIsShownAndHasNoDamage() throws {
        let verified = try log("verify", data)
        #expect(verified.status == 0 && verified.output.hasSuffix("no damage\n"), "\(verified)")
        let report = try JSON(log("verify", data, "--json").output)
        #expect(report["damaged"].integer == 0 && report["findings"].count == 0)
        #expect(try JSON(log("verify", segment, "--json").output)["batches"].integer == 20)
        #expect(try JSON(log("verify", Path.parent(segment), "--json").output)["batches"].integer == 20)
        #expect(try log("dump", segment, "--records").output.contains("value 7 x"))
        #expect(try log("dump", data, "--max", "3", "--json").lines.count == 3)
        let from = try log("dump", segment, "--from", "18", "--json").lines
        #expect(try from.map { try JSON($0)["base_offset"].integer } == [18, 19])
        #expect(try log("repair", data).output == "no damage\n")
    }

    /// Outside of a data folder nothing says how long the log was.
    @Test func aPartitionsFolderCanBeLookedAtAlone() throws {
        let copy = harness.folder("copy")
        try FileManager.default.copyItem(atPath: Path.parent(segment), toPath: copy)
        #expect(try log("verify", copy).status == 0)
        let file = Path.join(copy, Path.name(segment))
        let whole = try Data(contentsOf: URL(filePath: file))
        try whole.dropLast(100).write(to: URL(filePath: file))
        let verified = try log("verify", copy)
        #expect(verified.status == 0 && verified.output.contains("the torn end of a write"), "\(verified)")
    }

    @Test func aBatchWhoseBytesChangedIsDamage() throws {
        let position = try position(of: 7)
        try change { $0[position + 200] ^= 1 }
        try expectDamage(at: position, batches: 19)
        #expect(try log("dump", segment).output.contains("WRONG CRC"))
    }

    /// The CRC does not cover the leader epoch; no reader is served a batch with another one.
    @Test func aBatchWhoseEpochChangedIsDamage() throws {
        let position = try position(of: 7)
        try change { $0[position + 14] ^= 1 }
        try expectDamage(at: position, batches: 19)
    }

    /// Nor the base offset: one that is too high would hide that records are missing.
    @Test func aBatchWhoseOffsetChangedIsDamage() throws {
        let position = try position(of: 19)
        try change { $0[position + 6] ^= 1 }
        try expectDamage(at: position, batches: 19)
    }

    /// Zeros behind the last batch are padding only within a block; what a checkpoint vouches for was something else.
    @Test func recordsThatAreZerosNowAreDamage() throws {
        let position = try position(of: 10)
        try change { bytes in for index in position..<bytes.count { bytes[index] = 0 } }
        try expectDamage(at: position, batches: 10)
    }

    @Test func aFileThatIsShorterThanItWasSyncedIsDamage() throws {
        let position = try position(of: 10)
        try change { $0.removeLast($0.count - position) }
        try expectDamage(at: position, batches: 10)
    }

    /// The checkpoint is found from wherever the folder is named: links and dots in its path hide nothing.
    @Test func damageIsFoundByWhateverPathTheFolderIsNamed() throws {
        let position = try position(of: 10)
        try change { $0.removeLast($0.count - position) }
        let partition = Path.parent(segment)
        let link = harness.folder("link")
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: partition)
        let here = FileManager.default.currentDirectoryPath
        let up = String(repeating: "../", count: here.split(separator: "/").count)
        let relative = up + partition.dropFirst()
        let dotted = Path.join(partition, ".")
        for path in [partition, link, dotted, Path.join(dotted, Path.name(segment)), relative] {
            let verified = try log("verify", path)
            #expect(verified.status == 5, "\(path): \(verified)")
        }
    }

    @Test func aFolderThatNothingVouchesForIsTold() throws {
        let copy = harness.folder("copy")
        try FileManager.default.copyItem(atPath: Path.parent(segment), toPath: copy)
        #expect(
            try log("verify", copy).errors
                == "note: no checkpoint vouches for \(copy): a missing end would not be found\n")
        #expect(try log("verify", Path.parent(segment)).errors.isEmpty)
    }

    // MARK: Parts

    private func log(_ words: String...) throws -> CommandRun { try CommandRun.of(["log"] + words) }

    /// The byte at which the batch with this offset begins.
    private func position(of offset: Int) throws -> Int {
        let line = try #require(try log("dump", segment, "--from", "\(offset)", "--max", "1", "--json").lines.first)
        return try #require(JSON(line)["position"].integer)
    }

    private func change(_ body: (inout [UInt8]) -> Void) throws {
        var bytes = try [UInt8](Data(contentsOf: URL(filePath: segment)))
        body(&bytes)
        try Data(bytes).write(to: URL(filePath: segment))
    }

    /// Verify and repair agree on it, and repairing ends it.
    private func expectDamage(
        at position: Int, batches: Int, location: SourceLocation = #_sourceLocation
    ) throws {
        let verified = try log("verify", data, "--json")
        let report = try JSON(verified.output)
        #expect(verified.status == 5 && report["damaged"].integer == 1, "\(verified)", sourceLocation: location)
        #expect(report["findings"][0]["position"].integer == position, "\(verified)", sourceLocation: location)
        #expect(
            try JSON(log("verify", segment, "--json").output)["batches"].integer == batches, sourceLocation: location)
        #expect(try log("repair", data, "--dry-run").status == 5, sourceLocation: location)
        #expect(try log("repair", data).status == 0, sourceLocation: location)
        let repaired = try log("verify", data)
        #expect(repaired.status == 0 && repaired.output.contains("note"), "\(repaired)", sourceLocation: location)
    }
}
