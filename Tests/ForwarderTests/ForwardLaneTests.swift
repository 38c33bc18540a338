import ByteBuffers
import Forwarder
import KafkaModel
import Testing

@Suite struct ForwardLaneTests {
    private static let name = [UInt8](repeating: 1, count: ForwardIntent.destinationBytes)
    private static let session = ForwardProducer(id: ProducerID(7), epoch: ProducerEpoch(rawValue: 0))

    private func lane(partitions: Int32 = 1, _ change: (inout ForwardSettings) -> Void = { _ in }) -> ForwardLane {
        var settings = ForwardSettings()
        change(&settings)
        var lane = ForwardLane(settings, destination: Self.name, partitionCount: partitions, seed: 0)
        lane.producer(Self.session)
        return lane
    }

    private func messages(_ offsets: Range<Int64>, bytes: Int = 100, hash: UInt32? = 0) -> [ForwardMessage] {
        offsets.map { ForwardMessage(offset: Offset($0), bytes: bytes, keyHash: hash) }
    }

    private func records(_ actions: [ForwardAction]) -> [ForwardIntent] {
        actions.compactMap { if case .record(let intent) = $0 { intent } else { nil } }
    }

    @Test func batchWaitsForItsWindowOnly() {
        var lane = lane { $0.windowMs = 1000 }
        lane.take(messages(0..<2), nowMs: 100)
        let actions1 = lane.actions(nowMs: 1099)
        #expect(actions1.isEmpty)
        #expect(lane.nextDeadlineMs == 1100)
        let actions2 = lane.actions(nowMs: 1100)
        #expect(records(actions2).first?.offsets == [Offset(0), Offset(1)])
    }

    @Test func batchOfAllRecordsOrBytesWaitsForNothing() {
        var byCount = lane { $0.maxRecords = 3 }
        byCount.take(messages(0..<4), nowMs: 0)
        let actions3 = byCount.actions(nowMs: 0)
        #expect(records(actions3).first?.offsets.count == 3)
        var byBytes = lane { $0.maxBytes = 1024 }
        byBytes.take(messages(0..<11), nowMs: 0)
        let actions4 = byBytes.actions(nowMs: 0)
        #expect(records(actions4).first?.offsets.count == 10)
    }

    @Test func oneBatchAtATimeIsUnderWayToAPartitionAndSequencesFollow() {
        var lane = lane { ($0.maxRecords, $0.windowMs) = (2, 0) }
        lane.take(messages(0..<4), nowMs: 0)
        let first = records(lane.actions(nowMs: 0))[0]
        #expect(first.baseSequence == Sequence32(0))
        let actions5 = lane.actions(nowMs: 0)
        #expect(actions5.isEmpty)
        lane.recorded(0)
        let actions6 = lane.actions(nowMs: 0)
        #expect(actions6 == [.send(first)])
        let actions7 = lane.actions(nowMs: 0)
        #expect(actions7.isEmpty)
        lane.answered(0, .accepted, nowMs: 0)
        let actions8 = lane.actions(nowMs: 0)
        #expect(actions8 == [.end(partitionIndex: 0, first.offsets)])
        lane.ended(0)
        let actions9 = lane.actions(nowMs: 0)
        #expect(records(actions9).first?.baseSequence == Sequence32(2))
    }

    @Test func whatWasAnsweredIsDueAtOnceAndWhatIsUnderWayIsNot() {
        for outcome in [ForwardOutcome.accepted, .invalid("INVALID_RECORD")] {
            var lane = lane { ($0.windowMs, $0.maxRecords) = (0, 1) }
            lane.take(messages(0..<1), nowMs: 0)
            _ = lane.actions(nowMs: 0)
            #expect(lane.nextDeadlineMs == nil)
            lane.recorded(0)
            #expect((lane.nextDeadlineMs ?? .max) <= 0)
            _ = lane.actions(nowMs: 0)
            #expect(lane.nextDeadlineMs == nil)
            lane.answered(0, outcome, nowMs: 0)
            #expect((lane.nextDeadlineMs ?? .max) <= 0, "\(outcome)")
            _ = lane.actions(nowMs: 0)
            #expect(lane.nextDeadlineMs == nil)
        }
    }

