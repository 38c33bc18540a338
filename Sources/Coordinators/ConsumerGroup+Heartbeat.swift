internal import KafkaModel
internal import KafkaWire

/// Why a request of a consumer group's member is refused.
struct GroupRefusal: Error, Equatable {
    var code: ErrorCode
    var message: String

    init(_ code: ErrorCode, _ message: String) {
        self.code = code
        self.message = message
    }
}

/// ConsumerGroupHeartbeat, once the shard has checked the request by itself: a member joins, says what it subscribes to and what it
/// owns, and hears what it is to read. Source: KIP-848.
extension ConsumerGroup {
    typealias Request = ConsumerGroupHeartbeatRequest
    typealias Owned = [ConsumerGroupHeartbeatRequest.TopicPartitions]

    /// Takes a heartbeat in and gives what to answer, or refuses it before anything is changed.
    mutating func heartbeat(
        _ request: Request, _ context: RequestContext, _ shard: inout ShardContext
    ) throws(GroupRefusal) -> ConsumerGroupHeartbeatResponse {
        let key = ExactString(request.memberID)
        let replaced = try replacedMember(request)
        var member: ConsumerMember
        if let replaced {
            // The new process goes on with what the old one had.
            member = ConsumerMember(takingOver: replaced, as: request.memberID)
        } else if let known = members[key] {
            try check(known, request)
            member = known
        } else {
            guard request.memberEpoch == 0 else { throw Self.unknownMember(request.memberID) }
            member = ConsumerMember(memberID: request.memberID)
        }
        let before = replaced ?? members[key]
        member.take(request, context)
        // Of most heartbeats nothing has to be looked through.
        let isSame = replaced == nil && before.map { $0.isSameMetadata(as: member) } ?? false
        if let pattern = request.subscribedTopicRegex, !isSame || member.patternInstructions == 0 {
            member.patternInstructions = pattern.isEmpty ? 0 : try instructions(of: pattern)
        }
        if !isSame { try admit(member, before: before, &shard) }

        if let replaced { drop(replaced.key, &shard) }
        let isOtherSubscription =
            before.map { $0.topicNames != member.topicNames || $0.patternKey != member.patternKey } ?? true
        if isOtherSubscription { member.checkedTopics = -2 }
        let wantsOtherAssignor = before.map { $0.assignor != member.assignor } ?? false
        if !isSame {
            put(member)
            shard.write(.consumerMember(groupID: groupID, member))
        }
        if isOtherSubscription, let old = before?.pattern { dropPattern(old, &shard) }

        var isBumped = isOtherSubscription && !(before.map { isSamePattern($0, member) } ?? false)
        // Another assignor, named by a static member that came back, is asked at once; of others with the next change.
        if replaced != nil, wantsOtherAssignor { isBumped = true }
        lookAtTopics(isBumped: isBumped, &shard)
        askForPatterns(of: member, &shard)
        assignIfDue(&shard)

        let read = members[key]!
        reconcile(key, owned: request.topicPartitions, &shard)
        if replaced != nil, members[key]!.isSameAssignment(as: read) {
            // Its records are those of another id until now.
            shard.write(.consumerCurrent(groupID: groupID, members[key]!))
        }
        if replaced != nil { shard.write(.consumerTarget(groupID: groupID, key.text, members[key]!.target)) }
        startSession(key, &shard)

        return answer(request, members[key]!, before: before, shard)
    }

    /// Tells a member where it is, and what it may read where it has to be told.
    private func answer(
        _ request: Request, _ member: ConsumerMember, before: ConsumerMember?, _ shard: ShardContext
    ) -> ConsumerGroupHeartbeatResponse {
        var response = ConsumerGroupHeartbeatResponse()
        response.memberID = request.memberID
        response.memberEpoch = member.epoch
        response.heartbeatIntervalMs = shard.settings(of: groupID).consumerHeartbeatIntervalMs
        let isChanged = before.map { !member.readsSame(as: $0) } ?? true
        if request.memberEpoch == 0 || request.isFull || isChanged { response.assignment = member.assignment }
        return response
    }

