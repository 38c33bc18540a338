import BrokerTestKit
import ByteBuffers
import KafkaModel
import StorageIO
import Testing

@testable import LogStorage

/// What a fetch is given: whole batches, only what is durable, and never damaged bytes.
@Suite struct ReadTests {
    /// Where the records are when they are read, and whether they stay there.
    enum Place: CaseIterable {
        case memory, file, leftInFile

        var fileFrom: Int { self == .leftInFile ? 1 : .max }
    }

    /// Batches 0-2, 3-5, 6-8.
    private func log(in place: Place) throws -> TestStore {
        let store = try TestStore()
        for _ in 0..<3 { store.append(count: 3) }
        store.store.commitPending()
        if place != .memory { try store.checkpoint() }
        return store
    }

    private func refusal(_ store: TestStore, from offset: Int64, fileFrom: Int = .max) -> ReadRefusal? {
        let result = store.log.read(from: Offset(offset), maxBytes: 1000, fileFrom: fileFrom)
        return if case .failure(let refusal) = result { refusal } else { nil }
    }

    @Test(arguments: Place.allCases)
    func anOffsetWithinABatchGivesTheWholeBatch(place: Place) throws {
        let store = try log(in: place)
        for offset: Int64 in 3...5 {
            #expect(try store.read(from: offset, fileFrom: place.fileFrom) == [3...5, 6...8])
        }
        #expect(try store.read(from: 0, fileFrom: place.fileFrom) == [0...2, 3...5, 6...8])
    }

    @Test(arguments: Place.allCases)
    func theFirstBatchIsGivenThoughItIsTooLarge(place: Place) throws {
        let store = try log(in: place)
        #expect(try store.read(from: 3, maxBytes: 1, fileFrom: place.fileFrom) == [3...5])
        #expect(try store.read(from: 3, maxBytes: 1, atLeastOne: false, fileFrom: place.fileFrom) == [])
    }