    @Test func retriesComeLaterEachTimeUpToALimit() {
        var lane = lane { $0.windowMs = 0 }
        lane.take(messages(0..<1), nowMs: 0)
        _ = lane.actions(nowMs: 0)
        lane.recorded(0)
        var now: Int64 = 0
        for step in 0..<12 {
            let actions10 = lane.actions(nowMs: now)
            #expect(actions10.count == 1, "try \(step)")
            lane.answered(0, .failed("NETWORK_EXCEPTION"), nowMs: now)
            let wait = (lane.nextDeadlineMs ?? 0) - now
            let most = min(ForwardSettings.maxRetryMs, ForwardSettings.firstRetryMs << Int64(step))
            #expect((most / 2...most).contains(wait), "try \(step) waits for \(wait) ms")
            let actions11 = lane.actions(nowMs: now + wait - 1)
            #expect(actions11.isEmpty)
            now += wait
        }
    }

    @Test func keylessMessagesTakeOnePartitionABatch() {
        var lane = lane(partitions: 3) { ($0.maxRecords, $0.windowMs) = (2, 0) }
        lane.take(messages(0..<6, hash: nil), nowMs: 0)
        let intents = records(lane.actions(nowMs: 0))
        #expect(Set(intents.map(\.partitionIndex)) == [0, 1, 2])
        #expect(intents.allSatisfy { $0.offsets.count == 2 })
    }

    @Test func roomIsBoundedAndComesBack() {
        var lane = lane { ($0.maxRecords, $0.maxBytes, $0.windowMs) = (5, 2000, 0) }
        lane.take(messages(0..<10), nowMs: 0)
        #expect(lane.room.messages == 0)
        _ = lane.actions(nowMs: 0)
        lane.recorded(0)
        _ = lane.actions(nowMs: 0)
        lane.answered(0, .accepted, nowMs: 0)
        _ = lane.actions(nowMs: 0)
        lane.ended(0)
        #expect(lane.room.messages == 5)
        #expect(lane.room.bytes == 3500)
    }

    @Test func whatADestinationTakesIsRememberedForTheNextBatches() {
        var lane = lane { ($0.maxRecords, $0.windowMs) = (1000, 0) }
        lane.take(messages(0..<900, bytes: 100), nowMs: 0)
        _ = lane.actions(nowMs: 0)
        lane.recorded(0)
        _ = lane.actions(nowMs: 0)
        lane.answered(0, ForwardOutcome(.messageTooLarge), nowMs: 0)
        lane.take(messages(900..<1800, bytes: 100), nowMs: 0)
        var sizes: [Int] = []
        while let intent = records(lane.actions(nowMs: 0)).first {
            sizes.append(intent.offsets.count)
            lane.recorded(0)
            _ = lane.actions(nowMs: 0)
            lane.answered(0, .accepted, nowMs: 0)
            _ = lane.actions(nowMs: 0)
            lane.ended(0)
        }
        // The halves, then 45,000 bytes at a time.
        #expect(sizes == [450, 450, 450, 450])
    }

    @Test func producerThatIsLostIsReplacedAndNothingElseChanges() {
        var lane = lane { $0.windowMs = 0 }
        lane.take(messages(0..<3), nowMs: 0)
        _ = lane.actions(nowMs: 0)
        lane.recorded(0)
        _ = lane.actions(nowMs: 0)
        lane.answered(0, ForwardOutcome(.unknownProducerID), nowMs: 0)
        let later = lane.nextDeadlineMs ?? 0
        let actions12 = lane.actions(nowMs: later)
        #expect(actions12 == [.openProducer])
        let other = ForwardProducer(id: ProducerID(8), epoch: ProducerEpoch(rawValue: 0))
        lane.producer(other)
        let intent = records(lane.actions(nowMs: later)).first
        #expect(intent?.producer == other)
        #expect(intent?.baseSequence == Sequence32(0))
        #expect(intent?.offsets == [Offset(0), Offset(1), Offset(2)])
    }

