public import KafkaModel
public import KafkaWire

/// What one API needs, and how it refuses. An API with several rows has several kinds of request.
public struct AccessRow: Sendable {
    public let api: APIKey
    /// Which kind of request; empty for all.
    public let kind: String
    /// Looked at in this order; the first that fails refuses.
    public let steps: [AccessStep]

    init(_ api: APIKey, _ kind: String = "", _ steps: AccessStep...) {
        self.api = api
        self.kind = kind
        self.steps = steps
    }
}

/// One check: any one of `needs` suffices.
public struct AccessStep: Hashable, Sendable {
    public struct Need: Hashable, Sendable {
        public let operation: AclOperation
        public let resource: ResourceType
        /// On one resource of the type at least, whichever.
        public let onAny: Bool
    }

    /// Where in the reply the refusal stands.
    public enum Place: String, Hashable, Sendable {
        /// The only error of the reply, or the one above all items.
        case topLevel
        /// On the item that was refused: a partition, topic, group, key or resource.
        case item
        /// On every item of the request, for it is refused as a whole.
        case everyItem
        /// Above all items, and on each as well.
        case topLevelAndItems
        /// On the group that the refused topic belongs to; its members are left out.
        case wholeItem
        /// No error: what may not be seen is not there.
        case leftOut
        /// No error: a part of the reply is empty, or says so in a field of its own.
        case partOfReply
    }

    public let needs: [Need]
    public let error: ErrorCode
    public let place: Place

    fileprivate static func need(_ operation: AclOperation, _ resource: ResourceType, onAny: Bool = false) -> Need {
        Need(operation: operation, resource: resource, onAny: onAny)
    }

    fileprivate init(_ needs: [Need], _ error: ErrorCode, _ place: Place) {
        self.needs = needs
        self.error = error
        self.place = place
    }
}

private func topic(_ operation: AclOperation, _ place: AccessStep.Place = .item) -> AccessStep {
    AccessStep([AccessStep.need(operation, .topic)], place == .leftOut ? .none : .topicAuthorizationFailed, place)
}

private func group(_ operation: AclOperation, _ place: AccessStep.Place = .topLevel) -> AccessStep {
    AccessStep([AccessStep.need(operation, .group)], place == .leftOut ? .none : .groupAuthorizationFailed, place)
}

private func cluster(_ operation: AclOperation, _ place: AccessStep.Place = .topLevel) -> AccessStep {
    AccessStep([AccessStep.need(operation, .cluster)], .clusterAuthorizationFailed, place)
}

private func transaction(_ operation: AclOperation, _ place: AccessStep.Place = .topLevel) -> AccessStep {
    AccessStep(
        [AccessStep.need(operation, .transactionalID)],
        place == .leftOut ? .none : .transactionalIDAuthorizationFailed, place)
}

/// Either suffices, whatever the other one's DENY says.
private func clusterOrTopic(
    _ operation: AclOperation, orTopic topic: AclOperation? = nil, _ place: AccessStep.Place = .item
) -> AccessStep {
    AccessStep(
        [AccessStep.need(operation, .cluster), AccessStep.need(topic ?? operation, .topic)],
        place == .partOfReply ? .none : .topicAuthorizationFailed, place)
}

/// Kafka 4.3.1's table, and our own APIs: every API a client can call. Authorization comes before existence unless a row's kind says
/// otherwise.
public enum AccessTable {
    public static let rows: [AccessRow] = records + groups + transactions + topics + clusters + share + own

    /// APIs that ask for nothing.
    public static let open: Set<APIKey> = [
        .saslHandshake, .apiVersions, .saslAuthenticate, .getTelemetrySubscriptions, .pushTelemetry,
    ]

    /// APIs between the nodes of Apache Kafka that no listener of ours serves.
    public static let unserved: Set<APIKey> = [
        .leaderAndIsr, .stopReplica, .updateMetadata, .controlledShutdown, .vote, .beginQuorumEpoch, .endQuorumEpoch,
        .alterPartition, .envelope, .fetchSnapshot, .brokerRegistration, .brokerHeartbeat, .allocateProducerIDs,
        .controllerRegistration, .assignReplicasToDirs, .updateRaftVoter, .unregisterController,
    ]

    private static let byAPI = Dictionary(grouping: rows, by: \.api)

    public static func rows(of api: APIKey) -> [AccessRow] { byAPI[api] ?? [] }

    private static let records: [AccessRow] = [
        // Order of errors: 100, 29, 3. With acks=0 the connection closes. IDEMPOTENT_WRITE is not looked at.
        AccessRow(.produce, "", topic(.write)),
        AccessRow(.produce, "a transactional batch", transaction(.write, .everyItem), topic(.write)),
        AccessRow(.fetch, "a consumer", topic(.read)),
        AccessRow(
            .fetch, "a follower",
            AccessStep([AccessStep.need(.clusterAction, .cluster)], .topicAuthorizationFailed, .everyItem)),
        AccessRow(.listOffsets, "", topic(.describe)),
        AccessRow(
            .offsetForLeaderEpoch, "",
            AccessStep(
                [AccessStep.need(.clusterAction, .cluster), AccessStep.need(.describe, .topic)],
                .topicAuthorizationFailed, .item)),
        AccessRow(.describeProducers, "", topic(.read)),
        AccessRow(.deleteRecords, "", topic(.delete)),
    ]

