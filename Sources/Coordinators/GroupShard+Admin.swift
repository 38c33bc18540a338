public import KafkaModel
public import KafkaWire

/// DescribeGroups, ListGroups, DeleteGroups.
extension GroupShard {
    /// One group as tools see it. A group that does not exist is Dead; from version 6 on it is GROUP_ID_NOT_FOUND (and
    /// Dead). Source: KIP-1043.
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

    /// Bytes of memory that `describeGroup` takes, and its encoded form.
    public func descriptionBytes(of groupID: String) -> Int {
        let members = groups[groupID]?.members.values.reduce(0) { sum, member in
            // The metadata is the group's own array; encoded it stands there twice.
            sum + 256 + 2 * (member.metadata(of: groups[groupID]?.protocolName).count + member.assignment.count)
        }
        return 512 + (members ?? 0)
    }

    /// The shard's groups, in no order, in the states and of the types named (case does not matter; none named: all). A shard that
    /// loads answers COORDINATOR_LOAD_IN_PROGRESS; one led elsewhere has no groups to list. Sources: KIP-518, KIP-848.
    public func listGroups(
        states: [String], types: [String]
    ) -> (error: ErrorCode, groups: [ListGroupsResponse.ListedGroup]) {
        if phase != .active { return (phase == .loading ? .coordinatorLoadInProgress : .none, []) }
        let states = Set(states.map { $0.lowercased() })
        guard types.isEmpty || types.contains(where: { $0.lowercased() == "classic" }) else { return (.none, []) }
        let listed = groups.compactMap { groupID, group -> ListGroupsResponse.ListedGroup? in
            guard states.isEmpty || states.contains(group.state.rawValue.lowercased()) else { return nil }
            var entry = ListGroupsResponse.ListedGroup()
            entry.groupID = groupID
            entry.protocolType = group.protocolType ?? ""
            entry.groupState = group.state.rawValue
            entry.groupType = "classic"
            return entry
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
        guard let group = groups[groupID] else { return (.groupIDNotFound, "Group \(groupID) not found.") }
        guard group.state == .empty else { return (.nonEmptyGroup, "The group \(groupID) is not empty.") }
        var indexes: [String: Set<Int32>] = [:]
        for store in [group.offsets] + group.openTransactions.compactMap({ pendingTransactions[$0]?[groupID] }) {
            for (topic, partitions) in store.byTopic { indexes[topic, default: []].formUnion(partitions.keys) }
        }
        for topic in indexes.keys.sorted() {
            for index in indexes[topic]!.sorted() { delete(topic, index, of: group) }
        }
        // Members that were only promised an id lose it: their JoinGroup gets UNKNOWN_MEMBER_ID and they begin again.
        if group.isRecorded { writeTombstone(of: groupID) } else { groups[groupID] = nil }
        return (.none, nil)
    }
}
