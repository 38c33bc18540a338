import BrokerCore
import BrokerTestKit
import ByteBuffers
import Configuration
import Forwarder
import Foundation
import HTTPClient
import Security
import Testing

@testable import Server

/// Subscriptions of running nodes, to a receiver over HTTP.
@Suite struct SubscriptionNodeTests {
    private static let secret = "whsec_c2VjcmV0IG9mIHRoZSB0ZXN0"

    private static func configuration(_ folder: TemporaryFolder, _ url: String, _ more: String = "") throws
        -> Configuration
    {
        let text = """
            auth: {secrets: {push: {file: \(folder("secret"))}}}
            queues: {q: {dead_letter_queue: dead, max_receives: 3, backoff: 10ms}, dead: {}}
            subscriptions: {s: {from: q, to: \(url), secret: push\(more)}}
            """
        try secret.write(toFile: folder("secret"), atomically: true, encoding: .utf8)
        try text.write(toFile: folder("millrace.yaml"), atomically: true, encoding: .utf8)
        return try Configuration.load(
            file: folder("millrace.yaml"), environment: [:],
            flags: [
                ("log.dirs", folder("data"), "--data-dir"), ("listeners", "127.0.0.1:0", "--kafka"),
                ("http.listener", "127.0.0.1:0", "--http"), ("offsets.topic.num.partitions", "1", "--set"),
                ("transaction.state.log.num.partitions", "1", "--set"),
            ])
    }

    private static func send(_ texts: [String], _ node: Node) throws {
        for text in texts {
            _ = try node.broker.queues.send([QueueMessage(body: Array(text.utf8))], to: "q").answer[0].get()
        }
    }

    private struct Event: Decodable {
        struct Record: Decodable {
            struct Attribute: Decodable { let dataType: String }
            let messageId, receiptHandle, body, md5OfBody, eventSource, eventSourceARN, awsRegion: String
            let attributes: [String: String]
            let messageAttributes: [String: Attribute]
        }
        let Records: [Record]
    }

    private static func records(_ request: HTTPReceiver.Request) throws -> [Event.Record] {
        try JSONDecoder().decode(Event.self, from: Data(request.body)).Records
    }

    private static func isDone(_ node: Node) -> Bool { node.broker.subscriptions.statuses.first?.lag == 0 }

    @Test func messagesArePostedAsFunctionsGetThemAndSigned() throws {
        let folder = try TemporaryFolder()
        let receiver = try HTTPReceiver { _ in HTTPReceiver.answer("200 OK") }
        let node = try Node.start(
            try Self.configuration(folder, receiver.url + "?token=canary", ", batch: {records: 3}"), pool: ChunkPool())
        try Self.send(["one", "two \u{e9}\n"], node)
        #expect(eventually { node.broker.subscriptions.statuses.first?.records == 2 })
        #expect(eventually { Self.isDone(node) })
        let key = try #require(Base64.decode("c2VjcmV0IG9mIHRoZSB0ZXN0".utf8))
        for request in receiver.requests {
            let id = try #require(request.field("webhook-id"))
            let time = try #require(request.field("webhook-timestamp"))
            let signature = HashAlgorithm.sha256.hmac(key: key, Array("\(id).\(time).".utf8) + request.body)
            #expect(request.field("webhook-signature") == "v1," + Base64.encode(signature))
            #expect(request.field("content-type") == "application/json")
        }
        let records = try receiver.requests.flatMap(Self.records)
        #expect(Set(records.map(\.body)) == ["one", "two \u{e9}\n"])
        let record = try #require(records.first { $0.body == "one" })
        #expect(record.md5OfBody == "f97c5d29941bfb1b2fdab0874906ab82")
        #expect(record.eventSource == "aws:sqs")
        #expect(record.eventSourceARN == "arn:aws:sqs:us-east-1:000000000000:q")
        #expect(record.awsRegion == "us-east-1")
        #expect(record.attributes["ApproximateReceiveCount"] == "1")
        #expect(record.messageAttributes.isEmpty)
        let statistics = try node.get("/stats")
        #expect(statistics.contains(#""subscriptions":{"s":{"from":"q","to":"\#(receiver.url)","trouble":null,"#))
        #expect(try !(statistics + node.get("/metrics")).contains("canary"))
        try node.stop()
        receiver.stop()
    }

