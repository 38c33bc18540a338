import ByteBuffers
import KafkaModel
import Testing

@testable import LogStorage

/// Retries are recognised, gaps refused. Rules: KIP-98, KIP-360.
@Suite struct ProducerStatesTests {
    private func batch(_ first: Int32, _ last: Int32, epoch: Int16 = 0, producer: Int64 = 7) -> ProducerBatch {
        ProducerBatch(producerID: producer, producerEpoch: epoch, baseSequence: first, lastSequence: last)
    }

    /// A producer that has appended `count` batches of three records each, from offset 100 on.
    private func states(_ count: Int32) -> ProducerStates {
        var states = ProducerStates()
        for number in 0..<count {
            states.record(batch(number * 3, number * 3 + 2), lastOffset: Int64(102 + number * 3), timestampMs: 1000)
        }
        return states
    }

    @Test func theNextSequenceIsAccepted() {
        #expect(states(2).check(batch(6, 6)) == .accept)
    }

    @Test func gapsAndStepsBackAreRefused() {
        for first: Int32 in [7, 9, 5, 1] {
            #expect(states(2).check(batch(first, first)) == .refuse(.outOfOrderSequenceNumber))
        }
    }

    @Test func theNewestFiveBatchesAreRecognisedAgain() {
        let states = states(7)
        for number: Int32 in 2...6 {
            let offset = Int64(100 + number * 3)
            #expect(
                states.check(batch(number * 3, number * 3 + 2))
                    == .duplicate(baseOffset: offset, lastOffset: offset + 2))
        }
        #expect(states.check(batch(3, 5)) == .refuse(.outOfOrderSequenceNumber))
        // The same beginning with another end is no retry.
        #expect(states.check(batch(18, 19)) == .refuse(.outOfOrderSequenceNumber))
    }

    @Test func aNewEpochBeginsAtSequenceZero() {
        var states = states(2)
        #expect(states.check(batch(0, 0, epoch: 1)) == .accept)
        #expect(states.check(batch(6, 6, epoch: 1)) == .refuse(.outOfOrderSequenceNumber))
        states.record(batch(0, 1, epoch: 1), lastOffset: 107, timestampMs: 1000)
        #expect(states.check(batch(6, 6)) == .refuse(.invalidProducerEpoch))
        #expect(states.check(batch(2, 2, epoch: 1)) == .accept)
        // The batches of the epoch before are forgotten.
        #expect(states.check(batch(3, 5, epoch: 1)) == .refuse(.outOfOrderSequenceNumber))
    }

    @Test func anUnknownProducerMayBeginAnywhere() {
        #expect(ProducerStates().check(batch(500, 510)) == .accept)
    }

    @Test func sequencesWrapAroundToZero() {
        var states = ProducerStates()
        states.record(batch(.max - 1, .max), lastOffset: 11, timestampMs: 1)
        #expect(states.check(batch(0, 4)) == .accept)
        states.record(batch(0, 4), lastOffset: 16, timestampMs: 1)
        #expect(states.check(batch(.max - 1, .max)) == .duplicate(baseOffset: 10, lastOffset: 11))
        // A batch that lies across the end.
        var across = ProducerStates()
        across.record(batch(.max - 1, 2), lastOffset: 24, timestampMs: 1)
        #expect(across.check(batch(.max - 1, 2)) == .duplicate(baseOffset: 20, lastOffset: 24))
        #expect(across.check(batch(3, 3)) == .accept)
    }

    @Test func recordingABatchAgainChangesNothing() {
        var again = states(3)
        again.record(batch(3, 5), lastOffset: 105, timestampMs: 2000)
        again.record(batch(6, 8), lastOffset: 108, timestampMs: 2000)
        #expect(again == states(3))
    }

    @Test func silentProducersAreForgotten() {
        var states = states(1)
        states.record(batch(0, 0, producer: 8), lastOffset: 200, timestampMs: 5000)
        states.expire(silentSince: 1000)
        #expect(states.count == 2)
        states.expire(silentSince: 1001)
        #expect(states.entries.keys.sorted() == [8])
    }

    @Test func tooManyProducersPushOutTheLongestSilent() {
        var states = ProducerStates()
        for producer in 0...ProducerStates.maxProducers {
            states.record(
                batch(0, 0, producer: Int64(producer)), lastOffset: Int64(producer), timestampMs: Int64(producer))
        }
        #expect(states.count == ProducerStates.maxProducers * 7 / 8 + 1)
        #expect(states.entries[0] == nil)
        #expect(states.entries[Int64(ProducerStates.maxProducers)] != nil)
    }

    @Test func aSnapshotIsReadBackAsItWas() throws {
        var writer = ByteWriter()
        states(4).encode(to: &writer)
        let bytes = writer.array
        try bytes.withUnsafeBytes { raw in
            var reader = ByteReader(raw)
            let read = try ProducerStates(from: &reader)
            #expect(read == states(4))
            for count in 0..<raw.count {
                var short = ByteReader(UnsafeRawBufferPointer(rebasing: raw[..<count]))
                #expect(throws: DecodeError.self) { _ = try ProducerStates(from: &short) }
            }
        }
    }
}
