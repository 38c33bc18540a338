import BrokerTestKit
import KafkaModel
import StorageIO
import Testing

@testable import LogStorage

/// What a fetch is given: whole batches, only what is durable, and never damaged bytes.
@Suite struct ReadTests {
    /// Batches 0-2, 3-5, 6-8; in memory, or in the segment's file.
    private func log(inFile: Bool) throws -> TestStore {
        let store = try TestStore()
        for _ in 0..<3 { store.append(count: 3) }
        store.store.commitPending()
        if inFile { try store.checkpoint() }
        return store
    }

    private func refusal(_ store: TestStore, from offset: Int64) -> ReadRefusal? {
        if case .failure(let refusal) = store.log.read(from: Offset(offset), maxBytes: 1000) { refusal } else { nil }
    }

    @Test(arguments: [false, true])
    func anOffsetWithinABatchGivesTheWholeBatch(inFile: Bool) throws {
        let store = try log(inFile: inFile)
        for offset: Int64 in 3...5 { #expect(try store.read(from: offset) == [3...5, 6...8]) }
        #expect(try store.read(from: 0) == [0...2, 3...5, 6...8])
    }

    @Test(arguments: [false, true])
    func theFirstBatchIsGivenThoughItIsTooLarge(inFile: Bool) throws {
        let store = try log(inFile: inFile)
        #expect(try store.read(from: 3, maxBytes: 1) == [3...5])
        #expect(try store.read(from: 3, maxBytes: 1, atLeastOne: false) == [])
    }

    @Test(arguments: [false, true])
    func batchesThatDoNotFitAreLeftOut(inFile: Bool) throws {
        let store = try log(inFile: inFile)
        let size = try store.log.read(from: Offset(0), maxBytes: 1).get().byteCount
        #expect(try store.read(from: 0, maxBytes: 2 * size - 1) == [0...2])
        #expect(try store.read(from: 0, maxBytes: 2 * size) == [0...2, 3...5])
        #expect(try store.log.read(from: Offset(0), maxBytes: 2 * size).get().byteCount == 2 * size)
    }

    @Test(arguments: [false, true])
    func offsetsOutsideTheLogAreRefused(inFile: Bool) throws {
        let store = try log(inFile: inFile)
        for offset: Int64 in [-1, 10, .max] {
            guard case .outOfRange(let start, let end)? = refusal(store, from: offset) else {
                Issue.record("offset \(offset)")
                continue
            }
            #expect(start == Offset(0))
            #expect(end == Offset(9))
        }
        // The end itself is where a consumer waits.
        #expect(try store.read(from: 9) == [])
    }

    @Test func whatIsNotDurableIsNotSeen() throws {
        let store = try log(inFile: false)
        store.append()
        #expect(try store.read(from: 6) == [6...8])
        #expect(try store.read(from: 9) == [])
        #expect(store.log.highWatermark == Offset(9))
        #expect(store.log.logEndOffset == Offset(10))
        guard case .outOfRange? = refusal(store, from: 10) else {
            Issue.record("an offset above the high watermark was read")
            return
        }
        store.store.commitPending()
        #expect(try store.read(from: 9) == [9...9])
    }

    @Test func aBatchLargerThanOneReadOfTheFileIsWhole() throws {
        let store = try TestStore()
        store.append(size: 50)
        store.append(count: 2, size: 60_000)
        store.append(size: 50)
        try store.checkpoint()
        #expect(try store.read(from: 2, maxBytes: 10) == [1...2])
        #expect(try store.readAll() == [0, 1, 2, 3])
    }

    @Test func aFlippedBitIsFoundAtTheRead() throws {
        let store = try log(inFile: true)
        let path = store.path("00000000000000000000.log")
        let size = try store.log.read(from: Offset(0), maxBytes: 1).get().byteCount
        // In the middle batch: its records, its header's CRC, its magic, its length.
        for byte in [100, 18, 16, 9] {
            let bit = 3
            store.fileSystem.flipBit(path, at: Int64(size + byte), bit: bit)
            for offset: Int64 in [3, 4] {
                guard case .corrupt(let what)? = refusal(store, from: offset) else {
                    Issue.record("byte \(byte): not noticed")
                    continue
                }
                #expect(what.contains(path))
            }
            // What stands before it is still given.
            #expect(try store.read(from: 0, maxBytes: size) == [0...2])
            // What stands behind it, too.
            #expect(try store.read(from: 6) == [6...8])
            store.fileSystem.flipBit(path, at: Int64(size + byte), bit: bit)
        }
    }

    @Test func aReadThatTheDiskRefusesIsNotTakenForAnEnd() throws {
        let store = try log(inFile: true)
        store.fileSystem.inject(Fault(.fail(errno: 5), on: .read, times: 1))
        guard case .storage? = refusal(store, from: 0) else {
            Issue.record("not noticed")
            return
        }
        #expect(try store.readAll() == Array(0...8))
    }
}
