import BrokerTestKit
import ByteBuffers
import Coordinators
import Glibc
import KafkaModel
import KafkaServer
import KafkaWire
import LogStorage
import RecordFormat
import StorageIO
import Transport

@testable import BrokerCore

/// Frames to a small broker in this process: its loop, its handlers, a simulated disk. The input is requests, one after the
/// other: `api u8 | version u8 | length u16 | body`, with frame and header put before each. Api 255: the bytes as they are,
/// without a frame; 254: a Produce of a batch whose length and CRC are made right; 253: a request of a transaction whose ids and
/// epochs may be right (`transaction`).
///
/// Then the connection must be answered or closed, and another one must be served. When the broker has had its inputs, every
/// transaction that is decided must end.
@Sendable func fuzzHandlers(_ bytes: UnsafeRawBufferPointer) {
    let broker = FuzzBroker.current()
    let client = FuzzSocket(port: broker.port)
    var input = Input(bytes)
    var output = ByteWriter()
    while !input.isAtEnd, output.count < 1 << 20 { request(&input, &output) }
    client.send(output.bytes)
    client.finish()
    // It reads until the broker closes. Requests that wait (JoinGroup, Fetch) are left to the broker.
    client.drain(milliseconds: 20)
    client.close()
    broker.check()
}

private func request(_ input: inout Input, _ output: inout ByteWriter) {
    let api = input.byte()
    let version = Int16(input.byte())
    let body = input.take(input.uint16())
    switch api {
    case 255: output.bytes(body)
    case 254:
        var batch = Array(body)
        mend(&batch)
        var partition = ProduceRequest.PartitionProduceData()
        partition.records = batch
        var topic = ProduceRequest.TopicProduceData()
        topic.name = version & 1 == 0 ? "t" : "compacted"
        topic.partitionData = [partition]
        var produce = ProduceRequest()
        produce.acks = -1
        produce.timeoutMs = 1000
        produce.topicData = [topic]
        frame(ProduceRequest.self, 7, &output) { produce.encode(to: &$0, version: 7) }
    case 253: transaction(version, body, &output)
    default:
        let type = requestTypes[Int(api) % requestTypes.count]
        frame(type, type.versions.lowerBound + version % Int16(type.versions.count), &output) { $0.bytes(body) }
    }
}

