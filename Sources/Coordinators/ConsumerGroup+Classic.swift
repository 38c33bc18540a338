internal import ByteBuffers
internal import KafkaModel
internal import KafkaWire

/// Members of the classic protocol in a consumer group, while clients are exchanged one after the other: JoinGroup, SyncGroup and
/// Heartbeat are answered at once, with the member's epoch for the generation, and REBALANCE_IN_PROGRESS brings it on its way to the
/// target assignment. Source: KIP-848.
///
/// Its rebalance timer runs from a REBALANCE_IN_PROGRESS to its JoinGroup, and from there to its SyncGroup.
extension ConsumerGroup {
    // MARK: Join

    /// Whether a member with these protocols may be in the group beside the other classic ones.
    private func supports(_ request: JoinGroupRequest, besides key: ExactString?) -> Bool {
        guard request.protocolType.isExactly(ConsumerProtocol.type), !request.protocols.isEmpty else { return false }
        let classic = key.flatMap { members[$0]?.classic }
        let own = Set((classic?.supportedProtocols ?? []).lazy.map { ExactString($0.name) })
        let others = classicCount - (classic == nil ? 0 : 1)
        return request.protocols.contains { wanted in
            let name = ExactString(wanted.name)
            return (classicProtocols[name] ?? 0) - (own.contains(name) ? 1 : 0) == others
        }
    }

    /// Lets a member of the classic protocol join, or join again.
    mutating func join(
        _ request: JoinGroupRequest, _ context: RequestContext, _ shard: inout ShardContext
    ) -> JoinGroupResponse {
        let holder = request.groupInstanceID.flatMap { staticMembers[$0] }
        func refusal(_ error: ErrorCode, _ memberID: String) -> JoinGroupResponse {
            JoinGroupResponse(refusing: error, memberID: memberID)
        }
        let known = holder ?? ExactString(request.memberID)
        guard supports(request, besides: known), let said = ClassicSubscription(request.protocols) else {
            return refusal(.inconsistentGroupProtocol, request.memberID)
        }
        var memberID = request.memberID
        if memberID.isEmpty {
            memberID = shard.memberIDs.next(prefix: request.groupInstanceID ?? context.clientID)
            if request.groupInstanceID == nil, context.apiVersion >= 4 { return refusal(.memberIDRequired, memberID) }
        } else if request.groupInstanceID != nil {
            guard let holder else { return refusal(.unknownMemberID, memberID) }
            if holder != ExactString(memberID) { return refusal(.fencedInstanceID, memberID) }
        }
        let key = ExactString(memberID)
        let replaced = holder.flatMap { $0 == key ? nil : members[$0] }
        let before = replaced ?? members[key]
        // One of the consumer protocol has another way to join again, unless it is a static member that goes back.
        if let before, before.classic == nil, before.instanceID == nil { return refusal(.unknownMemberID, memberID) }
        var member =
            replaced.map { ConsumerMember(takingOver: $0, as: memberID) } ?? before
            ?? ConsumerMember(memberID: memberID)
        member.take(request, said, context)
        guard isRoom(for: member, before: before, shard) else {
            return refusal(.groupMaxSizeReached, memberID)
        }
        if let replaced { drop(replaced.key, &shard) }
        let isOther = before.map { $0.topicNames != member.topicNames || $0.pattern != nil } ?? true
        if isOther { member.checkedTopics = -2 }
        if replaced != nil { (member.epoch, member.previousEpoch) = (assignmentEpoch, assignmentEpoch) }
        put(member)
        if replaced != nil || before.map({ !$0.isSameMetadata(as: member) }) ?? true {
            shard.write(.consumerMember(groupID: groupID, member))
        }
        if let pattern = before?.pattern { dropPattern(pattern, &shard) }
        lookAtTopics(isBumped: isOther, &shard)
        assignIfDue(&shard)
        let read = members[key]!
        reconcile(key, owned: said.owned(shard.topics), &shard)
        if replaced != nil {
            shard.write(.consumerTarget(groupID: groupID, memberID, members[key]!.target))
            if members[key]!.isSameAssignment(as: read) { shard.write(.consumerCurrent(groupID: groupID, read)) }
        }
        startSession(key, &shard)
        awaitMember(key, &shard)

        var response = JoinGroupResponse()
        response.generationID = members[key]!.epoch
        response.protocolType = ConsumerProtocol.type
        response.protocolName = request.protocols[0].name
        response.memberID = memberID
        return response
    }

