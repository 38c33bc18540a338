import BrokerCore
import ByteBuffers
import KafkaModel
import KafkaWire

/// AlterConfigs: replaces all settings of a topic by those given; what is not given returns to its default. Broker settings
/// come from the configuration file and are not altered here.
extension KafkaConnection {
    func alterConfigs(_ request: borrowing Request) throws(DecodeError) {
        let asked = try request.decode(AlterConfigsRequest.self)
        let broker = broker
        let ticket = request.ticket
        offload {
            var response = AlterConfigsResponse()
            for resource in asked.resources {
                var settings: [String: String] = [:]
                var refusal: TopicRefusal?
                for config in resource.configs {
                    if let value = config.value { settings[config.name] = value }
                    if config.value == nil {
                        refusal = .init(.invalidRequest, "Null value not supported for : \(config.name)")
                    }
                }
                refusal =
                    refusal
                    ?? Self.alter(resource.resourceType, resource.resourceName, broker, asked.validateOnly) { _ in
                        .success(settings)
                    }
                var result = AlterConfigsResponse.AlterConfigsResourceResponse()
                result.resourceType = resource.resourceType
                result.resourceName = resource.resourceName
                result.errorCode = refusal?.code.rawValue ?? 0
                result.errorMessage = refusal?.message
                response.responses.append(result)
            }
            return response
        } _: { connection, response in
            connection.reply(response, to: ticket)
        }
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
