import BrokerCore
import BrokerTestKit
import ByteBuffers
import Foundation
import KafkaModel
import LogStorage
import RecordFormat
import Security
import Testing

@testable import IngestGateway

extension GatewayHarness {
    static let kinesisType = "application/x-amz-json-1.1"

    func kinesis(_ operation: String, _ body: String, path: String = "/", fields: [String] = []) throws -> HTTPReply {
        let own = ["X-Amz-Target: Kinesis_20131202.\(operation)", "Content-Type: \(Self.kinesisType)"]
        return try call("POST", path, body, fields: own + fields)
    }

    func makeStream(_ name: String, shards: Int) throws {
        let reply = try kinesis("CreateStream", #"{"StreamName":"\#(name)","ShardCount":\#(shards)}"#)
        try #require(reply.status == 200 && reply.text == "", "\(reply.text)")
    }

    @discardableResult
    func put(_ value: String, key: String, into stream: String) throws -> (shard: String, number: String) {
        let reply = try kinesis(
            "PutRecord", #"{"StreamName":"\#(stream)","Data":"\#(Base64.encode(value.utf8))","PartitionKey":"\#(key)"}"#
        )
        try #require(reply.status == 200, "\(reply.text)")
        return (try #require(reply.string("ShardId")), try #require(reply.string("SequenceNumber")))
    }

    func iterator(_ stream: String, shard: Int = 0, _ type: String, _ more: String = "") throws -> String {
        let reply = try kinesis(
            "GetShardIterator",
            #"{"StreamName":"\#(stream)","ShardId":"\#(KinesisShards.id(of: shard))","ShardIteratorType":"\#(type)"\#(more)}"#
        )
        try #require(reply.status == 200, "\(reply.text)")
        return try #require(reply.string("ShardIterator"))
    }

    func read(_ iterator: String, limit: Int? = nil) throws -> ShardPage {
        let limit = limit.map { ",\"Limit\":\($0)" } ?? ""
        let reply = try kinesis("GetRecords", #"{"ShardIterator":"\#(iterator)"\#(limit)}"#)
        try #require(reply.status == 200, "\(reply.text)")
        #expect(reply.fields["content-type"] == Self.kinesisType)
        return try ShardPage(reply)
    }
}

/// What GetRecords has answered.
struct ShardPage {
    var values: [String] = []
    var keys: [String] = []
    var numbers: [String] = []
    var times: [Double] = []
    let next: String
    let behindMs: Int

    init(_ reply: HTTPReply) throws {
        for record in try #require(reply.json["Records"] as? [[String: Any]]) {
            let text = try #require(record["Data"] as? String)
            let value = try #require(Data(base64Encoded: text))
            values.append(String(decoding: value, as: UTF8.self))
            keys.append(try #require(record["PartitionKey"] as? String))
            numbers.append(try #require(record["SequenceNumber"] as? String))
            times.append(try #require(record["ApproximateArrivalTimestamp"] as? Double))
        }
        next = try #require(reply.string("NextShardIterator"))
        behindMs = try #require(reply.number("MillisBehindLatest"))
    }
}

extension HTTPReply {
    /// Type and status of an error of Kinesis.
    var kinesisError: String { "\(string("__type") ?? "") \(status)" }
}

/// Records by the protocol of Amazon Kinesis: put, and read by iterators.
@Suite struct KinesisTests {
    private func node(_ options: GatewayOptions = GatewayOptions()) throws -> GatewayHarness {
        let node = try GatewayHarness(options, autoCreate: true)
        try node.makeStream("s", shards: 2)
        return node
    }

    // MARK: Puts

    @Test func aRecordComesAsItWasPut() throws {
        let node = try node()
        // MD5 of "a" begins with 0c, of "b" with 92: the first and the second half.
        let (first, second) = (try node.put("one", key: "a", into: "s"), try node.put("two", key: "b", into: "s"))
        #expect(first == ("shardId-000000000000", "0") && second == ("shardId-000000000001", "0"))
        #expect(try node.put("three", key: "a", into: "s").number == "1")
        let before = Double(BrokerClock.wallMs()) / 1000
        let page = try node.read(try node.iterator("s", "TRIM_HORIZON"))
        #expect(page.values == ["one", "three"] && page.keys == ["a", "a"] && page.numbers == ["0", "1"])
        #expect(page.times.allSatisfy { abs($0 - before) < 60 } && page.behindMs == 0)
        #expect(try node.read(page.next).values == [])
        try node.put("four", key: "a", into: "s")
        #expect(try node.read(page.next).values == ["four"])
        #expect(try node.stored("s").records.map(\.key) == ["a", "a", "a", "b"])
    }

    @Test func aHashKeyOfItsOwnSaysWhichShard() throws {
        let node = try node()
        for (hash, shard) in [
            ("0", 0), ("170141183460469231731687303715884105727", 0), ("170141183460469231731687303715884105728", 1),
            ("340282366920938463463374607431768211455", 1),
        ] {
            let reply = try node.kinesis(
                "PutRecord", #"{"StreamName":"s","Data":"","PartitionKey":"k","ExplicitHashKey":"\#(hash)"}"#)
            #expect(reply.string("ShardId") == KinesisShards.id(of: shard))
        }
        for wrong in ["340282366920938463463374607431768211456", "-1", "", "x"] {
            let reply = try node.kinesis(
                "PutRecord", #"{"StreamName":"s","Data":"","PartitionKey":"k","ExplicitHashKey":"\#(wrong)"}"#)
            #expect(reply.kinesisError == "InvalidArgumentException 400")
        }
    }

    @Test func manyRecordsAreStoredTogether() throws {
        let node = try node()
        let records = (0..<500).map { #"{"Data":"\#(Base64.encode("\($0)".utf8))","PartitionKey":"k\#($0 % 7)"}"# }
        let reply = try node.kinesis(
            "PutRecords", #"{"StreamName":"s","Records":[\#(records.joined(separator: ","))]}"#)
        #expect(reply.status == 200 && reply.number("FailedRecordCount") == 0)
        let placed = try #require(reply.json["Records"] as? [[String: String]])
        #expect(placed.count == 500)
        var read: [Int] = []
        for shard in 0..<2 {
            let page = try node.read(try node.iterator("s", shard: shard, "TRIM_HORIZON"))
            let values = page.values.compactMap { Int($0) }
            #expect(values == values.sorted(), "in the order of the request")
            for (value, number) in zip(values, page.numbers) {
                #expect(placed[value] == ["ShardId": KinesisShards.id(of: shard), "SequenceNumber": number])
            }
            read += values
        }
        #expect(read.sorted() == Array(0..<500))
        #expect(try node.stored("s").batches == 2)
    }

    /// All are looked at before the first is appended.
    @Test func oneRecordThatIsNoneRefusesAll() throws {
        var options = GatewayOptions()
        options.maxEventBytes = 100
        let node = try node(options)
        let good = #"{"Data":"eA==","PartitionKey":"k"}"#
        let long = Base64.encode(repeatElement(UInt8(ascii: "x"), count: 100))
        for (bad, error) in [
            (#"{"Data":"\#(long)","PartitionKey":"k"}"#, "InvalidArgumentException 400"),
            (#"{"Data":"eA==","PartitionKey":""}"#, "InvalidArgumentException 400"),
            (
                #"{"Data":"eA==","PartitionKey":"\#(String(repeating: "é", count: 257))"}"#,
                "InvalidArgumentException 400"
            ),
            (#"{"Data":"eA=="}"#, "InvalidArgumentException 400"),
            (#"{"PartitionKey":"k"}"#, "InvalidArgumentException 400"),
            (#"{"Data":"e","PartitionKey":"k"}"#, "SerializationException 400"),
            (#"{"Data":5,"PartitionKey":"k"}"#, "SerializationException 400"), ("5", "SerializationException 400"),
            (#"{"Data":"eA==","PartitionKey":"k","PartitionKey":"l"}"#, "SerializationException 400"),
        ] {
            let reply = try node.kinesis("PutRecords", #"{"StreamName":"s","Records":[\#(good),\#(bad)]}"#)
            #expect(reply.kinesisError == error, "\(bad): \(reply.text)")
        }
        let many = Array(repeating: good, count: 501).joined(separator: ",")
        for records in ["[\(many)]", "[]"] {
            let reply = try node.kinesis("PutRecords", #"{"StreamName":"s","Records":\#(records)}"#)
            #expect(reply.kinesisError == "InvalidArgumentException 400")
        }
        #expect(try node.stored("s").records.isEmpty)
        let fits = Base64.encode(repeatElement(UInt8(ascii: "x"), count: 99))
        #expect(
            try node.kinesis("PutRecord", #"{"StreamName":"s","Data":"\#(fits)","PartitionKey":"k"}"#).status == 200)
    }

    /// Nothing is told before it is on disk.
    @Test func aPutIsAnsweredWhenItIsOnDisk() throws {
        let node = try GatewayHarness(holdsCommits: true)
        _ = try node.broker.createTopic("s", partitions: 1).get()
        let client = try node.connect()
        let body = #"{"StreamName":"s","Data":"eA==","PartitionKey":"k"}"#
        try client.send(
            HTTPClient.request(
                "POST", "/", Array(body.utf8),
                fields: ["X-Amz-Target: Kinesis_20131202.PutRecord", "Content-Type: \(GatewayHarness.kinesisType)"]))
        let log = try #require(node.broker.catalog.topic(named: "s")).partitions[0]
        #expect(eventually { log.logEndOffset.rawValue == 1 })
        #expect(eventually { log.highWatermark.rawValue == 1 })
        #expect(try node.kinesis("ListStreams", "{}").status == 200)
        #expect(client.hasNothingToRead, "the clock was not told")
    }

    @Test func largeRecordsGoThroughInParts() throws {
        let node = try GatewayHarness(topicDefaults: ["max.message.bytes": "2000000"])
        try node.makeStream("s", shards: 1)
        let value = String(repeating: "0123456789abcde", count: 60_000)
        for _ in 0..<3 { try node.put(value, key: "k", into: "s") }
        let page = try node.read(try node.iterator("s", "TRIM_HORIZON"))
        #expect(page.values == [value, value, value] && page.keys == ["k", "k", "k"])
    }

    // MARK: Reads

    @Test func iteratorsBeginWhereTheySay() throws {
        let node = try node()
        for number in 0..<5 { try node.put("\(number)", key: "a", into: "s") }
        func values(_ type: String, _ more: String = "") throws -> [String] {
            try node.read(try node.iterator("s", type, more)).values
        }
        #expect(try values("TRIM_HORIZON") == ["0", "1", "2", "3", "4"])
        #expect(try values("AT_SEQUENCE_NUMBER", #","StartingSequenceNumber":"3""#) == ["3", "4"])
        #expect(try values("AFTER_SEQUENCE_NUMBER", #","StartingSequenceNumber":"3""#) == ["4"])
        #expect(try values("AFTER_SEQUENCE_NUMBER", #","StartingSequenceNumber":"4""#) == [])
        #expect(try values("AT_SEQUENCE_NUMBER", #","StartingSequenceNumber":"5""#) == [], "the one that comes next")
        #expect(try values("AT_TIMESTAMP", #","Timestamp":0"#) == ["0", "1", "2", "3", "4"])
        let page = try node.read(try node.iterator("s", "TRIM_HORIZON"), limit: 3)
        #expect(page.values == ["0", "1", "2"] && page.behindMs > 0)
        #expect(try node.read(page.next).values == ["3", "4"])
        // The newest place is that of when it was asked for.
        let latest = try node.iterator("s", "LATEST")
        try node.put("5", key: "a", into: "s")
        #expect(try node.read(latest).values == ["5"])
        #expect(try values("LATEST") == [])
    }

    @Test func timesAreFoundToTheMillisecond() throws {
        let node = try node()
        let topic = try #require(node.broker.catalog.topic(named: "s"))
        let now = BrokerClock.wallMs() - 100_000
        for number in 0..<4 {
            var builder = RecordBatchBuilder()
            builder.append(key: nil, value: Array("\(number)".utf8), timestampMs: now + Int64(number) * 1000 + 7)
            _ = try topic.partitions[0].append(
                try builder.finish(.init()), origin: .client, nowMs: BrokerClock.wallMs()
            ).get()
        }
        node.broker.store.kick()
        #expect(eventually { topic.partitions[0].highWatermark.rawValue == 4 })
        func values(_ milliseconds: Int64) throws -> [String] {
            let time = "\(milliseconds / 1000).\(String(milliseconds % 1000 + 1000).dropFirst())"
            return try node.read(try node.iterator("s", "AT_TIMESTAMP", ",\"Timestamp\":\(time)")).values
        }
        #expect(try values(now + 1007) == ["1", "2", "3"] && values(now + 1008) == ["2", "3"])
        #expect(try values(now + 50_000) == [])
        let page = try node.read(try node.iterator("s", "TRIM_HORIZON"), limit: 1)
        #expect(page.keys == [""] && Int64((page.times[0] * 1000).rounded()) == now + 7)
    }

    @Test func wrongIteratorsAreRefused() throws {
        let node = try node()
        try node.put("x", key: "a", into: "s")
        for (more, error) in [
            (#""ShardIteratorType":"NEWEST""#, "InvalidArgumentException 400"),
            (#""ShardIteratorType":"AT_SEQUENCE_NUMBER""#, "InvalidArgumentException 400"),
            (#""ShardIteratorType":"AT_SEQUENCE_NUMBER","StartingSequenceNumber":"2""#, "InvalidArgumentException 400"),
            (
                #""ShardIteratorType":"AT_SEQUENCE_NUMBER","StartingSequenceNumber":"-1""#,
                "InvalidArgumentException 400"
            ),
            (
                #""ShardIteratorType":"AFTER_SEQUENCE_NUMBER","StartingSequenceNumber":"1""#,
                "InvalidArgumentException 400"
            ),
            (
                #""ShardIteratorType":"AFTER_SEQUENCE_NUMBER","StartingSequenceNumber":"99999999999999999999""#,
                "InvalidArgumentException 400"
            ),
            (#""ShardIteratorType":"AT_TIMESTAMP""#, "InvalidArgumentException 400"),
            (#""ShardIteratorType":"AT_TIMESTAMP","Timestamp":99999999999"#, "InvalidArgumentException 400"),
            (#""ShardIteratorType":"AT_TIMESTAMP","Timestamp":"x""#, "SerializationException 400"),
            ("\"ShardIteratorType\":5", "SerializationException 400"),
        ] {
            let reply = try node.kinesis(
                "GetShardIterator", #"{"StreamName":"s","ShardId":"shardId-000000000000",\#(more)}"#)
            #expect(reply.kinesisError == error, "\(more): \(reply.text)")
        }
        for shard in ["shardId-000000000002", "shardId-0", "0", "shardId-00000000000x", "shardId-+00000000001"] {
            let reply = try node.kinesis(
                "GetShardIterator", #"{"StreamName":"s","ShardId":"\#(shard)","ShardIteratorType":"LATEST"}"#)
            #expect(reply.kinesisError == "ResourceNotFoundException 400")
        }
        let good = try node.iterator("s", "TRIM_HORIZON")
        var changed = Array(good.utf8)
        changed[30] = changed[30] == UInt8(ascii: "A") ? UInt8(ascii: "B") : UInt8(ascii: "A")
        for text in [
            String(decoding: changed, as: UTF8.self), "x", String(good.dropLast()), String(repeating: "A", count: 600),
        ] {
            let reply = try node.kinesis("GetRecords", #"{"ShardIterator":"\#(text)"}"#)
            #expect(reply.kinesisError == "InvalidArgumentException 400")
        }
        for limit in ["0", "10001", "-1"] {
            let reply = try node.kinesis("GetRecords", #"{"ShardIterator":"\#(good)","Limit":\#(limit)}"#)
            #expect(reply.kinesisError == "InvalidArgumentException 400")
        }
    }

    @Test func iteratorsEndWithTheirTimeAndTheirStream() throws {
        let node = try node()
        try node.put("x", key: "a", into: "s")
        let topic = try #require(node.broker.catalog.topic(named: "s"))
        let seal = try #require(node.gateway.iteratorSeal())
        func made(_ ago: Int64, _ partition: Int32 = 0) -> String {
            seal.text(
                of: ShardIterator(
                    topicID: topic.id, partitionIndex: partition, place: .trimHorizon,
                    madeMs: BrokerClock.wallMs() - ago))
        }
        #expect(try node.read(made(290_000)).values == ["x"])
        let old = try node.kinesis("GetRecords", #"{"ShardIterator":"\#(made(301_000))"}"#)
        #expect(old.kinesisError == "ExpiredIteratorException 400")
        let nowhere = try node.kinesis("GetRecords", #"{"ShardIterator":"\#(made(0, 2))"}"#)
        #expect(nowhere.kinesisError == "ResourceNotFoundException 400")
        let iterator = try node.iterator("s", "TRIM_HORIZON")
        #expect(try node.kinesis("DeleteStream", #"{"StreamName":"s"}"#).status == 200)
        try node.makeStream("s", shards: 2)
        let gone = try node.kinesis("GetRecords", #"{"ShardIterator":"\#(iterator)"}"#)
        #expect(gone.kinesisError == "ResourceNotFoundException 400")
    }

    /// As with the service: what is gone is passed over.
    @Test func recordsThatAreGoneArePassedOver() throws {
        let node = try node()
        let iterator = try node.iterator("s", "AT_SEQUENCE_NUMBER", #","StartingSequenceNumber":"0""#)
        for number in 0..<5 { try node.put("\(number)", key: "a", into: "s") }
        let log = try #require(node.broker.catalog.topic(named: "s")).partitions[0]
        _ = try log.deleteRecords(before: Offset(3)).get()
        #expect(try node.read(iterator).values == ["3", "4"])
        #expect(try node.read(try node.iterator("s", "TRIM_HORIZON")).values == ["3", "4"])
        let named = try node.iterator("s", "AT_SEQUENCE_NUMBER", #","StartingSequenceNumber":"1""#)
        #expect(try node.read(named).values == ["3", "4"])
    }

    @Test func onlyWhatIsCommittedIsRead() throws {
        let node = try node()
        let log = try #require(node.broker.catalog.topic(named: "s")).partitions[0]
        func append(_ count: Int, _ sequence: Int32) throws {
            var batch = TestBatch(count: count)
            (batch.producerID, batch.producerEpoch, batch.baseSequence) = (7, 0, sequence)
            batch.isTransactional = true
            let slice = batch.bytes().withUnsafeBytes { ChunkPool.shared.slice(copying: $0) }
            guard case .ask(let verified) = log.verification(of: ProducerID(7), ProducerEpoch(0), isVersion2: false)
            else {
                throw NoReply(isClosed: false)
            }
            _ = try log.append(slice, origin: .client, nowMs: BrokerClock.wallMs(), verified: verified).get()
        }
        func end(_ isCommit: Bool) throws {
            let marker = TransactionMarker(
                producerID: ProducerID(7), epoch: ProducerEpoch(0), isCommit: isCommit, coordinatorEpoch: 0,
                isVersion2: false)
            _ = try node.broker.endTransaction(in: log, marker).get()
            node.broker.store.kick()
            #expect(eventually { log.highWatermark == log.logEndOffset })
        }
        try append(3, 0)
        try end(false)
        try append(2, 3)
        node.broker.store.kick()
        // Three of an aborted transaction and its marker; two of one that is open; one behind it.
        try node.put("x", key: "a", into: "s")
        let latest = try node.iterator("s", "LATEST")
        let open = try node.read(try node.iterator("s", "TRIM_HORIZON"))
        #expect(open.numbers == [] && open.behindMs == 0)
        try end(true)
        #expect(try node.read(open.next).numbers == ["4", "5", "6"])
        #expect(try node.read(latest).numbers == ["4", "5", "6"], "nothing that was not to be seen yet is left out")
    }

    // MARK: The protocol

    @Test func anyPathIsServedAndOtherOperationsAreNot() throws {
        let node = try node()
        for path in ["/", "/kinesis", "/sqs", "/v1/topics/s/events"] {
            #expect(try node.kinesis("ListStreams", "{}", path: path).status == 200)
        }
        let unknown = try node.kinesis("SplitShard", "{}")
        #expect(unknown.kinesisError == "UnknownOperationException 400")
        #expect(unknown.string("message")?.contains("GetShardIterator") == true)
        #expect(try node.call("POST", "/kinesis", "{}").kinesisError == "InvalidArgumentException 400")
        #expect(try node.call("GET", "/kinesis").status == 405)
        #expect(try node.kinesis("ListStreams", "{}").fields["x-amzn-requestid"] != nil)
        #expect(try node.kinesis("ListStreams", "").status == 200)
        for body in ["{", "[]", "5", "{}x", #"{"Limit":"5"}"#, #"{"Limit":1.5}"#, #"{"Limit":1,"Limit":2}"#] {
            #expect(try node.kinesis("ListStreams", body).kinesisError == "SerializationException 400", "\(body)")
        }
        #expect(try node.kinesis("ListStreams", #"{"Limit":null,"Other":{"a":[1]}}"#).status == 200)
    }

    /// Who sends CBOR reads nothing else.
    @Test func bodiesInCBORAreRefusedInIt() throws {
        let node = try node()
        let reply = try node.call(
            "POST", "/", bytes: [0xa0],
            fields: ["X-Amz-Target: Kinesis_20131202.ListStreams", "Content-Type: application/x-amz-cbor-1.1"])
        #expect(reply.status == 400 && reply.fields["content-type"] == "application/x-amz-cbor-1.1")
        let type: [UInt8] = [0x79, 0, 24] + Array("InvalidArgumentException".utf8)
        let start: [UInt8] = [0xa2, 0x79, 0, 6] + Array("__type".utf8) + type + [0x79, 0, 7] + Array("message".utf8)
        #expect(Array(reply.body.prefix(start.count)) == start)
        #expect(reply.text.contains("AWS_CBOR_DISABLE=true"))
    }

    @Test func theGatewaysOwnRefusalsAreErrorsToo() throws {
        var options = GatewayOptions()
        options.maxRequestBytes = 1 << 20
        (options.callerRate, options.callerBurst) = (1, 4)
        let node = try node(options)
        let large = try node.call(
            "POST", "/", bytes: nil,
            fields: ["X-Amz-Target: Kinesis_20131202.PutRecord", "Content-Length: \(2 << 20)"])
        #expect(large.kinesisError == "InvalidArgumentException 413")
        var errors: Set<String> = []
        for _ in 0..<8 { errors.insert(try node.kinesis("ListStreams", "{}").kinesisError) }
        #expect(errors.contains("ProvisionedThroughputExceededException 400"))
        #expect(try node.kinesis("ListStreams", "{}").fields["retry-after"] != nil)
    }

    @Test func hashesAreDividedAsTheServiceDoes() {
        let three = KinesisShards(count: 3)
        #expect(three.range(of: 0) == 0...113_427_455_640_312_821_154_458_202_477_256_070_484)
        #expect(three.range(of: 2).upperBound == .max)
        for count in [1, 2, 3, 7, 64, 1000] {
            let shards = KinesisShards(count: count)
            var next: UInt128 = 0
            for index in 0..<count {
                let range = shards.range(of: index)
                #expect(range.lowerBound == next)
                #expect(shards.index(of: range.lowerBound) == index && shards.index(of: range.upperBound) == index)
                next = range.upperBound &+ 1
            }
            #expect(next == 0, "all of them, and none twice")
        }
    }
}
