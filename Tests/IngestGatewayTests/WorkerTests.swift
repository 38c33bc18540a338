import BrokerCore
import BrokerTestKit
import ByteBuffers
import IngestGateway
import KafkaModel
import LogStorage
import RecordFormat
import StorageIO
import Testing

/// What a loop leaves to the workers: reads that wait for the disk, look-ups by time, batches that are long to unpack. Where the
/// loop did it itself, the others would wait with it until the clients' own timeouts.
@Suite struct WorkerTests {
    private static let path = "/v1/topics/t/records"
    private static let trips = "millrace_http_reply_worker_trips_total"

    private func node(_ options: GatewayOptions = GatewayOptions()) throws -> GatewayHarness {
        try GatewayHarness(options, topicDefaults: ["max.message.bytes": "50000000"])
    }

    /// Whose records are in their segment alone.
    private func coldNode(_ options: GatewayOptions = GatewayOptions()) throws -> GatewayHarness {
        let node = try node(options)
        #expect(try node.post("t", "[1,2,3]").status == 201)
        try node.broker.store.checkpoint()
        return node
    }

    private func ask(_ node: GatewayHarness, _ query: String = "") throws -> HTTPClient {
        let client = try node.connect()
        try client.send(HTTPClient.request("GET", Self.path + query, nil))
        return client
    }

    private func offsets(_ reply: HTTPReply) throws -> [Int] {
        let records = try #require(reply.json["records"] as? [[String: Any]], "\(reply.text.prefix(300))")
        return records.compactMap { $0["offset"] as? Int }
    }

    private func append(_ batch: ByteSlice, records: Int64, to node: GatewayHarness) throws {
        let log = try node.broker.topicCreatingIfAllowed("t").get().partitions[0]
        let end = log.logEndOffset.rawValue + records
        _ = try log.append(batch, origin: .broker, nowMs: BrokerClock.wallMs()).get()
        node.broker.store.kick()
        #expect(eventually { log.highWatermark.rawValue == end })
    }

    private func appendPacked(
        _ compression: Compression = .zstd, records: Int, valueBytes: Int, to node: GatewayHarness
    ) throws {
        var builder = RecordBatchBuilder()
        for index in 0..<records {
            let value = [UInt8](repeating: UInt8(ascii: "a") + UInt8(index % 20), count: valueBytes)
            builder.append(key: nil, value: value, timestampMs: BrokerClock.wallMs())
        }
        let batch = try builder.finish(.init(compression: compression))
        try append(batch, records: Int64(records), to: node)
    }

    @Test(arguments: ["", "?offset=1", "?timestamp=1"])
    func aReadThatWaitsForTheDiskHoldsUpNobodyElse(query: String) throws {
        let node = try coldNode()
        node.disk.stall([.read], pathContains: "/partitions/t-")
        let reader = try ask(node, query)
        try reader.send(HTTPClient.request("GET", "/healthz", nil))
        #expect(eventually { node.disk.waitingCalls > 0 })
        for _ in 0..<3 {
            #expect(try node.call("GET", "/healthz").status == 200)
            #expect(try node.post("other", "1").status == 201)
            #expect(try node.call("GET", "/v1/topics/other/records").status == 200)
        }
        #expect(node.disk.waitingCalls > 0 && reader.hasNothingToRead)
        node.disk.release()
        #expect(try offsets(reader.receive()) == (query == "?offset=1" ? [1, 2] : [0, 1, 2]))
        #expect(try reader.receive().string("status") == "ok")
        #expect(node.metric("millrace_http_inflight_bytes") == 0)
    }

    @Test func whatIsAtHandIsReadByTheLoop() throws {
        let node = try node()
        #expect(try node.post("t", "[1,2,3]").status == 201)
        try appendPacked(records: 3, valueBytes: 1000, to: node)
        let workers = BusyWorkers(node.broker.workers.threadCount) { node.broker.workers.submit($0) }
        defer { workers.release() }
        #expect(try offsets(node.call("GET", Self.path)) == Array(0..<6))
        #expect(node.metric(Self.trips) == 0)
    }

    @Test(arguments: [Compression.gzip, .snappy, .lz4, .zstd])
    func aLargePackedBatchIsUnpackedByAWorker(_ compression: Compression) throws {
        let node = try node()
        for _ in 0..<2 { try appendPacked(compression, records: 100, valueBytes: 2000, to: node) }
        let workers = BusyWorkers(node.broker.workers.threadCount) { node.broker.workers.submit($0) }
        defer { workers.release() }
        let reader = try ask(node, "?limit=1000")
        #expect(eventually { node.metric(Self.trips) == 1 })
        #expect(try node.call("GET", "/healthz").status == 200)
        #expect(reader.hasNothingToRead)
        workers.release()
        #expect(try offsets(reader.receive()) == Array(0..<200))
        #expect(node.metric(Self.trips) == 2)
        #expect(node.metric("millrace_http_inflight_bytes") == 0)
    }

    @Test func aBatchAboveTheFirstStepIsUnpackedInTheSecond() throws {
        let node = try node()
        try appendPacked(records: 60, valueBytes: 100_000, to: node)
        let reply = try node.call("GET", "\(Self.path)?offset=58&limit=1000")
        #expect(try offsets(reply) == [58, 59])
        #expect(node.metric(Self.trips) == 2)
        #expect(node.metric("millrace_http_inflight_bytes") == 0)
    }

    @Test func aBatchThatCannotBeUnpackedIsTold() throws {
        let node = try node()
        var builder = RecordBatchBuilder()
        builder.append(
            key: nil, value: [UInt8](repeating: 0x5a, count: 100 << 10), timestampMs: BrokerClock.wallMs())
        let batch = builder.finishUncompressed()
        // It says that it is packed by zstd.
        UnsafeMutableRawPointer(mutating: UnsafeRawPointer(batch.pointer)).storeBytes(
            of: UInt8(4), toByteOffset: 22, as: UInt8.self)
        try append(batch, records: 1, to: node)
        let reply = try node.call("GET", Self.path)
        #expect(reply.status == 503 && reply.string("code") == "storage_unavailable")
        #expect(node.metric(Self.trips) == 1)
        #expect(node.metric("millrace_http_inflight_bytes") == 0)
    }

    @Test func aReadThatTakesTooLongIsAnsweredWithout() throws {
        var options = GatewayOptions()
        options.requestTimeout = .milliseconds(100)
        let node = try coldNode(options)
        node.disk.stall([.read], pathContains: "/partitions/t-")
        let reader = try ask(node)
        let reply = try reader.receive()
        #expect(reply.status == 504 && reply.string("code") == "read_timeout")
        #expect(reader.isClosed())
        node.disk.release()
        #expect(try offsets(node.call("GET", Self.path)) == [0, 1, 2])
    }

    @Test func aClientThatGoesMeanwhileLeavesNothing() throws {
        let node = try coldNode()
        node.disk.stall([.read], pathContains: "/partitions/t-")
        var reader: HTTPClient? = try ask(node)
        #expect(eventually { node.disk.waitingCalls > 0 })
        reader = nil
        _ = reader
        #expect(try node.call("GET", "/healthz").status == 200)
        node.disk.release()
        #expect(try offsets(node.call("GET", Self.path)) == [0, 1, 2])
        #expect(eventually { node.metric("millrace_http_connections") == 0 })
        #expect(node.metric("millrace_http_inflight_bytes") == 0)
    }
}
