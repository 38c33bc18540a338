import Configuration
import Testing

@Suite struct PrecedenceTests {
    private func load(
        file: String? = nil, environment: [String: String] = [:], flags: [(String, String)] = []
    ) throws -> Configuration {
        let file = file.map(TemporaryFile.init)
        return try Configuration.load(
            file: file?.path, environment: environment, flags: flags.map { ($0.0, $0.1, "--set") })
    }

    @Test func withoutAnySourceEveryKeyHasItsDefault() throws {
        let configuration = try load()
        #expect(configuration == Configuration())
        #expect(configuration.defaultPartitionCount == 1)
        #expect(configuration.autoCreatesTopics)
        #expect(configuration.retentionMs == 604_800_000)
        #expect(configuration.kafkaListeners.map(\.endpoint) == [Endpoint(host: "localhost", port: 9092)])
        #expect(configuration.advertisedListeners == [])
        #expect(configuration.value(for: "num.partitions")?.source == .builtIn)
    }

    @Test func flagGoesBeforeEnvironmentBeforeFileBeforeDefault() throws {
        let file = "num.partitions: 2\nlog:\n  segment:\n    bytes: 2MiB\nnode.id: 7\n"
        let environment = ["MILLRACE_NUM_PARTITIONS": "3", "MILLRACE_LOG_SEGMENT_BYTES": "3145728"]
        let configuration = try load(file: file, environment: environment, flags: [("num.partitions", "4")])
        #expect(configuration.defaultPartitionCount == 4)
        #expect(configuration.segmentBytes == 3_145_728)
        #expect(configuration.nodeID == 7)
        #expect(configuration.value(for: "num.partitions")?.source == .flag("--set"))
        #expect(
            configuration.value(for: "log.segment.bytes")?.source == .environment("MILLRACE_LOG_SEGMENT_BYTES"))
        let chain = configuration.chain(for: "num.partitions").map(\.text)
        #expect(chain == ["4", "3", "2", "1"])
    }

    @Test func ofTwoFlagsForOneKeyTheLaterWins() throws {
        let configuration = try load(flags: [("num.partitions", "4"), ("num.partitions", "5")])
        #expect(configuration.chain(for: "num.partitions").map(\.text) == ["5", "1"])
    }

    @Test func anAliasSetsTheSameKey() throws {
        let configuration = try load(environment: ["MILLRACE_BROKER_ID": "9"])
        #expect(configuration.nodeID == 9)
        #expect(configuration.value(for: "broker.id") == configuration.value(for: "node.id"))
    }

    @Test func nestedDottedAndListFormsOfYAMLAreTheSame() throws {
        let nested = "gateway:\n  ingest:\n    event.types: [a, b]\n    topic: t\n"
        let dotted = "gateway.ingest.event.types: \"a, b\"\ngateway.ingest.topic: t\n"
        let block = "gateway:\n  ingest.event:\n    types:\n      - a\n      - b\n  ingest.topic: 't'\n"
        for text in [nested, dotted, block] {
            let configuration = try load(file: text)
            #expect(configuration.ingestEventTypes == ["a", "b"])
            #expect(configuration.ingestTopic == "t")
        }
    }

    @Test func anEmptyFileAndOnlyCommentsAreFine() throws {
        #expect(try load(file: "") == Configuration())
        #expect(try load(file: "# nothing\n") == Configuration())
    }

    @Test func unitsAreConvertedToTheKeysOwn() throws {
        let configuration = try load(flags: [
            ("log.segment.bytes", "64 MiB"), ("log.retention.hours", "7d"), ("offsets.retention.minutes", "2h"),
            ("http.request.timeout.ms", "5s"), ("log.retention.bytes", "-1"), ("max.connections", "12"),
        ])
        #expect(configuration.segmentBytes == 64 << 20)
        #expect(configuration.value(for: "log.retention.hours")?.text == "168")
        #expect(configuration.offsetsRetentionMs == 7_200_000)
        #expect(configuration.httpRequestTimeoutMs == 5000)
        #expect(configuration.retentionBytes == nil)
    }

    @Test func theFinestRetentionUnitWinsWithinASource() throws {
        let configuration = try load(flags: [("log.retention.hours", "1"), ("log.retention.ms", "5000")])
        #expect(configuration.retentionMs == 5000)
    }

    @Test func aCoarseRetentionFlagIsNotHiddenByAFineOneInTheFile() throws {
        let configuration = try load(file: "log.retention.ms: 5000\n", flags: [("log.retention.hours", "1")])
        #expect(configuration.retentionMs == 3_600_000)
        let synonyms = configuration.topicSynonyms("retention.ms")
        #expect(synonyms.map(\.name) == ["log.retention.hours", "log.retention.ms", "log.retention.hours"])
        #expect(synonyms.map(\.value) == ["3600000", "5000", "604800000"])
    }

    @Test func endlessRetentionIsNil() throws {
        #expect(try load(flags: [("log.retention.hours", "-1")]).retentionMs == nil)
    }

    @Test func variablesOfTheCommandLineAndOfKubernetesAreNoKeys() throws {
        let environment = [
            "MILLRACE_BOOTSTRAP": "x:1", "MILLRACE_SERVICE_HOST": "10.0.0.1", "MILLRACE_PORT": "tcp://10.0.0.1:9092",
            "MILLRACE_PORT_9092_TCP_ADDR": "10.0.0.1", "PATH": "/bin", "KAFKA_NUM_PARTITIONS": "3",
        ]
        #expect(try load(environment: environment) == Configuration())
    }

    @Test func everyTypedValueCanBeReadFromTheDefaults() {
        let c = Configuration()
        let integers: [Int64] = [
            Int64(c.nodeID), c.producerIDExpirationMs, Int64(c.eventLoopCount),
            Int64(c.maxRequestBytes), Int64(c.maxQueuedRequestBytes), Int64(c.maxConnections),
            Int64(c.maxConnectionsPerIP), c.maxIdleConnectionMs, Int64(c.maxFetchBytes), Int64(c.maxFetchSessions),
            Int64(c.segmentBytes), c.segmentMs, Int64(c.maxBatchBytes),
            Int64(c.indexIntervalBytes), c.maxTimestampBeforeMs, c.maxTimestampAfterMs,
            Int64(c.offsetsTopicPartitionCount), c.offsetsRetentionMs, Int64(c.maxOffsetMetadataBytes),
            c.initialRebalanceDelayMs, c.minSessionTimeoutMs, c.maxSessionTimeoutMs, Int64(c.maxGroupSize),
            Int64(c.maxHTTPConnections), Int64(c.maxHTTPConnectionsPerIP), Int64(c.maxHTTPRequestBytes),
            Int64(c.maxHTTPEventBytes), Int64(c.maxHTTPInflightBytes), c.httpRequestTimeoutMs, c.httpKeepAliveMs,
            Int64(c.ingestBurst),
        ]
        #expect(integers.allSatisfy { $0 >= 0 })
        #expect(c.retentionBytes == nil && c.ingestRate == nil)
        #expect(c.allowsTopicDeletion && c.servesHTTP && !c.usesLogAppendTime)
        #expect(c.cleanupPolicy == ["delete"] && c.ingestEventTypes.isEmpty)
        #expect([c.dataFolder, c.compressionType, c.eventsTopic, c.ingestTopic].allSatisfy { !$0.isEmpty })
        #expect(c.httpListeners[0].endpoint.port == 8080)
    }
}
