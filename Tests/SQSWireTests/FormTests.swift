import KafkaModel
import Testing

@testable import SQSWire

@Suite struct FormTests {
    @Test func aFormSaysWhatJSONSays() throws {
        guard
            case .sendMessage(let queue, let message) = try form(
                "Action=SendMessage&Version=2012-11-05&QueueUrl=http%3A%2F%2Fh%2F000000000000%2Forders&MessageBody=a+b%26%C3%A9&DelaySeconds=5"
                    + "&MessageAttribute.1.Name=n&MessageAttribute.1.Value.DataType=Number&MessageAttribute.1.Value.StringValue=42"
                    + "&MessageAttribute.2.Name=b&MessageAttribute.2.Value.DataType=Binary&MessageAttribute.2.Value.BinaryValue=AAE%3D"
                    + "&MessageSystemAttribute.1.Name=AWSTraceHeader&MessageSystemAttribute.1.Value.DataType=String&MessageSystemAttribute.1.Value.StringValue=Root"
            )
        else { throw OtherRequest() }
        #expect(queue == SQSQueueName("orders") && message.body == Array("a b&é".utf8) && message.delaySeconds == 5)
        #expect(message.attributes.map(\.name) == ["b", "n"] && message.attributes[0].value == [0, 1])
        #expect(message.traceHeader == "Root")

        guard
            case .createQueue(_, let attributes, let tags) = try form(
                "Action=CreateQueue&QueueName=q.fifo&Attribute.1.Name=FifoQueue&Attribute.1.Value=true&Attribute.2.Name=DelaySeconds&Attribute.2.Value=3&Tag.1.Key=a&Tag.1.Value=b"
            )
        else { throw OtherRequest() }
        #expect(attributes[.fifoQueue] == "true" && attributes[.delaySeconds] == "3")
        #expect(tags == [SQSPair(name: "a", value: "b")])

        guard
            case .setQueueAttributes(_, let one) = try form(
                "Action=SetQueueAttributes&QueueUrl=q&Attribute.Name=DelaySeconds&Attribute.Value=7")
        else { throw OtherRequest() }
        #expect(one[.delaySeconds] == "7")
    }

    @Test func aBatchIsNumbered() throws {
        // In the order of the numbers, which is not that of their digits.
        let entries = (1...10).reversed().map {
            "&SendMessageBatchRequestEntry.\($0).Id=i\($0)&SendMessageBatchRequestEntry.\($0).MessageBody=m\($0)"
        }
        guard
            case .sendMessageBatch(_, let found) = try form(
                "Action=SendMessageBatch&QueueUrl=q" + entries.joined())
        else { throw OtherRequest() }
        #expect(found.map(\.id) == (1...10).map { "i\($0)" })
        #expect(try found.map { try $0.content.get().body } == (1...10).map { Array("m\($0)".utf8) })
        let error = #expect(throws: SQSError.self) {
            try form(
                "Action=DeleteMessageBatch&QueueUrl=q"
                    + (1...12).map { "&DeleteMessageBatchRequestEntry.\($0).Id=\($0)" }.joined())
        }
        #expect(error?.message == "Maximum number of entries per request are 10. You have sent 12.")
    }

    @Test func thePathNamesTheQueueWhereNoFieldDoes() throws {
        guard case .purgeQueue(let queue) = try form("Action=PurgeQueue", path: "/000000000000/orders") else {
            throw OtherRequest()
        }
        #expect(queue == SQSQueueName("orders"))
        #expect(throws: SQSError.self) { try form("Action=PurgeQueue", path: "/orders") }
        guard case .purgeQueue(let other) = try form("Action=PurgeQueue&QueueUrl=x", path: "/0/orders") else {
            throw OtherRequest()
        }
        #expect(other == SQSQueueName("x"))
    }

    @Test func aNameHasSoManyPartsAtMost() throws {
        func refusal(_ text: String) -> SQSError? {
            #expect(throws: SQSError.self) { try form("Action=ListQueues&" + text) }
        }
        _ = try form("Action=ListQueues&a.b.c.d.e.f.g.h=1")
        #expect(refusal("a.b.c.d.e.f.g.h.i=1")?.message.contains("more than 8 parts") == true)
        #expect(refusal("a=1&a=2")?.message.contains("stands twice") == true)
        #expect(refusal(String(repeating: ".", count: 1 << 20) + "=1")?.kind == .serialization)
    }

    @Test func whatIsNoFormIsRefused() {
        for (text, kind) in [
            ("", .invalidAction), ("Action=Fly", .invalidAction),
            ("Action=ListQueues&Action=ListQueues", .serialization),
            ("Action=ListQueues&MaxResults=x", .invalidParameterValue), ("Action=%zz", .serialization),
            ("Action=SendMessage&QueueUrl=q&MessageBody=%00", .serialization),
            ("Action=TagQueue&QueueUrl=q&Tag.1.Value=x", .missingParameter),
            ("Action=TagQueue&QueueUrl=q&Tag.1.Key=x&Tag.2.Key=x", .serialization),
            ("Action=ListQueues&" + (0..<1_100).map { "a\($0)=1" }.joined(separator: "&"), .serialization),
            ("Action=ListQueues&a.b.c.d.e.f.g.h.i=1", .serialization),
            ("Action=SendMessage&QueueUrl=q&MessageBody=x&MessageAttribute.1.Value.DataType=String", .missingParameter),
        ] as [(String, SQSError.Kind)] {
            let error = #expect(throws: SQSError.self) { try form(text) }
            #expect(error?.kind == kind, "\(text.prefix(60))")
        }
    }
}
