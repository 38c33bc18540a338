import ByteBuffers
import KafkaClient
import KafkaModel
import KafkaWire
import RecordFormat
import Synchronization
import Testing

/// What the fake broker was sent in Produce requests, and what it shall answer.
private final class ProduceLog: Sendable {
    struct Batch: Equatable {
        var producerID: Int64
        var baseSequence: Int32
        var recordCount: Int32
    }

    let batches = Mutex<[Batch]>([])
    /// Error codes of the next answers; after the last one batches are taken.
    let errors: Mutex<[ErrorCode]>
    let producerIDs = Mutex<Int64>(100)
    /// So many requests are taken and not answered; after each one the client is told to give up waiting.
    let withheld = Mutex<Int>(0)
    /// So many requests are answered without a word of their partitions.
    let unmentioned = Mutex<Int>(0)
    let isCancelled = Atomic<Bool>(false)

    init(_ errors: [ErrorCode]) { self.errors = Mutex(errors) }

    /// Takes the request's one batch and gives the error code for it.
    func take(_ partition: ProduceRequest.PartitionProduceData) -> ErrorCode {
        let seen = (partition.records ?? []).withUnsafeBytes { bytes -> Batch? in
            guard let header = try? RecordBatchValidator(origin: .client).validateSingle(bytes) else { return nil }
            return Batch(
                producerID: header.producerID.rawValue, baseSequence: header.baseSequence.rawValue,
                recordCount: header.recordCount)
        }
        guard let seen else { return .corruptMessage }
        batches.withLock { $0.append(seen) }
        return errors.withLock { $0.isEmpty ? .none : $0.removeFirst() }
    }
}

@Suite struct ProducerTests {
    private static let topicID = TopicID(high: 1, low: 2)

    private func broker(
        _ log: ProduceLog, produceVersions: ClosedRange<Int16> = 0...13, gathering count: Int = 0
    ) throws -> FakeBroker {
        let box = Mutex<FakeBroker?>(nil)
        let shared = Shared(box: box)
        let broker = try FakeBroker(gathering: (.produce, count)) { header, reader in
            switch APIKey(rawValue: header.requestAPIKey) {
            case .apiVersions:
                return FakeBroker.versions(
                    [(.metadata, 0...13), (.produce, produceVersions), (.initProducerID, 0...5)], to: header)
            case .metadata:
                return shared.box.withLock { $0 }?.metadata("t", id: Self.topicID, partitions: 1, to: header)
            case .initProducerID:
                var response = InitProducerIdResponse()
                response.producerID = log.producerIDs.withLock { id in
                    id += 1
                    return id
                }
                return FakeBroker.encode(response, to: header)
            case .produce:
                guard let request = try? ProduceRequest(from: &reader, version: header.requestAPIVersion) else {
                    return nil
                }
                var response = ProduceResponse()
                response.responses = request.topicData.map { topic in
                    var answer = ProduceResponse.TopicProduceResponse()
                    answer.name = topic.name
                    answer.topicID = topic.topicID
                    answer.partitionResponses = topic.partitionData.map { partition in
                        var entry = ProduceResponse.PartitionProduceResponse()
                        entry.index = partition.index
                        entry.errorCode = log.take(partition).rawValue
                        return entry
                    }
                    return answer
                }
                let isUnmentioned = log.unmentioned.withLock { count in
                    count -= 1
                    return count >= 0
                }
                if isUnmentioned { response.responses = [] }
                let isWithheld = log.withheld.withLock { count in
                    count -= 1
                    return count >= 0
                }
                if isWithheld {
                    log.isCancelled.store(true, ordering: .relaxed)
                    return []
                }
                return request.acks == 0 ? [] : FakeBroker.encode(response, to: header)
            default: return nil
            }
        }
        shared.box.withLock { $0 = broker }
        return broker
    }

    private final class Shared: Sendable {
        let box: Mutex<FakeBroker?>
        init(box: consuming sending Mutex<FakeBroker?>) { self.box = box }
    }

    private func producer(_ broker: FakeBroker, _ change: (inout Producer.Options) -> Void = { _ in }) throws
        -> Producer
    {
        var options = Producer.Options()
        options.batchBytes = 1
        change(&options)
        return try Producer(Cluster(bootstrap: [broker.address], options: Fake.options()), options: options)
    }

