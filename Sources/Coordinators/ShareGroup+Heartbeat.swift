internal import KafkaModel
internal import KafkaWire

/// ShareGroupHeartbeat, once the shard has checked the request by itself: a member joins, says what it subscribes to, and hears what it
/// is to read. It goes to the target assignment at once, for nobody has to give a partition up first. Source: KIP-932.
extension ShareGroup {
    typealias Request = ShareGroupHeartbeatRequest

    /// Takes a heartbeat in and gives what to answer, or refuses it before anything is changed.
    mutating func heartbeat(
        _ request: Request, _ context: RequestContext, _ shard: inout ShardContext
    ) throws(GroupRefusal) -> ShareGroupHeartbeatResponse {
        let before = members[request.memberID]
        if let before {
            try check(before, request)
        } else if request.memberEpoch != 0 {
            throw ConsumerGroup.unknownMember(request.memberID)
        }
        var member = before ?? ShareMember(memberID: request.memberID)
        (member.clientID, member.clientHost) = (context.clientID, context.clientHost)
        if let rackID = request.rackID { member.rackID = rackID }
        if let names = request.subscribedTopicNames {
            member.topicNames = Set(names.lazy.map { ExactString($0) }).sorted()
        }
        if before.map({ !$0.isSameMetadata(as: member) }) ?? true {
            try admit(member, before: before, shard)
            put(member)
            shard.write(.shareMember(groupID: groupID, member))
        }
        lookAtTopics(isBumped: before?.topicNames != member.topicNames, &shard)
        assignIfDue(&shard)
        reconcile(member.key, &shard)
        startSession(member.key, &shard)
        return answer(request, members[member.key]!, before: before, shard)
    }

    private func answer(
        _ request: Request, _ member: ShareMember, before: ShareMember?, _ shard: ShardContext
    ) -> ShareGroupHeartbeatResponse {
        var response = ShareGroupHeartbeatResponse()
        response.memberID = request.memberID
        response.memberEpoch = member.epoch
        response.heartbeatIntervalMs = shard.settings(of: groupID).shareHeartbeatIntervalMs
        // Also who names an earlier epoch: the reply that told of this one was lost.
        let isTold = before.map { $0.assigned == member.assigned && request.memberEpoch == member.epoch } ?? false
        guard !isTold || request.subscribedTopicNames != nil else { return response }
        var assignment = ShareGroupHeartbeatResponse.Assignment()
        assignment.topicPartitions = member.assigned.keys.sorted(by: TopicID.precedes).map { topic in
            var part = ShareGroupHeartbeatResponse.TopicPartitions()
            (part.topicID, part.partitions) = (topic, member.assigned[topic]!)
            return part
        }
        response.assignment = assignment
        return response
    }

    /// Checks the epoch that a member names: its own, the one before where the last reply was lost, or 0 to join again.
    private func check(_ member: ShareMember, _ request: Request) throws(GroupRefusal) {
        if request.memberEpoch == 0 || request.memberEpoch == member.epoch { return }
        guard request.memberEpoch < member.epoch, request.memberEpoch == member.previousEpoch else {
            throw GroupRefusal(
                .fencedMemberEpoch,
                "The member has epoch \(member.epoch), and the request \(request.memberEpoch). It must join again.")
        }
    }

    /// Refuses a member for which there is no room.
    private func admit(_ member: ShareMember, before: ShareMember?, _ shard: ShardContext) throws(GroupRefusal) {
        if before == nil, members.count >= shard.settings.shareMaxSize {
            throw GroupRefusal(
                .groupMaxSizeReached, "The group has as many members as it may: \(shard.settings.shareMaxSize).")
        }
        let names = member.topicNames.count - (before?.topicNames.count ?? 0)
        guard names <= 0 || subscribedNames + names <= ConsumerGroup.maxSubscribedEntries else {
            throw GroupRefusal(
                .groupMaxSizeReached,
                "The members of one group subscribe to at most \(ConsumerGroup.maxSubscribedEntries) topics, each counted as"
                    + " often as members subscribe to it.")
        }
        let added = member.memoryBytes - (before?.memoryBytes ?? 0)
        guard added > 0 else { return }
        let ofGroup = members.isEmpty ? ConsumerGroup.emptyBytes + groupID.utf8.count : 0
        guard memberBytes + added <= ClassicGroup.maxMemberBytes, shard.hasRoom(for: added + ofGroup) else {
            throw GroupRefusal(.groupMaxSizeReached, "There is no memory for the member.")
        }
        guard shard.fits(member.textBytes + 512 + groupID.utf8.count) else {
            throw GroupRefusal(.invalidRequest, "What the member subscribes to is too long for a record.")
        }
    }

    /// Brings a member to the target assignment.
    private mutating func reconcile(_ key: ExactString, _ shard: inout ShardContext) {
        guard var member = members[key], member.epoch != assignmentEpoch else { return }
        (member.previousEpoch, member.epoch) = (member.epoch, assignmentEpoch)
        member.assigned = member.target
        put(member)
        shard.write(.shareCurrent(groupID: groupID, member))
    }

    /// Lets a member go for good.
    mutating func leave(
        _ request: Request, _ shard: inout ShardContext
    ) throws(GroupRefusal) -> ShareGroupHeartbeatResponse {
        guard members.has(request.memberID) else { throw ConsumerGroup.unknownMember(request.memberID) }
        fence(ExactString(request.memberID), &shard)
        var response = ShareGroupHeartbeatResponse()
        (response.memberID, response.memberEpoch) = (request.memberID, request.memberEpoch)
        return response
    }

