import BrokerCore
import ByteBuffers
import KafkaModel
import LogStorage
import Security

/// Streams: made, deleted, listed and described. All topics but the broker's own are streams.
extension KinesisCalls {
    // MARK: Making and deleting

    func createStream(_ members: KinesisMembers) throws(KinesisError) {
        let name = try members.required("StreamName")
        guard name.utf8.count <= KinesisLimits.maxNameBytes else {
            throw KinesisError(.invalidArgument, "StreamName has more than \(KinesisLimits.maxNameBytes) characters.")
        }
        try require(.create, name)
        if let mode = try members.object("StreamModeDetails", ["StreamMode"])?.text("StreamMode"), mode != "PROVISIONED"
        {
            throw KinesisError(.invalidArgument, "StreamMode is PROVISIONED: the number of shards stays as it is made.")
        }
        guard let shards = try members.integer("ShardCount", 1...KinesisLimits.maxNewShards) else {
            throw KinesisError(.invalidArgument, "ShardCount is required.")
        }
        let made = broker.createTopic(
            name, partitions: Int32(shards),
            settings: ["retention.ms": String(KinesisLimits.retentionHours * 3_600_000)])
        guard case .failure(let refusal) = made else { return }
        switch refusal.code {
        case .topicAlreadyExists:
            throw KinesisError(.resourceInUse, "Stream \(name) under account \(Self.account) already exists.")
        case .policyViolation: throw KinesisError(.limitExceeded, "\(refusal.message).")
        case .kafkaStorageError: throw KinesisError(.internalFailure, "The stream could not be made.")
        default: throw KinesisError(.invalidArgument, refusal.message)
        }
    }

    func deleteStream(_ members: KinesisMembers) throws(KinesisError) {
        let topic = try stream(members, .delete)
        if let refusal = broker.deleteTopic(topic) { throw Self.error(refusal, topic) }
    }

    /// As the service has it, each of the two operations goes one way.
    func changeRetention(_ members: KinesisMembers, isIncrease: Bool) throws(KinesisError) {
        let topic = try stream(members, .alterConfigs)
        let bounds = KinesisLimits.retentionHours...KinesisLimits.maxRetentionHours
        guard let hours = try members.integer("RetentionPeriodHours", bounds) else {
            throw KinesisError(.invalidArgument, "RetentionPeriodHours is required.")
        }
        let now = Self.retentionHours(of: topic)
        guard isIncrease ? hours >= now : hours <= now else {
            throw KinesisError(
                .invalidArgument,
                "The stream keeps records for \(now) hours, and RetentionPeriodHours is \(hours): that is the other operation's."
            )
        }
        var settings = topic.settings.overrides
        settings["retention.ms"] = String(hours * 3_600_000)
        if let refusal = broker.alterSettings(topic, settings, validateOnly: false) { throw Self.error(refusal, topic) }
    }

    private static func error(_ refusal: TopicRefusal, _ topic: Topic) -> KinesisError {
        switch refusal.code {
        case .unknownTopicOrPartition: noStream(topic.name)
        case .kafkaStorageError: KinesisError(.internalFailure, "The stream could not be changed.")
        default: KinesisError(.invalidArgument, refusal.message)
        }
    }

    // MARK: Descriptions

    func describeStream(_ members: KinesisMembers, _ out: inout ByteWriter) throws(KinesisError) {
        let topic = try stream(members, .describe)
        let limit = try limit(members, "Limit", usual: KinesisLimits.usualListed)
        var first = 0
        if let id = try members.text("ExclusiveStartShardId") { first = try shard(id, of: topic) + 1 }
        let end = min(topic.partitions.count, first + limit)
        out.text("{\"StreamDescription\":{")
        write(topic, &out)
        out.text(",\"HasMoreShards\":")
        out.text(end < topic.partitions.count ? "true" : "false")
        out.text(",\"Shards\":")
        Self.write(first..<end, of: topic, &out)
        out.text("}}")
    }

    func describeStreamSummary(_ members: KinesisMembers, _ out: inout ByteWriter) throws(KinesisError) {
        let topic = try stream(members, .describe)
        out.text("{\"StreamDescriptionSummary\":{")
        write(topic, &out)
        out.text(",\"OpenShardCount\":")
        out.decimal(topic.partitions.count)
        out.text(",\"ConsumerCount\":0}}")
    }

    private func write(_ topic: Topic, _ out: inout ByteWriter) {
        writeSummary(topic.name, &out)
        out.text(",\"RetentionPeriodHours\":")
        out.decimal(Self.retentionHours(of: topic))
        out.text(",\"EnhancedMonitoring\":[{\"ShardLevelMetrics\":[]}],\"EncryptionType\":\"NONE\"")
    }

    /// When a topic was made is not kept.
    private func writeSummary(_ name: String, _ out: inout ByteWriter) {
        out.text("\"StreamName\":")
        JSONText.write(name, into: &out)
        out.text(",\"StreamARN\":")
        JSONText.write(resource(name), into: &out)
        out.text(
            ",\"StreamStatus\":\"ACTIVE\",\"StreamModeDetails\":{\"StreamMode\":\"PROVISIONED\"},\"StreamCreationTimestamp\":0"
        )
    }