    private func isRoom(for member: ConsumerMember, before: ConsumerMember?, _ shard: ShardContext) -> Bool {
        if before == nil, members.count >= shard.settings.consumerMaxSize { return false }
        // See `admit`.
        if !hasEntries(for: member, before: before) { return false }
        if let before, before.key != member.key, !shard.fits(member, in: groupID) { return false }
        let added = member.memoryBytes - (before?.memoryBytes ?? 0)
        return added <= 0
            || memberBytes + added <= ClassicGroup.maxMemberBytes && shard.hasRoom(for: added)
                && shard.fits(member.textBytes + 512 + groupID.utf8.count)
    }

    /// Gives a classic member its rebalance timeout for what it has to do next.
    private mutating func awaitMember(_ key: ExactString, _ shard: inout ShardContext) {
        let groupID = groupID
        let at = shard.after(Int64(max(0, members[key]?.rebalanceTimeoutMs ?? 0)))
        withTimers(of: key) { member in
            member.rebalance.set(at, in: &shard.timers, groupID: groupID, subject: .rebalance(memberID: key.text))
        }
    }

    // MARK: Sync, heartbeat

    private enum Found<Value> {
        case found(Value)
        case refused(ErrorCode)
    }

    /// Finds the classic member that a request names.
    private func classicMember(
        _ memberID: String, _ instanceID: String?, generation: Int32
    ) -> Found<ConsumerMember> {
        if let instanceID {
            guard let holder = staticMembers[instanceID] else { return .refused(.unknownMemberID) }
            if holder != ExactString(memberID) { return .refused(.fencedInstanceID) }
        }
        guard let member = members[memberID], member.classic != nil else { return .refused(.unknownMemberID) }
        return member.epoch == generation ? .found(member) : .refused(.illegalGeneration)
    }

    mutating func sync(_ request: SyncGroupRequest, _ shard: inout ShardContext) -> SyncGroupResponse {
        let found = classicMember(request.memberID, request.groupInstanceID, generation: request.generationID)
        let member: ConsumerMember
        switch found {
        case .refused(let error): return SyncGroupResponse(refusing: error)
        case .found(let one): member = one
        }
        // A record may have none.
        guard let name = member.classic?.supportedProtocols.first?.name else {
            return SyncGroupResponse(refusing: .inconsistentGroupProtocol)
        }
        guard request.protocolType.map({ $0.isExactly(ConsumerProtocol.type) }) ?? true,
            request.protocolName.map({ $0.isExactly(name) }) ?? true
        else { return SyncGroupResponse(refusing: .inconsistentGroupProtocol) }
        if member.epoch < assignmentEpoch, member.state != .unrevoked {
            return SyncGroupResponse(refusing: .rebalanceInProgress)
        }
        if member.state != .unrevoked { withTimers(of: member.key) { $0.rebalance.cancel() } }
        startSession(member.key, &shard)
        var response = SyncGroupResponse()
        response.protocolType = ConsumerProtocol.type
        response.protocolName = name
        response.assignment = member.classicAssignment(shard.topics)
        return response
    }

    mutating func heartbeat(_ request: HeartbeatRequest, _ shard: inout ShardContext) -> ErrorCode {
        let found = classicMember(request.memberID, request.groupInstanceID, generation: request.generationID)
        switch found {
        case .refused(let error): return error
        case .found(let member):
            startSession(member.key, &shard)
            let mustJoin =
                member.epoch < assignmentEpoch || member.state == .unrevoked
                || member.state == .unreleased && !isWaiting(member)
            guard mustJoin else { return .none }
            if member.rebalance.at == nil { awaitMember(member.key, &shard) }
            return .rebalanceInProgress
        }
    }

    /// Whether somebody has still what the member is to have.
    private func isWaiting(_ member: ConsumerMember) -> Bool {
        member.target.contains { topic, partitions in
            partitions.contains { index in
                owners[topic]?[index].map { $0 != member.key } ?? false
            }
        }
    }

    // MARK: Leave

