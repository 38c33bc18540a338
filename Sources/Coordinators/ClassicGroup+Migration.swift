internal import ByteBuffers
internal import KafkaModel
internal import KafkaWire

/// From the classic protocol to the consumer protocol and back, with members in the group. Source: KIP-848.
extension ClassicGroup {
    // MARK: Up

    /// Makes the group, which has members, one of the consumer protocol, for a member of that which joins: its generation becomes the
    /// group's, the assignment's and each member's epoch, and what each member reads its target.
    mutating func upgrade(_ shard: inout ShardContext) throws(GroupRefusal) {
        func refuse(_ why: String) -> GroupRefusal {
            GroupRefusal(.groupIDNotFound, "Group \(groupID) is not a consumer group, and cannot become one: \(why).")
        }
        guard shard.settings.migrationPolicy.allowsUpgrade else {
            throw refuse("group.consumer.migration.policy is \(shard.settings.migrationPolicy.rawValue)")
        }
        guard usesConsumerProtocol else { throw refuse("its members are no consumers") }
        guard members.count <= shard.settings.consumerMaxSize else { throw refuse("it has too many members") }
        guard generationID <= Self.lastUpgradedGeneration else { throw refuse("its generation is nearly the last one") }
        var consumer = ConsumerGroup(groupID: groupID)
        consumer.epoch = max(1, generationID)
        consumer.setAssignment(epoch: consumer.epoch, timestampMs: shard.now.wallClockMs)
        for member in orderedMembers {
            guard let converted = ConsumerMember(member, epoch: consumer.epoch, shard.topics) else {
                throw refuse(
                    "the assignment or subscription of \(member.memberID) is of no consumer, or has data of its own")
            }
            guard shard.fits(converted, in: groupID) else {
                throw refuse("what \(member.memberID) says or was assigned does not fit a record")
            }
            consumer.put(converted)
        }
        guard shard.hasRoom(for: consumer.memoryBytes - memberBytes) else { throw refuse("there is no memory for it") }
        // Who waits in a rebalance is asked to join the next one.
        for member in orderedMembers {
            answerJoin(
                member.memberID, JoinGroupResponse(refusing: .rebalanceInProgress, memberID: member.memberID), &shard)
            answerSync(member.memberID, SyncGroupResponse(refusing: .rebalanceInProgress), &shard)
        }
        if recorded != nil { shard.write(.group(groupID: groupID, nil)) }
        var next = ClassicGroup(offsetsOf: self, groupID)
        next.consumer = consumer
        self = next
        for record in consumer.records { shard.write(record) }
        for key in consumer.members.keys.sorted() { self.consumer!.startSession(key, &shard) }
    }

    /// Beyond this there might be no room for a consumer group's epochs.
    static let lastUpgradedGeneration = Int32.max / 2

    // MARK: Down

    /// Makes the group a classic one when all of its members are. A rebalance follows: somebody has left, or another subscription
    /// has come.
    mutating func downgradeIfClassic(_ shard: inout ShardContext) {
        guard let consumer, !consumer.isEmpty, consumer.classicCount == consumer.members.count,
            shard.settings.migrationPolicy.allowsDowngrade, consumer.members.count <= shard.settings.maxSize,
            // By a record of somebody else they may have none in common, and no classic group is without.
            consumer.classicProtocols.values.contains(consumer.members.count)
        else { return }
        var next = ClassicGroup(offsetsOf: self, groupID)
        for member in consumer.members.values.sorted(by: { $0.key < $1.key }) {
            next.add(
                GroupMember(member, joinOrder: next.nextJoinOrder(), shard.topics), protocolType: ConsumerProtocol.type)
        }
        next.resume(generation: consumer.epoch, wallClockMs: shard.now.wallClockMs)
        // What no record could hold stays what it is.
        guard shard.fits(next.recordBytes()) else { return }
        for record in consumer.tombstones { shard.write(record) }
        self = next
        writeMetadata(&shard)
        for memberID in members.keys.sorted() { keepAlive(memberID.text, &shard) }
        prepareRebalance(&shard)
    }
}

extension ShardContext {
    /// Whether each record of the member is one that the log takes.
    func fits(_ member: ConsumerMember, in groupID: String) -> Bool {
        let partitions = max(
            member.assigned.values.reduce(0) { $0 + $1.count }
                + member.pendingRevocation.values.reduce(0) { $0 + $1.count },
            member.target.values.reduce(0) { $0 + $1.count })
        let topics = max(member.assigned.count + member.pendingRevocation.count, member.target.count)
        return fits(member.textBytes + 512 + groupID.utf8.count)
            && ConsumerMember.fixedRecordBytes(of: member.memberID, in: groupID)
                + ConsumerMember.recordBytes(topics: topics, partitions: partitions)
                <= maxBatchBytes
    }
}

extension ConsumerMember {
    /// A classic member, as it is in a consumer group; nil: what it was assigned or subscribes to is no consumer's, or its assignor
    /// has added data that nobody here could make.
    fileprivate init?(_ member: GroupMember, epoch: Int32, _ topics: any GroupTopics) {
        guard let said = ClassicSubscription(member.protocols) else { return nil }
        self.init(memberID: member.memberID)
        instanceID = member.groupInstanceID
        rackID = said.rackID
        (clientID, clientHost) = (member.clientID, member.clientHost)
        rebalanceTimeoutMs = member.rebalanceTimeoutMs
        topicNames = Set(said.topics.lazy.map { ExactString($0) }).sorted()
        var classic = Classic()
        classic.sessionTimeoutMs = member.sessionTimeoutMs
        classic.supportedProtocols = member.protocols.map { Self.supported($0) }
        self.classic = classic
        (self.epoch, previousEpoch) = (epoch, epoch)
        if member.assignment.isEmpty { return }
        let assignment = member.assignment.withUnsafeBytes { bytes -> ConsumerProtocolAssignment? in
            var reader = ByteReader(bytes)
            return try? ConsumerProtocolAssignment(withVersionOrLaterFrom: &reader)
        }
        guard let assignment, assignment.userData?.isEmpty != false else { return nil }
        for part in assignment.assignedPartitions where !part.partitions.isEmpty {
            guard let id = topics.topic(named: part.topic)?.id else { continue }
            for index in part.partitions { assigned[id, default: [:]][index] = epoch }
            target[id, default: []] += part.partitions
        }
        for topic in target.keys { target[topic] = Array(Set(target[topic]!)).sorted() }
    }
}

extension GroupMember {
    /// A classic member of a consumer group, as it is in a classic one.
    fileprivate init(_ member: ConsumerMember, joinOrder: UInt64, _ topics: any GroupTopics) {
        self.init(
            memberID: member.memberID, groupInstanceID: member.instanceID, clientID: member.clientID,
            clientHost: member.clientHost, rebalanceTimeoutMs: member.rebalanceTimeoutMs,
            sessionTimeoutMs: member.classic?.sessionTimeoutMs ?? 0,
            protocols: (member.classic?.supportedProtocols ?? []).map { supported in
                var entry = JoinGroupRequest.JoinGroupRequestProtocol()
                (entry.name, entry.metadata) = (supported.name, supported.metadata)
                return entry
            }, assignment: member.classicAssignment(topics), isNew: false, joinOrder: joinOrder)
    }
}