/// One step of a producer, of few ids, producer ids, epochs and partitions, so that steps follow from one another: the body is
/// `id | producer id | epoch | partition | flags`, a byte each. The broker gives out producer ids from 0 on.
private func transaction(_ kind: Int16, _ body: UnsafeRawBufferPointer, _ output: inout ByteWriter) {
    var input = Input(body)
    let id = FuzzBroker.transactionalIDs[Int(input.byte()) % FuzzBroker.transactionalIDs.count]
    let producerID = Int64(input.byte() % 4)
    let epoch = Int16(input.byte() % 6)
    let partition = Int32(input.byte() % 3)
    let flags = input.byte()
    let isNew = flags & 1 == 1
    switch kind % 9 {
    case 0:
        var request = InitProducerIdRequest()
        (request.transactionalID, request.transactionTimeoutMs) = (id, flags & 2 == 0 ? 60_000 : 1)
        if flags & 4 != 0 { (request.producerID, request.producerEpoch) = (producerID, epoch) }
        frame(request, 4, &output)
    case 1:
        var request = AddPartitionsToTxnRequest()
        var topic = AddPartitionsToTxnRequest.AddPartitionsToTxnTopic()
        (topic.name, topic.partitions) = ("t", [partition, partition ^ 1])
        request.v3AndBelowTransactionalID = id
        (request.v3AndBelowProducerID, request.v3AndBelowProducerEpoch) = (producerID, epoch)
        request.v3AndBelowTopics = [topic]
        var one = AddPartitionsToTxnRequest.AddPartitionsToTxnTransaction()
        (one.transactionalID, one.producerID, one.producerEpoch) = (id, producerID, epoch)
        (one.verifyOnly, one.topics) = (flags & 2 != 0, [topic])
        request.transactions = [one]
        frame(request, isNew ? 4 : 3, &output)
    case 2:
        var request = AddOffsetsToTxnRequest()
        (request.transactionalID, request.groupID) = (id, "readers")
        (request.producerID, request.producerEpoch) = (producerID, epoch)
        frame(request, 3, &output)
    case 3:
        var request = TxnOffsetCommitRequest()
        (request.transactionalID, request.groupID) = (id, "readers")
        (request.producerID, request.producerEpoch) = (producerID, epoch)
        request.topics = [TxnOffsetCommitRequest.TxnOffsetCommitRequestTopic()]
        request.topics[0].name = "t"
        request.topics[0].partitions = [TxnOffsetCommitRequest.TxnOffsetCommitRequestPartition()]
        request.topics[0].partitions[0].partitionIndex = partition
        request.topics[0].partitions[0].committedOffset = Int64(flags)
        frame(request, isNew ? 5 : 3, &output)
    case 4:
        var request = EndTxnRequest()
        (request.transactionalID, request.committed) = (id, flags & 2 == 0)
        (request.producerID, request.producerEpoch) = (producerID, epoch)
        frame(request, isNew ? 5 : 4, &output)
    case 5: produce(id, producerID, epoch, partition, flags, &output)
    case 6:
        var marker = WriteTxnMarkersRequest.WritableTxnMarker()
        (marker.producerID, marker.producerEpoch, marker.transactionResult) = (producerID, epoch, flags & 2 == 0)
        marker.coordinatorEpoch = Int32(flags >> 6)
        var topic = WriteTxnMarkersRequest.WritableTxnMarkerTopic()
        (topic.name, topic.partitionIndexes) = ("t", [partition])
        marker.topics = [topic]
        var request = WriteTxnMarkersRequest()
        request.markers = [marker]
        frame(request, 1, &output)
    case 7:
        var request = ListTransactionsRequest()
        if flags & 2 != 0 { request.stateFilters = ["Ongoing", "PrepareCommit"] }
        if flags & 4 != 0 { request.transactionalIDPattern = "(a|b)*" }
        if flags & 8 != 0 { request.durationFilter = Int64(flags) }
        frame(request, 2, &output)
    default:
        var request = DescribeTransactionsRequest()
        request.transactionalIDs = FuzzBroker.transactionalIDs + [""]
        frame(request, 0, &output)
    }
}

private func produce(
    _ id: String, _ producerID: Int64, _ epoch: Int16, _ partition: Int32, _ flags: UInt8, _ output: inout ByteWriter
) {
    var batch = TestBatch(count: 1)
    (batch.producerID, batch.producerEpoch) = (producerID, epoch)
    (batch.baseSequence, batch.isTransactional) = (Int32(flags >> 4), flags & 2 == 0)
    var data = ProduceRequest.PartitionProduceData()
    (data.index, data.records) = (partition, batch.bytes())
    var topic = ProduceRequest.TopicProduceData()
    (topic.name, topic.partitionData) = ("t", [data])
    var request = ProduceRequest()
    (request.acks, request.timeoutMs, request.topicData) = (-1, 1000, [topic])
    request.transactionalID = flags & 4 == 0 ? id : nil
    frame(request, flags & 1 == 1 ? 12 : 9, &output)
}

private func frame<Message: KafkaRequest>(_ message: Message, _ version: Int16, _ output: inout ByteWriter) {
    frame(Message.self, version, &output) { message.encode(to: &$0, version: version) }
}

private func frame<Message: KafkaRequest>(
    _: Message.Type, _ version: Int16, _ output: inout ByteWriter, _ body: (inout ByteWriter) -> Void
) {
    var header = RequestHeader()
    header.requestAPIKey = Message.apiKey.rawValue
    header.requestAPIVersion = version
    header.clientID = "fuzz"
    var inner = ByteWriter()
    header.encode(to: &inner)
    body(&inner)
    output.int32(Int32(inner.count))
    output.bytes(inner.bytes)
}

