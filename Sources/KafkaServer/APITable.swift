import ByteBuffers
import KafkaWire

/// One served API: its handler and the versions it decodes.
struct API: Sendable {
    typealias Handler = @Sendable (KafkaConnection, borrowing Request) throws(DecodeError) -> Void

    let key: APIKey
    let versions: ClosedRange<Int16>
    /// What ApiVersions tells; wider than `versions` where old clients conclude from the lowest.
    let advertised: ClosedRange<Int16>
    let handle: Handler

    init(_ key: APIKey, _ handle: @escaping Handler) {
        guard let versions = key.codecVersions, let advertised = key.advertisedVersions else {
            preconditionFailure("\(key) is served but has no codec")
        }
        self.key = key
        self.versions = versions
        self.advertised = advertised
        self.handle = handle
    }
}

/// Everything that is served; ApiVersions answers from it. A new API is a schema, a handler in `Handlers`, a line here,
/// and a test.
enum APITable {
    static let all: [API] = [
        API(.produce) { c, r throws(DecodeError) in try c.produce(r) },
        API(.fetch) { c, r throws(DecodeError) in try c.fetch(r) },
        API(.listOffsets) { c, r throws(DecodeError) in try c.listOffsets(r) },
        API(.metadata) { c, r throws(DecodeError) in try c.metadata(r) },
        API(.offsetCommit) { c, r throws(DecodeError) in try c.offsetCommit(r) },
        API(.offsetFetch) { c, r throws(DecodeError) in try c.offsetFetch(r) },
        API(.findCoordinator) { c, r throws(DecodeError) in try c.findCoordinator(r) },
        API(.joinGroup) { c, r throws(DecodeError) in try c.joinGroup(r) },
        API(.heartbeat) { c, r throws(DecodeError) in try c.heartbeat(r) },
        API(.leaveGroup) { c, r throws(DecodeError) in try c.leaveGroup(r) },
        API(.syncGroup) { c, r throws(DecodeError) in try c.syncGroup(r) },
        API(.describeGroups) { c, r throws(DecodeError) in try c.describeGroups(r) },
        API(.listGroups) { c, r throws(DecodeError) in try c.listGroups(r) },
        API(.apiVersions) { c, r throws(DecodeError) in try c.apiVersions(r) },
        API(.createTopics) { c, r throws(DecodeError) in try c.createTopics(r) },
        API(.deleteTopics) { c, r throws(DecodeError) in try c.deleteTopics(r) },
        API(.deleteRecords) { c, r throws(DecodeError) in try c.deleteRecords(r) },
        API(.initProducerID) { c, r throws(DecodeError) in try c.initProducerID(r) },
        API(.offsetForLeaderEpoch) { c, r throws(DecodeError) in try c.offsetForLeaderEpoch(r) },
        API(.describeConfigs) { c, r throws(DecodeError) in try c.describeConfigs(r) },
        API(.alterConfigs) { c, r throws(DecodeError) in try c.alterConfigs(r) },
        API(.describeLogDirs) { c, r throws(DecodeError) in try c.describeLogDirs(r) },
        API(.createPartitions) { c, r throws(DecodeError) in try c.createPartitions(r) },
        API(.deleteGroups) { c, r throws(DecodeError) in try c.deleteGroups(r) },
        API(.incrementalAlterConfigs) { c, r throws(DecodeError) in try c.incrementalAlterConfigs(r) },
        API(.offsetDelete) { c, r throws(DecodeError) in try c.offsetDelete(r) },
        API(.describeCluster) { c, r throws(DecodeError) in try c.describeCluster(r) },
        API(.describeTopicPartitions) { c, r throws(DecodeError) in try c.describeTopicPartitions(r) },
    ]
}
