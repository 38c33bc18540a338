import BrokerCore
import ByteBuffers
import KafkaModel
import KafkaWire
import Security

/// ListConfigResources: what DescribeConfigs can be asked about. Versions: 0 subscriptions of client metrics alone, of which there
/// are none; 1 any types, and all of them where none is named. Source: KIP-714, KIP-1142.
extension KafkaConnection {
    private enum ResourceTypes {
        static let topic: Int8 = 2
        static let broker: Int8 = 4
        static let group: Int8 = 32
        /// Those that Kafka knows: of loggers and of client metrics there are none here.
        static let known: Set<Int8> = [topic, broker, 8, 16, group]
    }

    static func listConfigResourcesPrice(_ asked: ListConfigResourcesRequest, _ context: AnswerContext) -> Int {
        var price = ReplyPrice()
        price.add(
            context.broker.catalog.topicCount + 1, ListConfigResourcesResponse.ConfigResource.self,
            text: TopicName.usualLength)
        let own = context.broker.groupSettingsSize
        price.add(own.groups, ListConfigResourcesResponse.ConfigResource.self, text: 0)
        price.add(text: own.nameBytes)
        return price.bytes
    }

    static func listConfigResources(
        _ asked: ListConfigResourcesRequest, _ context: AnswerContext
    ) -> Answer<ListConfigResourcesResponse> {
        var response = ListConfigResourcesResponse()
        if let refusal = context.refusal(of: asked) { return Answer(response: asked.refused(by: refusal)) }
        let types = Set(asked.resourceTypes)
        guard types.isSubset(of: ResourceTypes.known) else {
            response.errorCode = ErrorCode.unsupportedVersion.rawValue
            return Answer(response: response)
        }
        func isAsked(_ type: Int8) -> Bool { context.version >= 1 && (types.isEmpty || types.contains(type)) }
        func add(_ name: String, _ type: Int8) {
            var resource = ListConfigResourcesResponse.ConfigResource()
            (resource.resourceName, resource.resourceType) = (name, type)
            response.configResources.append(resource)
        }
        if isAsked(ResourceTypes.topic) {
            for topic in context.broker.catalog.sortedTopics { add(topic.name, ResourceTypes.topic) }
        }
        if isAsked(ResourceTypes.broker) { add(String(context.node.id), ResourceTypes.broker) }
        if isAsked(ResourceTypes.group) {
            for group in context.broker.groupsWithSettings { add(group.text, ResourceTypes.group) }
        }
        return Answer(response: response)
    }
}

extension ListConfigResourcesRequest: WhollyRefusable {
    func refused(by refusal: AccessRefusal) -> ListConfigResourcesResponse {
        var response = ListConfigResourcesResponse()
        response.errorCode = refusal.error.rawValue
        return response
    }
}