    private static let groups: [AccessRow] = [
        AccessRow(.offsetCommit, "", group(.read, .everyItem), topic(.read)),
        AccessRow(.offsetFetch, "named topics", group(.describe, .item), topic(.describe)),
        AccessRow(.offsetFetch, "all topics", group(.describe, .item), topic(.describe, .leftOut)),
        AccessRow(.findCoordinator, "of a group", group(.describe, .item)),
        AccessRow(.findCoordinator, "of a transactional id", transaction(.describe, .item)),
        AccessRow(.findCoordinator, "of a share partition", cluster(.clusterAction, .item)),
        AccessRow(.joinGroup, "", group(.read)),
        AccessRow(.heartbeat, "", group(.read)),
        AccessRow(.leaveGroup, "", group(.read)),
        AccessRow(.syncGroup, "", group(.read)),
        AccessRow(.describeGroups, "", group(.describe, .item)),
        AccessRow(.deleteGroups, "", group(.delete, .item)),
        AccessRow(
            .listGroups, "",
            AccessStep([AccessStep.need(.describe, .cluster), AccessStep.need(.describe, .group)], .none, .leftOut)),
        AccessRow(.offsetDelete, "", group(.delete), topic(.read)),
        // Every subscribed name has to be visible; a pattern meets only what is.
        AccessRow(.consumerGroupHeartbeat, "", group(.read), topic(.describe, .topLevel)),
        AccessRow(.consumerGroupDescribe, "", group(.describe, .item), topic(.describe, .wholeItem)),
    ]

    private static let transactions: [AccessRow] = [
        AccessRow(.initProducerID, "with a transactional id", transaction(.write)),
        AccessRow(
            .initProducerID, "with a transactional id, two phases", transaction(.write), transaction(.twoPhaseCommit)),
        AccessRow(
            .initProducerID, "without a transactional id",
            AccessStep(
                [AccessStep.need(.idempotentWrite, .cluster), AccessStep.need(.write, .topic, onAny: true)],
                .clusterAuthorizationFailed, .topLevel)),
        // One refused topic: the good ones get OPERATION_NOT_ATTEMPTED. Internal topics are always refused.
        AccessRow(.addPartitionsToTxn, "version 0 to 3", transaction(.write, .everyItem), topic(.write)),
        AccessRow(.addPartitionsToTxn, "version 4 and later", cluster(.clusterAction)),
        AccessRow(.addOffsetsToTxn, "", transaction(.write), group(.read)),
        AccessRow(.endTxn, "", transaction(.write)),
        AccessRow(.txnOffsetCommit, "", transaction(.write, .everyItem), group(.read, .everyItem), topic(.read)),
        AccessRow(
            .writeTxnMarkers, "",
            AccessStep(
                [AccessStep.need(.alter, .cluster), AccessStep.need(.clusterAction, .cluster)],
                .clusterAuthorizationFailed, .topLevel)),
        AccessRow(.describeTransactions, "", transaction(.describe, .item), topic(.describe, .leftOut)),
        AccessRow(.listTransactions, "", transaction(.describe, .leftOut)),
    ]

    private static let topics: [AccessRow] = [
        AccessRow(.metadata, "by name", topic(.describe)),
        AccessRow(.metadata, "by name, to be created", topic(.describe), clusterOrTopic(.create)),
        AccessRow(.metadata, "all topics", topic(.describe, .leftOut)),
        AccessRow(.metadata, "by id", topic(.describe)),
        AccessRow(.describeTopicPartitions, "by name", topic(.describe)),
        AccessRow(.describeTopicPartitions, "all topics", topic(.describe, .leftOut)),
        AccessRow(
            .createTopics, "", clusterOrTopic(.create),
            AccessStep([AccessStep.need(.describeConfigs, .topic)], .topicAuthorizationFailed, .partOfReply)),
        // Who may DELETE on the cluster is asked for nothing on the topics. Else by name: who may not describe it gets 29
        // whether it exists or not; then existence; then DELETE.
        AccessRow(.deleteTopics, "by name", clusterOrTopic(.delete, orTopic: .describe), clusterOrTopic(.delete)),
        AccessRow(.deleteTopics, "by id", clusterOrTopic(.delete, orTopic: .describe), clusterOrTopic(.delete)),
        AccessRow(.createPartitions, "", topic(.alter)),
    ]

