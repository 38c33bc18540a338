import BrokerCore
import BrokerTestKit
import ByteBuffers
import KafkaModel
import LogStorage
import Security
import Testing

@testable import IngestGateway

/// Streams by the protocol of Amazon Kinesis: made, described, listed, deleted; and who may.
@Suite struct KinesisStreamTests {
    @Test func aStreamIsATopicOfItsShards() throws {
        let node = try GatewayHarness()
        try node.makeStream("orders", shards: 3)
        let topic = try #require(node.broker.catalog.topic(named: "orders"))
        #expect(topic.partitions.count == 3 && topic.settings.overrides["retention.ms"] == "86400000")
        let reply = try node.kinesis("DescribeStream", #"{"StreamName":"orders"}"#)
        let found = try #require(reply.json["StreamDescription"] as? [String: Any])
        #expect(found["StreamName"] as? String == "orders" && found["StreamStatus"] as? String == "ACTIVE")
        #expect(found["StreamARN"] as? String == "arn:aws:kinesis:us-east-1:000000000000:stream/orders")
        #expect(found["RetentionPeriodHours"] as? Int == 24 && found["HasMoreShards"] as? Bool == false)
        let shards = try #require(found["Shards"] as? [[String: Any]])
        #expect(shards.map { $0["ShardId"] as? String } == (0..<3).map { KinesisShards.id(of: $0) })
        let range = try #require(shards[2]["HashKeyRange"] as? [String: String])
        #expect(range["EndingHashKey"] == "340282366920938463463374607431768211455")
        let byResource = try node.kinesis(
            "DescribeStreamSummary", #"{"StreamARN":"arn:aws:kinesis:eu-west-1:123456789012:stream/orders"}"#)
        let summary = try #require(byResource.json["StreamDescriptionSummary"] as? [String: Any])
        #expect(summary["OpenShardCount"] as? Int == 3 && summary["StreamName"] as? String == "orders")
        #expect(
            try node.kinesis("CreateStream", #"{"StreamName":"orders","ShardCount":1}"#).kinesisError
                == "ResourceInUseException 400")
        #expect(try node.kinesis("DeleteStream", #"{"StreamName":"orders"}"#).text == "")
        #expect(node.broker.catalog.topic(named: "orders") == nil)
    }

    @Test func aTopicThatKeepsRecordsForEverSaysTheMost() throws {
        let node = try GatewayHarness()
        for (name, settings, hours) in [
            ("a", ["retention.ms": "-1"], 8760), ("b", ["retention.ms": "1000"], 1),
            ("c", ["cleanup.policy": "compact"], 8760),
            ("d", ["retention.ms": "7200000"], 2),
        ] {
            _ = try node.broker.createTopic(name, partitions: 1, settings: settings).get()
            let reply = try node.kinesis("DescribeStreamSummary", #"{"StreamName":"\#(name)"}"#)
            let summary = try #require(reply.json["StreamDescriptionSummary"] as? [String: Any])
            #expect(summary["RetentionPeriodHours"] as? Int == hours)
        }
    }

    @Test func theRetentionIsChanged() throws {
        let node = try GatewayHarness()
        try node.makeStream("s", shards: 2)
        func change(_ direction: String, _ hours: Int) throws -> String {
            try node.kinesis(
                "\(direction)StreamRetentionPeriod", #"{"StreamName":"s","RetentionPeriodHours":\#(hours)}"#
            ).kinesisError
        }
        #expect(try change("Increase", 48) == " 200" && change("Increase", 47) == "InvalidArgumentException 400")
        let topic = try #require(node.broker.catalog.topic(named: "s"))
        #expect(topic.settings.overrides["retention.ms"] == "172800000")
        #expect(topic.partitions.allSatisfy { $0.settings.retentionMs == 172_800_000 })
        #expect(try change("Decrease", 49) == "InvalidArgumentException 400" && change("Decrease", 24) == " 200")
        for hours in [23, 8761] { #expect(try change("Decrease", hours) == "InvalidArgumentException 400") }
        #expect(try node.kinesis("IncreaseStreamRetentionPeriod", #"{"StreamName":"s"}"#).status == 400)
    }

    @Test func wrongStreamsAreRefused() throws {
        let node = try GatewayHarness()
        for body in [
            #"{"StreamName":"a b","ShardCount":1}"#, #"{"StreamName":"","ShardCount":1}"#, #"{"ShardCount":1}"#,
            #"{"StreamName":"\#(String(repeating: "x", count: 129))","ShardCount":1}"#, #"{"StreamName":"a"}"#,
            #"{"StreamName":"__queue_state","ShardCount":1}"#, #"{"StreamName":"__jobs","ShardCount":1}"#,
            #"{"StreamName":"a","ShardCount":0}"#, #"{"StreamName":"a","ShardCount":1001}"#,
            #"{"StreamName":"a","ShardCount":1,"StreamModeDetails":{"StreamMode":"ON_DEMAND"}}"#,
        ] { #expect(try node.kinesis("CreateStream", body).kinesisError == "InvalidArgumentException 400", "\(body)") }
        #expect(node.broker.catalog.topic(named: "a") == nil)
        #expect(node.broker.catalog.topic(named: "__jobs") == nil)
        for (operation, more) in [
            ("DescribeStream", ""), ("DescribeStreamSummary", ""), ("DeleteStream", ""), ("ListShards", ""),
            ("PutRecord", #","Data":"","PartitionKey":"k""#),
            ("PutRecords", #","Records":[{"Data":"","PartitionKey":"k"}]"#),
            ("GetShardIterator", #","ShardId":"shardId-000000000000","ShardIteratorType":"LATEST""#),
        ] {
            for name in ["gone", "__consumer_offsets"] {
                let reply = try node.kinesis(operation, #"{"StreamName":"\#(name)"\#(more)}"#)
                #expect(reply.kinesisError == "ResourceNotFoundException 400", "\(operation): \(reply.text)")
            }
            let long = String(repeating: "x", count: 2049)
            let refused = try node.kinesis(operation, #"{"StreamName":"\#(long)"\#(more)}"#)
            #expect(refused.kinesisError == "InvalidArgumentException 400" && !refused.text.contains("xxx"))
            let nameless = try node.kinesis(operation, "{\(more.dropFirst())}")
            #expect(nameless.kinesisError == "InvalidArgumentException 400")
            let wrong = try node.kinesis(operation, #"{"StreamARN":"arn:aws:sqs:eu:1:stream/s"\#(more)}"#)
            #expect(wrong.kinesisError == "InvalidArgumentException 400")
        }
        #expect(node.broker.catalog.topic(named: "gone") == nil, "a put makes no stream")
    }

    @Test func shardsAndStreamsHavePages() throws {
        let node = try GatewayHarness()
        try node.makeStream("s", shards: 5)
        func shards(_ members: String) throws -> ([String], String?) {
            let reply = try node.kinesis("ListShards", "{\(members)}")
            let found = try #require(reply.json["Shards"] as? [[String: Any]], "\(reply.text)")
            return (found.compactMap { $0["ShardId"] as? String }, reply.string("NextToken"))
        }
        let ids = (0..<5).map { KinesisShards.id(of: $0) }
        #expect(try shards(#""StreamName":"s""#) == (ids, nil))
        let (first, token) = try shards(#""StreamName":"s","MaxResults":2"#)
        #expect(first == Array(ids[..<2]))
        let (rest, end) = try shards(#""NextToken":"\#(try #require(token))""#)
        #expect(rest == Array(ids[2...]) && end == nil)
        #expect(try shards(#""StreamName":"s","ExclusiveStartShardId":"\#(ids[3])""#) == ([ids[4]], nil))
        let after = #""StreamName":"s","ShardFilter":{"Type":"AFTER_SHARD_ID","ShardId":"\#(ids[2])"}"#
        #expect(try shards(after) == (Array(ids[3...]), nil))
        #expect(try shards(#""StreamName":"s","ShardFilter":{"Type":"AT_LATEST"}"#) == (ids, nil))
        let part = try node.kinesis("DescribeStream", #"{"StreamName":"s","Limit":4}"#)
        #expect((part.json["StreamDescription"] as? [String: Any])?["HasMoreShards"] as? Bool == true)
        for name in ["t", "u", "v"] { try node.makeStream(name, shards: 1) }
        func streams(_ members: String) throws -> ([String], Bool, String?) {
            let reply = try node.kinesis("ListStreams", "{\(members)}")
            let names = try #require(reply.json["StreamNames"] as? [String], "\(reply.text)")
            let summaries = try #require(reply.json["StreamSummaries"] as? [[String: Any]])
            #expect(summaries.map { $0["StreamName"] as? String } == names)
            return (names, try #require(reply.json["HasMoreStreams"] as? Bool), reply.string("NextToken"))
        }
        #expect(try streams("") == (["s", "t", "u", "v"], false, nil))
        let page = try streams(#""Limit":2"#)
        #expect(page.0 == ["s", "t"] && page.1)
        let more = try #require(page.2)
        #expect(try streams(#""NextToken":"\#(more)""#) == (["u", "v"], false, nil))
        #expect(try streams(#""ExclusiveStartStreamName":"u""#) == (["v"], false, nil))
        for operation in ["ListShards", "ListStreams"] {
            #expect(
                try node.kinesis(operation, #"{"NextToken":"?"}"#).kinesisError == "InvalidArgumentException 400")
        }
    }

    // MARK: Who may

    private func call(
        _ node: GatewayHarness, _ operation: String, _ body: String, by signer: AWSSigner, service: String = "kinesis",
        at moment: UnixTime? = nil, sent: String? = nil
    ) throws -> HTTPReply {
        let fields = signer.fields(
            service, "Kinesis_20131202.\(operation)", GatewayHarness.kinesisType, body, at: moment)
        return try node.kinesis(operation, sent ?? body, fields: fields)
    }

    private func signed(acls: Bool = false, _ options: GatewayOptions = GatewayOptions()) throws -> GatewayHarness {
        try GatewayHarness(options, access: { $0.hasAuthorizer = acls }) {
            GatewayAuthentication(.required, passwords: try Authentication($0))
        }
    }

    @Test func whatIsNotSignedByAKeyIsRefused() throws {
        let node = try signed()
        let signer = AWSSigner(on: node)
        #expect(try call(node, "ListStreams", "{}", by: signer).status == 200)
        #expect(try node.kinesis("ListStreams", "{}").kinesisError == "MissingAuthenticationTokenException 400")
        let changed = try call(node, "ListStreams", "{}", by: signer, sent: "{ }")
        #expect(changed.kinesisError == "InvalidSignatureException 400")
        let stranger = AWSSigner(name: "GKAAAAAAAAAAAA", secret: signer.secret, text: "")
        #expect(try call(node, "ListStreams", "{}", by: stranger).kinesisError == "UnrecognizedClientException 400")
        let other = try call(node, "ListStreams", "{}", by: signer, service: "sqs")
        #expect(other.kinesisError == "IncompleteSignatureException 400")
        let old = try call(
            node, "ListStreams", "{}", by: signer, at: UnixTime(milliseconds: BrokerClock.wallMs() - 400_000))
        #expect(old.kinesisError == "InvalidSignatureException 400")
        let bearer = try node.kinesis("ListStreams", "{}", fields: ["Authorization: Bearer \(signer.text)"])
        #expect(bearer.status == 200)
    }

    /// There the host that is signed is `:authority`.
    @Test func signedRequestsComeByHTTP2AsWell() throws {
        let node = try signed()
        let signer = AWSSigner(on: node)
        let client = try HTTP2Client(port: node.port)
        func call(_ operation: String, _ body: String, host: String = "localhost") throws -> HTTPReply {
            let target = "Kinesis_20131202.\(operation)"
            let own = signer.fields("kinesis", target, GatewayHarness.kinesisType, body, host: host)
            let fields = own.map { field in
                let parts = field.split(separator: ":", maxSplits: 1)
                return (parts[0].lowercased(), String(parts[1].dropFirst()))
            }
            return try client.call(
                "POST", "/", body,
                [("x-amz-target", target), ("content-type", GatewayHarness.kinesisType)] + fields)
        }
        #expect(try call("CreateStream", #"{"StreamName":"s","ShardCount":1}"#).status == 200)
        let put = try call("PutRecord", #"{"StreamName":"s","Data":"YQ==","PartitionKey":"k"}"#)
        #expect(put.string("ShardId") == "shardId-000000000000", "\(put.text)")
        let iterator = try call(
            "GetShardIterator",
            #"{"StreamName":"s","ShardId":"shardId-000000000000","ShardIteratorType":"TRIM_HORIZON"}"#)
        let read = try call("GetRecords", #"{"ShardIterator":"\#(try #require(iterator.string("ShardIterator")))"}"#)
        let records = try #require(read.json["Records"] as? [[String: Any]], "\(read.text)")
        #expect(records.map { $0["Data"] as? String } == ["YQ=="])
        #expect(try call("ListStreams", "{}", host: "elsewhere").kinesisError == "InvalidSignatureException 400")
    }

    @Test func anySignatureIsTakenFromThisMachineWhereThatIsSaid() throws {
        var options = GatewayOptions()
        options.takesAnyAWSSignature = true
        let node = try signed(options)
        let stranger = AWSSigner(name: "AKIDEXAMPLE", secret: Secret(copying: Array("secret".utf8)[...]), text: "")
        #expect(try call(node, "ListStreams", "{}", by: stranger).status == 200)
    }

    @Test func permissionsAreThoseOfTheTopic() throws {
        let node = try signed(acls: true)
        let signer = AWSSigner(on: node)
        _ = try node.broker.createTopic("other", partitions: 1).get()
        let iterator = try #require(node.gateway.iteratorSeal()).text(
            of: ShardIterator(
                topicID: try #require(node.broker.catalog.topic(named: "other")).id, partitionIndex: 0,
                place: .trimHorizon, madeMs: BrokerClock.wallMs()))
        let stranger = try call(node, "GetRecords", #"{"ShardIterator":"\#(iterator)"}"#, by: signer)
        #expect(stranger.kinesisError == "AccessDeniedException 400")
        let calls: [(AclOperation, String, String)] = [
            (.create, "CreateStream", #""ShardCount":1"#), (.describe, "DescribeStream", ""),
            (.describe, "ListShards", ""),
            (.describe, "DescribeStreamSummary", ""), (.write, "PutRecord", #""Data":"","PartitionKey":"k""#),
            (.write, "PutRecords", #""Records":[{"Data":"","PartitionKey":"k"}]"#),
            (.read, "GetShardIterator", #""ShardId":"shardId-000000000000","ShardIteratorType":"LATEST""#),
            (.alterConfigs, "IncreaseStreamRetentionPeriod", #""RetentionPeriodHours":24"#),
            (.delete, "DeleteStream", ""),
        ]
        var allowed: Set<AclOperation> = []
        for (operation, name, more) in calls {
            let body = #"{"StreamName":"s"\#(more.isEmpty ? "" : ",")\#(more)}"#
            if allowed.insert(operation).inserted {
                #expect(try call(node, name, body, by: signer).kinesisError == "AccessDeniedException 400", "\(name)")
                node.permit(operation, "s")
            }
            let reply = try call(node, name, body, by: signer)
            #expect(reply.status == 200, "\(name): \(reply.text)")
        }
        #expect(try call(node, "ListStreams", "{}", by: signer).text.contains(#""StreamNames":[]"#))
    }
}
