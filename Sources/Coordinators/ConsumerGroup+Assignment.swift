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
            let due = last + Int64(shard.settings(of: groupID).consumerAssignmentIntervalMs)
            if shard.now.monotonicMs < due {
                return assignTimer.set(due, in: &shard.timers, groupID: groupID, subject: .assignment)
            }
        }
        assigning.begin(shard.nextWorkNumber(), shard.now.monotonicMs)
        let isLarge =
            subscribedCount > Self.inlineTopics || seenTopics != shard.topics.version
            || partitionTotal + members.count * max(1, subscribedCount) > Self.inlineEntries
        guard isLarge else {
            if let made = AssignmentWork(self, shard).run() { take(made, &shard) }
            return
        }
        shard.actions.work.append(.assignment(groupID: groupID))
        // Whoever was to make it may not have come to it.
        assignTimer.set(
            shard.after(PendingWork.patienceMs), in: &shard.timers, groupID: groupID, subject: .assignment)
    }

    /// Partitions, and names in the subscriptions of all members, that are assigned in an event. More are by a worker, as are those
    /// of topics that were not looked at since they changed: nobody knows their partitions.
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
                assigning.begin(shard.nextWorkNumber(), shard.now.monotonicMs)
                return assignTimer.set(
                    shard.after(PendingWork.patienceMs), in: &shard.timers, groupID: groupID, subject: .assignment)
            }
            for target in made.targets {
                guard let key = holder(of: target) else { continue }
                var (partitions, record) = (target.partitions, target.record)
                if key != target.key {
                    // Its id may be longer than the one by which its share was limited.
                    AssignmentProblem.limit(
                        &partitions, Self.maxMemberPartitions,
                        shard.maxBatchBytes - ConsumerMember.fixedRecordBytes(of: key.text, in: groupID))
                    record = GroupRecord.consumerTarget(groupID: groupID, key.text, partitions).encoded
                }
                setTarget(partitions, of: key)
                shard.actions.records.append(record)
            }
            setAssignment(epoch: isOf, timestampMs: shard.now.wallClockMs)
            // Last: where a crash cuts between batches, the assignment is made again.
            shard.write(.consumerTargetEpoch(groupID: groupID, epoch: isOf, timestampMs: shard.now.wallClockMs))
            shard.counters.completedRebalances += 1
        }
        if epoch > assignmentEpoch { assignIfDue(&shard) }
    }

    /// The member that a target is for. A static one may have come back under another id meanwhile, and goes on with what was to be
    /// its own.
    private func holder(of target: MadeAssignment.Target) -> ExactString? {
        members[target.key] != nil ? target.key : target.instanceID.flatMap { staticMembers[$0] }
    }

    /// Memory that the group takes more with this assignment, with what members will read by it.
    private func addedBytes(by made: MadeAssignment) -> Int {
        made.targets.reduce(0) { bytes, target in
            guard let member = holder(of: target).flatMap({ members[$0] }) else { return bytes }
            return bytes + member.sharesBytes(of: target.partitions) - member.sharesBytes(of: member.target)
        }
    }

    /// The assignor that most members ask for; of equals the first by name, and the first of the settings where nobody asks.
    func assignor(_ settings: GroupSettings) -> ServerAssignor {
        Self.assignor(members.values.lazy.map(\.assignor), settings)
    }

    fileprivate static func assignor(_ asked: some Sequence<String?>, _ settings: GroupSettings) -> ServerAssignor {
        var votes: [ServerAssignor: Int] = [:]
        for name in asked {
            guard let assignor = name.flatMap({ ServerAssignor(rawValue: $0) }) else { continue }
            votes[assignor, default: 0] += 1
        }
        let most = votes.values.max()
        return votes.filter { $0.value == most }.keys.min { $0.rawValue < $1.rawValue }
            ?? settings.consumerAssignors.first ?? .uniform
    }
}

/// A target assignment that is to be made: what it depends on of a group and of the topics, as they were when it was asked for. To be
/// `run` on any thread, outside of the shard's lock; what it gives goes to `GroupShard.assignmentMade`.
public struct AssignmentWork: Sendable {
    /// What it depends on of a member. The group itself is not kept: its next change would copy all tables that it has.
    private struct Member: Sendable {
        var memberID: String
        var instanceID: String?
        var topicNames: [ExactString]
        var pattern: ExactString?
        var assignor: String?
        var target: PartitionLists

        init(_ member: ShareMember) {
            memberID = member.memberID
            (topicNames, target) = (member.topicNames, member.target)
        }

