import KafkaModel
import Security
import Testing

@testable import SQSWire

@Suite struct RequestTests {
    private let orders = SQSQueueName("orders")!

    private func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

    // MARK: What SDKs send

    @Test func eachCapturedRequestIsTakenAndItsSignatureVerified() throws {
        let captured = try Captured.all()
        #expect(captured.count == 25)
        var keys = SigningKeyCache()
        let secret = Secret(copying: Array("secret".utf8)[...])
        for request in captured {
            let operation = try #require(request.operation)
            _ = try request.body.withUnsafeBytes { try SQSRequest(operation, json: $0) }
            let signed = SigV4Request(
                method: "POST", path: "/", query: nil, headers: request.fields,
                bodyHash: HashAlgorithm.sha256.hash(request.body))
            let identity = try SigV4Verifier(service: "sqs").verify(
                signed, now: BasicDate.parse("20261121T073716Z")!, keys: &keys
            ) { _ in SigV4Verifier.Credential(secret: secret, epoch: 1) }
            #expect(identity.accessKey == "AKIDEXAMPLE" && identity.region == "us-east-1")
        }
        // RemovePermission is the one that is not among them.
        let met = Set(captured.compactMap(\.operation))
        #expect(Set(SQSOperation.allCases).subtracting(met) == [.removePermission])
    }

