internal import ByteBuffers
public import KafkaModel
public import KafkaWire

/// A Kafka cluster as its client sees it: brokers found through the bootstrap addresses, one connection to each that is
/// asked, and what the last Metadata told. Used by one thread.
///
/// Every call waits for its answer within `ClientOptions.requestTimeoutMs`. Transient refusals (a leader or coordinator
/// that moves) and lost connections are retried within it, with a pause that doubles.
public final class Cluster {
    public let options: ClientOptions
    let bootstrap: [BrokerAddress]
    /// The last Metadata, by topic name for those that were asked for.
    public internal(set) var brokers: [Int32: BrokerAddress] = [:]
    public internal(set) var clusterID: String?
    public internal(set) var controllerID: Int32 = -1
    public internal(set) var topics: [String: TopicMetadata] = [:]
    var connections: [Int32: BrokerConnection] = [:]
    /// A connection to a bootstrap address, of which the node number is not known.
    private var first: BrokerConnection?
    var coordinators: [ExactString: Int32] = [:]

    public struct TopicMetadata: Sendable, Equatable {
        public var name: String
        /// Zero when the broker tells none.
        public var id: TopicID
        public var isInternal: Bool
        /// By ascending index.
        public var partitions: [PartitionMetadata]
    }

    public struct PartitionMetadata: Sendable, Equatable {
        public var index: Int32
        /// -1: none at the moment.
        public var leaderID: Int32
        public var leaderEpoch: Int32
        public var replicas: [Int32]
        public var inSyncReplicas: [Int32]
        public var errorCode: ErrorCode
    }

    /// Connects to nothing yet. `bootstrap` is not empty.
    public init(bootstrap: [BrokerAddress], options: ClientOptions = ClientOptions()) {
        precondition(!bootstrap.isEmpty)
        self.bootstrap = bootstrap
        self.options = options
    }

    // MARK: Connections

    /// Connects to any broker: one that is connected, else the first bootstrap address that answers.
    public func anyConnection(_ deadline: Deadline) throws(ClientError) -> BrokerConnection {
        if let first, !first.isBroken { return first }
        if let other = connections.values.first(where: { !$0.isBroken }) { return other }
        var failures: [ClientError] = []
        for address in bootstrap + brokers.values.filter({ !bootstrap.contains($0) }) {
            do throws(ClientError) {
                let connection = try BrokerConnection(to: address, options: options, deadline: deadline)
                first = connection
                return connection
            } catch {
                if error == .cancelled { throw error }
                failures.append(error)
            }
        }
        throw failures[failures.count - 1]
    }

    /// Connects to the broker of this number; Metadata must have told its address.
    public func connection(to node: Int32, _ deadline: Deadline) throws(ClientError) -> BrokerConnection {
        if let known = connections[node], !known.isBroken { return known }
        guard let address = brokers[node] else {
            throw .refused(.brokerNotAvailable, "broker \(node)", message: nil)
        }
        let connection = try BrokerConnection(to: address, options: options, deadline: deadline)
        connections[node] = connection
        return connection
    }

    public var deadline: Deadline { .after(milliseconds: options.requestTimeoutMs) }

    /// Returns the deadline of a request that asks the broker itself to wait up to `waitMs`.
    func deadline(beyond waitMs: Int64) -> Deadline { .after(milliseconds: options.requestTimeoutMs + waitMs) }

    // MARK: Calls

    /// Sends to any broker.
    public func call<Request: KafkaRequest>(_ request: Request) throws(ClientError) -> Request.Response {
        try retrying { deadline throws(ClientError) in
            try anyConnection(deadline).call(request, deadline: deadline)
        }
    }

    /// Sends to the controller, which alone changes topics; any broker stands in when none is known.
    public func callController<Request: KafkaRequest>(_ request: Request) throws(ClientError) -> Request.Response {
        try callController { _ in request }
    }

    /// Does the same for a request that looks different from version to version.
    public func callController<Request: KafkaRequest>(
        _ make: (_ version: Int16) -> Request
    ) throws(ClientError) -> Request.Response {
        if controllerID < 0 { try refresh(topics: []) }
        return try retrying { deadline throws(ClientError) in
            let connection =
                brokers[controllerID] == nil
                ? try anyConnection(deadline) : try connection(to: controllerID, deadline)
            return try connection.call(deadline: deadline, make)
        }
    }

