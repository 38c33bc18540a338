import BrokerCore
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

/// Frames to a small broker in this process: its loop, its handlers, a simulated disk. The input is requests, one after the
/// other: `api u8 | version u8 | length u16 | body`, with frame and header put before each. Api 255: the bytes as they are,
/// without a frame; 254: a Produce of a batch whose length and CRC are made right.
///
/// Then the connection must be answered or closed, and another one must be served.
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
    default:
        let type = requestTypes[Int(api) % requestTypes.count]
        frame(type, type.versions.lowerBound + version % Int16(type.versions.count), &output) { $0.bytes(body) }
    }
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
        options.offsetsPartitions = 2
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

    private func stop() {
        broker.drain()
        group.stop(within: .zero)
        try? broker.stop()
    }
}
