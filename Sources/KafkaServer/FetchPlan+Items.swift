import BrokerCore
import KafkaModel
import KafkaWire
import LogStorage
import Security

/// Makes a plan of a request and its session.
extension FetchPlan {
    /// `session` has been changed by the request.
    convenience init(
        reply: ReplyTicket, _ reader: inout FetchRequestReader, session: FetchSession?, _ server: KafkaServer,
        _ permissions: Permissions, _ decisions: LoopDecisions?, sendsFiles: Bool, most: Int = .max
    ) {
        let broker = server.broker
        let rights = FetchRights(permissions, isFollower: reader.replicaID >= 0)
        // Before anything is decided: what changes meanwhile is asked again after the wait.
        let rulesNumber = broker.rulesNumber
        let catalog = broker.catalog
        self.init(
            reply: reply, items: session == nil ? Self.items(&reader, catalog, rights, decisions) : [],
            maxWaitMs: reader.maxWaitMs,
            minBytes: Int(reader.minBytes),
            maxBytes: min(Int(max(0, reader.maxBytes)), server.options.maxFetchBytes, most),
            readsCommitted: reader.isolationLevel == 1,
            fileFrom: sendsFiles ? KafkaConnection.fileFrom : .max,
            maxInlinePartitions: server.options.maxInlinePartitions, session: session, rights: rights)
        self.rulesNumber = rulesNumber
        isFull = reader.sessionEpoch <= 0
        takeItems(catalog, decisions)
    }

    /// Returns the partitions of a request without a session, with their logs.
    private static func items(
        _ reader: inout FetchRequestReader, _ catalog: TopicCatalog, _ rights: FetchRights, _ decisions: LoopDecisions?
    ) -> [Item] {
        let version = reader.version
        var items: [Item] = []
        items.reserveCapacity(reader.partitionCount)
        while let topic = reader.nextTopic() {
            let name = Array(topic.name)
            let found = find(topic.topicID, name, catalog, version)
            let mayRead = rights.mayRead(found, name, byID: version >= 13, decisions)
            while let partition = reader.nextPartition() {
                items.append(Item(partition, of: topic.topicID, name, found, version, mayRead))
            }
        }
        return items
    }

    /// Takes what is ready in the session, with the logs and the rights that are found now: before the first look, and after a
    /// wait. `decisions`: on their loop alone.
    func takeItems(_ catalog: TopicCatalog, _ decisions: LoopDecisions?) {
        guard let session else { return }
        let version = reply.version
        if isFull { session.markAll() }
        let ready = session.takeReady()
        items.removeAll(keepingCapacity: true)
        items.reserveCapacity(ready.count)
        // Neighbours are often of one topic: it is looked up once for all of them.
        var topic: Topic?
        var mayRead = true
        var last = -1
        for slot in ready {
            let key = session.entries[Int(slot)].key
            if last < 0 || !key.isSameTopic(as: session.entries[last].key) {
                topic = Self.find(key.topicID, key.topicName, catalog, version)
                mayRead = rights.mayRead(topic, key.topicName, byID: version >= 13, decisions)
                last = Int(slot)
            }
            var item = Item(session.entries[Int(slot)], topic, version, mayRead)
            item.sessionSlot = slot
            items.append(item)
        }
    }

    private static func find(_ id: TopicID, _ name: [UInt8], _ catalog: TopicCatalog, _ version: Int16) -> Topic? {
        version >= 13 ? catalog.topic(id: id) : name.withUnsafeBytes { catalog.topic(named: $0) }
    }
}

extension FetchSession.Key {
    fileprivate func isSameTopic(as other: Self) -> Bool { topicID == other.topicID && topicName == other.topicName }
}

extension FetchPlan.Item {
    fileprivate init(_ entry: FetchSession.Entry, _ topic: Topic?, _ version: Int16, _ mayRead: Bool) {
        let log = mayRead ? topic?.partition(entry.key.partitionIndex) : nil
        self.init(
            topicName: entry.key.topicName, topicID: entry.key.topicID, partitionIndex: entry.key.partitionIndex,
            log: log, error: Self.error(log, topic, version, mayRead), fetchOffset: entry.fetchOffset,
            maxBytes: entry.maxBytes,
            currentLeaderEpoch: entry.currentLeaderEpoch)
    }

