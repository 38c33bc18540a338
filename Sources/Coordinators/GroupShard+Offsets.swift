internal import KafkaModel
public import KafkaWire

/// Committing, fetching and deleting offsets. Sources: KIP-211, KIP-447, KIP-496, KIP-709, KIP-848.
extension GroupShard {
    /// Applies one offset record: the one way in which committed offsets change, alive and in replay.
    mutating func apply(_ key: GroupRecord.OffsetKey, _ offset: CommittedOffset?, producerID: ProducerID) {
        let groupID = key.groupID
        guard var offset else {
            groups[groupID]?.offsets[key.topic, key.partitionIndex] = nil
            for producer in groups[groupID]?.openTransactions ?? [] {
                changePending(producer, groupID) { $0[key.topic, key.partitionIndex] = nil }
                // A transaction holds the group only by what is pending.
                guard let rest = pendingTransactions[producer]?[groupID], rest.isEmpty else { continue }
                context.pendingBytes -= rest.memoryBytes
                pendingTransactions[producer]?[groupID] = nil
                if pendingTransactions[producer]?.isEmpty == true { pendingTransactions[producer] = nil }
                groups[groupID]?.openTransactions.remove(producer)
            }
            return dispose(groupID)
        }
        createGroup(groupID)
        context.offsetRecords += 1
        offset.order = context.offsetRecords
        if producerID == .none {
            groups[groupID]!.offsets[key.topic, key.partitionIndex] = offset
        } else {
            changePending(producerID, groupID) { $0[key.topic, key.partitionIndex] = offset }
            groups[groupID]!.openTransactions.insert(producerID)
        }
    }

    /// Changes what is pending in a producer's transaction, and counts what that does to the memory of all.
    private mutating func changePending(
        _ producerID: ProducerID, _ groupID: String, _ change: (inout CommittedOffsets) -> Void
    ) {
        // Taken out, so that it is not copied on write.
        var offsets = pendingTransactions[producerID]?.removeValue(forKey: groupID) ?? CommittedOffsets()
        context.pendingBytes -= offsets.memoryBytes
        change(&offsets)
        context.pendingBytes += offsets.memoryBytes
        pendingTransactions[producerID, default: [:]][groupID] = offsets
    }

    private mutating func write(
        _ key: GroupRecord.OffsetKey, _ offset: CommittedOffset?, producerID: ProducerID = .none
    ) {
        context.write(.offset(key, offset))
        apply(key, offset, producerID: producerID)
    }

    // MARK: Commit

    /// Commits offsets. Topics must carry their names (from version 10 on the caller looks them up by id) and, where
    /// known, their ids; partitions that the caller refuses itself are left out.
    public mutating func offsetCommit(
        _ request: OffsetCommitRequest, context requestContext: RequestContext, waiter: WaiterID, now: CoordinatorTime
    ) -> GroupActions {
        context.begin(now)
        let response = counting(request.groupID) { $0.commit(request, requestContext) }
        context.reply(waiter, .offsetCommit(response))
        return context.finish()
    }

    private mutating func commit(
        _ request: OffsetCommitRequest, _ requestContext: RequestContext
    ) -> OffsetCommitResponse {
        let now = context.now
        var error = commitRefusal(
            groupID: request.groupID, memberID: request.memberID, instanceID: request.groupInstanceID,
            generationID: request.generationIDOrMemberEpoch, isTransactional: false,
            version: requestContext.apiVersion,
            missingGroup: requestContext.apiVersion >= 9 ? .groupIDNotFound : .illegalGeneration)
        if error == .none, !hasRoom(for: request) { error = .invalidCommitOffsetSize }
        if error == .none {
            createGroup(request.groupID)
            let state = groups[request.groupID]!.state
            // A commit shows that its member lives.
            if state == .stable || state == .preparingRebalance {
                groups[request.groupID]!.keepAlive(request.memberID, &context)
            }
        }
        let retention = request.retentionTimeMs
        let expiry = retention < 0 ? nil : now.wallClockMs.addingReportingOverflow(retention)

        var response = OffsetCommitResponse()
        response.topics = request.topics.map { topic in
            var outcome = OffsetCommitResponse.OffsetCommitResponseTopic()
            outcome.name = topic.name
            outcome.topicID = topic.topicID
            outcome.partitions = topic.partitions.map { partition in
                var result = OffsetCommitResponse.OffsetCommitResponsePartition()
                result.partitionIndex = partition.partitionIndex
                guard error == .none else {
                    result.errorCode = error.rawValue
                    return result
                }
                let refusal = partitionRefusal(
                    request.groupID, topic.name, topic.topicID, partition.partitionIndex, request.memberID,
                    request.generationIDOrMemberEpoch)
                guard refusal == .none else {
                    result.errorCode = refusal.rawValue
                    return result
                }
                var offset = CommittedOffset(offset: partition.committedOffset)
                offset.leaderEpoch = partition.committedLeaderEpoch
                offset.metadata = partition.committedMetadata ?? ""
                offset.commitTimestampMs = now.wallClockMs
                offset.expireTimestampMs = expiry.map { $0.overflow ? .max : $0.partialValue }
                offset.topicID = topic.topicID
                result.errorCode =
                    commit(
                        offset, of: request.groupID, topic.name, partition.partitionIndex, producerID: .none
                    ).rawValue
                return result
            }
            return outcome
        }
        dispose(request.groupID)
        return response
    }

