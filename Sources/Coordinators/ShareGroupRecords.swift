internal import ByteBuffers
internal import KafkaModel
internal import KafkaWire

/// The records of share groups in `__consumer_offsets`, as Kafka's group coordinator writes and reads them: a group has one of its epoch
/// and one of its target assignment's, and of each member three, who it is, what it is to read and what it was told to read. `nil` is a
/// tombstone.
///
/// ```
/// key 10 group | member         rack, client, subscription
///     11 group                  epoch, metadata hash
///     12 group                  assignment epoch, time
///     13 group | member         target partitions
///     14 group | member         epoch, previous epoch, state, partitions
/// ```
/// Kafka's key 15, of partitions whose state is set up, is not written: a partition's state is made by whoever first reads it.
enum ShareGroupRecord: Equatable {
    case epoch(ShareGroupMetadataValue?)
    case member(String, ShareGroupMemberMetadataValue?)
    case targetEpoch(ShareGroupTargetAssignmentMetadataValue?)
    case target(String, ShareGroupTargetAssignmentMemberValue?)
    case current(String, ShareGroupCurrentMemberAssignmentValue?)

    // MARK: Writing

    /// The record as it stands in the log, of a group.
    func encoded(of groupID: String) -> CoordinatorRecord {
        switch self {
        case .epoch(let value):
            var key = ShareGroupMetadataKey()
            key.groupID = groupID
            return CoordinatorRecord(key: key.encodedWithVersion(), value: value?.encodedWithVersion(0))
        case .member(let memberID, let value):
            var key = ShareGroupMemberMetadataKey()
            (key.groupID, key.memberID) = (groupID, memberID)
            return CoordinatorRecord(key: key.encodedWithVersion(), value: value?.encodedWithVersion(0))
        case .targetEpoch(let value):
            var key = ShareGroupTargetAssignmentMetadataKey()
            key.groupID = groupID
            return CoordinatorRecord(key: key.encodedWithVersion(), value: value?.encodedWithVersion(0))
        case .target(let memberID, let value):
            var key = ShareGroupTargetAssignmentMemberKey()
            (key.groupID, key.memberID) = (groupID, memberID)
            return CoordinatorRecord(key: key.encodedWithVersion(), value: value?.encodedWithVersion(0))
        case .current(let memberID, let value):
            var key = ShareGroupCurrentMemberAssignmentKey()
            (key.groupID, key.memberID) = (groupID, memberID)
            return CoordinatorRecord(key: key.encodedWithVersion(), value: value?.encodedWithVersion(0))
        }
    }

    var isTombstone: Bool {
        switch self {
        case .epoch(let value): value == nil
        case .member(_, let value): value == nil
        case .targetEpoch(let value): value == nil
        case .target(_, let value): value == nil
        case .current(_, let value): value == nil
        }
    }

    // MARK: Reading

