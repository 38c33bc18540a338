public import KafkaModel
internal import KafkaWire

/// Topics and their settings.
extension Cluster {
    public struct NewTopic: Sendable {
        public var name: String
        /// -1: the broker's default.
        public var partitions: Int32 = -1
        /// -1: the broker's default.
        public var replicationFactor: Int16 = -1
        public var settings: [(name: String, value: String)] = []

        public init(name: String) { self.name = name }
    }

    public struct CreatedTopic: Sendable, Equatable {
        public var name: String
        public var id: TopicID
        public var partitions: Int32
        public var replicationFactor: Int16
    }

    /// Creates one topic. A topic of that name: `.refused(.topicAlreadyExists, …)`.
    public func create(_ topic: NewTopic) throws(ClientError) -> CreatedTopic {
        var wanted = CreateTopicsRequest.CreatableTopic()
        wanted.name = topic.name
        wanted.numPartitions = topic.partitions
        wanted.replicationFactor = topic.replicationFactor
        wanted.configs = topic.settings.map { setting in
            var config = CreateTopicsRequest.CreatableTopicConfig()
            config.name = setting.name
            config.value = setting.value
            return config
        }
        var request = CreateTopicsRequest()
        request.topics = [wanted]
        request.timeoutMs = Int32(clamping: options.requestTimeoutMs)
        let response = try callController(request)
        guard let result = response.topics.first(where: { $0.name == topic.name }) else {
            throw .invalidAnswer("CreateTopics says nothing of \(topic.name)")
        }
        try Self.check(result.errorCode, "topic \(topic.name)", result.errorMessage)
        forget(topic.name)
        return CreatedTopic(
            name: result.name, id: result.topicID, partitions: result.numPartitions,
            replicationFactor: result.replicationFactor)
    }

    public func delete(topic name: String) throws(ClientError) {
        let response = try callController { [options] version in
            var request = DeleteTopicsRequest()
            if version >= 6 {
                var state = DeleteTopicsRequest.DeleteTopicState()
                state.name = name
                request.topics = [state]
            } else {
                request.topicNames = [name]
            }
            request.timeoutMs = Int32(clamping: options.requestTimeoutMs)
            return request
        }
        guard let result = response.responses.first else {
            throw .invalidAnswer("DeleteTopics says nothing of \(name)")
        }
        try Self.check(result.errorCode, "topic \(name)", result.errorMessage)
        forget(name)
    }

    /// Raises the count of partitions to `count`.
    public func setPartitions(of name: String, to count: Int32, validateOnly: Bool) throws(ClientError) {
        var topic = CreatePartitionsRequest.CreatePartitionsTopic()
        topic.name = name
        topic.count = count
        topic.assignments = nil
        var request = CreatePartitionsRequest()
        request.topics = [topic]
        request.timeoutMs = Int32(clamping: options.requestTimeoutMs)
        request.validateOnly = validateOnly
        let response = try callController(request)
        guard let result = response.results.first else {
            throw .invalidAnswer("CreatePartitions says nothing of \(name)")
        }
        try Self.check(result.errorCode, "topic \(name)", result.errorMessage)
        forget(name)
    }

    public struct Setting: Sendable, Equatable {
        public var name: String
        public var value: String?
        public var isReadOnly: Bool
        public var isSensitive: Bool
        /// The source number of DescribeConfigs; 1 is a topic's own, 5 the built-in default.
        public var source: Int8

        /// Whether somebody set it for this very topic.
        public var isOwn: Bool { source == 1 }
    }

    static let topicResource: Int8 = 2

    public func settings(ofTopic name: String) throws(ClientError) -> [Setting] {
        var resource = DescribeConfigsRequest.DescribeConfigsResource()
        resource.resourceType = Self.topicResource
        resource.resourceName = name
        resource.configurationKeys = nil
        var request = DescribeConfigsRequest()
        request.resources = [resource]
        let response = try call(request)
        guard let result = response.results.first else {
            throw .invalidAnswer("DescribeConfigs says nothing of \(name)")
        }
        try Self.check(result.errorCode, "settings of topic \(name)", result.errorMessage)
        return result.configs.map {
            Setting(
                name: $0.name, value: $0.value, isReadOnly: $0.readOnly, isSensitive: $0.isSensitive,
                source: $0.configSource)
        }
    }

    /// Gives settings of a topic values, or (`nil`) their defaults back.
    public func alter(
        topic name: String, settings: [(name: String, value: String?)], validateOnly: Bool
    ) throws(ClientError) {
        var resource = IncrementalAlterConfigsRequest.AlterConfigsResource()
        resource.resourceType = Self.topicResource
        resource.resourceName = name
        resource.configs = settings.map { setting in
            var config = IncrementalAlterConfigsRequest.AlterableConfig()
            config.name = setting.name
            config.value = setting.value
            config.configOperation = setting.value == nil ? 1 : 0
            return config
        }
        var request = IncrementalAlterConfigsRequest()
        request.resources = [resource]
        request.validateOnly = validateOnly
        let response = try callController(request)
        guard let result = response.responses.first else {
            throw .invalidAnswer("IncrementalAlterConfigs says nothing of \(name)")
        }
        try Self.check(result.errorCode, "settings of topic \(name)", result.errorMessage)
    }

    static func check(_ code: Int16, _ what: @autoclosure () -> String, _ message: String? = nil) throws(ClientError) {
        let code = ErrorCode(rawValue: code)
        if code != .none { throw .refused(code, what(), message: message) }
    }
}