        init(_ member: ConsumerMember) {
            (memberID, instanceID) = (member.memberID, member.instanceID)
            (topicNames, pattern) = (member.topicNames, member.patternKey)
            (assignor, target) = (member.assignor, member.target)
        }

        var key: ExactString { ExactString(memberID) }
    }

    private let groupID: String
    private let number: UInt64
    private let epoch: Int32
    private let members: [Member]
    private let patterns: [ExactString: ConsumerGroup.ResolvedPattern]
    private let topics: any GroupTopics
    private let settings: GroupSettings
    private let maxBatchBytes: Int
    /// Of a share group: a partition may have several readers.
    private let isShared: Bool

    init(_ group: ShareGroup, _ shard: ShardContext) {
        (groupID, number, epoch) = (group.groupID, group.assigning.number, group.epoch)
        members = group.members.values.map { Member($0) }
        patterns = [:]
        topics = shard.topics
        settings = shard.settings
        maxBatchBytes = shard.maxBatchBytes
        isShared = true
    }

    init(_ group: ConsumerGroup, _ shard: ShardContext) {
        (groupID, number, epoch) = (group.groupID, group.assigning.number, group.epoch)
        members = group.members.values.map { Member($0) }
        patterns = group.patterns
        topics = shard.topics
        settings = shard.settings
        maxBatchBytes = shard.maxBatchBytes
        isShared = false
    }

    /// Makes it. `isStopped`: nobody wants it any more; asked between members and topics, and once true it stays so. Then there is
    /// none.
    public func run(isStopped: @escaping @Sendable () -> Bool = { false }) -> MadeAssignment? {
        var (problem, members, look) = read(isStopped)
        problem.isStopped = isStopped
        let targets =
            isShared
            ? problem.solveShared(maxPartitions: ConsumerGroup.maxMemberPartitions)
            : problem.solve(
                ConsumerGroup.assignor(members.lazy.map(\.assignor), settings),
                maxPartitions: ConsumerGroup.maxMemberPartitions)
        if isStopped() { return nil }
        var made = MadeAssignment(groupID: groupID, number: number, epoch: epoch, look: look)
        for (member, target) in zip(members, targets) where target != member.target {
            let record =
                isShared
                ? GroupRecord.shareTarget(groupID: groupID, member.memberID, target)
                : GroupRecord.consumerTarget(groupID: groupID, member.memberID, target)
            made.targets.append(
                .init(
                    key: member.key, instanceID: member.instanceID, partitions: target, record: record.encoded))
        }
        return made
    }

    /// What members subscribe to, by names and by a pattern.
    private struct Subscription: Hashable {
        var topicNames: [ExactString]
        var pattern: ExactString?
    }

    /// Gives what is to be assigned, with the members in its order, and the topics as they are now.
    private func read(_ isStopped: () -> Bool) -> (problem: AssignmentProblem, members: [Member], look: TopicsLook) {
        var look = TopicsLook(version: topics.version)
        var problem = AssignmentProblem()
        // Those that there are not are asked for once, too.
        var places: [ExactString: Int?] = [:]
        func place(of name: ExactString) -> Int? {
            if let place = places[name] { return place }
            guard let topic = topics.topic(named: name.text) else {
                places[name] = .some(nil)
                return nil
            }
            look.add(topic)
            problem.topics.append(.init(id: topic.id, partitionCount: topic.partitionCount))
            places[name] = problem.topics.count - 1
            return problem.topics.count - 1
        }
        // Each is resolved once, however many members have it.
        var subscriptions: [Subscription: Int] = [:]
        // In an order that every run has: what assignors do depends on it.
        let members = members.sorted { $0.key < $1.key }
        for member in members {
            if isStopped() { break }
            let key = Subscription(topicNames: member.topicNames, pattern: member.pattern)
            let subscription: Int
            if let known = subscriptions[key] {
                subscription = known
            } else {
                let names = ConsumerGroup.topics(member.topicNames, member.pattern, patterns)
                let found = names.sorted().compactMap { place(of: $0) }
                subscription = problem.place(ofSubscription: found)
                subscriptions[key] = subscription
            }
            problem.members.append(
                .init(
                    memberID: member.memberID, instanceID: member.instanceID, subscription: subscription,
                    target: member.target,
                    maxRecordBytes: maxBatchBytes
                        - ConsumerMember.fixedRecordBytes(of: member.memberID, in: groupID)))
        }
        return (problem, members, look)
    }

    /// What is to be assigned, as the topics are now.
    var problem: AssignmentProblem { read { false }.problem }
}

/// A target assignment, as far as it differs from the one before.
public struct MadeAssignment: Sendable {
    struct Target: Sendable {
        var key: ExactString
        var instanceID: String?
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