    /// Reads a record whose key is of this version, which `reader` has read; `nil`: it is not a share group's.
    static func read(
        _ keyVersion: Int16, _ reader: inout ByteReader, _ value: UnsafeRawBufferPointer?
    ) throws(DecodeError) -> (groupID: String, record: ShareGroupRecord)? {
        switch keyVersion {
        case 10:
            let key = try ShareGroupMemberMetadataKey(from: &reader, version: 0)
            return (key.groupID, .member(key.memberID, try read(value)))
        case 11: return (try ShareGroupMetadataKey(from: &reader, version: 0).groupID, .epoch(try read(value)))
        case 12:
            let key = try ShareGroupTargetAssignmentMetadataKey(from: &reader, version: 0)
            return (key.groupID, .targetEpoch(try read(value)))
        case 13:
            let key = try ShareGroupTargetAssignmentMemberKey(from: &reader, version: 0)
            return (key.groupID, .target(key.memberID, try read(value)))
        case 14:
            let key = try ShareGroupCurrentMemberAssignmentKey(from: &reader, version: 0)
            return (key.groupID, .current(key.memberID, try read(value)))
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
    static func shareEpoch(groupID: String, epoch: Int32, hash: Int64) -> GroupRecord {
        var value = ShareGroupMetadataValue()
        (value.epoch, value.metadataHash) = (epoch, hash)
        return .share(groupID: groupID, .epoch(value))
    }

    static func shareMember(groupID: String, _ member: ShareMember) -> GroupRecord {
        var value = ShareGroupMemberMetadataValue()
        value.rackID = member.rackID
        (value.clientID, value.clientHost) = (member.clientID, member.clientHost)
        value.subscribedTopicNames = member.topicNames.map(\.text)
        return .share(groupID: groupID, .member(member.memberID, value))
    }

    static func shareTargetEpoch(groupID: String, epoch: Int32, timestampMs: Int64) -> GroupRecord {
        var value = ShareGroupTargetAssignmentMetadataValue()
        (value.assignmentEpoch, value.assignmentTimestamp) = (epoch, timestampMs)
        return .share(groupID: groupID, .targetEpoch(value))
    }

    static func shareTarget(groupID: String, _ memberID: String, _ target: PartitionLists) -> GroupRecord {
        var value = ShareGroupTargetAssignmentMemberValue()
        value.topicPartitions = target.keys.sorted(by: TopicID.precedes).map { topic in
            var part = ShareGroupTargetAssignmentMemberValue.TopicPartition()
            (part.topicID, part.partitions) = (topic, target[topic]!)
            return part
        }
        return .share(groupID: groupID, .target(memberID, value))
    }

    static func shareCurrent(groupID: String, _ member: ShareMember) -> GroupRecord {
        var value = ShareGroupCurrentMemberAssignmentValue()
        (value.memberEpoch, value.previousMemberEpoch) = (member.epoch, member.previousEpoch)
        value.assignedPartitions = member.assigned.keys.sorted(by: TopicID.precedes).map { topic in
            var part = ShareGroupCurrentMemberAssignmentValue.TopicPartitions()
            (part.topicID, part.partitions) = (topic, member.assigned[topic]!)
            return part
        }
        return .share(groupID: groupID, .current(member.memberID, value))
    }

    static func shareTombstones(groupID: String, memberID: String) -> [GroupRecord] {
        [
            .share(groupID: groupID, .current(memberID, nil)), .share(groupID: groupID, .target(memberID, nil)),
            .share(groupID: groupID, .member(memberID, nil)),
        ]
    }
}

/// What the log gives back.
extension ShareGroup {
    /// Applies a record that was found in the log. Those of members that are not known, or not any more, are taken as they are: what
    /// stood around them may have been compacted away.
    mutating func replay(_ record: ShareGroupRecord) {
        switch record {
        case .epoch(let value):
            guard let value else { return }
            (epoch, metadataHash) = (value.epoch, value.metadataHash)
        case .member(let memberID, let value):
            guard let value else {
                take(ExactString(memberID))
                return
            }
            var member = members[memberID] ?? ShareMember(memberID: memberID)
            member.rackID = value.rackID
            (member.clientID, member.clientHost) = (value.clientID, value.clientHost)
            member.topicNames = Set(value.subscribedTopicNames.lazy.map { ExactString($0) }).sorted()
            put(member)
        case .targetEpoch(let value):
            guard let value else { return }
            setAssignment(epoch: value.assignmentEpoch, timestampMs: value.assignmentTimestamp)
        case .target(let memberID, let value):
            guard var member = known(memberID, isNeeded: value != nil) else { return }
            member.target = Self.lists(value?.topicPartitions.map { ($0.topicID, $0.partitions) } ?? [])
            put(member)
        case .current(let memberID, let value):
            guard var member = known(memberID, isNeeded: value != nil) else { return }
            (member.epoch, member.previousEpoch) = (value?.memberEpoch ?? 0, value?.previousMemberEpoch ?? -1)
            member.assigned = Self.lists(value?.assignedPartitions.map { ($0.topicID, $0.partitions) } ?? [])
            put(member)
        }
    }

    private func known(_ memberID: String, isNeeded: Bool) -> ShareMember? {
        members[memberID] ?? (isNeeded ? ShareMember(memberID: memberID) : nil)
    }

    private static func lists(_ parts: [(TopicID, [Int32])]) -> PartitionLists {
        var lists: PartitionLists = [:]
        for (topic, partitions) in parts where !partitions.isEmpty { lists[topic, default: []] += partitions }
        for topic in lists.keys { lists[topic]!.sort() }
        return lists
    }

    /// All records that the group has.
    var records: [GroupRecord] {
        var records = members.values.map { GroupRecord.shareMember(groupID: groupID, $0) }
        records.append(.shareEpoch(groupID: groupID, epoch: epoch, hash: metadataHash))
        for member in members.values where !member.target.isEmpty {
            records.append(.shareTarget(groupID: groupID, member.memberID, member.target))
        }
        records.append(
            .shareTargetEpoch(groupID: groupID, epoch: assignmentEpoch, timestampMs: assignmentTimestampMs))
        for member in members.values { records.append(.shareCurrent(groupID: groupID, member)) }
        return records
    }

    /// Tombstones of all that the group has in the log.
    var tombstones: [GroupRecord] {
        members.keys.sorted().flatMap { GroupRecord.shareTombstones(groupID: groupID, memberID: $0.text) } + [
            .share(groupID: groupID, .targetEpoch(nil)), .share(groupID: groupID, .epoch(nil)),
        ]
    }
}
