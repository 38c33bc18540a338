import BrokerCore
import BrokerTestKit
import ByteBuffers
import IngestGateway
import KafkaModel
import Security
import Testing

/// Who asks by SQS, and whether he may.
@Suite struct SQSAccessTests {
    private let queues = MemoryQueues()

    private func harness(
        _ mode: GatewayAuthentication.Mode = .required, acls: Bool = false, _ options: GatewayOptions = GatewayOptions()
    ) throws -> GatewayHarness {
        try GatewayHarness(
            options, access: { $0.hasAuthorizer = acls }, queues: queues
        ) { GatewayAuthentication(mode, passwords: try Authentication($0)) }
    }

    private func call(
        _ harness: GatewayHarness, _ operation: String, _ body: String, by signer: AWSSigner,
        at moment: UnixTime? = nil,
        sent: String? = nil, path: String = "/", host: String = "localhost"
    ) throws -> HTTPReply {
        let fields = signer.fields(
            "sqs", "AmazonSQS.\(operation)", "application/x-amz-json-1.0", body, at: moment, path: path, host: host)
        return try harness.sqs(operation, sent ?? body, path: path, fields: fields)
    }

    @Test func whoSignsByAKeyIsItsOwner() throws {
        let harness = try harness()
        let signer = AWSSigner(on: harness)
        #expect(try call(harness, "CreateQueue", #"{"QueueName":"orders"}"#, by: signer).status == 200)
        let path = "/000000000000/orders"
        let sent = try call(
            harness, "SendMessage", #"{"QueueUrl":"orders","MessageBody":"x"}"#, by: signer, path: path)
        #expect(sent.status == 200)
        let received = try call(
            harness, "ReceiveMessage", #"{"QueueUrl":"orders","AttributeNames":["SenderId"]}"#, by: signer)
        #expect(received.text.contains(#""SenderId":"User:alice""#))
        // Another credential of the same owner does as well.
        let bearer = try harness.sqs("ListQueues", "{}", fields: ["Authorization: Bearer \(signer.text)"])
        #expect(bearer.text == #"{"QueueUrls":["http://localhost/000000000000/orders"]}"#)
    }

    @Test func whatIsNotSignedByAKeyIsRefused() throws {
        let harness = try harness()
        let signer = AWSSigner(on: harness)
        let silent = try harness.sqs("ListQueues", "{}")
        #expect(silent.error == "MissingAuthenticationTokenException MissingAuthenticationToken;Sender 403")
        let changed = try call(harness, "ListQueues", "{}", by: signer, sent: "{ }")
        #expect(changed.error == "InvalidSignatureException SignatureDoesNotMatch;Sender 403")
        let stranger = AWSSigner(name: "GKAAAAAAAAAAAA", secret: signer.secret, text: "")
        let unknown = try call(harness, "ListQueues", "{}", by: stranger)
        #expect(unknown.error == "UnrecognizedClientException InvalidClientTokenId;Sender 403")
        let other = AWSSigner(name: signer.name, secret: SigningKey.make(for: "abcdefghijkl").secret, text: "")
        #expect(try call(harness, "ListQueues", "{}", by: other).status == 403)
        let old = try call(
            harness, "ListQueues", "{}", by: signer, at: UnixTime(milliseconds: BrokerClock.wallMs() - 1_000_000))
        #expect(old.error == "InvalidSignatureException SignatureDoesNotMatch;Sender 403")
        #expect(old.string("message")?.hasPrefix("Signature expired: ") == true)
        #expect(try call(harness, "ListQueues", "{}", by: signer).status == 200)
    }

    /// A key that is none is refused before its body is waited for.
    @Test func noBodyIsWaitedForOfAnUnknownKey() throws {
        let harness = try harness()
        let client = try harness.connect()
        try client.send(
            "POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: AmazonSQS.SendMessage\r\nContent-Length: 1000000\r\nAuthorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/us-east-1/sqs/aws4_request, SignedHeaders=host, Signature=00\r\n\r\n"
        )
        #expect(try client.receive().status == 403)
    }

    @Test func manyWrongSignaturesAreNotLookedAt() throws {
        let harness = try harness()
        let signer = AWSSigner(on: harness)
        var last = ""
        for _ in 0..<200 where !last.hasPrefix("RequestThrottled") {
            last = try call(harness, "ListQueues", "{}", by: signer, sent: "{ }").error
        }
        #expect(last == "RequestThrottled RequestThrottled;Receiver 503")
    }

    @Test func permissionsAreThoseOfTheTopic() throws {
        let harness = try harness(acls: true)
        let signer = AWSSigner(on: harness)
        func error(_ operation: String, _ body: String) throws -> String {
            try call(harness, operation, body, by: signer).error
        }
        let create = #"{"QueueName":"orders"}"#
        let send = #"{"QueueUrl":"orders","MessageBody":"x"}"#
        #expect(
            try error("CreateQueue", create) == "AccessDeniedException AccessDenied;Sender 403",
            "the name is the caller's own: that it is not there would have him try for ever")
        harness.permit(.create, "q.orders")
        #expect(try error("CreateQueue", create) == " 200")
        #expect(
            try error("SendMessage", send) == "QueueDoesNotExist AWS.SimpleQueueService.NonExistentQueue;Sender 400")
        #expect(try call(harness, "ListQueues", "{}", by: signer).text == "{}")
        harness.permit(.describe, "q.orders")
        #expect(try call(harness, "ListQueues", "{}", by: signer).text.contains("orders"))
        #expect(try error("SendMessage", send) == "AccessDeniedException AccessDenied;Sender 403")
        harness.permit(.write, "q.orders")
        #expect(try error("SendMessage", send) == " 200")
        for (operation, body) in [
            ("ReceiveMessage", #"{"QueueUrl":"orders"}"#),
            ("DeleteMessage", #"{"QueueUrl":"orders","ReceiptHandle":"x"}"#),
            ("ChangeMessageVisibility", #"{"QueueUrl":"orders","ReceiptHandle":"x","VisibilityTimeout":1}"#),
            ("PurgeQueue", #"{"QueueUrl":"orders"}"#), ("DeleteQueue", #"{"QueueUrl":"orders"}"#),
            ("SetQueueAttributes", #"{"QueueUrl":"orders","Attributes":{"DelaySeconds":"1"}}"#),
            ("TagQueue", #"{"QueueUrl":"orders","Tags":{"a":"b"}}"#),
            ("AddPermission", #"{"QueueUrl":"orders","Label":"l","AWSAccountIds":["1"],"Actions":["*"]}"#),
        ] { #expect(try error(operation, body) == "AccessDeniedException AccessDenied;Sender 403", "\(operation)") }
        harness.permit(.read, "q.orders")
        #expect(try error("ReceiveMessage", #"{"QueueUrl":"orders"}"#) == " 200")
    }

    /// Dead letters are no way to write where one may not.
    @Test func deadLettersGoWhereTheirSenderMayWrite() throws {
        let harness = try harness(acls: true)
        let signer = AWSSigner(on: harness)
        _ = queues.createQueue("dead", QueueSettings(), partitions: 1, tags: [:])
        for operation: AclOperation in [.create, .describe, .alterConfigs] {
            harness.permit(operation, "q.orders")
        }
        harness.permit(.describe, "q.dead")
        _ = try call(harness, "CreateQueue", #"{"QueueName":"orders"}"#, by: signer)
        let set =
            #"{"QueueUrl":"orders","Attributes":{"RedrivePolicy":"{\"maxReceiveCount\":1,\"deadLetterTargetArn\":\"arn:aws:sqs:us-east-1:000000000000:dead\"}"}}"#
        #expect(
            try call(harness, "SetQueueAttributes", set, by: signer).error
                == "AccessDeniedException AccessDenied;Sender 403")
        harness.permit(.write, "q.dead")
        #expect(try call(harness, "SetQueueAttributes", set, by: signer).status == 200)
    }

    @Test func scopesOfAKeyHoldForItsSignature() throws {
        let harness = try harness()
        let signer = AWSSigner(
            on: harness,
            scopes: [
                .init(
                    resource: ResourceType.topic.rawValue, name: "q.a", pattern: 3,
                    operation: AclOperation.create.rawValue)
            ])
        #expect(try call(harness, "CreateQueue", #"{"QueueName":"a"}"#, by: signer).status == 200)
        #expect(try call(harness, "CreateQueue", #"{"QueueName":"b"}"#, by: signer).status == 403)
    }

    @Test func anySignatureIsTakenFromThisMachineWhereThatIsSaid() throws {
        var options = GatewayOptions()
        options.takesAnyAWSSignature = true
        let harness = try harness(.required, options)
        let stranger = AWSSigner(name: "AKIDEXAMPLE", secret: Secret(copying: Array("secret".utf8)[...]), text: "")
        #expect(try call(harness, "CreateQueue", #"{"QueueName":"orders"}"#, by: stranger).status == 200)
        #expect(try harness.call("GET", "/stats").status == 401)
    }

    /// As on every other route: nobody is asked.
    @Test func nobodyIsAskedWhereNobodyIs() throws {
        let harness = try GatewayHarness(queues: queues)
        let stranger = AWSSigner(name: "AKIDEXAMPLE", secret: Secret(copying: Array("secret".utf8)[...]), text: "")
        #expect(try call(harness, "ListQueues", "{}", by: stranger).status == 200)
    }

    /// A proxy that writes another host is no reason to refuse what was signed for the address that clients know.
    @Test func theHostOfTheConfiguredAddressMayBeSigned() throws {
        var options = GatewayOptions()
        options.sqsAddress = "https://queues.example.com"
        let harness = try harness(.required, options)
        let signer = AWSSigner(on: harness)
        #expect(try call(harness, "ListQueues", "{}", by: signer, host: "queues.example.com").status == 200)
        #expect(try call(harness, "ListQueues", "{}", by: signer, host: "other.example.com").status == 403)
    }
}
