import KafkaModel
import LogStorage
import Testing

@testable import BrokerCore

/// Settings are refused in the words of Kafka's ConfigException, which its tools show.
@Suite struct TopicSettingsTests {
    private func problem(_ name: String, _ value: String) -> String? { TopicSettingKey.named(name)!.problem(value) }

    @Test func everyDefaultIsValid() {
        for key in TopicSettingKey.all { #expect(key.problem(key.defaultValue) == nil, "\(key.name)") }
        #expect(TopicSettingKey.all.map(\.name) == TopicSettingKey.all.map(\.name).sorted())
    }

    @Test func theDefaultsAreThoseOfALog() {
        #expect(TopicSettings().log == LogSettings())
    }

    @Test func numbersAreHeldToTheirTypeAndRange() {
        #expect(
            problem("segment.bytes", "x") == "Invalid value x for configuration segment.bytes: Not a number of type INT"
        )
        #expect(
            problem("retention.ms", "1.5")
                == "Invalid value 1.5 for configuration retention.ms: Not a number of type LONG")
        #expect(
            problem("segment.bytes", "13")
                == "Invalid value 13 for configuration segment.bytes: Value must be at least 14")
        #expect(
            problem("segment.bytes", "2147483648")
                == "Invalid value 2147483648 for configuration segment.bytes: Not a number of type INT")
        #expect(
            problem("retention.ms", "-2")
                == "Invalid value -2 for configuration retention.ms: Value must be at least -1")
        #expect(problem("retention.ms", "") != nil)
        #expect(problem("retention.ms", "-1") == nil)
        #expect(problem("retention.ms", "9223372036854775807") == nil)
        #expect(problem("retention.ms", "9223372036854775808") != nil)
    }

    @Test func wordsAreHeldToTheirList() {
        #expect(
            problem("message.timestamp.type", "createtime")
                == "Invalid value createtime for configuration message.timestamp.type: String must be one of: "
                + "CreateTime, LogAppendTime")
        #expect(problem("cleanup.policy", "delete") == nil)
        #expect(problem("cleanup.policy", "delete,shred") != nil)
        #expect(problem("cleanup.policy", "") != nil)
        #expect(problem("cleanup.policy", ",") != nil)
    }

    /// Each of these is valid in itself, and longer than a record of the metadata store can say.
    @Test func endlessValuesAreRefused() throws {
        #expect(problem("retention.ms", String(repeating: "0", count: 70_000) + "1") != nil)
        #expect(problem("cleanup.policy", String(repeating: "delete,", count: 10_000) + "delete") != nil)
        let node = try SimulatedBroker()
        let endless = ["retention.ms": String(repeating: "0", count: 70_000) + "1"]
        guard case .failure(let refusal) = node.broker.createTopic("t", settings: endless) else {
            Issue.record("it was created")
            return
        }
        #expect(refusal.code == .invalidConfig)
        #expect(refusal.message.utf8.count < 200)
    }

    @Test func unknownKeysAreNotServed() {
        #expect(TopicSettingKey.named("unclean.leader.election.enable") == nil)
        #expect(TopicSettings().value("no.such.key") == nil)
    }

    @Test func aTopicsOwnValueGoesBeforeTheBrokers() {
        let settings = TopicSettings(
            overrides: ["retention.ms": "1"], brokerDefaults: ["retention.ms": "2", "segment.bytes": "100"])
        #expect(settings.log.retentionMs == 1)
        #expect(settings.log.segmentBytes == 100)
        #expect(settings.value("retention.bytes") == "-1")
    }

    @Test func aRecordOfATopicIsReadBackAsItWas() throws {
        let record = TopicRecord(
            name: "t", id: .random(), partitionCount: 7, settings: ["retention.ms": "1", "cleanup.policy": "delete"])
        #expect(try TopicRecord(record.encoded, key: TopicRecord.key("t"), folder: "/data") == record)
        let bytes = record.encoded
        for count in 0..<bytes.count {
            #expect(
                storageError { _ = try TopicRecord(Array(bytes[..<count]), key: "topics/t", folder: "/data") } != nil)
        }
    }
}
