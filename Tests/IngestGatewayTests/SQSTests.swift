import BrokerCore
import BrokerTestKit
import ByteBuffers
import Foundation
import IngestGateway
import KafkaModel
import QueueLedger
import RecordFormat
import Testing

/// The protocol of Amazon SQS through the gateway, over queues in memory.
@Suite struct SQSTests {
    private let queues = MemoryQueues()

    private func harness(
        _ options: GatewayOptions = GatewayOptions()
    ) throws -> GatewayHarness { try GatewayHarness(options, queues: queues) }

    // MARK: Where it is

    @Test func theTargetIsServedAtAnyPath() throws {
        let harness = try harness()
        for path in ["/", "/sqs", "/000000000000/orders", "/ingest", "/v1/topics/t/events", "/nothing?a=b"] {
            let reply = try harness.sqs("ListQueues", "{}", path: path)
            #expect(reply.status == 200 && reply.text == "{}", "\(path)")
            #expect(reply.fields["content-type"] == "application/x-amz-json-1.0")
            #expect(reply.fields["x-amzn-requestid"] == reply.fields["x-request-id"])
        }
        #expect(try harness.call("GET", "/", fields: ["X-Amz-Target: AmazonSQS.ListQueues"]).text.contains("<html"))
        #expect(try harness.sqs("Fly", "{}").error == "UnknownOperationException InvalidAction;Sender 400")
        let other = try harness.call("POST", "/", "{}", fields: ["X-Amz-Target: DynamoDB_20120810.ListTables"])
        #expect(other.fields["content-type"] == "application/problem+json")
    }

    // MARK: What SDKs have sent