    static func unknownMember(_ memberID: String) -> GroupRefusal {
        GroupRefusal(.unknownMemberID, "Member \(memberID) is not a member of the group.")
    }

    /// Returns the static member whose place the request takes, and refuses a request about an instance of somebody else.
    private func replacedMember(_ request: Request) throws(GroupRefusal) -> ConsumerMember? {
        guard let instanceID = request.instanceID else { return nil }
        guard let key = staticMembers[instanceID], let holder = members[key] else {
            if request.memberEpoch == 0 { return nil }
            throw GroupRefusal(.unknownMemberID, "Instance id \(instanceID) is unknown.")
        }
        if holder.memberID.isExactly(request.memberID) { return nil }
        guard request.memberEpoch == 0 else {
            throw GroupRefusal(.fencedInstanceID, "Instance id \(instanceID) belongs to another member.")
        }
        // One of the classic protocol does not say when it leaves.
        guard holder.epoch == ConsumerMember.leftEpoch || holder.classic != nil else {
            throw GroupRefusal(
                .unreleasedInstanceID, "Instance id \(instanceID) is held by a member that has not left.")
        }
        return holder
    }

    /// Checks the epoch that a member names: its own, the one before where the last reply was lost, or 0 to join again.
    private func check(_ member: ConsumerMember, _ request: Request) throws(GroupRefusal) {
        // One that switches from the classic protocol under its id begins like a new one.
        if request.memberEpoch == 0 { return }
        if member.classic != nil { throw Self.unknownMember(request.memberID) }
        if request.memberEpoch == member.epoch { return }
        let isLostReply =
            request.memberEpoch == member.previousEpoch && request.memberEpoch < member.epoch
            && (request.topicPartitions?.allSatisfy { topic in
                topic.partitions.allSatisfy { member.reads(topic.topicID, $0) }
            } ?? false)
        guard isLostReply else {
            throw GroupRefusal(
                .fencedMemberEpoch,
                "The member has epoch \(member.epoch), and the request \(request.memberEpoch). It must join again.")
        }
    }

    /// Returns how large the program of a pattern is, and refuses one that is none.
    private func instructions(of pattern: String) throws(GroupRefusal) -> Int {
        // It was read when the first member came with it.
        if let known = patternSubscribers[ExactString(pattern)], known.instructions > 0 { return known.instructions }
        do throws(TopicPattern.SyntaxError) { return try TopicPattern(pattern).instructionCount } catch {
            throw GroupRefusal(.invalidRegularExpression, "SubscribedTopicRegex is not valid: \(error.problem).")
        }
    }

    /// Refuses a member for which there is no room.
    private func admit(
        _ member: ConsumerMember, before: ConsumerMember?, _ shard: inout ShardContext
    ) throws(GroupRefusal) {
        if before == nil, members.count >= shard.settings.consumerMaxSize {
            throw GroupRefusal(
                .groupMaxSizeReached, "The group has as many members as it may: \(shard.settings.consumerMaxSize).")
        }
        if let pattern = member.patternKey, patternSubscribers[pattern] == nil {
            guard patternSubscribers.count < Self.maxPatterns else {
                throw GroupRefusal(
                    .groupMaxSizeReached, "The members of one group subscribe by at most \(Self.maxPatterns) patterns.")
            }
            guard patternInstructions + member.patternInstructions <= Self.maxPatternInstructions else {
                throw GroupRefusal(
                    .groupMaxSizeReached,
                    "The patterns of one group are too large together: a pattern has an instruction for about each character,"
                        + " its repeats counted, and a group at most \(Self.maxPatternInstructions). This one has"
                        + " \(member.patternInstructions), and the group's others \(patternInstructions).")
            }
        }
        guard hasEntries(for: member, before: before) else {
            throw GroupRefusal(
                .groupMaxSizeReached,
                "The members of one group subscribe to at most \(Self.maxSubscribedEntries) topics, each counted as often as"
                    + " members subscribe to it, and those of the group to \(subscribedEntries) already.")
        }
        // What the process before had goes on under another id, in records that have this.
        guard before.map({ $0.key == member.key || shard.fits(member, in: groupID) }) ?? true else {
            throw GroupRefusal(.invalidRequest, "MemberId is too long for a record with what the member reads.")
        }
        let added = member.memoryBytes - (before?.memoryBytes ?? 0)
        guard added > 0 else { return }
        let ofGroup = members.isEmpty ? Self.emptyBytes + groupID.utf8.count : 0
        guard memberBytes + added <= ClassicGroup.maxMemberBytes, shard.hasRoom(for: added + ofGroup) else {
            throw GroupRefusal(.groupMaxSizeReached, "There is no memory for the member.")
        }
        guard shard.fits(member.textBytes + 512 + groupID.utf8.count) else {
            throw GroupRefusal(.invalidRequest, "What the member subscribes to is too long for a record.")
        }
    }