    private func send(_ producer: Producer, _ value: String) throws {
        try producer.send(
            topic: "t", key: nil, value: Array(value.utf8), headers: EncodedRecordHeaders(), timestampMs: 1)
    }

    @Test func sequencesRunOnFromBatchToBatch() throws {
        let log = ProduceLog([])
        let broker = try broker(log)
        defer { broker.stop() }
        let producer = try producer(broker) { $0.batchBytes = 1 << 20 }
        for batch in 0..<3 {
            for record in 0...batch { try send(producer, "\(record)") }
            try producer.flush()
        }
        let seen = log.batches.withLock { $0 }
        #expect(seen.map(\.baseSequence) == [0, 1, 3])
        #expect(seen.map(\.recordCount) == [1, 2, 3])
        #expect(Set(seen.map(\.producerID)) == [101])
        #expect(producer.acknowledgedRecords == 6 && producer.failedRecords == 0)
    }

    /// A user who interrupts has not decided that what was read is given up: the report says what is known, and a flush
    /// afterwards goes on where the first one stopped.
    @Test func aFlushThatIsCancelledKeepsItsBatches() throws {
        let log = ProduceLog([])
        log.withheld.withLock { $0 = 1 }
        let broker = try broker(log)
        defer { broker.stop() }
        var clientOptions = Fake.options()
        clientOptions.isCancelled = { log.isCancelled.load(ordering: .relaxed) }
        var options = Producer.Options()
        options.batchBytes = 1 << 20
        let producer = try Producer(Cluster(bootstrap: [broker.address], options: clientOptions), options: options)
        for value in ["a", "b"] { try send(producer, value) }
        #expect(throws: ClientError.cancelled) { try producer.flush() }
        try send(producer, "c")
        #expect(producer.failedRecords == 0 && producer.acknowledgedRecords == 0)
        #expect(producer.outstandingRecords == (unsent: 1, uncertain: 2))
        log.isCancelled.store(false, ordering: .relaxed)
        try producer.flush()
        #expect(producer.acknowledgedRecords == 3 && producer.failedRecords == 0)
        #expect(producer.outstandingRecords == (unsent: 0, uncertain: 0))
        // The same batch again, with its sequence: the broker takes it once.
        #expect(log.batches.withLock { $0 }.map(\.baseSequence) == [0, 0, 2])
    }

    @Test func aBatchRefusedForTheMomentIsSentAgainWithItsSequence() throws {
        let log = ProduceLog([.notLeaderOrFollower, .notEnoughReplicas])
        let broker = try broker(log)
        defer { broker.stop() }
        let producer = try producer(broker)
        try send(producer, "a")
        try producer.flush()
        #expect(log.batches.withLock { $0 }.map(\.baseSequence) == [0, 0, 0])
        #expect(producer.acknowledgedRecords == 1)
    }

    /// Some refusals come after the batch was appended.
    @Test(arguments: [
        (ErrorCode.requestTimedOut, true), (.notEnoughReplicasAfterAppend, true), (.kafkaStorageError, true),
        (.unknownServerError, true), (.notLeaderOrFollower, false), (.notEnoughReplicas, false),
        (.messageTooLarge, false),
    ])
    func aBatchThatIsGivenUpMayBeStoredWhereTheAnswerLeavesItOpen(code: ErrorCode, isOpen: Bool) throws {
        let log = ProduceLog([code])
        let broker = try broker(log)
        defer { broker.stop() }
        let producer = try producer(broker) { $0.deliveryTimeoutMs = 0 }
        let told = Mutex<[Bool]>([])
        producer.onDelivery = { delivery in told.withLock { $0.append(delivery.mayBeStored) } }
        try send(producer, "a")
        try producer.flush()
        #expect(producer.failedRecords == 1 && producer.uncertainRecords == (isOpen ? 1 : 0))
        #expect(told.withLock { $0 } == [isOpen])
    }

    @Test func aBatchThatTheAnswerDoesNotMentionMayBeStored() throws {
        let log = ProduceLog([])
        log.unmentioned.withLock { $0 = 1 }
        let broker = try broker(log)
        defer { broker.stop() }
        let producer = try producer(broker)
        try send(producer, "a")
        try producer.flush()
        #expect(producer.failedRecords == 1 && producer.uncertainRecords == 1)
    }