    /// Whole hours, at least one. Of a topic that keeps records for longer than the service tells of, that many.
    private static func retentionHours(of topic: Topic) -> Int {
        let settings = topic.partitions[0].settings
        guard settings.deletesByRetention, settings.retentionMs >= 0 else {
            return Int(KinesisLimits.maxRetentionHours)
        }
        return min(max(1, Int(settings.retentionMs / 3_600_000)), KinesisLimits.maxRetentionHours)
    }

    private static func write(_ indexes: Range<Int>, of topic: Topic, _ out: inout ByteWriter) {
        let shards = KinesisShards(topic)
        out.text("[")
        for index in indexes {
            let range = shards.range(of: index)
            out.utf8(
                "\(index > indexes.lowerBound ? "," : ""){\"ShardId\":\"\(KinesisShards.id(of: index))\",\"HashKeyRange\":{\"StartingHashKey\":\"\(range.lowerBound)\",\"EndingHashKey\":\"\(range.upperBound)\"},\"SequenceNumberRange\":{\"StartingSequenceNumber\":\"0\"}}"
            )
        }
        out.text("]")
    }

    // MARK: Lists

    private func limit(_ members: KinesisMembers, _ name: String, usual: Int) throws(KinesisError) -> Int {
        let asked = try members.integer(name, 1...KinesisLimits.maxAskedListed) ?? usual
        return min(asked, KinesisLimits.maxListed)
    }

    func listShards(_ members: KinesisMembers, _ out: inout ByteWriter) throws(KinesisError) {
        let topic: Topic
        var first = 0
        if let token = try members.text("NextToken") {
            guard let place = Self.opened(token), let index = Int(place.rest) else { throw Self.wrongToken }
            try require(.describe, place.name)
            guard let found = broker.catalog.topic(named: place.name), !found.isInternal else {
                throw Self.noStream(place.name)
            }
            (topic, first) = (found, min(max(0, index), found.partitions.count))
        } else {
            topic = try stream(members, .describe)
            if let id = try members.text("ExclusiveStartShardId") { first = try shard(id, of: topic) + 1 }
            // All shards are open, and have always been.
            if let filter = try members.object("ShardFilter", ["Type", "ShardId"]),
                try filter.required("Type") == "AFTER_SHARD_ID"
            {
                first = try shard(try filter.required("ShardId"), of: topic) + 1
            }
        }
        let end = min(
            topic.partitions.count, first + (try limit(members, "MaxResults", usual: KinesisLimits.maxListed)))
        out.text("{\"Shards\":")
        Self.write(first..<end, of: topic, &out)
        if end < topic.partitions.count {
            out.text(",\"NextToken\":\"")
            out.utf8(Self.token(topic.name, "\(end)"))
            out.text("\"")
        }
        out.text("}")
    }

    /// Those that who asks may see.
    func listStreams(_ members: KinesisMembers, _ out: inout ByteWriter) throws(KinesisError) {
        let limit = try limit(members, "Limit", usual: KinesisLimits.usualListed)
        var after = try members.text("ExclusiveStartStreamName")
        if let token = try members.text("NextToken") {
            guard let place = Self.opened(token) else { throw Self.wrongToken }
            after = place.name
        }
        let start = after.map { ExactString($0) }
        let names = broker.catalog.topics.lazy.filter { !$0.isInternal }.map { ExactString($0.name) }
            .filter { name in start.map { $0 < name } ?? true }.sorted()
        // One more than is shown tells that there are more.
        var shown: [String] = []
        for name in names where shown.count <= limit && isAllowed(.describe, .topic, name.text) {
            shown.append(name.text)
        }
        let hasMore = shown.count > limit
        if hasMore { shown.removeLast() }
        out.text("{\"StreamNames\":[")
        for (place, name) in shown.enumerated() {
            if place > 0 { out.text(",") }
            JSONText.write(name, into: &out)
        }
        out.text("],\"StreamSummaries\":[")
        for (place, name) in shown.enumerated() {
            out.text(place > 0 ? ",{" : "{")
            writeSummary(name, &out)
            out.text("}")
        }
        out.text(hasMore ? "],\"HasMoreStreams\":true" : "],\"HasMoreStreams\":false")
        if hasMore, let last = shown.last {
            out.text(",\"NextToken\":\"")
            out.utf8(Self.token(last, ""))
            out.text("\"")
        }
        out.text("}")
    }

    // MARK: Tokens of pages

    private static let wrongToken = KinesisError(.invalidArgument, "NextToken is not one that was given out here.")

    /// A place in a list: nothing that who has it may not ask for otherwise. A name has no slash.
    private static func token(_ name: String, _ rest: String) -> String {
        Base64.encodeURL(Array("\(name)/\(rest)".utf8))
    }

    private static func opened(_ token: String) -> (name: String, rest: String)? {
        guard token.utf8.count <= KinesisLimits.maxTextBytes, let bytes = Base64.decodeURL(token.utf8),
            let text = String(validating: bytes, as: UTF8.self), let slash = text.firstIndex(of: "/")
        else { return nil }
        return (String(text[..<slash]), String(text[text.index(after: slash)...]))
    }
}
