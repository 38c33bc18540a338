import BrokerTestKit
import Glibc
import KafkaModel
import StorageIO
import Testing

@testable import LogStorage

/// Damage costs what it hit: the rest of the partition and all other partitions are served, and nothing is removed.
@Suite struct DamageTests {
    private func isRefused(_ log: PartitionLog, _ offset: Int64) -> Bool {
        guard case .failure(.corrupt) = log.read(from: Offset(offset), maxBytes: 1) else { return false }
        return true
    }

    @Test func aDamagedBatchIsRefusedAndItsNeighboursAreRead() throws {
        let folder = try DamagedFolder(isClean: true)
        let victim = folder.written[0][3]
        let path = Path.join(folder.folder(0), Segment.name(0, ".log"))
        let position = Int64(folder.written[0][..<3].reduce(0) { $0 + $1.records.count + 61 })
        try folder.reopen { $0.flipBit(path, at: position + 70) }
        #expect(folder.summary.damage.isEmpty, "a start in order does not read closed segments")
        #expect(isRefused(folder.logs[0], victim.baseOffset))
        let look = folder.look()
        #expect(look.faults.isEmpty)
        #expect(look.missing == 1)
        let range = try #require(folder.logs[0].quarantine.damaged.first)
        #expect(range.baseOffset == victim.baseOffset && range.endOffset == victim.lastOffset + 1)
        #expect(range.startPosition == position && range.endPosition == position + Int64(victim.records.count) + 61)
        // The end is whole, so it takes appends; the finding outlives a restart.
        #expect(folder.append(to: 0) != nil)
        folder.store.maintain(nowMs: TestStore.now)
        try folder.restart()
        #expect(folder.summary.damage.map(\.folderName) == [folder.logs[0].folderName])
        #expect(try folder.fileSystem.exists(path))
    }

