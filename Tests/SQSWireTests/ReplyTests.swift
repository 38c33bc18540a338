import ByteBuffers
import KafkaModel
import Testing

@testable import SQSWire

@Suite struct ReplyTests {
    private func json(_ reply: SQSReply) -> String {
        var out = ByteWriter()
        reply.writeJSON(into: &out)
        return String(decoding: out.array, as: UTF8.self)
    }

    private func xml(_ reply: SQSReply, _ operation: SQSOperation) -> String {
        var out = ByteWriter()
        reply.writeXML(operation, requestID: "r-1", into: &out)
        return String(decoding: out.array, as: UTF8.self)
    }

    private func inXML(_ operation: String, _ result: String) -> String {
        "<?xml version=\"1.0\"?><\(operation)Response xmlns=\"http://queue.amazonaws.com/doc/2012-11-05/\"><\(operation)Result>\(result)</\(operation)Result><ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata></\(operation)Response>"
    }

    private var message: SQSReceivedMessage {
        var message = SQSReceivedMessage(
            id: "m", receipt: "r", body: Array("é\r<&>\"".utf8), sentMs: 5, firstReceivedMs: 7, receiveCount: 2)
        message.groupID = "g"
        message.messageAttributes = [
            SQSMessageAttribute(name: "trace", type: "String", value: Array("abc".utf8)),
            SQSMessageAttribute(name: "bin", type: "Binary", value: [0, 1]),
            SQSMessageAttribute(name: "n", type: "Number", value: Array("42".utf8)),
        ]
        return message
    }