/// One broker serves some thousand inputs; what they made goes with it.
private final class FuzzBroker: @unchecked Sendable {
    static let inputsEach = 2000
    static let transactionalIDs = ["a", "b"]
    // SAFETY: libFuzzer calls from one thread alone.
    nonisolated(unsafe) private static var shared: FuzzBroker?

    let port: UInt16
    private let broker: Broker
    private let server: KafkaServer
    private let group: EventLoopGroup
    private var inputs = 0

    static func current() -> FuzzBroker {
        if let shared, shared.inputs < inputsEach {
            shared.inputs += 1
            return shared
        }
        shared?.stop()
        let made = try! FuzzBroker()
        shared = made
        return made
    }

    private init() throws {
        var options = BrokerOptions()
        (options.offsetsPartitions, options.transactionPartitions) = (2, 2)
        options.groups.initialRebalanceDelayMs = 0
        (options.access.hasAuthorizer, options.access.allowsWithoutAcl) = (true, true)
        options.topicDefaults["retention.ms"] = "-1"
        options.store.journalFileBytes = 4 << 20
        options.store.reserveBytes = 0
        options.store.direct = false
        broker = try Broker(fileSystem: SimulatedFileSystem(), folder: "/data", options: options)
        let server = KafkaServer(broker: broker, options: KafkaServerOptions(), loopCount: 1)
        self.server = server
        var loops = EventLoopGroup.Options()
        loops.loops = 1
        loops.commitClock = server.commitClock
        loops.setUp = { loop in server.setUp(loop) }
        group = try EventLoopGroup(loops)
        broker.start()
        port = try group.listen(server.listenerOptions(host: "127.0.0.1", port: 0)).port
        prepare()
    }

    /// A plain topic and a compacted one.
    private func prepare() {
        var request = CreateTopicsRequest()
        request.topics = ["t", "compacted"].map { name in
            var topic = CreateTopicsRequest.CreatableTopic()
            (topic.name, topic.numPartitions, topic.replicationFactor) = (name, 2, 1)
            if name == "compacted" {
                var config = CreateTopicsRequest.CreatableTopicConfig()
                (config.name, config.value) = ("cleanup.policy", "compact")
                topic.configs = [config]
            }
            return topic
        }
        request.timeoutMs = 10_000
        var output = ByteWriter()
        frame(CreateTopicsRequest.self, 5, &output) { request.encode(to: &$0, version: 5) }
        let client = FuzzSocket(port: port)
        client.send(output.bytes)
        insist(client.receive(atLeast: 4, milliseconds: 10_000) >= 4, "the topics were not made")
        client.close()
        broker.transactions.makeTopic()
    }

    /// Another client is answered.
    func check() {
        var output = ByteWriter()
        frame(ApiVersionsRequest.self, 0, &output) { _ in }
        let client = FuzzSocket(port: port)
        client.send(output.bytes)
        insist(client.receive(atLeast: 4, milliseconds: 10_000) >= 4, "another client is not answered")
        client.close()
    }

    /// Nothing that is decided stays so: markers are written, and the end of it.
    private func checkTransactions() {
        for _ in 0..<1000 {
            let states = Self.transactionalIDs.compactMap { id in
                broker.transactions.read(ExactString(id), refused: { _ in nil }) {
                    try? $0.describe(ExactString(id)).get().state
                }.answer
            }
            if !states.contains(.prepareCommit), !states.contains(.prepareAbort) { return }
            usleep(10_000)
        }
        insist(false, "a transaction that is decided does not end")
    }

    private func stop() {
        checkTransactions()
        broker.drain()
        group.stop(within: .zero)
        try? broker.stop()
    }
}
