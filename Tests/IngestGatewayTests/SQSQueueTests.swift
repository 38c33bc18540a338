import BrokerCore
import BrokerTestKit
import ByteBuffers
import IngestGateway
import KafkaModel
import Security
import Testing

/// SQS over the broker's own queues: what their rules and their log make of it.
@Suite struct SQSQueueTests {
    private func made(_ harness: GatewayHarness, _ name: String = "orders", _ attributes: String = "{}") throws {
        let reply = try harness.sqs("CreateQueue", #"{"QueueName":"\#(name)","Attributes":\#(attributes)}"#)
        #expect(reply.text == #"{"QueueUrl":"http://localhost/000000000000/\#(name)"}"#)
    }

    private func messages(_ reply: HTTPReply) -> [[String: Any]] { reply.json["Messages"] as? [[String: Any]] ?? [] }

    private func bodies(_ reply: HTTPReply) -> [String] { messages(reply).compactMap { $0["Body"] as? String } }

    @Test func aMessageIsARecordOfTheQueuesTopic() throws {
        let harness = try GatewayHarness()
        try made(harness)
        let sent = try harness.sqs(
            "SendMessage",
            #"{"QueueUrl":"orders","MessageBody":"x","MessageAttributes":{"n":{"DataType":"Number","StringValue":"1"}}}"#
        )
        let record = try #require(try harness.stored("q.orders").records.first)
        #expect(record.value == "x" && record.headers["n"] == "1" && record.headers["sqs.types"] == "n=Number")
        let received = try #require(
            messages(
                try harness.sqs(
                    "ReceiveMessage", #"{"QueueUrl":"orders","MessageAttributeNames":["All"],"AttributeNames":["All"]}"#
                )
            ).first)
        #expect(received["MessageId"] as? String == sent.string("MessageId"))
        #expect(received["MD5OfMessageAttributes"] as? String == sent.string("MD5OfMessageAttributes"))
        let receipt = try #require(received["ReceiptHandle"] as? String)
        #expect(try harness.sqs("DeleteMessage", #"{"QueueUrl":"orders","ReceiptHandle":"\#(receipt)"}"#).text == "{}")
        let counts = try harness.sqs("GetQueueAttributes", #"{"QueueUrl":"orders","AttributeNames":["All"]}"#)
        let read = try #require(counts.json["Attributes"] as? [String: String])
        #expect(read["ApproximateNumberOfMessages"] == "0" && read["ApproximateNumberOfMessagesNotVisible"] == "0")
    }

    @Test func whatAnyProducerWroteIsReceived() throws {
        let harness = try GatewayHarness()
        try made(harness)
        #expect(try harness.post("q.orders", #"{"a":1}"#).status == 201)
        #expect(
            eventually {
                (try? bodies(harness.sqs("ReceiveMessage", #"{"QueueUrl":"orders"}"#))) == [#"{"a":1}"#]
            })
    }

    @Test func aReceiveIsWokenByASend() throws {
        let harness = try GatewayHarness()
        try made(harness)
        let waiting = try harness.connect()
        try waiting.send(
            HTTPClient.request(
                "POST", "/", Array(#"{"QueueUrl":"orders","WaitTimeSeconds":20}"#.utf8),
                fields: GatewayHarness.sqsFields("ReceiveMessage")))
        _ = try harness.sqs("SendMessage", #"{"QueueUrl":"orders","MessageBody":"x"}"#)
        #expect(bodies(try waiting.receive()) == ["x"])
    }

    /// What the broker notes beside a message counts for nothing of what its sender may send.
    @Test func theLargestMessageIsTakenWithAllThatIsNoted() throws {
        let harness = try GatewayHarness(
            authentication: { GatewayAuthentication(.optional, passwords: try Authentication($0)) })
        try made(harness, "orders", #"{"MaximumMessageSize":"1024"}"#)
        // Name, type and value count, and so does the body.
        let value = String(repeating: "v", count: 1024 - 500 - 7 - 6)
        func send(_ body: Int) throws -> Int {
            try harness.sqs(
                "SendMessage",
                #"{"QueueUrl":"orders","MessageBody":"\#(String(repeating: "x", count: body))","MessageAttributes":{"queue.a":{"DataType":"Binary","BinaryValue":"\#(Base64.encode(value.utf8))"}},"MessageSystemAttributes":{"AWSTraceHeader":{"DataType":"String","StringValue":"Root=1-5759e988-bd862e3fe1be46a994272793"}}}"#
            ).status
        }
        #expect(try send(500) == 200)
        #expect(try send(501) == 400)
    }

    @Test func aGroupIsInOrderAndAnIdCountsOnce() throws {
        let harness = try GatewayHarness()
        try made(harness, "q.fifo", #"{"FifoQueue":"true"}"#)
        func send(_ body: String, _ id: String) throws -> HTTPReply {
            try harness.sqs(
                "SendMessage",
                #"{"QueueUrl":"q.fifo","MessageBody":"\#(body)","MessageGroupId":"g","MessageDeduplicationId":"\#(id)"}"#
            )
        }
        let (one, two) = (try send("1", "a"), try send("other", "a"))
        #expect(one.string("MessageId") == two.string("MessageId"))
        #expect(one.string("SequenceNumber") == two.string("SequenceNumber"))
        _ = try send("2", "b")
        let first = try harness.sqs("ReceiveMessage", #"{"QueueUrl":"q.fifo","AttributeNames":["All"]}"#)
        #expect(bodies(first) == ["1"])
        #expect((messages(first)[0]["Attributes"] as? [String: String])?["MessageDeduplicationId"] == "a")
        #expect(bodies(try harness.sqs("ReceiveMessage", #"{"QueueUrl":"q.fifo"}"#)) == [])
    }

    @Test func aDeadLetterSaysWhereItWas() throws {
        let harness = try GatewayHarness()
        try made(harness, "dead")
        try made(
            harness, "orders",
            #"{"VisibilityTimeout":"0","RedrivePolicy":"{\"maxReceiveCount\":1,\"deadLetterTargetArn\":\"arn:aws:sqs:us-east-1:000000000000:dead\"}"}"#
        )
        _ = try harness.sqs("SendMessage", #"{"QueueUrl":"orders","MessageBody":"poison"}"#)
        #expect(bodies(try harness.sqs("ReceiveMessage", #"{"QueueUrl":"orders"}"#)) == ["poison"])
        var letter: [String: Any]?
        let isThere = try eventually {
            letter =
                messages(
                    try harness.sqs(
                        "ReceiveMessage", #"{"QueueUrl":"dead","AttributeNames":["All"],"VisibilityTimeout":0}"#)
                ).first
            return letter != nil
        }
        #expect(isThere && letter?["Body"] as? String == "poison")
        #expect(
            (letter?["Attributes"] as? [String: String])?["DeadLetterQueueSourceArn"]
                == "arn:aws:sqs:us-east-1:000000000000:orders")
    }

    /// No reply tells of a message before it is on disk.
    @Test func aReplyWaitsForItsCommit() throws {
        var options = GatewayOptions()
        options.requestTimeout = .seconds(3)
        let files = SimulatedFileSystem()
        do {
            let harness = try GatewayHarness(fileSystem: files)
            try made(harness)
        }
        let harness = try GatewayHarness(options, holdsCommits: true, fileSystem: files)
        let reply = try harness.sqs("SendMessage", #"{"QueueUrl":"orders","MessageBody":"x"}"#)
        #expect(reply.status == 504)
    }
}