    @Test func codesAreTakenAsKafkaMeansThem() {
        #expect(ForwardOutcome(.none) == .accepted)
        #expect(ForwardOutcome(.duplicateSequenceNumber) == .accepted)
        #expect(ForwardOutcome(.recordListTooLarge) == .tooLarge("RECORD_LIST_TOO_LARGE"))
        #expect(ForwardOutcome(.invalidTimestamp) == .invalid("INVALID_TIMESTAMP"))
        #expect(ForwardOutcome(.outOfOrderSequenceNumber) == .producerLost("OUT_OF_ORDER_SEQUENCE_NUMBER"))
        #expect(ForwardOutcome(.unknownTopicOrPartition) == .failed("UNKNOWN_TOPIC_OR_PARTITION"))
        #expect(ForwardOutcome(.topicAuthorizationFailed) == .failed("TOPIC_AUTHORIZATION_FAILED"))
    }
}

@Suite struct ForwardStateTests {
    private static let partition = TopicPartition(topicID: TopicID(high: 3, low: 4), partitionIndex: 5)
    private static let changes: [ForwardChange] = [
        .owner("fleet"),
        .intent(
            ForwardIntent(
                destination: Array(0..<16), partitionIndex: 9,
                producer: ForwardProducer(id: ProducerID(11), epoch: ProducerEpoch(rawValue: 2)),
                baseSequence: Sequence32(13), offsets: [Offset(100), Offset(7), Offset(1 << 40)])),
        .refusal(Offset(12), "MESSAGE_TOO_LARGE"), .settled(partitionIndex: 9), .refusal(Offset(12), nil), .owner(nil),
    ]

    @Test func recordsMakeTheSameState() throws {
        var (applied, replayed) = (ForwardState(), ForwardState())
        for change in Self.changes {
            applied.apply(change)
            let key = change.key(Self.partition).bytes
            try key.withUnsafeBytes { bytes in
                #expect(ForwardKey.isKey(bytes))
                let key = try ForwardKey(bytes)
                #expect(key.partition == Self.partition)
                if let value = change.value {
                    try value.withUnsafeBytes { try replayed.replay(key, $0) }
                } else {
                    try replayed.replay(key, nil)
                }
            }
            #expect(replayed == applied)
        }
        #expect(applied.isEmpty)
        #expect(applied.memoryBytes == 0)
    }

    @Test func memoryIsCountedOnceForWhatTakesThePlaceOfAnother() {
        var state = ForwardState()
        state.apply(Self.changes[1])
        let bytes = state.memoryBytes
        #expect(bytes > 0)
        state.apply(Self.changes[1])
        #expect(state.memoryBytes == bytes)
        state.apply(.refusal(Offset(1), "INVALID_RECORD"))
        let more = state.memoryBytes
        #expect(more > bytes)
        state.apply(.refusal(Offset(1), "MESSAGE_TOO_LARGE"))
        #expect(state.memoryBytes == more)
    }

    @Test func damagedRecordsAreRefused() throws {
        let value = try #require(Self.changes[1].value)
        let key = Self.changes[1].key(Self.partition)
        for length in 0..<value.count {
            var state = ForwardState()
            #expect(throws: DecodeError.self, "\(length) bytes") {
                try value[..<length].withUnsafeBytes { try state.replay(key, $0) }
            }
            #expect(state.isEmpty)
        }
        let bytes = key.bytes
        for length in 0..<bytes.count {
            #expect(throws: DecodeError.self) { try bytes[..<length].withUnsafeBytes { _ = try ForwardKey($0) } }
        }
    }
}
