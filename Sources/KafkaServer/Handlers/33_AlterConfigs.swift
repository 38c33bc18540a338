import BrokerCore
import ByteBuffers
import KafkaModel
import KafkaWire

/// AlterConfigs: replaces all settings of a topic by those given; what is not given returns to its default. Broker settings
/// come from the configuration file and are not altered here. A resource named twice is refused.
extension KafkaConnection {
    static func alterConfigsPrice(_ asked: AlterConfigsRequest, _ context: AnswerContext) -> Int {
        var price = ReplyPrice()
        let resources = Set(asked.resources.lazy.map { ConfigResource(type: $0.resourceType, name: $0.resourceName) })
        price.add(resources.count, AlterConfigsResponse.AlterConfigsResourceResponse.self, text: 160)
        return price.bytes
    }

    static func alterConfigs(
        _ asked: AlterConfigsRequest, _ context: AnswerContext
    ) -> ChangePlan<AlterConfigsResponse> {
        let broker = context.broker
        return alterPlan(asked.resources) {
            ConfigResource(type: $0.resourceType, name: $0.resourceName)
        } change: {
            replace($0, broker, asked.validateOnly)
        } tell: { resource, refusal, response in
            var result = AlterConfigsResponse.AlterConfigsResourceResponse()
            result.resourceType = resource.type
            result.resourceName = resource.name
            result.errorCode = refusal?.code.rawValue ?? 0
            result.errorMessage = refusal?.message
            response.responses.append(result)
        }
    }

    /// Changes each resource once, by AlterConfigs or its incremental sister, and tells of it in the order of the request.
    /// One that is named several times is refused, as are all of a request with too many.
    static func alterPlan<Resource: Sendable, Response: Sendable>(
        _ asked: [Resource], by identity: @escaping @Sendable (Resource) -> ConfigResource,
        change: @escaping @Sendable (Resource) -> TopicRefusal?,
        tell: @escaping @Sendable (ConfigResource, TopicRefusal?, inout Response) -> Void
    ) -> ChangePlan<Response> {
        let (resources, repeated) = distinct(asked, by: identity)
        let isTooLarge = resources.count > ChangeLimits.maxRecords
        return ChangePlan(
            count: resources.count,
            change: { index, response in
                let resource = identity(resources[index])
                let refusal: TopicRefusal? =
                    if repeated.contains(resource) {
                        ConfigResource.duplicate
                    } else if isTooLarge {
                        ChangeLimits.tooMany
                    } else {
                        change(resources[index])
                    }
                tell(resource, refusal, &response)
            },
            timedOut: { index, response in tell(identity(resources[index]), ChangeLimits.late, &response) })
    }

    private static func replace(
        _ resource: AlterConfigsRequest.AlterConfigsResource, _ broker: Broker, _ validateOnly: Bool
    ) -> TopicRefusal? {
        var settings: [String: String] = [:]
        for config in resource.configs {
            guard let value = config.value else {
                return .init(.invalidRequest, "Null value not supported for : \(config.name)")
            }
            settings[config.name] = value
        }
        return alter(resource.resourceType, resource.resourceName, broker, validateOnly) { _ in .success(settings) }
    }

    /// Changes a topic's own settings from what they are to what `change` makes of them.
    static func alter(
        _ resourceType: Int8, _ resourceName: String, _ broker: Broker, _ validateOnly: Bool,
        _ change: ([String: String]) -> Result<[String: String], TopicRefusal>
    ) -> TopicRefusal? {
        switch resourceType {
        case 2:
            guard let topic = broker.catalog.topic(named: resourceName) else {
                return .init(.unknownTopicOrPartition, "The topic '\(resourceName)' does not exist.")
            }
            switch change(topic.settings.overrides) {
            case .failure(let refusal): return refusal
            case .success(let settings): return broker.alterSettings(topic, settings, validateOnly: validateOnly)
            }
        case 4:
            return .init(
                .invalidRequest, "broker settings are read at the start: change the configuration file and restart")
        default: return .init(.invalidRequest, "Unsupported resource type: \(resourceType)")
        }
    }
}

/// What settings belong to.
struct ConfigResource: Hashable {
    var type: Int8
    var name: String

    static let duplicate = TopicRefusal(.invalidRequest, "Each resource must appear at most once.")
}
