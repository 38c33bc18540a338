public import KafkaModel
public import KafkaWire

/// DescribeGroups, ListGroups, DeleteGroups.
extension GroupShard {
    /// Describes one group as tools see it. A group that does not exist is Dead; from version 6 on it is
    /// GROUP_ID_NOT_FOUND (and Dead). Source: KIP-1043.
    public func describeGroup(
        _ groupID: String, apiVersion: Int16
    ) -> DescribeGroupsResponse.DescribedGroup {
        var response = DescribeGroupsResponse.DescribedGroup()
        response.groupID = groupID
        if let phaseError {
            response.errorCode = phaseError.rawValue
            return response
        }
        guard let group = groups[groupID] else {
            response.groupState = GroupState.dead.rawValue
            if apiVersion >= 6 {
                response.errorCode = ErrorCode.groupIDNotFound.rawValue
                response.errorMessage = "Group \(groupID) not found."
            }
            return response
        }
        if group.consumer != nil || group.share != nil {
            response.groupState = GroupState.dead.rawValue
            if apiVersion >= 6 {
                response.errorCode = ErrorCode.groupIDNotFound.rawValue
                response.errorMessage = "Group \(groupID) is not a classic group."
            }
            return response
        }
        response.groupState = group.state.rawValue
        response.protocolType = group.protocolType ?? ""
        // Before Stable, metadata and assignments are those of nobody's generation.
        let isStable = group.state == .stable
        if isStable { response.protocolData = group.protocolName ?? "" }
        response.members = group.orderedMembers.map { member in
            var entry = DescribeGroupsResponse.DescribedGroupMember()
            entry.memberID = member.memberID
            entry.groupInstanceID = member.groupInstanceID
            entry.clientID = member.clientID
            entry.clientHost = member.clientHost
            if isStable {
                entry.memberMetadata = member.metadata(of: group.protocolName)
                entry.memberAssignment = member.assignment
            }
            return entry
        }
        return response
    }

    /// Returns the bytes of memory that the result of `describeGroup` takes with its encoded form.
    public func descriptionBytes(of groupID: String) -> Int {
        guard let group = groups[groupID] else { return Self.describedMember + 4 * groupID.utf8.count }
        let members = group.members.values.reduce(0) { sum, member in
            let text =
                member.memberID.utf8.count + (member.groupInstanceID?.utf8.count ?? 0) + member.clientID.utf8.count
                + member.clientHost.utf8.count
            // The metadata is the group's own array; encoded it stands there twice.
            return sum + Self.describedMember
                + 2 * (text + member.metadata(of: group.protocolName).count + member.assignment.count)
        }
        return Self.describedMember + 2 * (group.listedTextBytes + (group.protocolName?.utf8.count ?? 0)) + members
    }

    /// Returns an upper bound of `descriptionBytes` that is known without a look at the members.
    public func mostDescriptionBytes(of groupID: String) -> Int {
        guard let group = groups[groupID] else { return descriptionBytes(of: groupID) }
        return Self.describedMember + 2 * (group.listedTextBytes + group.descriptionBytes)
            + (group.protocolName?.utf8.count ?? 0) * 2
    }

    /// A member without its texts, or a group: as a struct and twice in the reply.
    private static let describedMember = 256

    /// Bytes of a group's id and protocol type; what is longer is long, and nobody's that names its groups by hand.
    public static let usualListedText = 512

    /// Whether the entry's text is long.
    public static func isLongListed(_ entry: ListGroupsResponse.ListedGroup) -> Bool {
        entry.groupID.utf8.count + entry.protocolType.utf8.count > usualListedText
    }

