import BrokerCore
import ByteBuffers
import KafkaModel
import KafkaWire
import LogStorage
import Security
import Transport

/// Metadata: the broker and its topics.
///
/// A topic named several times is answered once, as by Kafka, for which names and ids are sets. A topic that does not exist is made when the client allows it and `auto.create.topics.enable` is on; the reply then
/// shows it ready for use (Kafka answers LEADER_NOT_AVAILABLE first). Versions: 0 an empty list means all; 1 null means
/// all; 4 auto-creation is the client's choice; 10 topic ids (KIP-516); 12 by id.
extension KafkaConnection {
    func metadata(_ request: borrowing Request) throws(DecodeError) {
        let context = answerContext(request.ticket)
        let (pool, mutations) = (loop.eventLoop.pool, mutations)
        let auditor = broker.options.autoCreateTopics ? auditor : nil
        try answer(request, MetadataRequest.self, Self.metadataPrice) { asked in
            let question = MetadataQuestion(asked, context, mutations, auditor)
            return (question, question.price)
        } onLoop: { connection, question in
            guard question.missing.isEmpty else { return false }
            connection.reply(question.response([:]), to: context.ticket)
            return true
        } onWorker: { question, bytes, done in
            question.answer(priced: bytes, pool, done)
        }
    }

    /// The shortest names are two bytes.
    static let metadataPrice = RequestPrice(decoded: 24)
}

/// A Metadata request without what it says twice.
private struct MetadataQuestion: Sendable {
    let asked: MetadataRequest
    let context: AnswerContext
    private let mutations: MutationCharge?
    private let auditor: Auditor?
    /// Nil: all topics.
    private var topics: [MetadataRequest.MetadataRequestTopic]?
    /// Names of topics that are to be made.
    private(set) var missing: [String] = []

    init(
        _ asked: MetadataRequest, _ context: AnswerContext, _ mutations: MutationCharge?, _ auditor: Auditor?
    ) {
        self.asked = asked
        self.context = context
        self.mutations = mutations
        self.auditor = auditor
        guard let named = asked.topics, context.version > 0 || !named.isEmpty else { return }
        var names: Set<ExactString> = []
        var ids: Set<TopicID> = []
        let distinct = named.filter { topic in
            topic.topicID != .zero
                ? ids.insert(topic.topicID).inserted : names.insert(ExactString(topic.name ?? "")).inserted
        }
        topics = distinct
        guard asked.allowAutoTopicCreation, context.broker.options.autoCreateTopics else { return }
        let catalog = context.broker.catalog
        missing = distinct.compactMap { topic in
            guard topic.topicID == .zero, let name = topic.name, catalog.topic(named: name) == nil,
                TopicName.problem(name) == nil, context.permissions.allows(.describe, topic: name, quietly: true),
                context.permissions.allowsOnClusterOr(.create, topic: name, quietly: true)
            else { return nil }
            return name
        }
    }

    private func find(_ topic: MetadataRequest.MetadataRequestTopic, in catalog: TopicCatalog) -> Topic? {
        topic.topicID != .zero
            ? catalog.topic(id: topic.topicID) : topic.name.flatMap { catalog.topic(named: $0) }
    }

    /// Bytes of memory of the reply.
    var price: Int {
        let catalog = context.broker.catalog
        var count = catalog.topicCount
        var partitions = catalog.partitionCount
        if let topics {
            count = topics.count
            partitions = topics.reduce(0) { $0 + (find($1, in: catalog)?.partitions.count ?? 0) }
        }
        var price = ReplyPrice()
        price.add(count, MetadataResponse.MetadataResponseTopic.self, text: TopicName.usualLength)
        price.add(partitions, MetadataResponse.MetadataResponsePartition.self, text: 0)
        // What is asked for stands in the reply, and may be longer than any topic's name.
        price.add(text: topics?.reduce(0) { $0 + ($1.name?.utf8.count ?? 0) } ?? 0)
        let each = asked.includeTopicAuthorizedOperations ? 1 + ResourceType.topic.operations.count : 1
        price.add(bytes: permissions.price(ofDecisions: count * each))
        return price.bytes
    }

    /// Makes what is missing, a few topics at a time, and then the reply.
    func answer(priced bytes: Int, _ pool: ChunkPool, _ done: @escaping @Sendable (PreparedReply?) -> Void) {
        let finish: @Sendable ([String: TopicRefusal]) -> Void = { refusals in
            let response = response(refusals)
            done(PreparedReply(Answer(response: response), context.ticket, priced: bytes, pool: pool))
        }
        if missing.isEmpty { return finish([:]) }
        let broker = context.broker
        let late = TopicRefusal(.leaderNotAvailable, "")
        let creation = Creation(
            count: missing.count, timeoutMs: Self.creationMs,
            step: { [missing, mutations, permissions] index, refusals in
                let name = missing[index]
                // Asked again: others may have been made for long before it.
                guard permissions.allowsOnClusterOr(.create, topic: name) else {
                    return refusals[name] = .notAuthorized
                }
                if mutations?.take(Int(broker.options.defaultPartitions)) != nil {
                    refusals[name] = Self.notYet
                    return
                }
                if case .failure(let refusal) = broker.topicCreatingIfAllowed(name) { refusals[name] = refusal }
            },
            timedOut: { [missing] index, refusals in refusals[missing[index]] = late })
        SlicedRun(creation, from: [:], on: broker.admin, for: context.standing) { refusals in
            guard let refusals else { return done(.refused("too many changes wait")) }
            auditor?.changed(.metadata, missing.map { AuditedChange($0, refusals[$0]?.code.rawValue ?? 0) })
            finish(refusals)
        }.start()
    }