    @Test func capturedMessagesHaveAllThatWasSent() throws {
        let captured = try Captured.all()
        let sends = try captured.filter { $0.operation == .sendMessage }.map { captured in
            try captured.body.withUnsafeBytes { try SQSRequest(.sendMessage, json: $0) }
        }
        guard case .sendMessage(orders, let first)? = sends.first, case .sendMessage(_, let second)? = sends.last else {
            throw OtherRequest()
        }
        #expect(text(first.body) == "{\"a\":1}" && first.delaySeconds == 5)
        #expect(
            first.attributes == [
                SQSMessageAttribute(name: "bin", type: "Binary", value: [0, 1]),
                SQSMessageAttribute(name: "n", type: "Number", value: Array("42".utf8)),
                SQSMessageAttribute(name: "trace", type: "String", value: Array("abc".utf8)),
            ])
        #expect(first.traceHeader == "Root=1-5759e988-bd862e3fe1be46a994272793")
        // Computed by another program: hashlib, over the bytes that the developer guide tells.
        #expect(first.bodyDigest == "bb6cb5c68df4652941caf652a366f2d8")
        #expect(first.attributesDigest == "47962c1578df2141e38ca5dee6666dfe")
        #expect(first.systemAttributesDigest == "62a56dd927315f2b2e12832b84617ea5")
        #expect(second.groupID == "g1" && second.deduplicationID == "d1")
        #expect(second.attributesDigest == nil && second.systemAttributesDigest == nil)
    }

    @Test func aReceiveSaysAllThatItAsksFor() throws {
        guard
            case .receiveMessage(_, let receive) = try request(
                .receiveMessage,
                #"{"QueueUrl":"http://h:1/000000000000/orders","MaxNumberOfMessages":10,"WaitTimeSeconds":20,"VisibilityTimeout":0,"AttributeNames":["SentTimestamp","Policy"],"MessageSystemAttributeNames":["MessageGroupId"],"MessageAttributeNames":["a","trace.*"],"ReceiveRequestAttemptId":"x"}"#
            )
        else { throw OtherRequest() }
        #expect(receive.maxMessages == 10 && receive.waitSeconds == 20 && receive.visibilitySeconds == 0)
        #expect(receive.systemAttributes == [.sentTimestamp, .groupID] && receive.attemptID == "x")
        let names = receive.messageAttributes
        #expect(["a", "trace", "trace.id"].allSatisfy(names.contains))
        #expect(!["b", "traces", "A"].contains(where: names.contains))
        guard case .receiveMessage(_, let bare) = try request(.receiveMessage, #"{"QueueUrl":"orders"}"#) else {
            throw OtherRequest()
        }
        #expect(bare.maxMessages == 1 && bare.waitSeconds == nil && bare.visibilitySeconds == nil)
        #expect(bare.systemAttributes.isEmpty && !bare.messageAttributes.contains("a"))
    }

    // MARK: Queues by name

    @Test func aQueueIsNamedByAddressOrName() throws {
        for address in [
            "http://127.0.0.1:9911/000000000000/orders", "https://sqs.us-east-1.amazonaws.com/123456789012/orders",
            "orders", "/000000000000/orders", "http://h/orders",
        ] {
            guard case .purgeQueue(let queue) = try request(.purgeQueue, #"{"QueueUrl":"\#(address)"}"#) else {
                throw OtherRequest()
            }
            #expect(queue == orders, "\(address)")
        }
        for address in ["http://h", "http://h/", "http://h/0/a b", "a/b/", "http://h/0/x?y", ".fifo", "a.b", "é"] {
            #expect(refusal(.purgeQueue, #"{"QueueUrl":"\#(address)"}"#)?.kind == .invalidAddress, "\(address)")
        }
        #expect(refusal(.purgeQueue, "{}")?.kind == .missingParameter)
        #expect(refusal(.purgeQueue, #"{"QueueUrl":null}"#)?.kind == .missingParameter)
        #expect(SQSResourceName.text(orders, region: "us-east-1") == "arn:aws:sqs:us-east-1:000000000000:orders")
        #expect(SQSResourceName.queue("arn:aws-cn:sqs:x:1:orders") == orders)
        for bad in ["arn:aws:sns:x:1:orders", "arn:aws:sqs:x:1:a:b", "orders", "arn:aws:sqs:x:1:"] {
            #expect(SQSResourceName.queue(bad) == nil, "\(bad)")
        }
    }

    @Test func namesOfQueuesAreCheckedWhenTheyAreMade() {
        func kind(_ name: String, _ attributes: String = "{}") -> SQSError.Kind? {
            refusal(.createQueue, #"{"QueueName":"\#(name)","Attributes":\#(attributes)}"#)?.kind
        }
        #expect(kind("a-B_9") == nil && kind(String(repeating: "a", count: 80)) == nil)
        #expect(kind("a.fifo", #"{"FifoQueue":"true"}"#) == nil)
        for bad in ["a b", "a.b", String(repeating: "a", count: 81), ".fifo", "a.fifo"] {
            #expect(kind(bad) == .invalidParameterValue, "\(bad)")
        }
        #expect(kind("a", #"{"FifoQueue":"true"}"#) == .invalidParameterValue)
        #expect(kind("") == .missingParameter)
    }

    // MARK: Attributes of queues

    @Test(
        arguments: [
            ("VisibilityTimeout", ["0", "43200"], ["-1", "43201", "1.5", "", " 1", "x", "１"]),
            ("MaximumMessageSize", ["1024", "1048576"], ["1023", "1048577"]),
            ("MessageRetentionPeriod", ["60", "1209600"], ["59", "1209601"]),
            ("DelaySeconds", ["0", "900"], ["901"]), ("ReceiveMessageWaitTimeSeconds", ["0", "20"], ["21"]),
            ("KmsDataKeyReusePeriodSeconds", ["60", "86400"], ["59", "86401"]),
            ("SqsManagedSseEnabled", ["true", "false"], ["TRUE", "1", ""]),
            ("Policy", ["{}", "", #"{"Statement":[]}"#], ["x", "[]", #"{"a":1,"a":2}"#]),
            ("KmsMasterKeyId", ["alias/x", ""], []),
        ] as [(String, [String], [String])])
    func valuesOfAttributesHaveTheirBounds(_ name: String, _ good: [String], _ bad: [String]) throws {
        for value in good {
            #expect(try SQSQueueAttributes([SQSPair(name: name, value: value)]).values.values.first == value)
        }
        for value in bad {
            #expect(throws: SQSError(.invalidAttributeValue, "Invalid value for the parameter \(name).")) {
                try SQSQueueAttributes([SQSPair(name: name, value: value)])
            }
        }
    }

    @Test func attributesThatAreNoneAreRefused() {
        for name in ["Foo", "QueueArn", "All", "ApproximateNumberOfMessages", ""] {
            let json = #"{"QueueUrl":"orders","Attributes":{"\#(name)":"1"}}"#
            #expect(refusal(.setQueueAttributes, json)?.kind == .invalidAttributeName, "\(name)")
        }
        let ofFIFO = #"{"QueueUrl":"orders","Attributes":{"ContentBasedDeduplication":"true"}}"#
        #expect(refusal(.setQueueAttributes, ofFIFO)?.kind == .invalidAttributeName)
        #expect(refusal(.setQueueAttributes, #"{"QueueUrl":"orders"}"#)?.kind == .missingParameter)
        #expect(
            refusal(.getQueueAttributes, #"{"QueueUrl":"orders","AttributeNames":["X"]}"#)?.kind
                == .invalidAttributeName)
    }

    @Test func aRedrivePolicyNamesAQueueAndACount() throws {
        func policy(_ text: String) throws -> SQSRedrive? {
            try SQSQueueAttributes([SQSPair(name: "RedrivePolicy", value: text)]).redrive
        }
        let target = #""deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dead""#
        for count in ["5", "\"5\""] {
            let found = try policy("{\(target),\"maxReceiveCount\":\(count)}")
            #expect(found?.maxReceiveCount == 5 && found?.deadLetterQueue == SQSQueueName("dead"))
        }
        #expect(try policy("") == nil)
        for bad in [
            "x", "[]", "{\(target)}", "{\(target),\"maxReceiveCount\":0}", "{\(target),\"maxReceiveCount\":1001}",
            "{\(target),\"maxReceiveCount\":1.5}", #"{"maxReceiveCount":5}"#,
            #"{"maxReceiveCount":5,"deadLetterTargetArn":"dead"}"#,
        ] { #expect(throws: SQSError.self) { try policy(bad) } }
    }

    @Test func aRedrivePermissionSaysWhichQueues() throws {
        func permission(_ text: String) throws -> SQSRedrivePermission? {
            try SQSQueueAttributes([SQSPair(name: "RedriveAllowPolicy", value: text)]).redrivePermission
        }
        #expect(try permission(#"{"redrivePermission":"allowAll"}"#)?.allows(orders) == true)
        #expect(try permission(#"{"redrivePermission":"denyAll"}"#)?.allows(orders) == false)
        let one = try permission(#"{"redrivePermission":"byQueue","sourceQueueArns":["arn:aws:sqs:r:1:orders"]}"#)
        #expect(one?.allows(orders) == true && one?.allows(SQSQueueName("other")!) == false)
        let many = Array(repeating: #""arn:aws:sqs:r:1:orders""#, count: 11).joined(separator: ",")
        for bad in [
            "{}", #"{"redrivePermission":"x"}"#, #"{"redrivePermission":"byQueue"}"#,
            #"{"redrivePermission":"byQueue","sourceQueueArns":[]}"#,
            #"{"redrivePermission":"byQueue","sourceQueueArns":[\#(many)]}"#,
            #"{"redrivePermission":"allowAll","sourceQueueArns":["arn:aws:sqs:r:1:orders"]}"#,
        ] { #expect(throws: SQSError.self) { try permission(bad) } }
    }

    // MARK: Messages

    private func send(_ members: String) -> SQSError? {
        refusal(.sendMessage, "{\"QueueUrl\":\"orders\",\"MessageBody\":\"x\",\(members)}")
    }

    @Test func bodiesHoldWhatXMLHasAPlaceFor() throws {
        func body(_ json: String) -> SQSError.Kind? {
            refusal(.sendMessage, "{\"QueueUrl\":\"orders\",\"MessageBody\":\"\(json)\"}")?.kind
        }
        for good in [
            "a", #"\t\n\r"#, " ", "é€😀", #"\u00e9\ud83d\ude00\ufffd\ud7ff\ue000"#, "\u{7f}", "12345678\u{fffd}",
            String(repeating: "x", count: 1 << 20),
        ] { #expect(body(good) == nil, "\(good.prefix(20))") }
        for bad in [#"\u0000"#, #"1234567\u0001"#, #"12345678\u001f"#, #"\ufffe"#, #"\uffff"#, #"abcdefghijklmno\b"#] {
            #expect(body(bad) == .invalidMessageContents, "\(bad)")
        }
        #expect(body("") == .missingParameter)
        #expect(body(String(repeating: "x", count: 1 << 20 + 1)) == .invalidParameterValue)
        for broken in [#"\ud800"#, #"\udc00\ud800"#, #"\u12"#, #"\x"#, "\u{1}", #"\"#] {
            #expect(body(broken) == .serialization, "\(broken)")
        }
    }

    @Test func messageAttributesHaveNamesTypesAndValues() {
        func attribute(_ name: String, _ value: String) -> SQSError? {
            send("\"MessageAttributes\":{\"\(name)\":\(value)}")
        }
        let one = #"{"DataType":"String","StringValue":"v"}"#
        for good in ["a", "A-b_c.9", String(repeating: "n", count: 256), "awsome", "Amazonia"] {
            #expect(attribute(good, one) == nil, "\(good)")
        }
        for bad in ["", ".a", "a.", "a..b", "a b", "é", "AWS.x", "amazon.x", String(repeating: "n", count: 257)] {
            #expect(attribute(bad, one)?.kind == .invalidParameterValue, "\(bad)")
        }
        for good in [
            #"{"DataType":"String.custom","StringValue":"é\n"}"#,
            #"{"DataType":"Number.int","StringValue":"-1.5e+10"}"#,
            #"{"DataType":"Binary","BinaryValue":"AAE="}"#, #"{"DataType":"Binary.png","BinaryValue":"AA==","X":[{}]}"#,
            #"{"DataType":"Number","StringValue":"00000000000000000000000000000000000000001"}"#,
            #"{"DataType":"String","StringValue":"v","StringListValues":[]}"#,
        ] { #expect(attribute("a", good) == nil, "\(good)") }
        for bad in [
            #"{"StringValue":"v"}"#, #"{"DataType":"","StringValue":"v"}"#,
            #"{"DataType":".","StringValue":"v"}"#, #"{"DataType":"..","StringValue":"v"}"#,
            #"{"DataType":".String","StringValue":"v"}"#,
            #"{"DataType":"Strings","StringValue":"v"}"#,
            #"{"DataType":"string","StringValue":"v"}"#, #"{"DataType":"String"}"#,
            #"{"DataType":"String","StringValue":""}"#, #"{"DataType":"String","BinaryValue":"AA=="}"#,
            #"{"DataType":"Binary","StringValue":"v"}"#, #"{"DataType":"String","StringValue":"a\u0000"}"#,
            #"{"DataType":"Number","StringValue":"x"}"#, #"{"DataType":"Number","StringValue":"1e127"}"#,
            #"{"DataType":"Number","StringValue":"123456789012345678901234567890123456789"}"#,
            #"{"DataType":"Number","StringValue":"."}"#, #"{"DataType":"Number","StringValue":"1e"}"#,
        ] { #expect(attribute("a", bad)?.kind == .invalidParameterValue, "\(bad)") }
        #expect(attribute("a", #"{"DataType":"Binary","BinaryValue":"A"}"#)?.kind == .serialization)
        #expect(
            attribute("a", #"{"DataType":"String","StringValue":"v","StringListValues":["a"]}"#)?.kind
                == .unsupportedOperation)
        func many(_ count: Int) -> SQSError? {
            send("\"MessageAttributes\":{" + (0..<count).map { "\"a\($0)\":\(one)" }.joined(separator: ",") + "}")
        }
        #expect(many(10) == nil && many(11)?.kind == .invalidParameterValue)
        #expect(many(1_000)?.kind == .invalidParameterValue)
    }

    @Test func whatElseAMessageHasIsBounded() {
        for good in [
            #""DelaySeconds":0"#, #""DelaySeconds":900"#, #""MessageGroupId":"a!~""#, #""DelaySeconds":null"#,
            #""MessageSystemAttributes":{"AWSTraceHeader":{"DataType":"String","StringValue":"Root=1"}}"#,
        ] { #expect(send(good) == nil, "\(good)") }
        for bad in [
            #""DelaySeconds":901"#, #""DelaySeconds":-1"#, #""MessageGroupId":"""#, #""MessageGroupId":"a b""#,
            #""MessageDeduplicationId":"\#(String(repeating: "d", count: 129))""#,
            #""MessageSystemAttributes":{"X":{"DataType":"String","StringValue":"Root=1"}}"#,
            #""MessageSystemAttributes":{"AWSTraceHeader":{"DataType":"Number","StringValue":"1"}}"#,
        ] { #expect(send(bad)?.kind == .invalidParameterValue, "\(bad)") }
        for broken in [#""DelaySeconds":"1""#, #""DelaySeconds":1.5"#, #""MessageGroupId":1"#, #""DelaySeconds":{}"#] {
            #expect(send(broken)?.kind == .serialization, "\(broken)")
        }
    }

    @Test func whatAQueueDecidesIsCheckedWithIt() throws {
        func check(_ members: String, isFIFO: Bool, most: Int = 1 << 20, byContent: Bool = false) throws {
            guard
                case .sendMessage(_, let message) = try request(
                    .sendMessage, "{\"QueueUrl\":\"orders\",\"MessageBody\":\"xyz\"\(members)}")
            else { throw OtherRequest() }
            try message.check(isFIFO: isFIFO, maxMessageBytes: most, deduplicatesByContent: byContent)
        }
        try check("", isFIFO: false)
        try check(#","MessageGroupId":"g""#, isFIFO: false)
        try check(#","MessageGroupId":"g""#, isFIFO: true, byContent: true)
        try check(#","MessageGroupId":"g","MessageDeduplicationId":"d","DelaySeconds":0"#, isFIFO: true)
        for (members, isFIFO, most, kind) in [
            ("", false, 2, .invalidParameterValue), ("", true, 9, .missingParameter),
            (#","MessageDeduplicationId":"d""#, false, 9, .invalidParameterValue),
            (#","MessageGroupId":"g""#, true, 9, .invalidParameterValue),
            (#","MessageGroupId":"g","MessageDeduplicationId":"d","DelaySeconds":1"#, true, 9, .invalidParameterValue),
        ] as [(String, Bool, Int, SQSError.Kind)] {
            let error = #expect(throws: SQSError.self) { try check(members, isFIFO: isFIFO, most: most) }
            #expect(error?.kind == kind, "\(members)")
        }
    }

    // MARK: Batches

    private func batch(_ entries: String) -> String { #"{"QueueUrl":"orders","Entries":[\#(entries)]}"# }

    @Test func aBatchIsRefusedAsAWholeForWhatMakesItUnreadable() {
        let one = #"{"Id":"1","MessageBody":"x"}"#
        func kind(_ entries: String) -> SQSError.Kind? { refusal(.sendMessageBatch, batch(entries))?.kind }
        #expect(kind("") == .emptyBatchRequest)
        #expect(refusal(.sendMessageBatch, #"{"QueueUrl":"orders"}"#)?.kind == .emptyBatchRequest)
        let eleven = (0..<11).map { #"{"Id":"\#($0)","MessageBody":"x"}"# }.joined(separator: ",")
        #expect(
            refusal(.sendMessageBatch, batch(eleven))
                == SQSError(
                    .tooManyEntriesInBatchRequest, "Maximum number of entries per request are 10. You have sent 11."))
        #expect(kind("\(one),\(one)") == .batchEntryIDsNotDistinct)
        for id in ["a b", "a.b", "é", String(repeating: "i", count: 81)] {
            #expect(kind(#"{"Id":"\#(id)","MessageBody":"x"}"#) == .invalidBatchEntryID, "\(id)")
        }
        #expect(kind(#"{"MessageBody":"x"}"#) == .missingParameter)
        #expect(
            refusal(.sendMessageBatch, batch("\(one),{\"Id\":\"2\"}"))?.message
                == "The request must contain the parameter SendMessageBatchRequestEntry.2.MessageBody.")
        let half = String(repeating: "x", count: 600_000)
        #expect(
            kind(#"{"Id":"1","MessageBody":"\#(half)"},{"Id":"2","MessageBody":"\#(half)"}"#) == .batchRequestTooLong)
    }

    @Test func oneEntryIsRefusedAlone() throws {
        let json = batch(
            #"{"Id":"1","MessageBody":"x"},{"Id":"2","MessageBody":"\u0001"},{"Id":"3","MessageBody":"x","DelaySeconds":901}"#
        )
        guard case .sendMessageBatch(_, let entries) = try request(.sendMessageBatch, json) else {
            throw OtherRequest()
        }
        #expect(entries.map(\.id) == ["1", "2", "3"])
        let kinds = entries.map { entry -> SQSError.Kind? in
            if case .failure(let error) = entry.content { error.kind } else { nil }
        }
        #expect(kinds == [nil, .invalidMessageContents, .invalidParameterValue])
        let changes = batch(
            #"{"Id":"1","ReceiptHandle":"r","VisibilityTimeout":0},{"Id":"2","ReceiptHandle":"r","VisibilityTimeout":43201}"#
        )
        guard case .changeMessageVisibilityBatch(_, let found) = try request(.changeMessageVisibilityBatch, changes)
        else { throw OtherRequest() }
        #expect(try found[0].content.get() == SQSVisibilityChange(receipt: "r", seconds: 0))
        #expect(throws: SQSError.self) { try found[1].content.get() }
        let long = String(repeating: "r", count: 1_025)
        guard
            case .deleteMessageBatch(_, let deletes) = try request(
                .deleteMessageBatch,
                batch(#"{"Id":"1","ReceiptHandle":"r"},{"Id":"2","ReceiptHandle":"\#(long)"}"#))
        else { throw OtherRequest() }
        #expect(try deletes[0].content.get() == "r")
        #expect(throws: SQSError.badReceipt(long)) { try deletes[1].content.get() }
    }

    // MARK: The rest

    @Test func parametersHaveTheirBounds() {
        for (operation, members, kind) in [
            (.receiveMessage, #""MaxNumberOfMessages":0"#, .invalidParameterValue),
            (.receiveMessage, #""MaxNumberOfMessages":11"#, .invalidParameterValue),
            (.receiveMessage, #""WaitTimeSeconds":21"#, .invalidParameterValue),
            (.receiveMessage, #""VisibilityTimeout":43201"#, .invalidParameterValue),
            (.receiveMessage, #""ReceiveRequestAttemptId":"""#, .invalidParameterValue),
            (.receiveMessage, #""AttributeNames":["X"]"#, .invalidAttributeName),
            (.changeMessageVisibility, #""ReceiptHandle":"r""#, .missingParameter),
            (.changeMessageVisibility, #""VisibilityTimeout":1"#, .missingParameter),
            (.deleteMessage, #""ReceiptHandle":"""#, .missingParameter),
            (.listDeadLetterSourceQueues, #""MaxResults":1001"#, .invalidParameterValue),
            (.listDeadLetterSourceQueues, #""NextToken":"*""#, .invalidParameterValue),
            (.listMessageMoveTasks, #""SourceArn":"x""#, .invalidParameterValue),
            (.listMessageMoveTasks, #""SourceArn":"arn:aws:sqs:r:1:q","MaxResults":11"#, .invalidParameterValue),
            (
                .startMessageMoveTask, #""SourceArn":"arn:aws:sqs:r:1:q","MaxNumberOfMessagesPerSecond":501"#,
                .invalidParameterValue
            ),
            (.cancelMessageMoveTask, #""TaskHandle":"""#, .missingParameter),
            (.tagQueue, #""Tags":{}"#, .missingParameter), (.tagQueue, #""Tags":{"":"v"}"#, .invalidParameterValue),
            (.untagQueue, #""TagKeys":[]"#, .missingParameter),
            (.addPermission, #""Label":"a b","AWSAccountIds":["1"],"Actions":["*"]"#, .invalidParameterValue),
            (.addPermission, #""Label":"l","AWSAccountIds":["1"],"Actions":["Fly"]"#, .invalidParameterValue),
            (.addPermission, #""Label":"l","AWSAccountIds":["me"],"Actions":["*"]"#, .invalidParameterValue),
            (.addPermission, #""Label":"l","AWSAccountIds":["1"]"#, .missingParameter),
            (.removePermission, #""X":1"#, .missingParameter),
        ] as [(SQSOperation, String, SQSError.Kind)] {
            #expect(refusal(operation, "{\"QueueUrl\":\"orders\",\(members)}")?.kind == kind, "\(operation) \(members)")
        }
    }

    @Test func aPageGoesOnBehindItsToken() throws {
        guard
            case .listQueues(let prefix, let page) = try request(
                .listQueues,
                #"{"QueueNamePrefix":"o","MaxResults":2,"NextToken":"\#(SQSPage.token(after: "orders"))"}"#)
        else { throw OtherRequest() }
        #expect(prefix == "o" && page == SQSPage(after: "orders", limit: 2, isPaged: true))
        guard case .listQueues("", let all) = try request(.listQueues, "") else {
            // An empty body is a request without parameters.
            throw OtherRequest()
        }
        #expect(all == SQSPage(after: nil, limit: 1_000, isPaged: false))
    }

    @Test func targetsAreNamesOfOperations() {
        func operation(_ target: String) -> SQSOperation? {
            Array(target.utf8).withUnsafeBytes { SQSOperation(target: $0) }
        }
        for one in SQSOperation.allCases { #expect(operation("AmazonSQS.\(one.rawValue)") == one) }
        for bad in ["", "AmazonSQS.", "AmazonSQS.Fly", "Kinesis.SendMessage", "amazonsqs.SendMessage", "SendMessage"] {
            #expect(operation(bad) == nil)
        }
    }

    @Test func aPolicyTakesAndLosesStatements() throws {
        let one = try SQSPolicy.adding(
            label: "l", accounts: ["1"], actions: ["SendMessage"], to: nil, of: orders, region: "r")
        #expect(
            one
                == #"{"Id":"orders/SQSDefaultPolicy","Statement":[{"Action":"SQS:SendMessage","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::1:root"},"Resource":"arn:aws:sqs:r:000000000000:orders","Sid":"l"}],"Version":"2012-10-17"}"#
        )
        let two = try SQSPolicy.adding(
            label: "m", accounts: ["1", "2"], actions: ["*", "PurgeQueue"], to: one, of: orders, region: "r")
        #expect(throws: SQSError.self) {
            try SQSPolicy.adding(label: "m", accounts: ["1"], actions: ["*"], to: two, of: orders, region: "r")
        }
        #expect(try SQSPolicy.removing(label: "m", from: two, of: orders) == one)
        #expect(try SQSPolicy.removing(label: "l", from: one, of: orders) == "")
        #expect(throws: SQSError.self) { try SQSPolicy.removing(label: "x", from: one, of: orders) }
        #expect(throws: SQSError.self) { try SQSPolicy.removing(label: "x", from: nil, of: orders) }
    }
}
