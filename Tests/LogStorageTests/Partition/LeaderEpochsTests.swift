import ByteBuffers
import KafkaModel
import Testing

@testable import LogStorage

/// Which epoch wrote what. Sources: KIP-101, KIP-279.
@Suite struct LeaderEpochsTests {
    /// Epoch 2 from offset 0, 5 from 10, 6 from 30.
    private var epochs: LeaderEpochs {
        var epochs = LeaderEpochs()
        for (epoch, start) in [(2, 0), (5, 10), (6, 30)] as [(Int32, Int64)] { epochs.begin(epoch, at: start) }
        return epochs
    }

    private func end(_ requested: Int32) -> [Int64] {
        let found = epochs.end(of: requested, logEndOffset: 44)
        return [Int64(found.epoch), found.endOffset]
    }

    @Test func anEpochEndsWhereTheNextBegins() {
        #expect(end(2) == [2, 10])
        #expect(end(5) == [5, 30])
    }

    @Test func theLatestEndsAtTheLogsEnd() { #expect(end(6) == [6, 44]) }

    @Test func anEpochThatWroteNothingGivesTheOneBefore() {
        #expect(end(3) == [2, 10])
        #expect(end(4) == [2, 10])
    }

    @Test func anEpochBeforeAllEndedWhereTheyBegin() { #expect(end(1) == [1, 0]) }

    @Test func unknownEpochsAreSaidToBe() {
        #expect(end(7) == [-1, -1])
        #expect(end(-1) == [-1, -1])
        #expect(LeaderEpochs().end(of: 0, logEndOffset: 5) == (-1, -1))
    }

    @Test func theEpochOfAnOffset() {
        #expect([0, 9, 10, 29, 30, 1000].map { epochs.epoch(at: $0) } == [2, 2, 5, 5, 6, 6])
        #expect(epochs.epoch(at: -1) == -1)
    }

    @Test func anOlderEpochIsIgnoredAndAnEmptyOneReplaced() {
        var epochs = epochs
        epochs.begin(6, at: 40)
        epochs.begin(5, at: 41)
        #expect(epochs == self.epochs)
        epochs.begin(7, at: 30)
        #expect(epochs.entries.map(\.epoch) == [2, 5, 7])
    }

    @Test func truncatingTheStartKeepsTheEpochInForce() {
        var epochs = epochs
        epochs.truncateStart(to: 15)
        #expect(epochs.entries == [.init(epoch: 5, startOffset: 15), .init(epoch: 6, startOffset: 30)])
        epochs.truncateStart(to: 100)
        #expect(epochs.entries == [.init(epoch: 6, startOffset: 100)])
        var none = LeaderEpochs()
        none.truncateStart(to: 5)
        #expect(none.entries == [])
    }

    @Test func truncatingTheEndForgetsWhatBeganThere() {
        var epochs = epochs
        epochs.truncateEnd(to: 30)
        #expect(epochs.entries.map(\.epoch) == [2, 5])
        epochs.truncateEnd(to: 0)
        #expect(epochs.entries == [])
    }

    @Test func aSnapshotIsReadBackAsItWas() throws {
        var writer = ByteWriter()
        epochs.encode(to: &writer)
        try writer.array.withUnsafeBytes { raw in
            var reader = ByteReader(raw)
            let read = try LeaderEpochs(from: &reader)
            #expect(read == epochs)
            for count in 0..<raw.count {
                var short = ByteReader(UnsafeRawBufferPointer(rebasing: raw[..<count]))
                #expect(throws: DecodeError.self) { _ = try LeaderEpochs(from: &short) }
            }
        }
    }
}