    @Test(arguments: [false, true]) func eachCapturedRequestIsAnswered(byTheBroker: Bool) throws {
        let harness = try byTheBroker ? GatewayHarness() : self.harness()
        for name in ["orders-dlq"] { _ = try harness.sqs("CreateQueue", #"{"QueueName":"\#(name)"}"#) }
        let file = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "../SQSWireTests/CapturedRequests.txt")
        let parts = try String(contentsOf: file, encoding: .utf8).components(separatedBy: "--- POST / HTTP/1.1\n")
        var outcomes: [String] = []
        for part in parts.dropFirst() {
            let halves = part.components(separatedBy: "\n\n")
            let head = halves[0].components(separatedBy: "\n").joined(separator: "\r\n")
            let client = try harness.connect()
            try client.send("POST / HTTP/1.1\r\n\(head)\r\n\r\n\(halves[1])")
            let reply = try client.receive()
            let target = try #require(halves[0].firstRange(of: "AmazonSQS.")).upperBound
            let name = halves[0][target...].prefix { $0 != "\n" }
            outcomes.append("\(name) \(reply.status) \(reply.string("__type")?.split(separator: "#").last ?? "")")
        }
        #expect(
            outcomes == [
                "CreateQueue 200 ", "GetQueueUrl 200 ", "SendMessage 200 ",
                // A de-duplication id, which a standard queue does not take.
                "SendMessage 400 InvalidParameterValueException",
                "SendMessageBatch 200 ", "ReceiveMessage 200 ", "ReceiveMessage 200 ",
                "DeleteMessage 400 ReceiptHandleIsInvalid", "DeleteMessageBatch 200 ",
                "ChangeMessageVisibility 400 ReceiptHandleIsInvalid", "ChangeMessageVisibilityBatch 200 ",
                "GetQueueAttributes 200 ", "SetQueueAttributes 200 ", "ListQueues 200 ", "PurgeQueue 200 ",
                "ListDeadLetterSourceQueues 200 ", "StartMessageMoveTask 200 ", "ListMessageMoveTasks 200 ",
                "CancelMessageMoveTask 400 ResourceNotFoundException", "TagQueue 200 ", "ListQueueTags 200 ",
                "UntagQueue 200 ", "AddPermission 200 ", "DeleteQueue 200 ", "DeleteQueue 400 QueueDoesNotExist",
            ])
    }

    // MARK: Messages

    private func made(_ harness: GatewayHarness, _ name: String = "orders", _ attributes: String = "{}") throws {
        let reply = try harness.sqs("CreateQueue", #"{"QueueName":"\#(name)","Attributes":\#(attributes)}"#)
        #expect(reply.text == #"{"QueueUrl":"http://localhost/000000000000/\#(name)"}"#)
    }

    @Test func aMessageIsSentReceivedExtendedAndDeleted() throws {
        let harness = try harness()
        try made(harness)
        let sent = try harness.sqs(
            "SendMessage",
            #"{"QueueUrl":"http://x/000000000000/orders","MessageBody":"é\n","MessageGroupId":"g","MessageAttributes":{"n":{"DataType":"Number.int","StringValue":"42"},"queue.x":{"DataType":"Binary","BinaryValue":"AAE="},"s":{"DataType":"String","StringValue":"v"}},"MessageSystemAttributes":{"AWSTraceHeader":{"DataType":"String","StringValue":"Root=1"}}}"#
        )
        let id = try #require(sent.string("MessageId"))
        #expect(sent.string("MD5OfMessageBody") == "88df14e6957d2adb8ae54d0269f546ab")
        let digest = try #require(sent.string("MD5OfMessageAttributes"))
        #expect(sent.string("MD5OfMessageSystemAttributes") != nil && sent.json["SequenceNumber"] == nil)
        #expect(
            queues.headers(of: "orders") == [
                [
                    RecordHeader(key: "n", value: Array("42".utf8)),
                    RecordHeader(key: "sqs.attribute.queue.x", value: [0, 1]),
                    RecordHeader(key: "s", value: Array("v".utf8)),
                    RecordHeader(key: "sqs.types", value: Array("n=Number.int\nqueue.x=Binary".utf8)),
                    RecordHeader(key: "sqs.trace", value: Array("Root=1".utf8)),
                ]
            ])
        let received = try harness.sqs(
            "ReceiveMessage",
            #"{"QueueUrl":"orders","MessageAttributeNames":["All"],"MessageSystemAttributeNames":["All"]}"#)
        let message = try #require((received.json["Messages"] as? [[String: Any]])?.first)
        #expect(message["Body"] as? String == "é\n" && message["MessageId"] as? String == id)
        #expect(message["MD5OfBody"] as? String == "88df14e6957d2adb8ae54d0269f546ab")
        #expect(message["MD5OfMessageAttributes"] as? String == digest)
        let attributes = try #require(message["MessageAttributes"] as? [String: [String: String]])
        #expect(
            attributes == [
                "n": ["DataType": "Number.int", "StringValue": "42"], "s": ["DataType": "String", "StringValue": "v"],
                "queue.x": ["DataType": "Binary", "BinaryValue": "AAE="],
            ])
        #expect(
            message["Attributes"] as? [String: String] == [
                "SentTimestamp": "1700000000000", "ApproximateReceiveCount": "1",
                "ApproximateFirstReceiveTimestamp": "1700000000000", "MessageGroupId": "g", "AWSTraceHeader": "Root=1",
            ])
        let receipt = try #require(message["ReceiptHandle"] as? String)
        #expect(try harness.sqs("ReceiveMessage", #"{"QueueUrl":"orders"}"#).text == "{}")
        for (operation, more) in [("ChangeMessageVisibility", #","VisibilityTimeout":60"#), ("DeleteMessage", "")] {
            let reply = try harness.sqs(operation, #"{"QueueUrl":"orders","ReceiptHandle":"\#(receipt)"\#(more)}"#)
            #expect(reply.status == 200 && reply.text == "{}", "\(operation)")
        }
        // Who deletes twice has nothing to be told.
        #expect(try harness.sqs("DeleteMessage", #"{"QueueUrl":"orders","ReceiptHandle":"\#(receipt)"}"#).status == 200)
        #expect(
            try harness.sqs("DeleteMessage", #"{"QueueUrl":"orders","ReceiptHandle":"x"}"#).error
                == "ReceiptHandleIsInvalid ReceiptHandleIsInvalid;Sender 400")
    }

    @Test func onlyWhatIsAskedForIsTold() throws {
        let harness = try harness()
        try made(harness)
        _ = try harness.sqs(
            "SendMessage",
            #"{"QueueUrl":"orders","MessageBody":"x","MessageAttributes":{"a":{"DataType":"String","StringValue":"1"},"b":{"DataType":"String","StringValue":"2"}}}"#
        )
        let received = try harness.sqs("ReceiveMessage", #"{"QueueUrl":"orders","VisibilityTimeout":0}"#)
        let message = try #require((received.json["Messages"] as? [[String: Any]])?.first)
        #expect(Set(message.keys) == ["MessageId", "ReceiptHandle", "MD5OfBody", "Body"])
        let some = try harness.sqs("ReceiveMessage", #"{"QueueUrl":"orders","MessageAttributeNames":["b"]}"#)
        let other = try #require((some.json["Messages"] as? [[String: Any]])?.first)
        #expect((other["MessageAttributes"] as? [String: Any])?.keys.sorted() == ["b"])
    }

    /// What a client of Kafka has put there, and what no text can hold.
    @Test func recordsOfOthersAreMessages() throws {
        let harness = try harness()
        try made(harness)
        var record = QueueMessage(body: [0xff, 0x00])
        record.headers = [
            RecordHeader(key: "text", value: Array("é".utf8)), RecordHeader(key: "bytes", value: [0xff]),
            RecordHeader(key: "none", value: nil), RecordHeader(key: "empty", value: []),
            RecordHeader(key: "no name", value: [1]), RecordHeader(key: "queue.group", value: [1]),
        ]
        _ = queues.send([record], to: "orders")
        let received = try harness.sqs(
            "ReceiveMessage", #"{"QueueUrl":"orders","MessageAttributeNames":["text",".*"]}"#)
        let message = try #require((received.json["Messages"] as? [[String: Any]])?.first)
        #expect(message["Body"] as? String == "/wA=")
        #expect(
            message["MessageAttributes"] as? [String: [String: String]] == [
                "text": ["DataType": "String", "StringValue": "é"],
                "bytes": ["DataType": "Binary", "BinaryValue": "/w=="],
                "body-encoding": ["DataType": "String", "StringValue": "base64"],
            ])
    }

    @Test func aBatchTellsWhatBecameOfEachEntry() throws {
        let harness = try harness()
        try made(harness, "orders", #"{"MaximumMessageSize":"1024"}"#)
        let long = String(repeating: "x", count: 1_025)
        let sent = try harness.sqs(
            "SendMessageBatch",
            #"{"QueueUrl":"orders","Entries":[{"Id":"1","MessageBody":"a"},{"Id":"2","MessageBody":"\#(long)"},{"Id":"3","MessageBody":"\u0000"},{"Id":"4","MessageBody":"b"}]}"#
        )
        #expect(sent.status == 200)
        #expect((sent.json["Successful"] as? [[String: Any]])?.compactMap { $0["Id"] as? String } == ["1", "4"])
        #expect(
            (sent.json["Failed"] as? [[String: Any]])?.compactMap { $0["Code"] as? String }
                == ["InvalidParameterValue", "InvalidMessageContents"])
        let received = try harness.sqs("ReceiveMessage", #"{"QueueUrl":"orders","MaxNumberOfMessages":10}"#)
        let messages = try #require(received.json["Messages"] as? [[String: Any]])
        #expect(messages.compactMap { $0["Body"] as? String } == ["a", "b"])
        let receipts = messages.compactMap { $0["ReceiptHandle"] as? String }
        let changed = try harness.sqs(
            "ChangeMessageVisibilityBatch",
            #"{"QueueUrl":"orders","Entries":[{"Id":"1","ReceiptHandle":"\#(receipts[0])","VisibilityTimeout":0},{"Id":"2","ReceiptHandle":"y","VisibilityTimeout":1}]}"#
        )
        #expect(
            changed.text
                == #"{"Successful":[{"Id":"1"}],"Failed":[{"Id":"2","SenderFault":true,"Code":"ReceiptHandleIsInvalid","Message":"The input receipt handle \"y\" is not a valid receipt handle."}]}"#
        )
        let late = try harness.sqs(
            "ChangeMessageVisibility", #"{"QueueUrl":"orders","ReceiptHandle":"\#(receipts[0])","VisibilityTimeout":9}"#
        )
        #expect(late.error == "MessageNotInflight AWS.SimpleQueueService.MessageNotInflight;Sender 400")
        let deleted = try harness.sqs(
            "DeleteMessageBatch",
            #"{"QueueUrl":"orders","Entries":[{"Id":"1","ReceiptHandle":"\#(receipts[0])"},{"Id":"2","ReceiptHandle":"\#(receipts[1])"}]}"#
        )
        #expect(deleted.text == #"{"Successful":[{"Id":"1"},{"Id":"2"}],"Failed":[]}"#)
    }

    @Test func aReceiveWaitsForAMessage() throws {
        let harness = try harness()
        try made(harness)
        let waiting = try harness.connect()
        try waiting.send(
            HTTPClient.request(
                "POST", "/", Array(#"{"QueueUrl":"orders","WaitTimeSeconds":20}"#.utf8),
                fields: GatewayHarness.sqsFields("ReceiveMessage")))
        #expect(eventually { queues.waiting == 1 })
        #expect(waiting.hasNothingToRead)
        _ = try harness.sqs("SendMessage", #"{"QueueUrl":"orders","MessageBody":"x"}"#)
        #expect(try (waiting.receive().json["Messages"] as? [[String: Any]])?.count == 1)
        // The same connection goes on, and a wait that ends brings nothing.
        try waiting.send(
            HTTPClient.request(
                "POST", "/", Array(#"{"QueueUrl":"orders","WaitTimeSeconds":20}"#.utf8),
                fields: GatewayHarness.sqsFields("ReceiveMessage")))
        #expect(eventually { queues.waiting == 1 })
        queues.endWaits()
        #expect(try waiting.receive().text == "{}")
    }

    @Test func whatIsReceivedForNobodyIsGivenBack() throws {
        let harness = try harness()
        try made(harness)
        do {
            let waiting = try harness.connect()
            try waiting.send(
                HTTPClient.request(
                    "POST", "/", Array(#"{"QueueUrl":"orders","WaitTimeSeconds":20}"#.utf8),
                    fields: GatewayHarness.sqsFields("ReceiveMessage")))
            #expect(eventually { queues.waiting == 1 })
        }
        // Its place among those that wait is free before anything comes.
        #expect(eventually { queues.waiting == 0 })
        _ = try harness.sqs("SendMessage", #"{"QueueUrl":"orders","MessageBody":"x"}"#)
        let next = try harness.sqs(
            "ReceiveMessage",
            #"{"QueueUrl":"orders","WaitTimeSeconds":20,"AttributeNames":["ApproximateReceiveCount"]}"#)
        #expect(next.text.contains(#""ApproximateReceiveCount":"1""#))
    }

    /// A wait that is longer than a request may take ends before it.
    @Test func aWaitEndsInTimeToBeAnswered() throws {
        var options = GatewayOptions()
        options.requestTimeout = .seconds(2)
        let harness = try harness(options)
        try made(harness)
        #expect(try harness.sqs("ReceiveMessage", #"{"QueueUrl":"orders","WaitTimeSeconds":20}"#).text == "{}")
    }

    @Test func aFIFOQueueAsksForGroupsAndTellsNumbers() throws {
        let harness = try harness()
        try made(harness, "q.fifo", #"{"FifoQueue":"true"}"#)
        let missing = try harness.sqs("SendMessage", #"{"QueueUrl":"q.fifo","MessageBody":"x"}"#)
        #expect(missing.error == "MissingRequiredParameterException MissingParameter;Sender 400")
        let sent = try harness.sqs(
            "SendMessage",
            #"{"QueueUrl":"q.fifo","MessageBody":"x","MessageGroupId":"g","MessageDeduplicationId":"d"}"#)
        #expect(sent.string("SequenceNumber") == "00000000000000000000")
        let received = try harness.sqs("ReceiveMessage", #"{"QueueUrl":"q.fifo","AttributeNames":["All"]}"#)
        let message = try #require((received.json["Messages"] as? [[String: Any]])?.first)
        let attributes = try #require(message["Attributes"] as? [String: String])
        #expect(attributes["SequenceNumber"] == "00000000000000000000" && attributes["MessageDeduplicationId"] == "d")
    }

    // MARK: Refusals

    @Test func refusalsAreErrorsThatSDKsKnow() throws {
        let harness = try harness()
        let gone = try harness.sqs("SendMessage", #"{"QueueUrl":"gone","MessageBody":"x"}"#)
        #expect(gone.status == 400)
        #expect(
            gone.text
                == #"{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"The specified queue does not exist."}"#)
        #expect(gone.fields["x-amzn-query-error"] == "AWS.SimpleQueueService.NonExistentQueue;Sender")
        try made(harness)
        for (kind, error) in [
            (.unavailable, "RequestThrottled RequestThrottled;Receiver 503"),
            (.diskFull, "RequestThrottled RequestThrottled;Receiver 503"),
            (.limit, "OverLimit OverLimit;Sender 400"),
            (.notFound, "QueueDoesNotExist AWS.SimpleQueueService.NonExistentQueue;Sender 400"),
            (.invalid, "InvalidParameterValueException InvalidParameterValue;Sender 400"),
        ] as [(QueueRefusal.Kind, String)] {
            queues.refuse(QueueRefusal(kind, "no"))
            #expect(try harness.sqs("SendMessage", #"{"QueueUrl":"orders","MessageBody":"x"}"#).error == error)
            #expect(try harness.sqs("ReceiveMessage", #"{"QueueUrl":"orders"}"#).error == error)
            #expect(try harness.sqs("DeleteMessage", #"{"QueueUrl":"orders","ReceiptHandle":"x"}"#).error == error)
        }
        queues.refuse(QueueRefusal(.unavailable, "no"))
        let batch = try harness.sqs(
            "SendMessageBatch", #"{"QueueUrl":"orders","Entries":[{"Id":"1","MessageBody":"x"}]}"#)
        #expect(
            batch.text
                == #"{"Successful":[],"Failed":[{"Id":"1","SenderFault":false,"Code":"RequestThrottled","Message":"no."}]}"#
        )
    }

    @Test func theGatewaysOwnRefusalsAreErrorsToo() throws {
        var options = GatewayOptions()
        options.maxRequestBytes = 1 << 20
        (options.callerRate, options.callerBurst) = (1, 4)
        let harness = try harness(options)
        let large = try harness.call(
            "POST", "/sqs", bytes: nil,
            fields: GatewayHarness.sqsFields("SendMessage") + ["Content-Length: \(7 << 20)"])
        #expect(large.error == "InvalidParameterValueException InvalidParameterValue;Sender 413")
        let packed = try harness.call(
            "POST", "/sqs", "{}", fields: GatewayHarness.sqsFields("ListQueues") + ["Content-Encoding: gzip"])
        #expect(packed.error == "InvalidParameterValueException InvalidParameterValue;Sender 400")
        #expect(try harness.sqs("ListQueues", "{").error == "SerializationException MalformedInput;Sender 400")
        var errors: Set<String> = []
        for _ in 0..<8 { errors.insert(try harness.sqs("ListQueues", "{}").error) }
        #expect(errors.contains("RequestThrottled RequestThrottled;Receiver 503"))
        #expect(try harness.sqs("ListQueues", "{}").fields["retry-after"] != nil)
    }

    // MARK: Queues

    @Test func attributesAreReadBackAsTheyWereSet() throws {
        let harness = try harness()
        try made(harness, "dead")
        let set = [
            "VisibilityTimeout": "31", "DelaySeconds": "7", "MessageRetentionPeriod": "86400",
            "ReceiveMessageWaitTimeSeconds": "20", "MaximumMessageSize": "2048",
            "RedrivePolicy":
                #"{ "maxReceiveCount":"5", "deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dead"}"#,
            "RedriveAllowPolicy": #"{"redrivePermission":"denyAll"}"#, "Policy": #"{"Version":"2012-10-17"}"#,
            "KmsMasterKeyId": "alias/aws/sqs", "KmsDataKeyReusePeriodSeconds": "300", "SqsManagedSseEnabled": "false",
        ]
        let json = String(decoding: try JSONSerialization.data(withJSONObject: set), as: UTF8.self)
        try made(harness, "orders", json)
        // Once more, and with a part of it.
        try made(harness, "orders", json)
        try made(harness, "orders", #"{"VisibilityTimeout":"31"}"#)
        let other = try harness.sqs("CreateQueue", #"{"QueueName":"orders","Attributes":{"VisibilityTimeout":"30"}}"#)
        #expect(other.error == "QueueNameExists QueueAlreadyExists;Sender 400")
        #expect(other.string("message")?.hasSuffix("a different value for attribute VisibilityTimeout") == true)

        let all = try harness.sqs("GetQueueAttributes", #"{"QueueUrl":"orders","AttributeNames":["All"]}"#)
        let read = try #require(all.json["Attributes"] as? [String: String])
        for (name, value) in set { #expect(read[name] == value, "\(name)") }
        #expect(read["QueueArn"] == "arn:aws:sqs:us-east-1:000000000000:orders")
        #expect(read["ApproximateNumberOfMessages"] == "0" && read["CreatedTimestamp"] == "1700000000")
        #expect(read["FifoQueue"] == nil)
        let one = try harness.sqs("GetQueueAttributes", #"{"QueueUrl":"orders","AttributeNames":["DelaySeconds"]}"#)
        #expect(one.text == #"{"Attributes":{"DelaySeconds":"7"}}"#)
        #expect(try harness.sqs("GetQueueAttributes", #"{"QueueUrl":"orders"}"#).text == "{}")

        // An empty text takes away.
        let taken = try harness.sqs(
            "SetQueueAttributes", #"{"QueueUrl":"orders","Attributes":{"RedrivePolicy":"","Policy":""}}"#)
        #expect(taken.status == 200)
        let left = try harness.sqs(
            "GetQueueAttributes", #"{"QueueUrl":"orders","AttributeNames":["RedrivePolicy","Policy"]}"#)
        #expect(left.text == "{}")
        #expect(queues.queue(named: "orders")?.settings.deadLetterQueue == nil)
    }

    @Test func messagesAreCountedByTheirStates() throws {
        let harness = try harness()
        try made(harness)
        for delay in [0, 0, 5] {
            _ = try harness.sqs("SendMessage", #"{"QueueUrl":"orders","MessageBody":"x","DelaySeconds":\#(delay)}"#)
        }
        _ = try harness.sqs("ReceiveMessage", #"{"QueueUrl":"orders"}"#)
        let counts = try harness.sqs(
            "GetQueueAttributes",
            #"{"QueueUrl":"orders","AttributeNames":["ApproximateNumberOfMessages","ApproximateNumberOfMessagesNotVisible","ApproximateNumberOfMessagesDelayed"]}"#
        )
        #expect(
            counts.json["Attributes"] as? [String: String] == [
                "ApproximateNumberOfMessages": "1", "ApproximateNumberOfMessagesNotVisible": "1",
                "ApproximateNumberOfMessagesDelayed": "1",
            ])
        #expect(try harness.sqs("PurgeQueue", #"{"QueueUrl":"orders"}"#).text == "{}")
        #expect(queues.headers(of: "orders").isEmpty)
    }

    @Test func aQueueForDeadLettersHasToBeThereAndFit() throws {
        let harness = try harness()
        try made(harness, "dead")
        try made(harness, "dead.fifo", #"{"FifoQueue":"true"}"#)
        try made(harness, "closed", #"{"RedriveAllowPolicy":"{\"redrivePermission\":\"denyAll\"}"}"#)
        func set(_ target: String, of queue: String = "orders") throws -> String {
            let policy =
                #"{\"maxReceiveCount\":1,\"deadLetterTargetArn\":\"arn:aws:sqs:us-east-1:000000000000:\#(target)\"}"#
            return try harness.sqs(
                "SetQueueAttributes", #"{"QueueUrl":"\#(queue)","Attributes":{"RedrivePolicy":"\#(policy)"}}"#
            ).error
        }
        try made(harness)
        for target in ["gone", "dead.fifo", "closed", "orders"] {
            #expect(try set(target) == "InvalidParameterValueException InvalidParameterValue;Sender 400", "\(target)")
        }
        #expect(try set("dead") == " 200")
        #expect(queues.queue(named: "orders")?.settings.maxReceives == 1)
        let sources = try harness.sqs("ListDeadLetterSourceQueues", #"{"QueueUrl":"dead"}"#)
        #expect(sources.text == #"{"queueUrls":["http://localhost/000000000000/orders"]}"#)
    }

    @Test func listsHavePages() throws {
        let harness = try harness()
        for name in ["b1", "a1", "a2", "a3"] { try made(harness, name) }
        func list(_ members: String) throws -> ([String], String?) {
            let reply = try harness.sqs("ListQueues", "{\(members)}")
            let urls = reply.json["QueueUrls"] as? [String] ?? []
            return (urls.map { String($0.split(separator: "/").last!) }, reply.string("NextToken"))
        }
        #expect(try list("").0 == ["a1", "a2", "a3", "b1"] && list("").1 == nil)
        let (first, token) = try list(#""QueueNamePrefix":"a","MaxResults":2"#)
        #expect(first == ["a1", "a2"])
        let next = try #require(token)
        let (second, end) = try list(#""QueueNamePrefix":"a","MaxResults":2,"NextToken":"\#(next)""#)
        #expect(second == ["a3"] && end == nil)
        #expect(try list(#""QueueNamePrefix":"c""#).0 == [])
    }

    @Test func tagsPermissionsAndAddressesAreKept() throws {
        let harness = try harness()
        _ = try harness.sqs("CreateQueue", #"{"QueueName":"orders","tags":{"env":"dev"}}"#)
        _ = try harness.sqs("TagQueue", #"{"QueueUrl":"orders","Tags":{"a":"1","b":"2"}}"#)
        _ = try harness.sqs("UntagQueue", #"{"QueueUrl":"orders","TagKeys":["a"]}"#)
        #expect(
            try harness.sqs("ListQueueTags", #"{"QueueUrl":"orders"}"#).text == #"{"Tags":{"b":"2","env":"dev"}}"#)
        let many = (0..<49).map { "\"t\($0)\":\"\"" }.joined(separator: ",")
        #expect(
            try harness.sqs("TagQueue", #"{"QueueUrl":"orders","Tags":{\#(many)}}"#).error
                == "InvalidParameterValueException InvalidParameterValue;Sender 400")
        let permission = #"{"QueueUrl":"orders","Label":"l","AWSAccountIds":["1"],"Actions":["SendMessage"]}"#
        #expect(try harness.sqs("AddPermission", permission).status == 200)
        #expect(try harness.sqs("AddPermission", permission).status == 400)
        let policy = try harness.sqs("GetQueueAttributes", #"{"QueueUrl":"orders","AttributeNames":["Policy"]}"#)
        #expect(policy.text.contains("arn:aws:iam::1:root"))
        #expect(try harness.sqs("RemovePermission", #"{"QueueUrl":"orders","Label":"l"}"#).status == 200)
        #expect(
            try harness.sqs("GetQueueAttributes", #"{"QueueUrl":"orders","AttributeNames":["Policy"]}"#).text == "{}")
        #expect(try harness.sqs("GetQueueUrl", #"{"QueueName":"gone"}"#).status == 400)
        #expect(try harness.sqs("DeleteQueue", #"{"QueueUrl":"orders"}"#).text == "{}")
    }

    @Test func anAddressCanBeConfigured() throws {
        var options = GatewayOptions()
        options.sqsAddress = "https://queues.example.com"
        options.sqsRegion = "eu-west-1"
        let harness = try harness(options)
        let made = try harness.sqs("CreateQueue", #"{"QueueName":"orders"}"#)
        #expect(made.string("QueueUrl") == "https://queues.example.com/000000000000/orders")
        let read = try harness.sqs("GetQueueAttributes", #"{"QueueUrl":"orders","AttributeNames":["QueueArn"]}"#)
        #expect(read.text == #"{"Attributes":{"QueueArn":"arn:aws:sqs:eu-west-1:000000000000:orders"}}"#)
    }

    @Test func deadLettersAreMovedByTasks() throws {
        let harness = try harness()
        try made(harness, "dead")
        let source = #""SourceArn":"arn:aws:sqs:us-east-1:000000000000:dead""#
        #expect(
            try harness.sqs("StartMessageMoveTask", "{\(source)}").error
                == "InvalidParameterValueException InvalidParameterValue;Sender 400")
        try made(
            harness, "orders",
            #"{"RedrivePolicy":"{\"maxReceiveCount\":1,\"deadLetterTargetArn\":\"arn:aws:sqs:us-east-1:000000000000:dead\"}"}"#
        )
        let started = try harness.sqs("StartMessageMoveTask", #"{\#(source),"MaxNumberOfMessagesPerSecond":5}"#)
        let handle = try #require(started.string("TaskHandle"))
        let listed = try harness.sqs("ListMessageMoveTasks", "{\(source)}")
        let task = try #require((listed.json["Results"] as? [[String: Any]])?.first)
        #expect(task["Status"] as? String == "RUNNING" && task["TaskHandle"] as? String == handle)
        #expect(task["ApproximateNumberOfMessagesToMove"] as? Int == 3)
        #expect(try harness.sqs("StartMessageMoveTask", "{\(source)}").status == 400)
        let cancelled = try harness.sqs("CancelMessageMoveTask", #"{"TaskHandle":"\#(handle)"}"#)
        #expect(cancelled.text == #"{"ApproximateNumberOfMessagesMoved":2}"#)
        for bad in [handle, "x", Base64.encodeURL("orders/move-0".utf8)] {
            #expect(
                try harness.sqs("CancelMessageMoveTask", #"{"TaskHandle":"\#(bad)"}"#).error
                    == "ResourceNotFoundException ResourceNotFoundException;Sender 400")
        }
        #expect(
            try harness.sqs("ListMessageMoveTasks", #"{"SourceArn":"arn:aws:sqs:us-east-1:000000000000:gone"}"#).error
                == "ResourceNotFoundException ResourceNotFoundException;Sender 400")
    }

    // MARK: Forms

    @Test func aSignedFormIsAnsweredInXML() throws {
        let harness = try harness()
        func form(_ text: String, path: String = "/") throws -> HTTPReply {
            try harness.call(
                "POST", path, text,
                fields: [
                    "Content-Type: application/x-www-form-urlencoded; charset=utf-8",
                    "Authorization: AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/sqs/aws4_request",
                ])
        }
        let made = try form("Action=CreateQueue&Version=2012-11-05&QueueName=orders")
        #expect(made.status == 200 && made.fields["content-type"] == "text/xml")
        #expect(
            made.text.contains(
                "<CreateQueueResult><QueueUrl>http://localhost/000000000000/orders</QueueUrl></CreateQueueResult>"))
        let sent = try form("Action=SendMessage&MessageBody=a%26b", path: "/000000000000/orders")
        #expect(sent.text.contains("<MD5OfMessageBody>"))
        let received = try form("Action=ReceiveMessage&QueueUrl=orders&MaxNumberOfMessages=10")
        #expect(received.text.contains("<Body>a&amp;b</Body>"))
        let gone = try form("Action=SendMessage&QueueUrl=gone&MessageBody=x")
        #expect(gone.status == 400 && gone.text.contains("<Code>AWS.SimpleQueueService.NonExistentQueue</Code>"))
        #expect(gone.fields["x-amzn-query-error"] == nil)
    }
}

extension GatewayHarness {
    static func sqsFields(_ operation: String) -> [String] {
        ["X-Amz-Target: AmazonSQS.\(operation)", "Content-Type: application/x-amz-json-1.0"]
    }

    func sqs(_ operation: String, _ body: String, path: String = "/", fields: [String] = []) throws -> HTTPReply {
        try call("POST", path, body, fields: Self.sqsFields(operation) + fields)
    }
}

extension HTTPReply {
    /// Type, code and status of an error of SQS.
    var error: String {
        [string("__type")?.split(separator: "#").last.map(String.init), fields["x-amzn-query-error"]]
            .map { $0 ?? "" }.joined(separator: " ").trimmingCharacters(in: .whitespaces) + " \(status)"
    }
}