    /// Takes out the members named, static ones by their instance alone where an administrator does so; one bump for all of them.
    mutating func leave(
        _ leaving: [LeaveGroupRequest.MemberIdentity], _ shard: inout ShardContext
    ) -> [LeaveGroupResponse.MemberResponse] {
        var gone: [ExactString] = []
        var isGone: Set<ExactString> = []
        let outcomes = leaving.map { identity in
            var outcome = LeaveGroupResponse.MemberResponse()
            (outcome.memberID, outcome.groupInstanceID) = (identity.memberID, identity.groupInstanceID)
            switch leaver(identity) {
            case .found(let key) where isGone.insert(key).inserted: gone.append(key)
            case .found: outcome.errorCode = ErrorCode.unknownMemberID.rawValue
            case .refused(let error): outcome.errorCode = error.rawValue
            }
            return outcome
        }
        fence(gone, &shard)
        return outcomes
    }

    private func leaver(_ identity: LeaveGroupRequest.MemberIdentity) -> Found<ExactString> {
        let key = ExactString(identity.memberID)
        if let instanceID = identity.groupInstanceID {
            guard let holder = staticMembers[instanceID] else { return .refused(.unknownMemberID) }
            if identity.memberID.isEmpty { return .found(holder) }
            if holder != key { return .refused(.fencedInstanceID) }
        }
        guard let member = members[key], member.classic != nil else { return .refused(.unknownMemberID) }
        return .found(key)
    }
}

/// What a classic member says in JoinGroup's metadata.
struct ClassicSubscription {
    let topics: [String]
    let rackID: String?
    private let ownedPartitions: [ConsumerProtocolSubscription.TopicPartition]

    /// Reads that of the first protocol; nil: it is no subscription.
    init?(_ protocols: [JoinGroupRequest.JoinGroupRequestProtocol]) {
        guard let metadata = protocols.first?.metadata, let topics = ConsumerProtocol.subscribedTopics(metadata) else {
            return nil
        }
        self.topics = topics
        let whole = metadata.withUnsafeBytes { bytes -> ConsumerProtocolSubscription? in
            var reader = ByteReader(bytes)
            return try? ConsumerProtocolSubscription(withVersionOrLaterFrom: &reader)
        }
        rackID = whole?.rackID
        ownedPartitions = whole?.ownedPartitions ?? []
    }

    /// What it owns. Who follows an eager assignor has given everything up before.
    func owned(_ topics: any GroupTopics) -> ConsumerGroup.Owned {
        ownedPartitions.compactMap { entry in
            guard let id = topics.topic(named: entry.topic)?.id else { return nil }
            var part = ConsumerGroupHeartbeatRequest.TopicPartitions()
            (part.topicID, part.partitions) = (id, entry.partitions)
            return part
        }
    }
}

extension ConsumerMember {
    /// Takes in what a classic member says in JoinGroup.
    mutating func take(_ request: JoinGroupRequest, _ said: ClassicSubscription, _ context: RequestContext) {
        (clientID, clientHost) = (context.clientID, context.clientHost)
        instanceID = request.groupInstanceID ?? instanceID
        rackID = said.rackID ?? rackID
        rebalanceTimeoutMs = request.rebalanceTimeoutMs
        (pattern, patternInstructions, assignor) = (nil, 0, nil)
        topicNames = Set(said.topics.lazy.map { ExactString($0) }).sorted()
        var classic = Classic()
        classic.sessionTimeoutMs = request.sessionTimeoutMs
        classic.supportedProtocols = request.protocols.map { Self.supported($0) }
        self.classic = classic
    }

    static func supported(
        _ entry: JoinGroupRequest.JoinGroupRequestProtocol
    ) -> ConsumerGroupMemberMetadataValue.ClassicProtocol {
        var supported = ConsumerGroupMemberMetadataValue.ClassicProtocol()
        (supported.name, supported.metadata) = (entry.name, entry.metadata)
        return supported
    }

    /// What it may read, in the form of classic assignments, by the version of its own subscription. Topics that are gone are left
    /// out.
    func classicAssignment(_ topics: any GroupTopics) -> [UInt8] {
        var assignment = ConsumerProtocolAssignment()
        assignment.assignedPartitions = assigned.compactMap { id, indexes in
            guard let topic = topics.topic(id: id) else { return nil }
            var part = ConsumerProtocolAssignment.TopicPartition()
            (part.topic, part.partitions) = (topic.name, indexes.keys.sorted())
            return part
        }.sorted { ExactString($0.topic) < ExactString($1.topic) }
        let metadata = classic?.supportedProtocols.first?.metadata ?? []
        let said = metadata.count < 2 ? 0 : Int16(metadata[0]) << 8 | Int16(metadata[1])
        let versions = ConsumerProtocolAssignment.versions
        return assignment.encodedWithVersion(min(max(said, versions.lowerBound), versions.upperBound))
    }
}
