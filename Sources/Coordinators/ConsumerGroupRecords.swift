internal import ByteBuffers
internal import KafkaModel
internal import KafkaWire

/// The records of consumer groups in `__consumer_offsets`, as Kafka's group coordinator writes and reads them: a group has one of its
/// epoch, one of its target assignment's, and of each member three, who it is, what it is to read and what it reads; of each pattern
/// what that stands for. `nil` is a tombstone.
///
/// ```
/// key  3 group                  epoch, metadata hash
///      4 group                  topics, by Kafka before 4.1; not read, and not written
///      5 group | member         instance, rack, client, subscription, rebalance timeout, assignor, what a classic member said
///      6 group                  assignment epoch, time
///      7 group | member         target partitions
///      8 group | member         epoch, previous epoch, state, partitions, those to be given up, the epoch of each
///     16 group | pattern        topics, their version, time
/// ```
enum ConsumerGroupRecord: Equatable {
    case epoch(ConsumerGroupMetadataValue?)
    case topics
    case member(String, ConsumerGroupMemberMetadataValue?)
    case targetEpoch(ConsumerGroupTargetAssignmentMetadataValue?)
    case target(String, ConsumerGroupTargetAssignmentMemberValue?)
    case current(String, ConsumerGroupCurrentMemberAssignmentValue?)
    case pattern(String, ConsumerGroupRegularExpressionValue?)

    // MARK: Writing

    /// The record as it stands in the log, of a group.
    func encoded(of groupID: String) -> CoordinatorRecord {
        switch self {
        case .epoch(let value):
            var key = ConsumerGroupMetadataKey()
            key.groupID = groupID
            return CoordinatorRecord(key: key.encodedWithVersion(), value: value?.encodedWithVersion(0))
        case .topics:
            var key = ConsumerGroupPartitionMetadataKey()
            key.groupID = groupID
            return CoordinatorRecord(key: key.encodedWithVersion(), value: nil)
        case .member(let memberID, let value):
            var key = ConsumerGroupMemberMetadataKey()
            (key.groupID, key.memberID) = (groupID, memberID)
            return CoordinatorRecord(key: key.encodedWithVersion(), value: value?.encodedWithVersion(0))
        case .targetEpoch(let value):
            var key = ConsumerGroupTargetAssignmentMetadataKey()
            key.groupID = groupID
            return CoordinatorRecord(key: key.encodedWithVersion(), value: value?.encodedWithVersion(0))
        case .target(let memberID, let value):
            var key = ConsumerGroupTargetAssignmentMemberKey()
            (key.groupID, key.memberID) = (groupID, memberID)
            return CoordinatorRecord(key: key.encodedWithVersion(), value: value?.encodedWithVersion(0))
        case .current(let memberID, let value):
            var key = ConsumerGroupCurrentMemberAssignmentKey()
            (key.groupID, key.memberID) = (groupID, memberID)
            return CoordinatorRecord(key: key.encodedWithVersion(), value: value?.encodedWithVersion(0))
        case .pattern(let pattern, let value):
            var key = ConsumerGroupRegularExpressionKey()
            (key.groupID, key.regularExpression) = (groupID, pattern)
            return CoordinatorRecord(key: key.encodedWithVersion(), value: value?.encodedWithVersion(0))
        }
    }

    var isTombstone: Bool {
        switch self {
        case .epoch(let value): value == nil
        case .topics: true
        case .member(_, let value): value == nil
        case .targetEpoch(let value): value == nil
        case .target(_, let value): value == nil
        case .current(_, let value): value == nil
        case .pattern(_, let value): value == nil
        }
    }

    // MARK: Reading

    /// Reads a record whose key is of this version, which `reader` has read; `nil`: it is not a consumer group's.
    static func read(
        _ keyVersion: Int16, _ reader: inout ByteReader, _ value: UnsafeRawBufferPointer?
    ) throws(DecodeError) -> (groupID: String, record: ConsumerGroupRecord)? {
        switch keyVersion {
        case 3: return (try ConsumerGroupMetadataKey(from: &reader, version: 0).groupID, .epoch(try read(value)))
        case 4: return (try ConsumerGroupPartitionMetadataKey(from: &reader, version: 0).groupID, .topics)
        case 5:
            let key = try ConsumerGroupMemberMetadataKey(from: &reader, version: 0)
            return (key.groupID, .member(key.memberID, try read(value)))
        case 6:
            let key = try ConsumerGroupTargetAssignmentMetadataKey(from: &reader, version: 0)
            return (key.groupID, .targetEpoch(try read(value)))
        case 7:
            let key = try ConsumerGroupTargetAssignmentMemberKey(from: &reader, version: 0)
            return (key.groupID, .target(key.memberID, try read(value)))
        case 8:
            let key = try ConsumerGroupCurrentMemberAssignmentKey(from: &reader, version: 0)
            return (key.groupID, .current(key.memberID, try read(value)))
        case 16:
            let key = try ConsumerGroupRegularExpressionKey(from: &reader, version: 0)
            return (key.groupID, .pattern(key.regularExpression, try read(value)))
        default: return nil
        }
    }

