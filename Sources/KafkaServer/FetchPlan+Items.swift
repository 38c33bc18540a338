import BrokerCore
import KafkaModel
import KafkaWire

/// Makes a plan of a request and its session.
extension FetchPlan {
    convenience init(
        reply: ReplyTicket, items: [Item], _ reader: FetchRequestReader, session: FetchSession?, _ server: KafkaServer,
        sendsFiles: Bool
    ) {
        self.init(
            reply: reply, items: items, maxWaitMs: reader.maxWaitMs, minBytes: Int(reader.minBytes),
            maxBytes: min(Int(max(0, reader.maxBytes)), server.options.maxFetchBytes),
            readsCommitted: reader.isolationLevel == 1,
            fileFrom: sendsFiles ? KafkaConnection.fileFrom : .max, session: session)
        isFull = reader.sessionEpoch <= 0
    }

    /// Returns the partitions of the request, or of its session (which has been changed by it), with their logs.
    static func items(_ reader: inout FetchRequestReader, _ session: FetchSession?, _ catalog: TopicCatalog) -> [Item] {
        let version = reader.version
        var items: [Item] = []
        guard let session else {
            items.reserveCapacity(reader.partitionCount)
            while let topic = reader.nextTopic() {
                let name = Array(topic.name)
                let found = find(topic.topicID, name, catalog, version)
                while let partition = reader.nextPartition() {
                    let entry = FetchSession.Entry(partition, of: topic.topicID, name)
                    items.append(Item(entry, found, version))
                }
            }
            return items
        }
        items.reserveCapacity(session.count)
        // Neighbours are often of one topic: it is looked up once for all of them.
        var last: (key: FetchSession.Key, topic: Topic?)?
        session.forEach { slot, entry in
            if last?.key.topicID != entry.key.topicID || last?.key.topicName != entry.key.topicName {
                last = (entry.key, find(entry.key.topicID, entry.key.topicName, catalog, version))
            }
            var item = Item(entry, last?.topic, version)
            item.sessionSlot = slot
            items.append(item)
        }
        return items
    }

    private static func find(_ id: TopicID, _ name: [UInt8], _ catalog: TopicCatalog, _ version: Int16) -> Topic? {
        version >= 13 ? catalog.topic(id: id) : name.withUnsafeBytes { catalog.topic(named: $0) }
    }
}

extension FetchPlan.Item {
    fileprivate init(_ entry: FetchSession.Entry, _ topic: Topic?, _ version: Int16) {
        let log = topic?.partition(entry.key.partitionIndex)
        var error = ErrorCode.none
        if log == nil { error = version >= 13 && topic == nil ? .unknownTopicID : .unknownTopicOrPartition }
        self.init(
            topicName: entry.key.topicName, topicID: entry.key.topicID, partitionIndex: entry.key.partitionIndex,
            log: log, error: error, fetchOffset: entry.fetchOffset, maxBytes: entry.maxBytes,
            currentLeaderEpoch: entry.currentLeaderEpoch)
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