    @Test func whatTheAnswerNamesComesAgain() throws {
        let folder = try TemporaryFolder()
        let bad = Lock<String?>(nil)
        let receiver = try HTTPReceiver { request in
            guard let records = try? Self.records(request) else { return nil }
            let named = records.filter { $0.body == "bad" }.map { #"{"itemIdentifier":"\#($0.messageId)"}"# }
            bad.withLock { $0 = records.first { $0.body == "bad" }?.messageId ?? $0 }
            return HTTPReceiver.answer("200 OK", #"{"batchItemFailures":[\#(named.joined(separator: ","))]}"#)
        }
        let node = try Node.start(try Self.configuration(folder, receiver.url), pool: ChunkPool())
        try Self.send(["good", "bad", "fine"], node)
        #expect(
            eventually {
                (try? node.broker.queues.counts(of: "dead", withOldest: false).answer.get().visible) == 1
            })
        #expect(eventually { Self.isDone(node) })
        let bodies = try receiver.requests.flatMap(Self.records).map(\.body)
        #expect(bodies.filter { $0 == "bad" }.count == 3)
        #expect(bodies.filter { $0 != "bad" }.sorted() == ["fine", "good"])
        #expect(bad.withLock { $0 } != nil)
        try node.stop()
        receiver.stop()
    }

    @Test func aReceiverThatComesLaterGetsAllAndAStopDoesNotWaitForOneThatHangs() throws {
        let folder = try TemporaryFolder()
        let isOver = Signal()
        let receiver = try HTTPReceiver { _ in
            isOver.wait()
            return nil
        }
        let node = try Node.start(
            try Self.configuration(folder, receiver.url, ", timeout: 15m"), pool: ChunkPool())
        try Self.send(["a"], node)
        #expect(eventually { receiver.requests.count == 1 })
        // Not for a quarter of an hour.
        try node.stop()
        isOver.raise()
        receiver.stop()
        let other = try HTTPReceiver { _ in HTTPReceiver.answer("200 OK") }
        let again = try Node.start(try Self.configuration(folder, other.url), pool: ChunkPool())
        #expect(eventually { again.broker.subscriptions.statuses.first?.records == 1 })
        try again.stop()
        other.stop()
    }

    @Test func aBacklogIsPushedByAsManyRequestsAsMayBe() throws {
        let folder = try TemporaryFolder()
        let most = Lock((now: 0, most: 0))
        let pause = Signal()
        let receiver = try HTTPReceiver { _ in
            most.withLock { $0 = ($0.now + 1, max($0.most, $0.now + 1)) }
            pause.wait(timeoutMs: 20)
            most.withLock { $0.now -= 1 }
            return HTTPReceiver.answer("200 OK", "{}")
        }
        let node = try Node.start(
            try Self.configuration(folder, receiver.url, ", batch: {records: 1}, concurrency: 4"), pool: ChunkPool())
        try Self.send((0..<200).map { "\($0)" }, node)
        #expect(eventually { node.broker.subscriptions.statuses.first?.records == 200 })
        #expect((2...4).contains(most.withLock { $0.most }))
        let bodies = try receiver.requests.flatMap(Self.records).map(\.body)
        #expect(bodies.count == 200 && Set(bodies).count == 200)
        try node.stop()
        receiver.stop()
    }

    @Test func aSubscriptionBecomesAForwarder() throws {
        let folder = try TemporaryFolder()
        let receiver = try HTTPReceiver { _ in HTTPReceiver.answer("500 No") }
        let node = try Node.start(try Self.configuration(folder, receiver.url), pool: ChunkPool())
        try Self.send(["a"], node)
        #expect(eventually { node.broker.subscriptions.statuses.first?.failures ?? 0 > 0 })
        let text = "topics: {out: {partitions: 1}}\nforwarders: {f: {from: q, to: out, batch: {window: 0}}}\n"
        try text.write(toFile: folder("millrace.yaml"), atomically: true, encoding: .utf8)
        try node.replaceRoutes(
            by: try Configuration.load(file: folder("millrace.yaml"), environment: [:], flags: []))
        try Self.send(["b"], node)
        #expect(try node.consume("out", 1).count == 1)
        #expect(node.broker.subscriptions.statuses.isEmpty)
        try node.stop()
        receiver.stop()
    }
}

/// What an answer says of a batch.
@Suite struct PushAnswerTests {
    private func outcome(_ status: Int, _ body: String, _ retryAfter: String? = nil) -> PushOutcome {
        PushAnswer.outcome(
            HTTPAnswer(status: status, body: Array(body.utf8), retryAfter: retryAfter), ["a", "b", "c"])
    }

    @Test(arguments: [
        "", " \r\n", "{}", #"{"batchItemFailures":[]}"#, #"{"batchItemFailures":null}"#, #"{"statusCode":200}"#,
    ])
    func nothingHasFailed(_ body: String) {
        for status in [200, 201, 204] { #expect(outcome(status, body) == .answered(failed: [])) }
    }

    @Test func thoseThatAreNamedHaveFailed() {
        let named = #"{"batchItemFailures":[{"itemIdentifier":"c"},{"itemIdentifier":"a"},{"itemIdentifier":"c"}]}"#
        #expect(outcome(200, named) == .answered(failed: [0, 2]))
    }

    @Test(arguments: [
        "OK", "[]", #""fine""#, "{", #"{"batchItemFailures":{}}"#, #"{"batchItemFailures":[{}]}"#,
        #"{"batchItemFailures":[{"itemIdentifier":""}]}"#, #"{"batchItemFailures":[{"itemIdentifier":null}]}"#,
        #"{"batchItemFailures":[{"itemIdentifier":"d"}]}"#, #"{"batchItemFailures":["a"]}"#,
    ])
    func whatCannotBeReadIsAFailureOfAll(_ body: String) {
        guard case .failed(let failure) = outcome(200, body) else {
            Issue.record("\(body) was taken")
            return
        }
        #expect(failure.kind == .unreadable)
    }

    @Test func otherAnswersFailAndABusyReceiverIsLeftAlone() {
        let kinds: [(Int, PushFailure.Kind)] = [
            (301, .redirect), (400, .clientError), (404, .clientError), (500, .serverError), (502, .serverError),
            (429, .busy), (503, .busy),
        ]
        for (status, kind) in kinds {
            guard case .failed(let failure) = outcome(status, "{}") else {
                Issue.record("\(status) is no failure")
                continue
            }
            #expect(failure.kind == kind)
        }
        for status in [429, 503] {
            guard case .untouched(let failure, let pauseMs) = outcome(status, "", "30") else {
                Issue.record("\(status) is no pause")
                continue
            }
            #expect(failure.kind == .busy && pauseMs == 30_000)
        }
        guard case .untouched(_, nil) = outcome(503, "", "Wed, 21 Oct 2026 07:28:00 GMT") else {
            Issue.record("a date is no pause")
            return
        }
    }
}
