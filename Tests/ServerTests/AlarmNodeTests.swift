import BrokerTestKit
import ByteBuffers
import Foundation
import KafkaModel
import Security
import Telemetry
import Testing

@testable import Alarms
@testable import BrokerCore
@testable import Server

/// Alarms of a running node: queues are looked at, and what has changed is told.
@Suite struct AlarmNodeTests {
    private static let yaml = """
        topics: {alarms: {partitions: 1}}
        queues: {jobs: {dead_letter_queue: dead, max_receives: 1}, dead: {}}
        alarms:
          waiting: {metric: 'millrace_queue_messages{queue="jobs",state="visible"}', above: 1, topic: alarms}
        """

    @Test func aQueueThatFillsIsToldAsARecord() throws {
        let folder = try TemporaryFolder()
        let node = try Node.start(try ForwarderNodeTests.configuration(folder, Self.yaml), pool: ChunkPool())
        let messages = [QueueMessage(body: Array("1".utf8)), QueueMessage(body: Array("2".utf8))]
        for result in node.broker.queues.send(messages, to: "jobs").answer { _ = try result.get() }
        // A period each, by a clock far ahead of the thread's own.
        var at = Int64.max / 2
        #expect(
            eventually {
                at += AlarmRule.periodLimitsMs.upperBound
                node.alarms?.turn(at: at)
                return (try? node.get("/v1/alarms?name=waiting").contains("ALARM")) == true
            })
        let told = try #require(try node.consume("alarms", 1).first)
        let json = try #require(try JSONSerialization.jsonObject(with: Data(told.utf8)) as? [String: Any])
        #expect(json["alarm"] as? String == "waiting" && json["state"] as? String == "ALARM")
        #expect(json["value"] as? Int == 2 && json["above"] as? Int == 1)
        let shown = try node.get("/v1/alarms?name=waiting")
        #expect(shown.contains(#""state":"ALARM""#), "\(shown)")
        try node.stop()
    }

    /// What looks at queues may wait for a disk that hangs for ever: here for a lock that a test holds.
    @Test func aQueueThatCannotBeLookedAtHoldsUpNoAlarm() throws {
        let folder = try TemporaryFolder()
        let yaml = """
            queues: {jobs: {}}
            alarms: {always: {metric: millrace_disk_used_ratio, above: -1}}
            """
        let node = try Node.start(try ForwarderNodeTests.configuration(folder, yaml), pool: ChunkPool())
        let (held, release) = (Signal(), Signal())
        let holder = Thread(name: "holder") {
            func hold(_ shards: ArraySlice<Lock<QueueCoordinator.Shard>>) {
                guard let first = shards.first else {
                    held.raise()
                    release.wait(timeoutMs: nil)
                    return
                }
                first.withLock { _ in hold(shards.dropFirst()) }
            }
            hold(node.broker.queues.shards[...])
        }
        held.wait(timeoutMs: nil)
        var at = Int64.max / 2
        for _ in 0..<3 {
            at += AlarmRule.periodLimitsMs.upperBound
            node.alarms?.turn(at: at)
        }
        #expect(try node.get("/v1/alarms?name=always").contains(#""state":"ALARM""#))
        release.raise()
        holder.join()
        try node.stop()
    }

    // MARK: Webhooks

    private func news(_ webhook: AlarmWebhook) -> Alarm.News {
        var rule = AlarmRule("depth", MetricSelector("millrace_depth")!, .above(10))
        rule.webhook = webhook
        return Alarm.News(rule: rule, before: .fine, change: Alarm.Change(state: .alarm, atMs: 1000, value: 11))
    }

    @Test func aChangeIsPostedSignedUntilItIsTaken() throws {
        let answers = Lock(["500 Internal Server Error", "302 Found", "204 No Content"])
        let receiver = try HTTPReceiver { _ in HTTPReceiver.answer(answers.withLock { $0.removeFirst() }) }
        let key: [UInt8] = Array("secret".utf8)
        let webhook = AlarmWebhook(url: receiver.url, signingKey: Secret(copying: key[...]))
        let posts = AlarmPosts()
        posts.add(news(webhook), to: webhook)
        for second in Int64(1)...5 { posts.turn(nowMs: second * 1000) { false } }
        let requests = receiver.requests
        #expect(requests.count == 3 && Set(requests.map { $0.field("webhook-id") }).count == 1)
        for request in requests {
            let (id, time) = (request.field("webhook-id") ?? "", request.field("webhook-timestamp") ?? "")
            let signature = HashAlgorithm.sha256.hmac(key: key, Array("\(id).\(time).".utf8) + request.body)
            #expect(request.field("webhook-signature") == "v1," + Base64.encode(signature))
        }
        #expect(
            String(decoding: requests[0].body, as: UTF8.self) == """
                {"alarm":"depth","state":"ALARM","before":"OK","at":"1970-01-01T00:00:01.000Z","value":11,\
                "metric":"millrace_depth","above":10}
                """)
        receiver.stop()
    }

    @Test func whatIsTakenByNobodyIsGivenUp() throws {
        let receiver = try HTTPReceiver { _ in HTTPReceiver.answer("503 Service Unavailable") }
        let webhook = AlarmWebhook(url: receiver.url, signingKey: Secret(copying: [1]))
        let posts = AlarmPosts()
        for _ in 0..<AlarmPosts.maxWaiting + 5 { posts.add(news(webhook), to: webhook) }
        // Nobody waits behind one that takes nothing.
        let other = try HTTPReceiver { _ in HTTPReceiver.answer("200 OK") }
        let healthy = AlarmWebhook(url: other.url, signingKey: Secret(copying: [1]))
        for _ in 0..<3 { posts.add(news(healthy), to: healthy) }
        posts.turn(nowMs: 1000) { false }
        #expect(receiver.requests.count == 1 && other.requests.count == 3)
        other.stop()
        for _ in 0..<AlarmPosts.maxWaiting * AlarmPosts.maxTries { posts.turn(nowMs: 1000) { false } }
        #expect(receiver.requests.count == AlarmPosts.maxWaiting * AlarmPosts.maxTries)
        receiver.stop()
    }
}