    fileprivate init(
        _ partition: FetchRequestReader.Partition, of id: TopicID, _ name: [UInt8], _ topic: Topic?, _ version: Int16,
        _ mayRead: Bool
    ) {
        let log = mayRead ? topic?.partition(partition.index) : nil
        self.init(
            topicName: name, topicID: id, partitionIndex: partition.index, log: log,
            error: Self.error(log, topic, version, mayRead), fetchOffset: partition.fetchOffset,
            maxBytes: Int(max(0, partition.maxBytes)), currentLeaderEpoch: partition.currentLeaderEpoch)
    }

    private static func error(
        _ log: PartitionLog?, _ topic: Topic?, _ version: Int16, _ mayRead: Bool
    ) -> ErrorCode {
        if !mayRead { return .topicAuthorizationFailed }
        if log != nil { return .none }
        return version >= 13 && topic == nil ? .unknownTopicID : .unknownTopicOrPartition
    }
}

extension FetchSession.Entry {
    fileprivate init(_ partition: FetchRequestReader.Partition, of id: TopicID, _ name: [UInt8]) {
        self.init(
            key: .init(topicID: id, topicName: name, partitionIndex: partition.index),
            fetchOffset: partition.fetchOffset, maxBytes: Int(max(0, partition.maxBytes)),
            currentLeaderEpoch: partition.currentLeaderEpoch)
    }
}

extension FetchSession {
    /// Returns the bytes that the partitions of a request would keep in a session.
    static func bytes(of reader: FetchRequestReader) -> Int {
        var topics = reader
        var bytes = 0
        while let topic = topics.nextTopic() { bytes += topic.partitionCount * Self.bytes(of: topic.name.count) }
        return bytes
    }

    /// Takes what the request says, and then forgets what it says, in Kafka's order: what it both names and forgets is gone. A
    /// full one, which begins the session, forgets nothing. To be settled afterwards (`FetchSessions`).
    func change(by request: FetchRequestReader) {
        read(committed: request.isolationLevel == 1)
        // A copy: a session that has nothing left is answered by a plan of the request.
        var reader = request
        while let topic = reader.nextTopic() {
            let name = Array(topic.name)
            while let partition = reader.nextPartition() { update(Entry(partition, of: topic.topicID, name)) }
        }
        if reader.sessionEpoch <= 0 { return }
        while let topic = reader.nextForgottenTopic() {
            let name = Array(topic.name)
            while let index = reader.nextForgottenPartition() {
                forget(.init(topicID: topic.topicID, topicName: name, partitionIndex: index))
            }
        }
    }
}

/// What a fetch may read, at each time that it is asked.
struct FetchRights: Sendable {
    static let all = FetchRights(.all, isFollower: false)

    private let permissions: Permissions
    /// A follower is asked for the right of followers, and for nothing on topics.
    private let isFollower: Bool

    init(_ permissions: Permissions, isFollower: Bool) {
        self.permissions = permissions
        self.isFollower = isFollower
    }

    var isUnlimited: Bool { permissions.isUnlimited }

    /// A name is asked about whether there is such a topic or not; of an id that is unknown nothing can be asked. By
    /// `decisions` on their loop, without on a worker.
    func mayRead(_ topic: Topic?, _ name: [UInt8], byID: Bool, _ decisions: LoopDecisions?) -> Bool {
        if permissions.isUnlimited || topic == nil && byID { return true }
        if isFollower { return permissions.allowsOnCluster(.clusterAction) }
        guard let decisions else {
            return permissions.allows(.read, topic: topic?.name ?? String(decoding: name, as: UTF8.self))
        }
        return (topic?.nameBytes ?? name).withUnsafeBytes { permissions.allows(.read, topic: $0, by: decisions) }
    }
}