    private static func read<Value: KafkaVersionedData>(_ bytes: UnsafeRawBufferPointer?) throws(DecodeError) -> Value?
    {
        guard let bytes else { return nil }
        var reader = ByteReader(bytes)
        return try Value(withVersionFrom: &reader)
    }
}

/// What groups write.
extension GroupRecord {
    static func consumerEpoch(groupID: String, epoch: Int32, hash: Int64) -> GroupRecord {
        var value = ConsumerGroupMetadataValue()
        (value.epoch, value.metadataHash) = (epoch, hash)
        return .consumer(groupID: groupID, .epoch(value))
    }

    static func consumerMember(groupID: String, _ member: ConsumerMember) -> GroupRecord {
        var value = ConsumerGroupMemberMetadataValue()
        (value.instanceID, value.rackID) = (member.instanceID, member.rackID)
        (value.clientID, value.clientHost) = (member.clientID, member.clientHost)
        value.subscribedTopicNames = member.topicNames.map(\.text)
        value.subscribedTopicRegex = member.pattern
        (value.rebalanceTimeoutMs, value.serverAssignor) = (member.rebalanceTimeoutMs, member.assignor)
        value.classicMemberMetadata = member.classic
        return .consumer(groupID: groupID, .member(member.memberID, value))
    }

    static func consumerTargetEpoch(groupID: String, epoch: Int32, timestampMs: Int64) -> GroupRecord {
        var value = ConsumerGroupTargetAssignmentMetadataValue()
        (value.assignmentEpoch, value.assignmentTimestamp) = (epoch, timestampMs)
        return .consumer(groupID: groupID, .targetEpoch(value))
    }

    static func consumerTarget(groupID: String, _ memberID: String, _ target: PartitionLists) -> GroupRecord {
        var value = ConsumerGroupTargetAssignmentMemberValue()
        value.topicPartitions = target.keys.sorted(by: TopicID.precedes).map { topic in
            var part = ConsumerGroupTargetAssignmentMemberValue.TopicPartition()
            (part.topicID, part.partitions) = (topic, target[topic]!)
            return part
        }
        return .consumer(groupID: groupID, .target(memberID, value))
    }

    static func consumerCurrent(groupID: String, _ member: ConsumerMember) -> GroupRecord {
        typealias Part = ConsumerGroupCurrentMemberAssignmentValue.TopicPartitions
        func parts(_ partitions: PartitionEpochs) -> [Part] {
            partitions.keys.sorted(by: TopicID.precedes).map { topic in
                var part = Part()
                part.topicID = topic
                part.partitions = partitions[topic]!.keys.sorted()
                part.assignmentEpochs = part.partitions.map { partitions[topic]![$0]! }
                return part
            }
        }
        var value = ConsumerGroupCurrentMemberAssignmentValue()
        (value.memberEpoch, value.previousMemberEpoch) = (member.epoch, member.previousEpoch)
        value.state = member.state.rawValue
        value.assignedPartitions = parts(member.assigned)
        value.partitionsPendingRevocation = parts(member.pendingRevocation)
        return .consumer(groupID: groupID, .current(member.memberID, value))
    }

    static func consumerPattern(
        groupID: String, pattern: String, _ resolved: ConsumerGroup.ResolvedPattern?
    ) -> GroupRecord {
        let value = resolved.map { resolved in
            var value = ConsumerGroupRegularExpressionValue()
            value.topics = resolved.topics.map(\.text)
            (value.version, value.timestamp) = (resolved.version, resolved.timestampMs)
            return value
        }
        return .consumer(groupID: groupID, .pattern(pattern, value))
    }

    static func consumerMemberTombstone(groupID: String, memberID: String) -> GroupRecord {
        .consumer(groupID: groupID, .member(memberID, nil))
    }

    static func consumerTargetTombstone(groupID: String, memberID: String) -> GroupRecord {
        .consumer(groupID: groupID, .target(memberID, nil))
    }

    static func consumerCurrentTombstone(groupID: String, memberID: String) -> GroupRecord {
        .consumer(groupID: groupID, .current(memberID, nil))
    }
}

