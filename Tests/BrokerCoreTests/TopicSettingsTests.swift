import KafkaModel
import LogStorage
import Testing

@testable import BrokerCore

/// Settings are refused in the words of Kafka's ConfigException, which its tools show.
@Suite struct TopicSettingsTests {
    private func problem(_ name: String, _ value: String) -> String? { TopicSettingKey.named(name)!.problem(value) }

    @Test func everyDefaultIsValid() {
        #expect(TopicSettings().conflict == nil)
        for key in TopicSettingKey.all + TopicSettingKey.hidden {
            #expect(key.problem(key.defaultValue) == nil, "\(key.name)")
        }
        #expect(TopicSettingKey.all.map(\.name) == TopicSettingKey.all.map(\.name).sorted())
        #expect(TopicSettingKey.all.map(\.name) == TopicSetting.all.map(\.name))
        #expect(TopicSettingKey.hidden.map(\.name) == TopicSetting.hidden.map(\.name))
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
                == "Invalid value 13 for configuration segment.bytes: Value must be at least 1048576")
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
    }

    /// What Apache Kafka 4.3.1 answers to the same values.
    @Test func listsAreThoseOfKafka() {
        for policy in ["delete", "compact", "compact,delete", "delete,compact", "compact, delete", " compact", "", " "]
        {
            #expect(problem("cleanup.policy", policy) == nil, "\(policy)")
        }
        let among = "for configuration cleanup.policy: String must be one of: compact, delete"
        #expect(problem("cleanup.policy", "delete,shred") == "Invalid value shred \(among)")
        #expect(problem("cleanup.policy", "[compact,delete]") == "Invalid value [compact \(among)")
        #expect(problem("cleanup.policy", "Compact") == "Invalid value Compact \(among)")
        #expect(problem("cleanup.policy", "compact,") == "Configuration 'cleanup.policy' values must not be empty.")
        let throttled = "leader.replication.throttled.replicas"
        for value in ["", "*", "0:1", "0:1,1:1"] { #expect(problem(throttled, value) == nil, "\(value)") }
        #expect(
            problem(throttled, "x")
                == "Invalid value [x] for configuration \(throttled): \(throttled) must be the literal '*' or a list of "
                + "replicas in the following format: [partitionId]:[brokerId],[partitionId]:[brokerId],...")
    }

    @Test func fractionsAndSwitchesAreThoseOfKafka() {
        let ratio = "min.cleanable.dirty.ratio"
        for value in ["0", "1", "0.5", ".5", "1e-1"] { #expect(problem(ratio, value) == nil, "\(value)") }
        #expect(problem(ratio, "-0.1") == "Invalid value -0.1 for configuration \(ratio): Value must be at least 0")
        #expect(problem(ratio, "1.1") == "Invalid value 1.1 for configuration \(ratio): Value must be no more than 1")
        #expect(problem(ratio, "") == "Invalid value  for configuration \(ratio): Not a number of type DOUBLE")
        #expect(problem("preallocate", "TRUE") == nil)
        #expect(
            problem("preallocate", "yes")
                == "Invalid value yes for configuration preallocate: Expected value to be either true or false")
        #expect(
            problem("compression.gzip.level", "10")
                == "Invalid value 10 for configuration compression.gzip.level: Value must be between 1 and 9 or equal to -1"
        )
    }

    @Test func blanksAroundAValueDoNotCount() {
        let settings = TopicSettings(overrides: ["retention.ms": " 5", "cleanup.policy": " compact , delete "])
        #expect(problem("retention.ms", " 5") == nil)
        #expect(settings.log.retentionMs == 5)
        #expect(settings.log.isCompacted && settings.log.deletesByRetention)
        // A topic with neither keeps everything.
        let none = TopicSettings(overrides: ["cleanup.policy": ""]).log
        #expect(!none.isCompacted && !none.deletesByRetention)
    }

    @Test func settingsThatContradictEachOtherAreRefused() throws {
        let node = try SimulatedBroker()
        let lags = ["min.compaction.lag.ms": "10", "max.compaction.lag.ms": "5"]
        guard case .failure(let refusal) = node.broker.createTopic("t", settings: lags) else {
            Issue.record("it was created")
            return
        }
        #expect(refusal.code == .invalidConfig)
        #expect(
            refusal.message == "conflict topic config setting min.compaction.lag.ms (10) > max.compaction.lag.ms (5)")
        #expect(TopicSettings(overrides: ["remote.storage.enable": "true"]).conflict != nil)
    }

    @Test func aSegmentForTestsMayBeSmall() {
        #expect(TopicSettings(overrides: ["internal.segment.bytes": "1000"]).log.segmentBytes == 1000)
        #expect(!TopicSettingKey.all.contains { $0.name == "internal.segment.bytes" })
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
        #expect(TopicSettingKey.named("message.format.version") == nil)
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
