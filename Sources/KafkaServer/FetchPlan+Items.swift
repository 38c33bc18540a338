import BrokerCore
import KafkaModel
import KafkaWire
import LogStorage

/// Makes a plan of a request and its session.
extension FetchPlan {
    /// `session` has been changed by the request.
    convenience init(
        reply: ReplyTicket, _ reader: inout FetchRequestReader, session: FetchSession?, _ server: KafkaServer,
        sendsFiles: Bool
    ) {
        let catalog = server.broker.catalog
        self.init(
            reply: reply, items: session == nil ? Self.items(&reader, catalog) : [], maxWaitMs: reader.maxWaitMs,
            minBytes: Int(reader.minBytes), maxBytes: min(Int(max(0, reader.maxBytes)), server.options.maxFetchBytes),
            readsCommitted: reader.isolationLevel == 1,
            fileFrom: sendsFiles ? KafkaConnection.fileFrom : .max, session: session)
        isFull = reader.sessionEpoch <= 0
        takeItems(catalog)
    }

    /// Returns the partitions of a request without a session, with their logs.
    private static func items(_ reader: inout FetchRequestReader, _ catalog: TopicCatalog) -> [Item] {
        let version = reader.version
        var items: [Item] = []
        items.reserveCapacity(reader.partitionCount)
        while let topic = reader.nextTopic() {
            let name = Array(topic.name)
            let found = find(topic.topicID, name, catalog, version)
            while let partition = reader.nextPartition() {
                items.append(Item(partition, of: topic.topicID, name, found, version))
            }
        }
        return items
    }

    /// Takes what is ready in the session, with the logs that are found now: before the first look, and after a wait.
    func takeItems(_ catalog: TopicCatalog) {
        guard let session else { return }
        let version = reply.version
        session.name(byID: version >= 13)
        if isFull { session.markAll() }
        let ready = session.takeReady()
        items.removeAll(keepingCapacity: true)
        items.reserveCapacity(ready.count)
        // Neighbours are often of one topic: it is looked up once for all of them.
        var topic: Topic?
        var last = -1
        for slot in ready {
            let key = session.entries[Int(slot)].key
            if last < 0 || !key.isSameTopic(as: session.entries[last].key) {
                topic = Self.find(key.topicID, key.topicName, catalog, version)
                last = Int(slot)
            }
            var item = Item(session.entries[Int(slot)], topic, version)
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
    fileprivate init(_ entry: FetchSession.Entry, _ topic: Topic?, _ version: Int16) {
        let log = topic?.partition(entry.key.partitionIndex)
        self.init(
            topicName: entry.key.topicName, topicID: entry.key.topicID, partitionIndex: entry.key.partitionIndex,
            log: log, error: Self.error(log, topic, version), fetchOffset: entry.fetchOffset, maxBytes: entry.maxBytes,
            currentLeaderEpoch: entry.currentLeaderEpoch)
    }

    fileprivate init(
        _ partition: FetchRequestReader.Partition, of id: TopicID, _ name: [UInt8], _ topic: Topic?, _ version: Int16
    ) {
        let log = topic?.partition(partition.index)
        self.init(
            topicName: name, topicID: id, partitionIndex: partition.index, log: log,
            error: Self.error(log, topic, version), fetchOffset: partition.fetchOffset,
            maxBytes: Int(max(0, partition.maxBytes)), currentLeaderEpoch: partition.currentLeaderEpoch)
    }

    private static func error(_ log: PartitionLog?, _ topic: Topic?, _ version: Int16) -> ErrorCode {
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

    /// Forgets and takes what the request says. To be settled afterwards (`FetchSessions`).
    func change(by reader: inout FetchRequestReader) {
        while let topic = reader.nextForgottenTopic() {
            let name = Array(topic.name)
            while let index = reader.nextForgottenPartition() {
                forget(.init(topicID: topic.topicID, topicName: name, partitionIndex: index))
            }
        }
        while let topic = reader.nextTopic() {
            let name = Array(topic.name)
            while let partition = reader.nextPartition() { update(Entry(partition, of: topic.topicID, name)) }
        }
    }
}