    /// A base offset is in no checksum: a batch whose own is far away is whole, and still not one of this segment.
    @Test(arguments: [true, false])
    func aBatchWithAnOffsetFromFarAwayIsDamage(isClean: Bool) throws {
        let folder = try DamagedFolder(isClean: isClean)
        let files = try folder.stopped.list(folder.folder(0))
        let bases = files.compactMap(Segment.baseOffset(ofLogName:)).sorted()
        for base in [bases.first!, bases.last!] {
            let path = Path.join(folder.folder(0), Segment.name(base, ".log"))
            let starts = Self.batchStarts(try #require(folder.stopped.contents(path)))
            try #require(starts.count > 2)
            try folder.reopen { disk in
                // Every header is read.
                for name in files where name.hasSuffix(".index") { try disk.remove(Path.join(folder.folder(0), name)) }
                let file = try disk.open(path, .readWrite(create: false))
                // Nothing says where the first of the two ends, so the search comes upon the second.
                try file.write([0xff, 0xff, 0xff, 0xff], at: starts[1] + 8)
                try file.write([0x04, 0x00, 0x81, 0x02], at: starts[2])
            }
            let look = folder.look()
            #expect(look.faults.isEmpty)
            #expect(look.readable > 0)
        }
    }

    private static func batchStarts(_ bytes: [UInt8]) -> [Int64] {
        var starts: [Int64] = []
        bytes.withUnsafeBytes { raw in
            var at = 0
            while at + 61 <= raw.count {
                let length = Int(Int32(bigEndian: raw.loadUnaligned(fromByteOffset: at + 8, as: Int32.self)))
                guard length > 0 else { break }
                starts.append(Int64(at))
                at += 12 + length
            }
        }
        return starts
    }

    @Test func aShortenedActiveSegmentRefusesAppendsToItsPartitionAlone() throws {
        let folder = try DamagedFolder(isClean: true)
        let bases = try folder.stopped.list(folder.folder(0)).compactMap(Segment.baseOffset(ofLogName:)).sorted()
        let path = Path.join(folder.folder(0), Segment.name(bases.last!, ".log"))
        try folder.reopen { disk in
            let file = try disk.open(path, .readWrite(create: false))
            try file.truncate(to: try file.size() - 10)
        }
        let look = folder.look()
        #expect(look.faults.isEmpty)
        #expect(look.missing == 1)
        #expect(folder.append(to: 0) == nil)
        #expect(folder.append(to: 1) != nil)
        #expect(folder.summary.damage.map(\.refusesAppends) == [true])
        try folder.restart()
        #expect(folder.append(to: 0) == nil, "until log repair")
    }

    @Test func aMissingFolderIsItsPartitionsDamage() throws {
        let folder = try DamagedFolder(isClean: true)
        try folder.reopen { try $0.removeTree(folder.folder(2)) }
        let look = folder.look()
        #expect(look.faults.isEmpty)
        #expect(look.missing == folder.written[2].count)
        #expect(folder.append(to: 2) == nil)
        #expect(folder.append(to: 0) != nil)
    }

    @Test func aMissingSegmentInTheMiddleIsAHole() throws {
        let folder = try DamagedFolder(isClean: true)
        let bases = try folder.stopped.list(folder.folder(0)).compactMap(Segment.baseOffset(ofLogName:)).sorted()
        try #require(bases.count > 2)
        try folder.reopen { try $0.remove(Path.join(folder.folder(0), Segment.name(bases[1], ".log"))) }
        let look = folder.look()
        #expect(look.faults.isEmpty)
        #expect(look.missing == folder.written[0].count { $0.baseOffset >= bases[1] && $0.baseOffset < bases[2] })
        #expect(folder.append(to: 0) != nil, "the end is whole")
    }

    @Test func aDamagedCheckpointIsReadFromItsCopy() throws {
        for name in [Checkpoint.fileName, Checkpoint.copyName] {
            let folder = try DamagedFolder(isClean: false)
            try folder.reopen { $0.flipBit("/data/\(name)", at: 30) }
            #expect(folder.look().missing == 0)
            #expect(folder.summary.damage.isEmpty)
        }
    }

    @Test func withoutACheckpointEverythingIsScanned() throws {
        for isClean in [false, true] {
            let folder = try DamagedFolder(isClean: isClean)
            try folder.reopen { disk in
                disk.flipBit("/data/\(Checkpoint.fileName)", at: 30)
                disk.flipBit("/data/\(Checkpoint.copyName)", at: 31)
            }
            let look = folder.look()
            #expect(look.missing == 0 && look.faults.isEmpty, "\(look.faults) \(folder.summary.damage)")
            #expect(folder.summary.notices.contains { $0.contains("all segments are scanned") })
            #expect(folder.append(to: 0) == folder.written[0].last!.lastOffset + 1)
        }
    }

    /// A device that does not give the first one gives the copy; one that gives neither costs a scan. A want of descriptors
    /// or of rights, which somebody can set right, ends the start.
    @Test func aCheckpointThatCannotBeReadIsReadFromItsCopy() throws {
        for isClean in [true, false] {
            let folder = try DamagedFolder(isClean: isClean)
            for (operation, errno) in [(StorageError.Operation.read, EIO), (.open, EIO), (.open, EACCES)] {
                try folder.reopen {
                    $0.inject(Fault(.fail(errno: errno), on: operation, pathContains: "/data/checkpoint"))
                }
                #expect(folder.look().missing == 0 && folder.summary.damage.isEmpty)
                #expect(folder.summary.wasClean == isClean)
                #expect(folder.summary.notices.contains { $0.contains("checkpoint.copy is used instead") })
            }
            try folder.reopen {
                $0.inject(Fault(.fail(errno: EIO), on: .read, pathContains: "/data/checkpoint", times: 2))
            }
            #expect(folder.look().missing == 0 && folder.summary.damage.isEmpty)
            #expect(folder.summary.notices.contains { $0.contains("all segments are scanned") })
            for errno in [EACCES, EMFILE] {
                let error = storageError {
                    try folder.reopen {
                        $0.inject(
                            Fault(.fail(errno: errno), on: .open, pathContains: "/data/checkpoint", times: .max))
                    }
                }
                #expect(error?.errno == errno)
            }
        }
    }

    @Test func aCheckpointOfANewerVersionIsRefused() throws {
        let folder = try DamagedFolder(isClean: true)
        let error = storageError {
            try folder.reopen { disk in
                for name in [Checkpoint.fileName, Checkpoint.copyName] { disk.flipBit("/data/\(name)", at: 5, bit: 6) }
            }
        }
        #expect(error?.description.contains("format version \(Checkpoint.version ^ 64)") == true, "\(String(describing: error))")
    }

    @Test func aDamagedQuarantineFileClosesTheEnd() throws {
        let folder = try DamagedFolder(isClean: true)
        try folder.reopen { try $0.removeTree(folder.folder(2)) }
        folder.fileSystem.flipBit(Path.join(folder.folder(2), Quarantine.fileName), at: 40)
        try folder.restart()
        #expect(folder.append(to: 2) == nil)
        #expect(folder.logs[2].quarantine.endReason?.contains("itself damaged") == true)
    }

    @Test func aReadThatFailsOnceIsNoDamage() throws {
        let folder = try DamagedFolder(isClean: true)
        try folder.reopen { _ in }
        folder.fileSystem.inject(Fault(.flipBit, on: .read, pathContains: ".log", times: 1))
        #expect(folder.look().missing == 0)
        #expect(folder.store.damage.isEmpty)
    }

    /// Joined for their number, a repaired range and a damaged one, or two gaps with good records between, are damage: a
    /// reader is refused, not led past.
    @Test func rangesThatAreJoinedForTheirNumberAreNeverAGap() {
        var quarantine = Quarantine()
        for number in 0...Int64(Quarantine.maxRanges) {
            var range = DamagedRange(
                segmentBase: 0, startPosition: number * 1000, endPosition: number * 1000 + 10, baseOffset: number * 10,
                endOffset: number * 10 + 1, reason: "test")
            range.isRepaired = number < Int64(Quarantine.maxRanges)
            let isAdded = quarantine.add(range)
            #expect(isAdded)
        }
        #expect(quarantine.ranges.count == Quarantine.maxRanges)
        #expect(quarantine.gaps.allSatisfy { $0.count == 1 })
        #expect(quarantine.range(holding: 5)?.isRepaired == false)
    }
}
