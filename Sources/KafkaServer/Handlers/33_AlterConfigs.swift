import BrokerCore
import ByteBuffers
import KafkaModel
import KafkaWire
import Security

/// AlterConfigs: replaces all settings of a topic or a group by those given; what is not given returns to its default. Broker settings
/// come from the configuration file and are not altered here. A resource named twice is refused.
extension KafkaConnection {
    static func alterConfigsPrice(_ asked: AlterConfigsRequest, _ context: AnswerContext) -> Int {
        alterPrice(asked.resources, AlterConfigsResponse.AlterConfigsResourceResponse.self)
    }

    static func alterConfigs(
        _ asked: AlterConfigsRequest, _ context: AnswerContext
    ) -> SlicedPlan<AlterConfigsResponse> {
        let broker = context.broker
        return alterPlan(asked.resources, context.permissions) {
            replace($0, broker, asked.validateOnly)
        } append: { result, response in
            response.responses.append(result)
        }
    }

    /// Returns what the reply to AlterConfigs or IncrementalAlterConfigs takes: an entry for each resource named.
    static func alterPrice<Result: AlteredConfigResource>(
        _ asked: [some AlterableConfigResource], _ type: Result.Type
    ) -> Int {
        var price = ReplyPrice()
        price.add(Set(asked.lazy.map(\.identity)).count, type, text: 160)
        return price.bytes
    }

    /// Changes each resource once, for AlterConfigs or IncrementalAlterConfigs, and appends how that went to the response in
    /// the order of the request. One that is named several times is refused, as are all of a request with too many.
    static func alterPlan<Resource: AlterableConfigResource, Result: AlteredConfigResource, Response: Sendable>(
        _ asked: [Resource], _ permissions: Permissions, change: @escaping @Sendable (Resource) -> TopicRefusal?,
        append: @escaping @Sendable (Result, inout Response) -> Void
    ) -> SlicedPlan<Response> {
        let (resources, repeated) = distinct(asked) { $0.identity }
        let isTooLarge = resources.count > ChangeLimits.maxRecords
        return SlicedPlan(
            count: resources.count,
            step: { index, response in
                let refusal: TopicRefusal? =
                    if repeated.contains(resources[index].identity) {
                        ConfigResource.duplicate
                    } else if isTooLarge {
                        ChangeLimits.tooMany
                    } else {
                        permissions.refusal(
                            .alterConfigs, resources[index].resourceType, resources[index].resourceName)
                            ?? change(resources[index])
                    }
                append(Result(resources[index].identity, refusal), &response)
            },
            timedOut: { index, response in
                append(Result(resources[index].identity, ChangeLimits.late), &response)
            })
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
        return alter(resource.identity, broker, validateOnly) { _ in .success(settings) }
    }

    /// Changes a topic's or a group's own settings from what they are to what `change` makes of them.
    static func alter(
        _ resource: ConfigResource, _ broker: Broker, _ validateOnly: Bool,
        _ change: ([String: String]) -> Result<[String: String], TopicRefusal>
    ) -> TopicRefusal? {
        switch resource.type {
        case 2:
            guard let topic = broker.catalog.topic(named: resource.name.text) else {
                return .init(.unknownTopicOrPartition, "The topic '\(resource.name)' does not exist.")
            }
            switch change(topic.settings.overrides) {
            case .failure(let refusal): return refusal
            case .success(let settings): return broker.alterSettings(topic, settings, validateOnly: validateOnly)
            }
        case 4:
            guard resource.name.isEmpty || resource.name.text == String(broker.options.nodeID) else {
                return .init(
                    .invalidRequest,
                    "Unexpected broker id, expected \(broker.options.nodeID), but received \(resource.name)")
            }
            // None is ever set over the wire. Kafka's tools take back at their end what they may have set, which is done.
            switch change([:]) {
            case .failure(let refusal): return refusal
            case .success(let settings) where settings.isEmpty: return nil
            case .success: break
            }
            return .init(
                .invalidRequest, "broker settings are read at the start: change the configuration file and restart")
        case 32:
            switch change(broker.groupSettings(resource.name)) {
            case .failure(let refusal): return refusal
            case .success(let settings):
                return broker.alterGroupSettings(resource.name, settings, validateOnly: validateOnly)
            }
        default: return .init(.invalidRequest, "Unsupported resource type: \(resource.type)")
        }
    }
}

/// What settings belong to.
struct ConfigResource: Hashable {
    var type: Int8
    var name: ExactString

    static let duplicate = TopicRefusal(.invalidRequest, "Each resource must appear at most once.")
}

/// An entry of a request that alters settings.
protocol AlterableConfigResource: Sendable {
    var resourceType: Int8 { get }
    var resourceName: String { get }
}

extension AlterableConfigResource {
    var identity: ConfigResource { ConfigResource(type: resourceType, name: ExactString(resourceName)) }
}

/// An entry of the reply: how it went with one resource.
protocol AlteredConfigResource: KafkaStructure {
    var resourceType: Int8 { get set }
    var resourceName: String { get set }
    var errorCode: Int16 { get set }
    var errorMessage: String? { get set }
}

extension AlteredConfigResource {
    init(_ resource: ConfigResource, _ refusal: TopicRefusal?) {
        self.init()
        (resourceType, resourceName) = (resource.type, resource.name.text)
        (errorCode, errorMessage) = (refusal?.code.rawValue ?? 0, refusal?.message)
    }
}

extension AlterConfigsRequest.AlterConfigsResource: AlterableConfigResource {}
extension AlterConfigsResponse.AlterConfigsResourceResponse: AlteredConfigResource {}
extension IncrementalAlterConfigsRequest.AlterConfigsResource: AlterableConfigResource {}
extension IncrementalAlterConfigsResponse.AlterConfigsResourceResponse: AlteredConfigResource {}