    /// Of a topic that the client's quota does not let be made: as of any that there is not, so clients ask again.
    private static let notYet = TopicRefusal(.unknownTopicOrPartition, "")

    private typealias Creation = SlicedPlan<[String: TopicRefusal]>

    /// Topics that were not made by then are answered with LEADER_NOT_AVAILABLE, and clients ask again: their own
    /// request timeout.
    private static let creationMs: Int64 = 30_000

    func response(_ refusals: [String: TopicRefusal]) -> MetadataResponse {
        let catalog = context.broker.catalog
        var response = MetadataResponse()
        var node = MetadataResponse.MetadataResponseBroker()
        (node.nodeID, node.host, node.port) = (context.node.id, context.node.host, context.node.port)
        response.brokers = [node]
        response.clusterID = context.broker.clusterID
        response.controllerID = node.nodeID
        if asked.includeClusterAuthorizedOperations {
            response.clusterAuthorizedOperations = context.permissions.clusterOperations
        }
        guard let topics else {
            let visible = catalog.sortedTopics.lazy.filter {
                permissions.allows(.describe, topic: $0.name, quietly: true)
            }
            response.topics = Array(visible.map(describe))
            return response
        }
        response.topics = topics.map { topic in
            let found = find(topic, in: catalog)
            // Asked before it is told whether there is such a topic, but for ids, which nobody guesses.
            if let name = found?.name ?? topic.name, topic.topicID == .zero || found != nil,
                !permissions.allows(.describe, topic: name)
            {
                return forbidden(topic)
            }
            return found.map(describe) ?? absent(topic, refusals)
        }
        return response
    }

    private var permissions: Permissions { context.permissions }

    /// Nothing but what the client has said itself.
    private func forbidden(
        _ topic: MetadataRequest.MetadataRequestTopic
    ) -> MetadataResponse.MetadataResponseTopic {
        var result = MetadataResponse.MetadataResponseTopic()
        let byID = topic.topicID != .zero
        result.name = byID ? (context.version >= 12 ? nil : "") : topic.name
        result.topicID = topic.topicID
        result.errorCode = ErrorCode.topicAuthorizationFailed.rawValue
        return result
    }

    /// Whether a topic that is not there would have been made, for a client that may.
    private func lacksCreation(_ name: String) -> Bool {
        asked.allowAutoTopicCreation && context.broker.options.autoCreateTopics
            && !permissions.allowsOnClusterOr(.create, topic: name)
    }

    private func absent(
        _ topic: MetadataRequest.MetadataRequestTopic, _ refusals: [String: TopicRefusal]
    ) -> MetadataResponse.MetadataResponseTopic {
        let byID = topic.topicID != .zero
        var absent = MetadataResponse.MetadataResponseTopic()
        absent.name = byID ? (context.version >= 12 ? nil : "") : topic.name
        absent.topicID = topic.topicID
        let code: ErrorCode
        if byID {
            code = .unknownTopicID
        } else if let name = topic.name, TopicName.problem(name) != nil {
            code = .invalidTopicException
        } else if let name = topic.name, lacksCreation(name) {
            code = .topicAuthorizationFailed
        } else {
            code = topic.name.flatMap { refusals[$0]?.code } ?? .unknownTopicOrPartition
        }
        absent.errorCode = code.rawValue
        return absent
    }

    private func describe(_ topic: Topic) -> MetadataResponse.MetadataResponseTopic {
        var result = MetadataResponse.MetadataResponseTopic()
        result.name = topic.name
        result.topicID = topic.id
        result.isInternal = topic.isInternal
        if asked.includeTopicAuthorizedOperations {
            result.topicAuthorizedOperations = permissions.operations(on: .topic, topic.name)
        }
        let node = context.broker.options.nodeID
        // One list for all partitions: it is not copied.
        let nodes = [node]
        result.partitions = topic.partitions.map { log in
            var partition = MetadataResponse.MetadataResponsePartition()
            partition.partitionIndex = log.partitionIndex
            let leadership = log.leadership
            partition.errorCode = (leadership.isLeader ? ErrorCode.none : .leaderNotAvailable).rawValue
            partition.leaderID = leadership.isLeader ? node : -1
            partition.leaderEpoch = leadership.epoch.rawValue
            partition.replicaNodes = nodes
            partition.isrNodes = nodes
            return partition
        }
        return result
    }
}