    /// Different patterns by which members of one group subscribe. Each is matched with all topics whenever these change.
    static let maxPatterns = 100
    /// Instructions of the programs of a group's patterns together: each character of each topic's name may take as many steps.
    static let maxPatternInstructions = 10_000
    /// Topics that one member names.
    static let maxTopicNames = 10_000
    /// Partitions that one member owns. Those that an assignor has beyond that for a member, or beyond what fits a record with their
    /// topics (`ConsumerMember.recordBytes(topics:partitions:)`), stay without a reader.
    static let maxMemberPartitions = 100_000

    /// Whether two members subscribe to the same, by patterns of which one was resolved already and the other is not, so that
    /// nothing changes until it is.
    private func isSamePattern(_ old: ConsumerMember, _ new: ConsumerMember) -> Bool {
        guard old.topicNames == new.topicNames else { return false }
        let isKnown = new.pattern.map { patterns[$0] != nil } ?? true
        return !isKnown && old.pattern == nil
    }

    // MARK: Topics and epochs

    /// Bumps the group's epoch where members or topics have changed, once. Who subscribes to many topics has them looked at by who
    /// makes the next assignment.
    mutating func lookAtTopics(isBumped: Bool, _ shard: inout ShardContext) {
        var isBumped = isBumped
        if subscribedCount > Self.inlineTopics {
            if isBumped { (seenTopics, isHashStale) = (-2, true) }
        } else if isBumped || seenTopics != shard.topics.version {
            let look = TopicsLook(self, shard.topics)
            if look.hash != metadataHash { isBumped = true }
            take(look)
        }
        if isBumped { bump(&shard) }
    }

    mutating func take(_ look: TopicsLook) {
        metadataHash = look.hash
        partitionTotal = look.partitions
        seenTopics = look.version
        isHashStale = false
    }

    /// A group comes to the last epoch only by a record that somebody else wrote, and keeps it: what it has stays, and nothing is
    /// assigned anew until it is deleted or becomes a classic one.
    mutating func bump(_ shard: inout ShardContext) {
        if epoch < .max { epoch += 1 }
        shard.write(.consumerEpoch(groupID: groupID, epoch: epoch, hash: metadataHash))
    }

    /// Subscribed topics that are looked up in an event; more are by a worker.
    static let inlineTopics = 500

    // MARK: Sessions

    mutating func startSession(_ key: ExactString, _ shard: inout ShardContext) {
        guard let member = members[key] else { return }
        let timeout =
            member.classic.map { Int64($0.sessionTimeoutMs) }
            ?? Int64(shard.settings(of: groupID).consumerSessionTimeoutMs)
        let at = shard.after(timeout)
        let groupID = groupID
        withTimers(of: key) { member in
            member.session.set(
                at, in: &shard.timers, groupID: groupID, subject: .session(memberID: key.text))
        }
    }