    @Test func batchesBehindAFailedOneFollowInOrder() throws {
        // The first is refused for the moment; those in flight behind it are then out of order. The broker answers none of
        // the three before it has them all, so they are in flight together however slow anybody is.
        let log = ProduceLog([.notLeaderOrFollower, .outOfOrderSequenceNumber, .outOfOrderSequenceNumber])
        let broker = try broker(log, gathering: 3)
        defer { broker.stop() }
        let producer = try producer(broker)
        for value in ["a", "b", "c"] { try send(producer, value) }
        try producer.flush()
        #expect(producer.acknowledgedRecords == 3 && producer.failedRecords == 0)
        #expect(log.batches.withLock { $0 }.map(\.baseSequence) == [0, 1, 2, 0, 1, 2])
    }

    @Test func aPushSendsHalfFullBatchesAndAnswersAreTakenLater() throws {
        let log = ProduceLog([])
        let broker = try broker(log)
        defer { broker.stop() }
        let producer = try producer(broker) { $0.batchBytes = 1 << 20 }
        try send(producer, "a")
        try producer.advance()
        #expect(log.batches.withLock { $0.isEmpty }, "what is gathered waits for a push")
        try producer.push()
        // The reply comes when it comes; nothing else is called meanwhile.
        while producer.acknowledgedRecords == 0 { try producer.advance() }
        #expect(log.batches.withLock { $0 }.map(\.recordCount) == [1])
    }

    @Test func aDuplicateCountsAsWritten() throws {
        let log = ProduceLog([.duplicateSequenceNumber])
        let broker = try broker(log)
        defer { broker.stop() }
        let producer = try producer(broker)
        try send(producer, "a")
        try producer.flush()
        #expect(producer.acknowledgedRecords == 1)
    }

    @Test func afterABatchThatIsRefusedForGoodTheRestGoesOnUnderANewProducerID() throws {
        let log = ProduceLog([.messageTooLarge])
        let broker = try broker(log)
        defer { broker.stop() }
        let producer = try producer(broker) { $0.batchBytes = 1 << 20 }
        let failures = Mutex<[ErrorCode?]>([])
        producer.onDelivery = { delivery in
            if case .failure(let error) = delivery.result { failures.withLock { $0.append(error.code) } }
        }
        try send(producer, "too large")
        try producer.flush()
        try send(producer, "b")
        try producer.flush()
        #expect(failures.withLock { $0 } == [.messageTooLarge])
        #expect(producer.acknowledgedRecords == 1 && producer.failedRecords == 1)
        let last = log.batches.withLock { $0.last }
        #expect(last == ProduceLog.Batch(producerID: 102, baseSequence: 0, recordCount: 1))
    }

    @Test func withoutIdempotenceBatchesCarryNoProducer() throws {
        let log = ProduceLog([])
        let broker = try broker(log)
        defer { broker.stop() }
        let producer = try producer(broker) { $0.isIdempotent = false }
        try send(producer, "a")
        try producer.flush()
        #expect(
            log.batches.withLock { $0 } == [ProduceLog.Batch(producerID: -1, baseSequence: -1, recordCount: 1)])
    }

    @Test func withoutAcknowledgementNoAnswerIsWaitedFor() throws {
        let log = ProduceLog([])
        let broker = try broker(log)
        defer { broker.stop() }
        let producer = try producer(broker) {
            $0.acks = 0
            $0.isIdempotent = false
        }
        try send(producer, "a")
        try producer.flush()
        #expect(producer.acknowledgedRecords == 1)
    }

    @Test func anOlderBrokerIsSentTopicsByName() throws {
        let log = ProduceLog([])
        let broker = try broker(log, produceVersions: 0...7)
        defer { broker.stop() }
        let producer = try producer(broker)
        try send(producer, "a")
        try producer.flush()
        #expect(producer.acknowledgedRecords == 1)
    }

    @Test(arguments: Compression.allCases)
    func everyCodecMakesBatchesThatABrokerTakes(codec: Compression) throws {
        let log = ProduceLog([])
        let broker = try broker(log)
        defer { broker.stop() }
        let producer = try producer(broker) {
            $0.compression = codec
            $0.batchBytes = 4096
        }
        for number in 0..<500 { try send(producer, "record \(number) with some text to compress") }
        try producer.flush()
        #expect(producer.acknowledgedRecords == 500)
        #expect(log.batches.withLock { $0 }.reduce(0) { $0 + $1.recordCount } == 500)
    }
}
