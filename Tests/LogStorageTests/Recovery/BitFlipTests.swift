import BrokerTestKit
import ByteBuffers
import Glibc
import StorageIO
import Testing

@testable import LogStorage

/// One bit of a stopped data folder is turned, then the folder is served: what is read is what was written, and what
/// cannot be read any more is reported. `MILLRACE_BIT_FLIPS=N` turns N bits instead of some hundreds,
/// `MILLRACE_SEED=N` others.
@Suite struct BitFlipTests {
    struct Tally {
        var detected = 0
        var harmless = 0
        var refusedStarts = 0
    }

    private func flip(_ folder: DamagedFolder, _ count: Int, seed: UInt64) throws -> Tally {
        var random = SeededRandom(seed: seed)
        let files = try folder.files().filter { (try? folder.stopped.size($0)) ?? 0 > 0 }
        let all = folder.written.reduce(0) { $0 + $1.count }
        var tally = Tally()
        for number in 0..<count {
            let path = files[random.below(files.count)]
            let size = Int(try folder.stopped.size(path))
            // Journal files are mostly empty: look where something is.
            let limit = path.hasSuffix(".journal") && random.chance(0.8) ? min(size, 24 << 10) : size
            let at = Int64(random.below(limit))
            let bit = random.below(8)
            let place = "flip \(number): bit \(bit) of byte \(at) in \(path)"
            do {
                try folder.reopen { $0.flipBit(path, at: at, bit: bit) }
            } catch {
                Issue.record("\(place): the start is refused: \(error)")
                tally.refusedStarts += 1
                continue
            }
            let first = folder.look()
            #expect(first.faults.isEmpty, "\(place): \(first.faults.prefix(2)); \(folder.summary.notices)")
            if first.missing == 0, first.readable == all {
                tally.harmless += 1
            } else {
                tally.detected += 1
                #expect(first.reported, "\(place)")
            }
            // What was lost stays known, and nothing takes its offsets.
            let isTorn = folder.summary.notices.contains { $0.contains("is not whole") }
            for index in 0..<DamagedFolder.partitions {
                guard let offset = folder.append(to: index), !isTorn else { continue }
                #expect(offset > folder.written[index].last!.lastOffset, "\(place): offset \(offset) given again")
            }
            try folder.restart()
            guard !isTorn else { continue }
            let second = folder.look()
            #expect(second.faults.isEmpty, "\(place), second start: \(second.faults.prefix(2))")
            #expect(second.missing == first.missing, "\(place), second start")
        }
        return tally
    }

    @Test func everyFlippedBitIsFoundOrHarmless() throws {
        let environment = { (name: String) in getenv(name).flatMap { Int(String(cString: $0)) } }
        let count = environment("MILLRACE_BIT_FLIPS") ?? 400
        let seed = UInt64(environment("MILLRACE_SEED") ?? 1)
        for isClean in [false, true] {
            let tally = try flip(try DamagedFolder(isClean: isClean), count / 2, seed: seed)
            print(
                "bit flips, \(isClean ? "stopped in order" : "killed"), seed \(seed): \(tally.detected) detected, "
                    + "\(tally.harmless) harmless, \(tally.refusedStarts) starts refused")
            #expect(tally.detected > 0)
            #expect(tally.harmless > 0)
        }
    }

    /// The test must notice a store that serves what it reads: records that differ, and records that are gone.
    @Test func theLookNoticesWhatIsWrong() throws {
        let folder = try DamagedFolder(isClean: true)
        try folder.reopen { _ in }
        #expect(folder.look().missing == 0)
        folder.logs[0].state.withLock { state in state.segments = Array(state.segments.dropFirst()) }
        #expect(!folder.look().faults.isEmpty)
    }
}