    private static let clusters: [AccessRow] = [
        AccessRow(.describeAcls, "", cluster(.describe)),
        AccessRow(.createAcls, "", cluster(.alter, .everyItem)),
        AccessRow(.deleteAcls, "", cluster(.alter, .everyItem)),
        AccessRow(.describeConfigs, "of a topic", topic(.describeConfigs)),
        AccessRow(.describeConfigs, "of a group", group(.describeConfigs, .item)),
        AccessRow(.describeConfigs, "of a broker", cluster(.describeConfigs, .item)),
        AccessRow(.alterConfigs, "of a topic", topic(.alterConfigs)),
        AccessRow(.alterConfigs, "of a group", group(.alterConfigs, .item)),
        AccessRow(.alterConfigs, "of a broker", cluster(.alterConfigs, .item)),
        AccessRow(.incrementalAlterConfigs, "of a topic", topic(.alterConfigs)),
        AccessRow(.incrementalAlterConfigs, "of a group", group(.alterConfigs, .item)),
        AccessRow(.incrementalAlterConfigs, "of a broker", cluster(.alterConfigs, .item)),
        AccessRow(.alterReplicaLogDirs, "", cluster(.alter, .everyItem)),
        AccessRow(.describeLogDirs, "", cluster(.describe)),
        AccessRow(
            .createDelegationToken, "for another owner",
            AccessStep([AccessStep.need(.createTokens, .user)], .delegationTokenAuthorizationFailed, .topLevel)),
        AccessRow(.createDelegationToken, "for oneself"),
        AccessRow(.renewDelegationToken),
        AccessRow(.expireDelegationToken),
        AccessRow(
            .describeDelegationToken, "of another owner",
            AccessStep(
                [AccessStep.need(.describe, .delegationToken), AccessStep.need(.describeTokens, .user)], .none,
                .leftOut)),
        AccessRow(.electLeaders, "", cluster(.alter, .topLevelAndItems)),
        AccessRow(.alterPartitionReassignments, "", cluster(.alter)),
        AccessRow(.listPartitionReassignments, "", cluster(.describe)),
        AccessRow(.describeClientQuotas, "", cluster(.describeConfigs)),
        AccessRow(.alterClientQuotas, "", cluster(.alterConfigs, .everyItem)),
        AccessRow(.describeUserScramCredentials, "", cluster(.describe, .topLevelAndItems)),
        AccessRow(.alterUserScramCredentials, "", cluster(.alter, .everyItem)),
        AccessRow(.describeQuorum, "", cluster(.describe)),
        AccessRow(.updateFeatures, "", cluster(.alter)),
        // Only its bitfield needs DESCRIBE; it is never refused.
        AccessRow(
            .describeCluster, "", AccessStep([AccessStep.need(.describe, .cluster)], .none, .partOfReply)),
        AccessRow(.unregisterBroker, "", cluster(.alter)),
        AccessRow(.listConfigResources, "", cluster(.describeConfigs)),
        AccessRow(.addRaftVoter, "", cluster(.alter)),
        AccessRow(.removeRaftVoter, "", cluster(.alter)),
    ]

    private static let share: [AccessRow] = [
        AccessRow(.shareGroupHeartbeat, "", group(.read), topic(.describe, .topLevel)),
        AccessRow(.shareGroupDescribe, "", group(.describe, .item), topic(.describe, .wholeItem)),
        AccessRow(.shareFetch, "", group(.read), topic(.read)),
        AccessRow(.shareAcknowledge, "", group(.read), topic(.read)),
        AccessRow(.initializeShareGroupState, "", cluster(.clusterAction, .everyItem)),
        AccessRow(.readShareGroupState, "", cluster(.clusterAction, .everyItem)),
        AccessRow(.writeShareGroupState, "", cluster(.clusterAction, .everyItem)),
        AccessRow(.deleteShareGroupState, "", cluster(.clusterAction, .everyItem)),
        AccessRow(.readShareGroupStateSummary, "", cluster(.clusterAction, .everyItem)),
        // Without CREATE: the status MISSING_INTERNAL_TOPICS, no error.
        AccessRow(
            .streamsGroupHeartbeat, "", group(.read), topic(.describe, .topLevel),
            clusterOrTopic(.create, .partOfReply)),
        AccessRow(.streamsGroupDescribe, "", group(.describe, .item), topic(.describe, .wholeItem)),
        AccessRow(.describeShareGroupOffsets, "named topics", group(.describe, .item), topic(.describe)),
        AccessRow(.describeShareGroupOffsets, "all topics", group(.describe, .item), topic(.describe, .leftOut)),
        AccessRow(.alterShareGroupOffsets, "", group(.read), topic(.read)),
        AccessRow(.deleteShareGroupOffsets, "", group(.delete), topic(.read)),
        AccessRow(.streamsGroupTopologyDescriptionUpdate, "", group(.read)),
    ]

    /// A key acts for its owner, so who makes one may do all that anybody may.
    private static let own: [AccessRow] = [
        AccessRow(.describeGatewayKeys, "", cluster(.describe)),
        AccessRow(.alterGatewayKeys, "", cluster(.alter, .everyItem)),
    ]
}