    @Test(arguments: Place.allCases)
    func batchesThatDoNotFitAreLeftOut(place: Place) throws {
        let store = try log(in: place)
        let size = try store.log.read(from: Offset(0), maxBytes: 1).get().byteCount
        #expect(try store.read(from: 0, maxBytes: 2 * size - 1, fileFrom: place.fileFrom) == [0...2])
        #expect(try store.read(from: 0, maxBytes: 2 * size, fileFrom: place.fileFrom) == [0...2, 3...5])
        let records = try store.log.read(from: Offset(0), maxBytes: 2 * size, fileFrom: place.fileFrom).get()
        #expect(records.byteCount == 2 * size)
        if case .file = records.place { #expect(place == .leftInFile) } else { #expect(place != .leftInFile) }
        #expect(try records.loaded().reduce(0) { $0 + $1.count } == 2 * size)
    }

    @Test(arguments: Place.allCases)
    func offsetsOutsideTheLogAreRefused(place: Place) throws {
        let store = try log(in: place)
        for offset: Int64 in [-1, 10, .max] {
            guard case .outOfRange(let start, let end)? = refusal(store, from: offset, fileFrom: place.fileFrom) else {
                Issue.record("offset \(offset)")
                continue
            }
            #expect(start == Offset(0))
            #expect(end == Offset(9))
        }
        // The end itself is where a consumer waits.
        #expect(try store.read(from: 9, fileFrom: place.fileFrom) == [])
    }

    /// The high watermark is no offset that can be read.
    @Test func theRefusalSaysWhichOffsetsThereAre() {
        let refusal = ReadRefusal.outOfRange(logStartOffset: Offset(5), highWatermark: Offset(10))
        #expect("\(refusal)" == "the offset is out of range: the log has offsets from 5 up to, not including, 10")
    }

    @Test func whatIsNotDurableIsNotSeen() throws {
        let store = try log(in: .memory)
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

    @Test(arguments: [Place.file, .leftInFile])
    func aFlippedBitIsFoundAtTheRead(place: Place) throws {
        let store = try log(in: place)
        let path = store.path("00000000000000000000.log")
        let size = try store.log.read(from: Offset(0), maxBytes: 1).get().byteCount
        // In the middle batch: its records, its header's CRC, its magic, its length.
        for byte in [100, 18, 16, 9] {
            let bit = 3
            store.fileSystem.flipBit(path, at: Int64(size + byte), bit: bit)
            for offset: Int64 in [3, 4] {
                guard case .corrupt(let what)? = refusal(store, from: offset, fileFrom: place.fileFrom) else {
                    Issue.record("byte \(byte): not noticed")
                    continue
                }
                #expect(what.contains(path))
            }
            // What stands before it is still given.
            #expect(try store.read(from: 0, maxBytes: size, fileFrom: place.fileFrom) == [0...2])
            // What stands behind it, too.
            #expect(try store.read(from: 6, fileFrom: place.fileFrom) == [6...8])
            store.fileSystem.flipBit(path, at: Int64(size + byte), bit: bit)
        }
    }

    @Test func recordsLeftInTheFileAreThoseOfARead() throws {
        let store = try TestStore()
        var random = SeededRandom(seed: 11)
        // From much smaller than a window to several of them.
        for _ in 0..<120 {
            store.append(
                count: 2, size: random.chance(0.125) ? random.number(in: 1...90_000) : random.number(in: 1...900))
        }
        try store.checkpoint()
        // Twice: with the CRCs checked, and known to be right.
        for round in 0..<2 {
            for _ in 0..<150 {
                let offset = Int64(random.number(in: 0...239))
                let maxBytes = random.number(in: 1...300_000)
                let atLeastOne = random.chance(0.5)
                let plain = try store.log.read(from: Offset(offset), maxBytes: maxBytes, atLeastOne: atLeastOne).get()
                let left = try store.log.read(
                    from: Offset(offset), maxBytes: maxBytes, atLeastOne: atLeastOne, fileFrom: 1
                ).get()
                // Kept in memory, a read may end where its memory does.
                #expect(left.byteCount >= plain.byteCount)
                #expect(left.byteCount <= max(maxBytes, plain.byteCount))
                let whole = try left.loaded().flatMap(\.array)
                #expect(whole.starts(with: plain.slices.flatMap(\.array)), "round \(round), offset \(offset)")
                #expect(try store.read(from: offset, maxBytes: maxBytes, fileFrom: 1).last != nil)
            }
        }
    }

    @Test func aCheckHoldsForAWhileForRecordsLeftInTheFile() throws {
        let store = try log(in: .leftInFile)
        #expect(try store.read(from: 0, fileFrom: 1) == [0...2, 3...5, 6...8])
        store.fileSystem.flipBit(store.path("00000000000000000000.log"), at: 100, bit: 3)
        #expect(try store.log.read(from: Offset(0), maxBytes: 1 << 20, fileFrom: 1).get().endOffset == Offset(9))
        // What is brought into memory is always checked; and then all know.
        guard case .corrupt? = refusal(store, from: 0) else {
            Issue.record("not noticed")
            return
        }
        guard case .corrupt? = refusal(store, from: 0, fileFrom: 1) else {
            Issue.record("not remembered")
            return
        }
    }

    /// In a batch of several windows, at its first and its last bytes and between.
    @Test(arguments: [70, 65_536, 100_000, 150_000, 199_990])
    func aFlippedBitOfALargeBatchIsFound(byte: Int64) throws {
        let store = try TestStore()
        store.append(count: 1, size: 50)
        store.append(count: 1, size: 200_000)
        store.append(count: 1, size: 50)
        try store.checkpoint()
        let first = try store.log.read(from: Offset(0), maxBytes: 1).get().byteCount
        store.fileSystem.flipBit(store.path("00000000000000000000.log"), at: Int64(first) + byte, bit: 0)
        #expect(try store.read(from: 0, fileFrom: 1) == [0...0])
        guard case .corrupt? = refusal(store, from: 1, fileFrom: 1) else {
            Issue.record("not noticed")
            return
        }
        #expect(try store.read(from: 2, fileFrom: 1) == [2...2])
    }

    /// What has been checked is forgotten when it cannot be read where it is sent.
    @Test func aFailedSendIsLookedInto() throws {
        let store = try log(in: .leftInFile)
        guard case .file(let slice) = try store.log.read(from: Offset(0), maxBytes: 1000, fileFrom: 1).get().place
        else {
            Issue.record("not left in the file")
            return
        }
        store.fileSystem.flipBit(store.path("00000000000000000000.log"), at: 100, bit: 3)
        slice.dropFirst(10).reportReadFailure()
        guard case .corrupt? = refusal(store, from: 0, fileFrom: 1) else {
            Issue.record("not looked into")
            return
        }
    }

    @Test(arguments: [Place.file, .leftInFile])
    func aReadThatTheDiskRefusesIsNotTakenForAnEnd(place: Place) throws {
        let store = try log(in: place)
        store.fileSystem.inject(Fault(.fail(errno: 5), on: .read, times: 1))
        guard case .storage? = refusal(store, from: 0, fileFrom: place.fileFrom) else {
            Issue.record("not noticed")
            return
        }
        #expect(try store.readAll() == Array(0...8))
    }
}
