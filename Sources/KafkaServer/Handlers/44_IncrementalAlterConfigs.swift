import BrokerCore
import ByteBuffers
import KafkaModel
import KafkaWire

/// IncrementalAlterConfigs: sets (0), deletes (1), appends to (2) or subtracts from (3) single settings of a topic or a
/// group.
/// Source: KIP-339.
extension KafkaConnection {
    static func incrementalAlterConfigsPrice(
        _ asked: IncrementalAlterConfigsRequest, _ context: AnswerContext
    ) -> Int {
        alterPrice(asked.resources, IncrementalAlterConfigsResponse.AlterConfigsResourceResponse.self)
    }

    static func incrementalAlterConfigs(
        _ asked: IncrementalAlterConfigsRequest, _ context: AnswerContext
    ) -> SlicedPlan<IncrementalAlterConfigsResponse> {
        let broker = context.broker
        return alterPlan(asked.resources, context.permissions) { resource in
            alter(resource.identity, broker, asked.validateOnly) { current in
                apply(resource.configs, to: current, broker)
            }
        } append: { result, response in
            response.responses.append(result)
        }
    }

    private static func apply(
        _ changes: [IncrementalAlterConfigsRequest.AlterableConfig], to current: [String: String], _ broker: Broker
    ) -> Result<[String: String], TopicRefusal> {
        var settings = current
        var seen: Set<ExactString> = []
        for change in changes {
            guard seen.insert(ExactString(change.name)).inserted else {
                return .failure(.init(.invalidRequest, "Error due to duplicate config keys: \(change.name)"))
            }
            if change.configOperation == 1 {
                settings[change.name] = nil
                continue
            }
            guard let value = change.value else {
                return .failure(.init(.invalidRequest, "Null value not supported for : \(change.name)"))
            }
            switch change.configOperation {
            case 0: settings[change.name] = value
            case 2, 3:
                guard let key = TopicSettingKey.named(change.name), key.isList else {
                    let verb = change.configOperation == 2 ? "APPEND" : "SUBTRACT"
                    return .failure(
                        .init(.invalidConfig, "Can't \(verb) to key \(change.name) because its type is not LIST."))
                }
                let now =
                    settings[change.name] ?? TopicSettings(
                        brokerDefaults: broker.options.topicDefaults
                    ).value(change.name) ?? ""
                var items = now.split(separator: ",").map(String.init)
                let named = value.split(separator: ",").map(String.init)
                items.removeAll { named.contains($0) }
                if change.configOperation == 2 { items += named }
                settings[change.name] = items.joined(separator: ",")
            default:
                return .failure(.init(.invalidRequest, "Unknown operation \(change.configOperation)"))
            }
        }
        return .success(settings)
    }
}
