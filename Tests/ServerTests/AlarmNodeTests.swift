import Alarms
import BrokerCore
import BrokerTestKit
import ByteBuffers
import Foundation
import KafkaModel
import Telemetry
import Testing

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
}