    @Test func whatIsEmptyIsLeftOut() {
        #expect(json(.empty) == "{}")
        #expect(json(.messages([], .all)) == "{}")
        #expect(json(.queueURLs([], next: nil)) == "{}")
        #expect(json(.attributes([])) == "{}" && json(.tags([])) == "{}" && json(.moveTasks([])) == "{}")
        // The model says that these are always there.
        #expect(json(.deadLetterSources([], next: nil)) == #"{"queueUrls":[]}"#)
        #expect(json(.batch([])) == #"{"Successful":[],"Failed":[]}"#)
        #expect(
            xml(.empty, .deleteMessage)
                == "<?xml version=\"1.0\"?><DeleteMessageResponse xmlns=\"http://queue.amazonaws.com/doc/2012-11-05/\"><ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata></DeleteMessageResponse>"
        )
    }

    private func event(_ messages: [SQSReceivedMessage]) -> String {
        var out = ByteWriter()
        SQSEvent.write(messages, source: "arn:q", region: "r-1", into: &out)
        return String(decoding: out.array, as: UTF8.self)
    }

    @Test func anEventHasAllThatFunctionsGet() {
        let lists = #""stringListValues":[],"binaryListValues":[]"#
        let attributes =
            #"{"trace":{"stringValue":"abc",\#(lists),"dataType":"String"},"bin":{"binaryValue":"AAE=",\#(lists),"dataType":"Binary"},"n":{"stringValue":"42",\#(lists),"dataType":"Number"}}"#
        let before =
            #"{"messageId":"m","receiptHandle":"r","body":"é\r<&>\"","attributes":{"SentTimestamp":"5","ApproximateReceiveCount":"2","ApproximateFirstReceiveTimestamp":"7","MessageGroupId":"g"},"messageAttributes":"#
        let behind =
            #","md5OfBody":"84860ea979e1ec95e4d92bf4b432db57","eventSource":"aws:sqs","eventSourceARN":"arn:q","awsRegion":"r-1"}"#
        var bare = message
        bare.messageAttributes = []
        #expect(event([message, bare]) == #"{"Records":[\#(before)\#(attributes)\#(behind),\#(before){}\#(behind)]}"#)
        #expect(event([]) == #"{"Records":[]}"#)
    }

    @Test func aMessageIsWrittenInBothForms() {
        #expect(
            json(.messages([message], [.sentTimestamp, .groupID, .sequenceNumber]))
                == #"{"Messages":[{"MessageId":"m","ReceiptHandle":"r","MD5OfBody":"84860ea979e1ec95e4d92bf4b432db57","Body":"é\r<&>\"","Attributes":{"SentTimestamp":"5","MessageGroupId":"g"},"MD5OfMessageAttributes":"47962c1578df2141e38ca5dee6666dfe","MessageAttributes":{"trace":{"StringValue":"abc","DataType":"String"},"bin":{"BinaryValue":"AAE=","DataType":"Binary"},"n":{"StringValue":"42","DataType":"Number"}}}]}"#
        )
        var bare = message
        bare.messageAttributes = []
        #expect(
            xml(.messages([bare, bare], [.receiveCount]), .receiveMessage)
                == inXML(
                    "ReceiveMessage",
                    String(
                        repeating:
                            "<Message><MessageId>m</MessageId><ReceiptHandle>r</ReceiptHandle><MD5OfBody>84860ea979e1ec95e4d92bf4b432db57</MD5OfBody><Body>é&#xD;&lt;&amp;&gt;&quot;</Body><Attribute><Name>ApproximateReceiveCount</Name><Value>2</Value></Attribute></Message>",
                        count: 2)))
        bare.messageAttributes = [SQSMessageAttribute(name: "b", type: "Binary", value: [0, 1])]
        #expect(
            xml(.messages([bare], []), .receiveMessage).contains(
                "<MessageAttribute><Name>b</Name><Value><BinaryValue>AAE=</BinaryValue><DataType>Binary</DataType></Value></MessageAttribute></Message>"
            ))
    }

    @Test func aBatchTellsEachEntry() {
        let reply = SQSReply.batch([
            SQSEntryResult(id: "1", .success(nil)),
            SQSEntryResult(id: "2", .failure(SQSError(.invalidParameterValue, "no"))),
            SQSEntryResult(id: "3", .failure(SQSError(.requestThrottled, "later"))),
        ])
        #expect(
            json(reply)
                == #"{"Successful":[{"Id":"1"}],"Failed":[{"Id":"2","SenderFault":true,"Code":"InvalidParameterValue","Message":"no"},{"Id":"3","SenderFault":false,"Code":"RequestThrottled","Message":"later"}]}"#
        )
        #expect(
            xml(.batch([SQSEntryResult(id: "1", .success(nil))]), .deleteMessageBatch)
                == inXML(
                    "DeleteMessageBatch",
                    "<DeleteMessageBatchResultEntry><Id>1</Id></DeleteMessageBatchResultEntry>"))
        #expect(
            xml(reply, .deleteMessageBatch).contains(
                "<BatchResultErrorEntry><Id>2</Id><SenderFault>true</SenderFault><Code>InvalidParameterValue</Code><Message>no</Message></BatchResultErrorEntry>"
            ))
    }

    @Test func listsMapsAndNumbersAreWritten() {
        #expect(json(.queueURL("http://h/0/q")) == #"{"QueueUrl":"http://h/0/q"}"#)
        #expect(
            json(.queueURLs(["a", "b"], next: "t")) == #"{"QueueUrls":["a","b"],"NextToken":"t"}"#)
        #expect(
            xml(.queueURLs(["a", "b"], next: "t"), .listQueues)
                == inXML("ListQueues", "<QueueUrl>a</QueueUrl><QueueUrl>b</QueueUrl><NextToken>t</NextToken>"))
        let pairs = [SQSPair(name: "a\"", value: "1"), SQSPair(name: "b", value: "\n")]
        #expect(json(.tags(pairs)) == #"{"Tags":{"a\"":"1","b":"\n"}}"#)
        #expect(
            xml(.tags([SQSPair(name: "a", value: "1")]), .listQueueTags)
                == inXML("ListQueueTags", "<Tag><Key>a</Key><Value>1</Value></Tag>"))
        #expect(json(.moveCancelled(moved: 3)) == #"{"ApproximateNumberOfMessagesMoved":3}"#)
        var task = SQSMoveTask(status: .running, sourceARN: "s", moved: 1, startedMs: 9)
        task.handle = "h"
        #expect(
            json(.moveTasks([task]))
                == #"{"Results":[{"TaskHandle":"h","Status":"RUNNING","SourceArn":"s","ApproximateNumberOfMessagesMoved":1,"StartedTimestamp":9}]}"#
        )
    }

    @Test func errorsHaveATypeACodeAndAStatus() {
        func written(_ error: SQSError) -> String {
            var out = ByteWriter()
            error.writeJSON(into: &out)
            return String(decoding: out.array, as: UTF8.self)
        }
        #expect(
            written(.noQueue)
                == #"{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"The specified queue does not exist."}"#)
        #expect(SQSError.noQueue.kind.queryError == "AWS.SimpleQueueService.NonExistentQueue;Sender")
        #expect(
            SQSError.Kind.invalidParameterValue.type == "com.amazon.coral.service#InvalidParameterValueException"
                && SQSError.Kind.invalidParameterValue.queryError == "InvalidParameterValue;Sender")
        // All SDKs send it again.
        #expect(SQSError.Kind.requestThrottled.status == 503)
        #expect(SQSError.Kind.requestThrottled.queryError == "RequestThrottled;Receiver")
        for kind in SQSError.Kind.allCases {
            #expect((400...503).contains(kind.status) && (400...503).contains(kind.queryStatus))
            #expect(kind.isSendersFault == (kind.status < 500))
        }
        #expect(Set(SQSError.Kind.allCases.map(\.type)).count == SQSError.Kind.allCases.count)
        var out = ByteWriter()
        SQSError(.queueNameExists, "<x>").writeXML(requestID: "r-1", into: &out)
        #expect(
            String(decoding: out.array, as: UTF8.self)
                == "<?xml version=\"1.0\"?><ErrorResponse xmlns=\"http://queue.amazonaws.com/doc/2012-11-05/\"><Error><Type>Sender</Type><Code>QueueAlreadyExists</Code><Message>&lt;x&gt;</Message><Detail/></Error><RequestId>r-1</RequestId></ErrorResponse>"
        )
    }

    /// What is shown of a client's text is cut between characters.
    @Test func anErrorShowsLittleOfWhatItWasGiven() {
        let long = String(repeating: "é", count: 1_000)
        let shown = SQSText.quoted(long)
        #expect(shown == String(repeating: "é", count: 64) + "…")
        #expect(SQSText.quoted("aé") == "aé")
    }
}