    /// Whether the request's records fit one batch, and what they add fits the memory of groups.
    private func hasRoom(for request: OffsetCommitRequest) -> Bool {
        let offsets = groups[request.groupID]?.offsets
        var batchBytes = 0
        var added = offsets == nil ? ClassicGroup.emptyBytes + request.groupID.utf8.count : 0
        for topic in request.topics {
            let fixed =
                CoordinatorRecord.overhead + 48 + request.groupID.utf8.count + topic.name.utf8.count
            for partition in topic.partitions {
                let metadataBytes = partition.committedMetadata?.utf8.count ?? 0
                batchBytes += fixed + metadataBytes
                let known = offsets?[topic.name, partition.partitionIndex]
                added += metadataBytes - (known?.metadata.utf8.count ?? -CommittedOffsets.entryBytes)
            }
        }
        return context.fits(batchBytes) && context.hasRoom(for: added)
    }

    mutating func commit(
        _ offset: CommittedOffset, of groupID: String, _ topic: String, _ partition: Int32, producerID: ProducerID
    ) -> ErrorCode {
        let limit = context.settings.offsetMetadataMaxBytes
        // The record's string ends at 32,767 bytes, whatever the setting.
        guard offset.metadata.utf16.count <= limit, offset.metadata.utf8.count <= Int(Int16.max) else {
            return .offsetMetadataTooLarge
        }
        guard !topic.isEmpty, topic.utf8.count <= TopicName.maxLength else { return .unknownTopicOrPartition }
        context.counters.committedOffsets += 1
        write(
            GroupRecord.OffsetKey(groupID: groupID, topic: topic, partitionIndex: partition), offset,
            producerID: producerID)
        return .none
    }

    /// Checks who may commit when. A request without a generation (negative) comes from a consumer outside of group
    /// management, or from a tool, and the group must have no members.
    func commitRefusal(
        groupID: String, memberID: String, instanceID: String?, generationID: Int32, isTransactional: Bool,
        version: Int16 = .max, missingGroup: ErrorCode
    ) -> ErrorCode {
        if let phaseError { return phaseError }
        // The empty id is a group of simple consumers, for old clients.
        guard groupID.utf8.count <= Int(Int16.max) else { return .invalidGroupID }
        guard let group = groups[groupID] else { return generationID < 0 ? .none : missingGroup }
        if group.share != nil { return .groupIDNotFound }
        if let consumer = group.consumer {
            return consumer.commitRefusal(
                memberID: memberID, instanceID: instanceID, epoch: generationID, isTransactional: isTransactional,
                version: version)
        }
        if generationID < 0 && group.state == .empty { return .none }
        if generationID >= 0 || !memberID.isEmpty || instanceID != nil {
            if let error = group.refusal(ofMember: memberID, instanceID: instanceID) { return error }
            if generationID != group.generationID { return .illegalGeneration }
        } else if !isTransactional {
            return .unknownMemberID
        }
        // The generation is right, so the member has its JoinGroup reply; its assignment is not its own yet.
        return !isTransactional && group.state == .completingRebalance ? .rebalanceInProgress : .none
    }

    /// Checks one partition of a commit whose member was let in (`commitRefusal`). `topicID`: zero where it is not named.
    func partitionRefusal(
        _ groupID: String, _ topic: String, _ topicID: TopicID, _ partition: Int32, _ memberID: String, _ epoch: Int32
    ) -> ErrorCode {
        guard let consumer = groups[groupID]?.consumer else { return .none }
        let id = topicID == .zero ? context.topics.topic(named: topic)?.id : topicID
        return consumer.commitRefusal(of: id, partition, memberID, epoch)
    }

    // MARK: Fetch

    /// Returns the committed offsets of one group: of the topics named, or of all when they are `nil`. Topics must
    /// carry their names; an id, where given, must be that of the topic the offset was committed for.
    ///
    /// The reply is released by the rule of `GroupActions`, as it shows what may not be on disk yet. In the reply to
    /// "all", topics committed without an id have the zero id.
    public func offsetFetch(
        _ request: OffsetFetchRequest.OffsetFetchRequestGroup, requireStable: Bool
    ) -> OffsetFetchResponse.OffsetFetchResponseGroup {
        var response = OffsetFetchResponse.OffsetFetchResponseGroup()
        response.groupID = request.groupID
        if let phaseError {
            response.errorCode = phaseError.rawValue
            return response
        }
        let group = groups[request.groupID]
        let refusal =
            group?.share != nil
            ? .groupIDNotFound
            : group?.consumer?.fetchRefusal(memberID: request.memberID, epoch: request.memberEpoch) ?? .none
        guard refusal == .none else {
            response.errorCode = refusal.rawValue
            return response
        }
        if let topics = request.topics {
            response.topics = topics.map { topic in
                var result = OffsetFetchResponse.OffsetFetchResponseTopics()
                result.name = topic.name
                result.topicID = topic.topicID
                result.partitions = topic.partitionIndexes.map { index in
                    let offset = group?.offsets[topic.name, index]
                    let isOther = offset?.isOfOtherTopic(than: topic.topicID) ?? false
                    return fetched(isOther ? nil : offset, index, topic.name, of: group, requireStable)
                }
                return result
            }
        } else {
            response.topics = (group?.offsets.sorted ?? []).map { topic, partitions in
                var result = OffsetFetchResponse.OffsetFetchResponseTopics()
                result.name = topic
                result.topicID = partitions.last?.offset.topicID ?? .zero
                result.partitions = partitions.map { fetched($0.offset, $0.index, topic, of: group, requireStable) }
                return result
            }
        }
        return response
    }