    /// Takes a member out, with its records.
    mutating func drop(_ key: ExactString, _ shard: inout ShardContext) {
        guard let member = take(key) else { return }
        shard.write(.consumerCurrentTombstone(groupID: groupID, memberID: member.memberID))
        shard.write(.consumerTargetTombstone(groupID: groupID, memberID: member.memberID))
        shard.write(.consumerMemberTombstone(groupID: groupID, memberID: member.memberID))
    }
}

/// The subscribed topics of a group at one moment.
struct TopicsLook: Sendable {
    var hash: Int64 = 0
    var partitions = 0
    var version: Int64

    init(_ group: ConsumerGroup, _ topics: any GroupTopics) {
        version = topics.version
        var names = Set(group.subscribers.keys)
        for (pattern, resolved) in group.patterns where group.patternSubscribers[pattern] != nil {
            names.formUnion(resolved.topics)
        }
        for name in names {
            if let topic = topics.topic(named: name.text) { add(topic) }
        }
    }

    /// To be given each of the topics once.
    init(version: Int64) { self.version = version }

    mutating func add(_ topic: GroupTopic) {
        partitions += Int(topic.partitionCount)
        // A sum, so the order does not matter.
        hash &+= Self.hash(topic)
    }

    /// A hash that every run of every version gives, as it is recorded: FNV-1a of the topic's id, name and size.
    private static func hash(_ topic: GroupTopic) -> Int64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        func add(_ byte: UInt8) { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        for word in [topic.id.high, topic.id.low, UInt64(truncatingIfNeeded: Int64(topic.partitionCount))] {
            for shift in stride(from: UInt64(0), to: 64, by: 8) { add(UInt8(truncatingIfNeeded: word >> shift)) }
        }
        for byte in topic.name.utf8 { add(byte) }
        return Int64(bitPattern: hash)
    }
}

extension ConsumerMember {
    /// A static member's next process.
    init(takingOver old: ConsumerMember, as memberID: String) {
        self.init(memberID: memberID)
        instanceID = old.instanceID
        rackID = old.rackID
        rebalanceTimeoutMs = old.rebalanceTimeoutMs
        topicNames = old.topicNames
        (pattern, patternInstructions) = (old.pattern, old.patternInstructions)
        assignor = old.assignor
        state = old.state
        assigned = old.assigned
        pendingRevocation = old.pendingRevocation
        target = old.target
    }

    /// Takes in what a heartbeat says; what it leaves out stays.
    mutating func take(_ request: ConsumerGroupHeartbeatRequest, _ context: RequestContext) {
        clientID = context.clientID
        clientHost = context.clientHost
        classic = nil
        if let instanceID = request.instanceID { self.instanceID = instanceID }
        if let rackID = request.rackID { self.rackID = rackID }
        if request.rebalanceTimeoutMs != -1 { rebalanceTimeoutMs = request.rebalanceTimeoutMs }
        if let assignor = request.serverAssignor { self.assignor = assignor }
        if let names = request.subscribedTopicNames { topicNames = Set(names.lazy.map { ExactString($0) }).sorted() }
        if let pattern = request.subscribedTopicRegex { self.pattern = pattern.isEmpty ? nil : pattern }
    }

    /// What it may read, as the wire has it: topics and partitions in order.
    var assignment: ConsumerGroupHeartbeatResponse.Assignment {
        var assignment = ConsumerGroupHeartbeatResponse.Assignment()
        assignment.topicPartitions = assigned.keys.sorted(by: TopicID.precedes).map { topic in
            var part = ConsumerGroupHeartbeatResponse.TopicPartitions()
            part.topicID = topic
            part.partitions = assigned[topic]!.keys.sorted()
            return part
        }
        return assignment
    }
}

extension ConsumerGroupHeartbeatRequest {
    /// Whether it says everything, as after a failed request: its answer does, too.
    var isFull: Bool {
        rebalanceTimeoutMs != -1 && (subscribedTopicNames != nil || subscribedTopicRegex != nil)
            && topicPartitions != nil
    }
}