/// What the log gives back.
extension ConsumerGroup {
    /// Applies a record that was found in the log. Those of members that are not known, or not any more, are taken as they are: what
    /// stood around them may have been compacted away (KAFKA-17306).
    mutating func replay(_ record: ConsumerGroupRecord) {
        switch record {
        case .epoch(let value):
            guard let value else { return }
            (epoch, metadataHash) = (value.epoch, value.metadataHash)
        case .topics: break
        case .member(let memberID, let value): replay(memberID, value)
        case .targetEpoch(let value):
            guard let value else { return }
            setAssignment(epoch: value.assignmentEpoch, timestampMs: value.assignmentTimestamp)
        case .target(let memberID, let value):
            guard let value else { return setTarget([:], of: ExactString(memberID)) }
            var target: PartitionLists = [:]
            for part in value.topicPartitions where !part.partitions.isEmpty {
                target[part.topicID, default: []] += part.partitions
            }
            for topic in target.keys { target[topic]!.sort() }
            var member = members[memberID] ?? ConsumerMember(memberID: memberID)
            member.target = target
            put(member)
        case .current(let memberID, let value): replay(memberID, value)
        case .pattern(let pattern, let value):
            setPattern(
                ExactString(pattern),
                value.map { value in
                    ResolvedPattern(
                        topics: value.topics.map { ExactString($0) }.sorted(), version: value.version,
                        timestampMs: value.timestamp)
                })
        }
    }

    private mutating func replay(_ memberID: String, _ value: ConsumerGroupMemberMetadataValue?) {
        guard let value else {
            take(ExactString(memberID))
            return
        }
        var member = members[memberID] ?? ConsumerMember(memberID: memberID)
        (member.instanceID, member.rackID) = (value.instanceID, value.rackID)
        (member.clientID, member.clientHost) = (value.clientID, value.clientHost)
        member.topicNames = Set(value.subscribedTopicNames.lazy.map { ExactString($0) }).sorted()
        member.pattern = value.subscribedTopicRegex.flatMap { $0.isEmpty ? nil : $0 }
        member.patternInstructions = member.patternKey.map(instructions) ?? 0
        (member.rebalanceTimeoutMs, member.assignor) = (value.rebalanceTimeoutMs, value.serverAssignor)
        member.classic = value.classicMemberMetadata
        put(member)
    }

    private mutating func replay(_ memberID: String, _ value: ConsumerGroupCurrentMemberAssignmentValue?) {
        guard let value else {
            guard var member = members[memberID] else { return }
            (member.epoch, member.previousEpoch, member.state) = (0, -1, .stable)
            (member.assigned, member.pendingRevocation) = ([:], [:])
            return put(member)
        }
        var member = members[memberID] ?? ConsumerMember(memberID: memberID)
        (member.epoch, member.previousEpoch) = (value.memberEpoch, value.previousMemberEpoch)
        // A state that is not known takes what it has for given up, and begins anew with what it is to have.
        member.state = ConsumerMemberState(rawValue: value.state) ?? .unreleased
        func epochs(_ parts: [ConsumerGroupCurrentMemberAssignmentValue.TopicPartitions]) -> PartitionEpochs {
            var partitions: PartitionEpochs = [:]
            for part in parts {
                for (place, index) in part.partitions.enumerated() {
                    let known = part.assignmentEpochs.flatMap { place < $0.count ? $0[place] : nil }
                    partitions[part.topicID, default: [:]][index] = known ?? value.memberEpoch
                }
            }
            return partitions
        }
        member.assigned = epochs(value.assignedPartitions)
        member.pendingRevocation = epochs(value.partitionsPendingRevocation)
        put(member)
    }

    /// Of a pattern that was let in once; 0 for one of somebody more generous, which stands for nothing.
    private func instructions(of pattern: ExactString) -> Int {
        patternSubscribers[pattern]?.instructions ?? (try? TopicPattern(pattern.text))?.instructionCount ?? 0
    }

    /// All records that the group has.
    var records: [GroupRecord] {
        var records: [GroupRecord] = []
        for member in members.values { records.append(.consumerMember(groupID: groupID, member)) }
        records.append(.consumerEpoch(groupID: groupID, epoch: epoch, hash: metadataHash))
        for member in members.values where !member.target.isEmpty {
            records.append(.consumerTarget(groupID: groupID, member.memberID, member.target))
        }
        records.append(
            .consumerTargetEpoch(groupID: groupID, epoch: assignmentEpoch, timestampMs: assignmentTimestampMs))
        for member in members.values { records.append(.consumerCurrent(groupID: groupID, member)) }
        for (pattern, resolved) in patterns {
            records.append(.consumerPattern(groupID: groupID, pattern: pattern.text, resolved))
        }
        return records
    }

    /// Tombstones of all that the group has in the log.
    var tombstones: [GroupRecord] {
        var records: [GroupRecord] = []
        for key in members.keys.sorted() {
            records.append(.consumerCurrentTombstone(groupID: groupID, memberID: key.text))
            records.append(.consumerTargetTombstone(groupID: groupID, memberID: key.text))
            records.append(.consumerMemberTombstone(groupID: groupID, memberID: key.text))
        }
        for pattern in patterns.keys.sorted() {
            records.append(.consumerPattern(groupID: groupID, pattern: pattern.text, nil))
        }
        records.append(.consumer(groupID: groupID, .targetEpoch(nil)))
        records.append(.consumer(groupID: groupID, .topics))
        records.append(.consumer(groupID: groupID, .epoch(nil)))
        return records
    }
}