    /// Lists the next of the shard's groups that are in these states (`GroupState.listed`; `consumer` and `share` are those of groups of
    /// these kinds), in no order, until the walk through `.groups` is complete. A shard that loads answers COORDINATOR_LOAD_IN_PROGRESS; one led elsewhere has no
    /// groups to list.
    public func listGroups(
        in states: Set<GroupState>, consumer: Set<ConsumerGroupState> = [], share: Set<ShareGroupState> = [],
        _ walk: inout ShardWalk
    ) -> (error: ErrorCode, groups: [ListGroupsResponse.ListedGroup]) {
        guard phase == .active, !states.isEmpty || !consumer.isEmpty || !share.isEmpty else {
            walk.end()
            return (phase == .loading ? .coordinatorLoadInProgress : .none, [])
        }
        var listed: [ListGroupsResponse.ListedGroup] = []
        var room = Self.maxStepEntries
        while let part = walk.next(in: self, &room) {
            guard let group = groups[part.groupID] else { continue }
            var entry = ListGroupsResponse.ListedGroup()
            entry.groupID = part.groupID.text
            if let state = group.share?.state {
                guard share.contains(state) else { continue }
                entry.protocolType = ShareGroup.typeName
                entry.groupState = state.rawValue
                entry.groupType = ShareGroup.typeName
                listed.append(entry)
                continue
            }
            if let state = group.consumer?.state {
                guard consumer.contains(state) else { continue }
                entry.protocolType = ConsumerProtocol.type
                entry.groupState = state.rawValue
                entry.groupType = ConsumerGroup.typeName
                listed.append(entry)
                continue
            }
            guard states.contains(group.state) else { continue }
            entry.protocolType = group.protocolType ?? ""
            entry.groupState = group.state.rawValue
            entry.groupType = ClassicGroup.typeName
            listed.append(entry)
        }
        return (.none, listed)
    }

    /// Deletes empty groups with their offsets. Source: KIP-229.
    public mutating func deleteGroups(_ groupIDs: [String], waiter: WaiterID, now: CoordinatorTime) -> GroupActions {
        context.begin(now)
        let results = groupIDs.map { groupID in
            var result = DeleteGroupsResponse.DeletableGroupResult()
            result.groupID = groupID
            let (error, message) = counting(groupID) { $0.deleteGroup(groupID) }
            result.errorCode = error.rawValue
            result.errorMessage = message
            return result
        }
        context.reply(waiter, .deleteGroups(results))
        return context.finish()
    }

    private mutating func deleteGroup(_ groupID: String) -> (ErrorCode, String?) {
        if let phaseError { return (phaseError, nil) }
        guard let state = groups[groupID]?.state else { return (.groupIDNotFound, "Group \(groupID) not found.") }
        guard state == .empty, groups[groupID]!.consumer?.isEmpty != false, groups[groupID]!.share?.isEmpty != false
        else {
            return (.nonEmptyGroup, "The group \(groupID) is not empty.")
        }
        let isRecorded = groups[groupID]!.isRecorded
        for (topic, indexes) in offsetIndexes(of: groupID) {
            for index in indexes { delete(topic, index, of: groupID) }
        }
        // Members that were only promised an id lose it: their JoinGroup gets UNKNOWN_MEMBER_ID and they begin again.
        if isRecorded { writeTombstone(of: groupID) } else { groups[groupID] = nil }
        return (.none, nil)
    }

    /// Returns the topics and partitions that the group has offsets of, pending ones included, in order.
    private func offsetIndexes(of groupID: String) -> [(topic: String, indexes: [Int32])] {
        guard let group = groups[groupID] else { return [] }
        var indexes: [ExactString: Set<Int32>] = [:]
        for store in stores(of: group) {
            for (topic, partitions) in store.byTopic { indexes[topic, default: []].formUnion(partitions.keys) }
        }
        return indexes.keys.sorted().map { ($0.text, indexes[$0]!.sorted()) }
    }
}

extension GroupState {
    /// Returns the states of the groups that ListGroups is to list, by its filters: states and types, whose case does
    /// not matter and of which none means all. Unknown ones match nothing. A client may name millions: to be called
    /// once for a request, and outside of all locks. Sources: KIP-518, KIP-848.
    public static func listed(states: [String], types: [String]) -> Set<GroupState> {
        guard types.isEmpty || types.contains(where: { $0.lowercased() == ClassicGroup.typeName }) else { return [] }
        return states.isEmpty ? Set(allCases) : Set(states.lazy.compactMap { byName[$0.lowercased()] })
    }

    private static let byName = Dictionary(uniqueKeysWithValues: allCases.map { ($0.rawValue.lowercased(), $0) })
}

extension ClassicGroup {
    /// What KIP-848 calls groups of this kind.
    fileprivate static let typeName = "classic"
}