    /// Takes a member out and bumps the epoch. A group that becomes empty has an assignment of nothing.
    mutating func fence(_ key: ExactString, _ shard: inout ShardContext) {
        guard let member = take(key) else { return }
        for record in GroupRecord.shareTombstones(groupID: groupID, memberID: member.memberID) { shard.write(record) }
        lookAtTopics(isBumped: true, &shard)
        guard members.isEmpty else { return assignIfDue(&shard) }
        setAssignment(epoch: epoch, timestampMs: shard.now.wallClockMs)
        shard.write(.shareTargetEpoch(groupID: groupID, epoch: epoch, timestampMs: shard.now.wallClockMs))
        assignTimer.cancel()
    }

    // MARK: Topics and assignments

    /// Bumps the group's epoch where members or topics have changed, once. Who subscribes to many topics has them looked at by who
    /// makes the next assignment.
    private mutating func lookAtTopics(isBumped: Bool, _ shard: inout ShardContext) {
        var isBumped = isBumped
        if subscribers.count > ConsumerGroup.inlineTopics {
            if isBumped { (seenTopics, isHashStale) = (-2, true) }
        } else if isBumped || seenTopics != shard.topics.version {
            let look = TopicsLook(self, shard.topics)
            if look.hash != metadataHash { isBumped = true }
            take(look)
        }
        if isBumped { bump(&shard) }
    }

    private mutating func take(_ look: TopicsLook) {
        (metadataHash, partitionTotal, seenTopics) = (look.hash, look.partitions, look.version)
        isHashStale = false
    }

    private mutating func bump(_ shard: inout ShardContext) {
        if epoch < .max { epoch += 1 }
        shard.write(.shareEpoch(groupID: groupID, epoch: epoch, hash: metadataHash))
    }

    /// Makes the target assignment of the group's epoch where it is not made yet, no sooner after the last one than settings say. A
    /// small one is made at once, another by whoever takes the event's `work`; the old one serves until then.
    mutating func assignIfDue(_ shard: inout ShardContext) {
        let wantsLook = subscribers.count > ConsumerGroup.inlineTopics && seenTopics != shard.topics.version
        guard !members.isEmpty, epoch > assignmentEpoch || wantsLook else { return }
        if assigning.isAway(shard.now.monotonicMs) { return }
        if let last = assignedAtMs {
            let due = last + Int64(shard.settings(of: groupID).shareAssignmentIntervalMs)
            if shard.now.monotonicMs < due {
                return assignTimer.set(due, in: &shard.timers, groupID: groupID, subject: .assignment)
            }
        }
        assigning.begin(shard.nextWorkNumber(), shard.now.monotonicMs)
        let isLarge =
            wantsLook || partitionTotal + members.count * max(1, subscribers.count) > ConsumerGroup.inlineEntries
        guard isLarge else {
            if let made = AssignmentWork(self, shard).run() { take(made, &shard) }
            return
        }
        shard.actions.work.append(.assignment(groupID: groupID))
        // Whoever was to make it may not have come to it.
        waitForWork(&shard)
    }

    private mutating func waitForWork(_ shard: inout ShardContext) {
        assignTimer.set(
            shard.after(ConsumerGroup.PendingWork.patienceMs), in: &shard.timers, groupID: groupID,
            subject: .assignment)
    }

    /// Takes in an assignment that was made of an earlier state of the group, whose members it is for.
    mutating func take(_ made: MadeAssignment, _ shard: inout ShardContext) {
        guard assigning.end(made.number) else { return }
        assignTimer.cancel()
        assignedAtMs = shard.now.monotonicMs
        var isOf = made.epoch
        // Of members that have changed meanwhile it tells nothing.
        if made.epoch == epoch, seenTopics != made.look.version {
            let (isOther, wasStale) = (made.look.hash != metadataHash, isHashStale)
            take(made.look)
            if wasStale {
                shard.write(.shareEpoch(groupID: groupID, epoch: epoch, hash: metadataHash))
            } else if isOther {
                // It is of the topics for which the epoch is bumped.
                bump(&shard)
                isOf = epoch
            }
        }
        if isOf > assignmentEpoch {
            guard shard.hasRoom(for: addedBytes(by: made)) else {
                // Everybody keeps what it has, and it is tried again then.
                assigning.begin(shard.nextWorkNumber(), shard.now.monotonicMs)
                return waitForWork(&shard)
            }
            for target in made.targets {
                guard var member = members[target.key] else { continue }
                member.target = target.partitions
                put(member)
                shard.actions.records.append(target.record)
            }
            setAssignment(epoch: isOf, timestampMs: shard.now.wallClockMs)
            // Last: where a crash cuts between batches, the assignment is made again.
            shard.write(.shareTargetEpoch(groupID: groupID, epoch: isOf, timestampMs: shard.now.wallClockMs))
            shard.counters.completedRebalances += 1
        }
        if epoch > assignmentEpoch { assignIfDue(&shard) }
    }

    /// Memory that the group takes more with this assignment, once its members have taken it.
    private func addedBytes(by made: MadeAssignment) -> Int {
        made.targets.reduce(0) { bytes, target in
            guard let member = members[target.key] else { return bytes }
            let next = 2 * ShareMember.memoryBytes(of: target.partitions)
            return bytes + next - ShareMember.memoryBytes(of: member.target)
                - ShareMember.memoryBytes(of: member.assigned)
        }
    }
}

extension TopicsLook {
    init(_ group: ShareGroup, _ topics: any GroupTopics) {
        self.init(version: topics.version)
        for name in group.subscribers.keys {
            if let topic = topics.topic(named: name.text) { add(topic) }
        }
    }
}
