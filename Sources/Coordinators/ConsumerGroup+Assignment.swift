internal import KafkaModel
internal import KafkaWire

/// Target assignments: when they are made, and by whom. Sources: KIP-848, KIP-1263.
extension ConsumerGroup {
    /// Makes the target assignment of the group's epoch where it is not made yet, no sooner after the last one than settings say. A
    /// small one is made at once, another by whoever takes the event's `work`; the old one serves until then.
    mutating func assignIfDue(_ shard: inout ShardContext) {
        let wantsLook = subscribedCount > Self.inlineTopics && seenTopics != shard.topics.version
        guard !members.isEmpty, epoch > assignmentEpoch || wantsLook else { return }
        if assigning.isAway(shard.now.monotonicMs) { return }
        if let last = assignedAtMs {
            let due = last + Int64(shard.settings.consumerAssignmentIntervalMs)
            if shard.now.monotonicMs < due {
                return assignTimer.set(due, in: &shard.timers, groupID: groupID, subject: .assignment)
            }
        }
        assigning.begin(shard.now.monotonicMs)
        let isLarge = subscribedCount > Self.inlineTopics || members.count + partitionTotal > Self.inlineEntries
        guard isLarge else { return take(AssignmentWork(self, shard).run(), &shard) }
        shard.actions.work.append(.assignment(groupID: groupID))
        // Whoever was to make it may not have come to it.
        assignTimer.set(
            shard.after(PendingWork.patienceMs), in: &shard.timers, groupID: groupID, subject: .assignment)
    }

    /// Members and partitions that are assigned in an event: some 50 us.
    static let inlineEntries = 512

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
                shard.write(.consumerEpoch(groupID: groupID, epoch: epoch, hash: metadataHash))
            } else if isOther {
                // It is of the topics for which the epoch is bumped.
                bump(&shard)
                isOf = epoch
            }
        }
        if isOf > assignmentEpoch {
            guard shard.hasRoom(for: addedBytes(by: made)) else {
                // Everybody keeps what it has, and it is tried again then.
                assigning.begin(shard.now.monotonicMs)
                return assignTimer.set(
                    shard.after(PendingWork.patienceMs), in: &shard.timers, groupID: groupID, subject: .assignment)
            }
            for target in made.targets where members[target.key] != nil {
                setTarget(target.partitions, of: target.key)
                shard.actions.records.append(target.record)
            }
            setAssignment(epoch: isOf, timestampMs: shard.now.wallClockMs)
            // Last: where a crash cuts between batches, the assignment is made again.
            shard.write(.consumerTargetEpoch(groupID: groupID, epoch: isOf, timestampMs: shard.now.wallClockMs))
            shard.counters.completedRebalances += 1
        }
        if epoch > assignmentEpoch { assignIfDue(&shard) }
    }

    /// Memory that the group takes more with this assignment, with what members will read by it.
    private func addedBytes(by made: MadeAssignment) -> Int {
        made.targets.reduce(0) { bytes, target in
            guard let member = members[target.key] else { return bytes }
            return bytes + 2
                * (ConsumerMember.memoryBytes(of: target.partitions) - ConsumerMember.memoryBytes(of: member.target))
        }
    }

    /// The assignor that most members ask for; of equals the first by name, and the first of the settings where nobody asks.
    func assignor(_ settings: GroupSettings) -> ServerAssignor {
        var votes: [ServerAssignor: Int] = [:]
        for member in members.values {
            guard let assignor = member.assignor.flatMap({ ServerAssignor(rawValue: $0) }) else { continue }
            votes[assignor, default: 0] += 1
        }
        let most = votes.values.max()
        return votes.filter { $0.value == most }.keys.min { $0.rawValue < $1.rawValue }
            ?? settings.consumerAssignors.first ?? .uniform
    }
}

/// A target assignment that is to be made: a group and the topics as they were when it was asked for. To be `run` on any thread,
/// outside of the shard's lock; what it gives goes to `GroupShard.assignmentMade`.
public struct AssignmentWork: Sendable {
    private let group: ConsumerGroup
    private let topics: any GroupTopics
    private let settings: GroupSettings
    private let maxBatchBytes: Int

    init(_ group: ConsumerGroup, _ shard: ShardContext) {
        self.group = group
        topics = shard.topics
        settings = shard.settings
        maxBatchBytes = shard.maxBatchBytes
    }

    public func run() -> MadeAssignment {
        let look = TopicsLook(group, topics)
        var problem = AssignmentProblem()
        var places: [ExactString: Int] = [:]
        func place(of name: ExactString) -> Int? {
            if let place = places[name] { return place }
            guard let topic = topics.topic(named: name.text) else { return nil }
            problem.topics.append(.init(id: topic.id, partitionCount: topic.partitionCount))
            places[name] = problem.topics.count - 1
            return problem.topics.count - 1
        }
        // In an order that every run has: what assignors do depends on it.
        let members = group.members.values.sorted { $0.key < $1.key }
        for member in members {
            let subscribed = group.topics(of: member).sorted().compactMap { place(of: $0) }
            problem.members.append(
                .init(
                    memberID: member.memberID, instanceID: member.instanceID, subscribed: subscribed,
                    target: member.target,
                    maxRecordBytes: maxBatchBytes - member.fixedRecordBytes(in: group.groupID)))
        }
        let targets = problem.solve(group.assignor(settings), maxPartitions: ConsumerGroup.maxMemberPartitions)
        var made = MadeAssignment(
            groupID: group.groupID, number: group.assigning.number, epoch: group.epoch, look: look)
        for (member, target) in zip(members, targets) where target != member.target {
            made.targets.append(
                .init(
                    key: member.key, partitions: target,
                    record: GroupRecord.consumerTarget(groupID: group.groupID, member.memberID, target).encoded))
        }
        return made
    }
}

/// A target assignment, as far as it differs from the one before.
public struct MadeAssignment: Sendable {
    struct Target: Sendable {
        var key: ExactString
        var partitions: PartitionLists
        var record: CoordinatorRecord
    }

    let groupID: String
    let number: UInt64
    /// The group epoch that it is of.
    let epoch: Int32
    let look: TopicsLook
    var targets: [Target] = []
}