    /// Clients differ in what nulls they bear, so nothing here is null: no offset is -1, -1 and "".
    private func fetched(
        _ offset: CommittedOffset?, _ index: Int32, _ topic: String, of group: ClassicGroup?, _ requireStable: Bool
    ) -> OffsetFetchResponse.OffsetFetchResponsePartitions {
        var result = OffsetFetchResponse.OffsetFetchResponsePartitions()
        result.partitionIndex = index
        result.committedOffset = -1
        result.committedLeaderEpoch = -1
        result.metadata = ""
        if requireStable, let group, hasPendingOffset(of: group, topic, index) {
            result.errorCode = ErrorCode.unstableOffsetCommit.rawValue
        } else if let offset {
            result.committedOffset = offset.offset
            result.committedLeaderEpoch = offset.leaderEpoch
            result.metadata = offset.metadata
        }
        return result
    }

    func hasPendingOffset(of group: ClassicGroup, _ topic: String, _ index: Int32) -> Bool {
        group.openTransactions.contains { pendingTransactions[$0]?[group.groupID]?[topic, index] != nil }
    }

    // MARK: Delete

    /// Deletes committed offsets of topics that the group does not subscribe to. Source: KIP-496.
    public mutating func offsetDelete(
        _ request: OffsetDeleteRequest, waiter: WaiterID, now: CoordinatorTime
    ) -> GroupActions {
        context.begin(now)
        var response = OffsetDeleteResponse()
        if let error = deleteRefusal(request.groupID) {
            response.errorCode = error.rawValue
        } else {
            response.topics = counting(request.groupID) { $0.delete(request.topics, of: request.groupID) }
        }
        context.reply(waiter, .offsetDelete(response))
        return context.finish()
    }

    private mutating func delete(
        _ topics: [OffsetDeleteRequest.OffsetDeleteRequestTopic], of groupID: String
    ) -> [OffsetDeleteResponse.OffsetDeleteResponseTopic] {
        topics.map { topic in
            var result = OffsetDeleteResponse.OffsetDeleteResponseTopic()
            result.name = topic.name
            let isSubscribed = groups[groupID]?.isSubscribed(to: topic.name) ?? false
            result.partitions = topic.partitions.map { partition in
                var outcome = OffsetDeleteResponse.OffsetDeleteResponsePartition()
                outcome.partitionIndex = partition.partitionIndex
                if isSubscribed {
                    outcome.errorCode = ErrorCode.groupSubscribedToTopic.rawValue
                } else {
                    delete(topic.name, partition.partitionIndex, of: groupID)
                }
                return outcome
            }
            return result
        }
    }

    private func deleteRefusal(_ groupID: String) -> ErrorCode? {
        if let phaseError { return phaseError }
        guard Self.isValidName(groupID) else { return .invalidGroupID }
        guard let group = groups[groupID], group.share == nil else { return .groupIDNotFound }
        // Of other protocol types nobody knows what its members read.
        return group.state != .empty && !group.usesConsumerProtocol ? .nonEmptyGroup : nil
    }

    /// Writes a tombstone if there is anything to delete, committed or pending.
    mutating func delete(_ topic: String, _ partition: Int32, of groupID: String) {
        guard hasOffset(of: groupID, topic, partition) else { return }
        context.counters.deletedOffsets += 1
        write(GroupRecord.OffsetKey(groupID: groupID, topic: topic, partitionIndex: partition), nil)
    }

    /// Whether the group has an offset, committed or pending. Of a group that is at hand instead, a copy of all its offsets
    /// would be made when one of them is deleted.
    private func hasOffset(of groupID: String, _ topic: String, _ partition: Int32) -> Bool {
        guard let group = groups[groupID] else { return false }
        return group.offsets[topic, partition] != nil || hasPendingOffset(of: group, topic, partition)
    }

    /// The group's committed offsets, and those pending in each of its transactions.
    func stores(of group: ClassicGroup) -> [CommittedOffsets] {
        [group.offsets] + group.openTransactions.compactMap { pendingTransactions[$0]?[group.groupID] }
    }
}