    /// Runs `body` until it succeeds, fails for good, or the time is over.
    func retrying<Result>(
        _ body: (Deadline) throws(ClientError) -> Result
    ) throws(ClientError) -> Result {
        let deadline = deadline
        var pause = options.retryBackoffMs
        var attempts = 0
        while true {
            do throws(ClientError) { return try body(deadline) } catch {
                attempts += 1
                // A broker that is not there at all is told at once after a few tries; errors of its own may pass.
                if case .unreachable = error, attempts >= Self.maxConnectAttempts { throw error }
                if !error.isTransient || deadline.remainingMs <= pause { throw error }
            }
            MonotonicClock.sleep(milliseconds: pause)
            if options.isCancelled?() == true { throw .cancelled }
            pause = min(pause * 2, options.retryBackoffMs * 16)
        }
    }

    /// Attempts at something unreachable, so that a wrong address is told within a second.
    static let maxConnectAttempts = 4
}

// MARK: - Metadata

extension Cluster {
    /// Asks for these topics, or for all (`nil`), and keeps the answer. Topics that have an error are not kept; what is
    /// wrong with them is returned.
    @discardableResult
    public func refresh(topics names: [String]?, allowCreation: Bool = false) throws(ClientError)
        -> [String: ErrorCode]
    {
        var request = MetadataRequest()
        request.allowAutoTopicCreation = allowCreation
        request.topics = names?.map { name in
            var topic = MetadataRequest.MetadataRequestTopic()
            topic.name = name
            return topic
        }
        let response = try call(request)
        let code = ErrorCode(rawValue: response.errorCode)
        guard code == .none else { throw .refused(code, "metadata", message: nil) }
        clusterID = response.clusterID
        controllerID = response.controllerID
        brokers = [:]
        for broker in response.brokers {
            guard let port = UInt16(exactly: broker.port) else {
                throw .invalidAnswer("broker \(broker.nodeID) is said to listen at port \(broker.port)")
            }
            brokers[broker.nodeID] = BrokerAddress(host: broker.host, port: port)
        }
        if names == nil { topics = [:] }
        var errors: [String: ErrorCode] = [:]
        for topic in response.topics {
            guard let name = topic.name else { continue }
            let code = ErrorCode(rawValue: topic.errorCode)
            guard code == .none else {
                errors[name] = code
                topics[name] = nil
                continue
            }
            topics[name] = TopicMetadata(
                name: name, id: topic.topicID, isInternal: topic.isInternal,
                partitions: topic.partitions.map(PartitionMetadata.init).sorted { $0.index < $1.index })
        }
        return errors
    }

    /// Returns a topic's metadata, from memory or asked. With `createIfMissing` the broker may create it; creation, and
    /// the choice of leaders after it, are waited for.
    public func topic(_ name: String, createIfMissing: Bool = false) throws(ClientError) -> TopicMetadata {
        if let known = topics[name] { return known }
        return try retrying { _ throws(ClientError) in
            let errors = try refresh(topics: [name], allowCreation: createIfMissing)
            if let topic = topics[name] {
                if createIfMissing, topic.partitions.contains(where: { $0.leaderID < 0 }) {
                    topics[name] = nil
                    throw .refused(.leaderNotAvailable, "topic \(name)", message: nil)
                }
                return topic
            }
            let code = errors[name] ?? .unknownTopicOrPartition
            // Without leave to create it, a missing topic stays missing: nothing to wait for.
            if code == .unknownTopicOrPartition && !createIfMissing {
                throw .noSuchTopic(name)
            }
            throw .refused(code, "topic \(name)", message: nil)
        }
    }

    /// Returns the leader of a partition; asks anew when none is known.
    public func leader(of name: String, _ partition: Int32) throws(ClientError) -> Int32 {
        let topic = try topic(name)
        guard let known = topic.partitions.first(where: { $0.index == partition }) else {
            throw .refused(
                .unknownTopicOrPartition, "partition \(partition) of topic \(name)",
                message: "it has \(topic.partitions.count)")
        }
        guard known.leaderID >= 0 else {
            topics[name] = nil
            throw .refused(.leaderNotAvailable, "partition \(partition) of topic \(name)", message: nil)
        }
        return known.leaderID
    }

    /// Makes the next look ask the broker.
    public func forget(_ name: String) { topics[name] = nil }
}

extension Cluster.PartitionMetadata {
    init(_ partition: MetadataResponse.MetadataResponsePartition) {
        self.init(
            index: partition.partitionIndex, leaderID: partition.leaderID, leaderEpoch: partition.leaderEpoch,
            replicas: partition.replicaNodes, inSyncReplicas: partition.isrNodes,
            errorCode: ErrorCode(rawValue: partition.errorCode))
    }
}
