import BrokerCore
import ByteBuffers
import KafkaModel
import KafkaWire
import Security

/// DeleteTopics: by name, or from version 6 on by id. The files are gone when it is answered. A topic named twice is
/// refused.
extension KafkaConnection {
    static func deleteTopicsPrice(_ asked: DeleteTopicsRequest, _ context: AnswerContext) -> Int {
        var price = ReplyPrice()
        let topics =
            Set(asked.topics.lazy.map(TopicIdentity.init)).count
            + Set(asked.topicNames.lazy.map { ExactString($0) }).count
        price.add(
            topics, DeleteTopicsResponse.DeletableTopicResult.self, text: 128)
        return price.bytes
    }

    static func deleteTopics(
        _ asked: DeleteTopicsRequest, _ context: AnswerContext, _ mutations: MutationCharge?
    ) -> SlicedPlan<DeleteTopicsResponse> {
        let named =
            context.version >= 6
            ? asked.topics
            : asked.topicNames.map { name in
                var state = DeleteTopicsRequest.DeleteTopicState()
                state.name = name
                return state
            }
        let (states, repeated) = distinct(named, by: TopicIdentity.init)
        let (broker, permissions) = (context.broker, context.permissions)
        return SlicedPlan(
            count: states.count, timeoutMs: Int64(asked.timeoutMs),
            step: { index, response in
                let isRepeated = repeated.contains(TopicIdentity(states[index]))
                response.responses.append(delete(states[index], isRepeated, broker, permissions, mutations))
            },
            timedOut: { index, response in
                var result = DeleteTopicsResponse.DeletableTopicResult()
                (result.name, result.topicID) = (states[index].name, states[index].topicID)
                result.errorCode = ChangeLimits.late.code.rawValue
                result.errorMessage = ChangeLimits.late.message
                response.responses.append(result)
            })
    }

    private struct TopicIdentity: Hashable {
        var name: ExactString?
        var id: TopicID

        init(_ state: DeleteTopicsRequest.DeleteTopicState) {
            (name, id) = (state.name.map { ExactString($0) }, state.topicID)
        }
    }

    /// Who may delete on the whole cluster is not asked for more.
    private static func maySee(_ topic: String, _ permissions: Permissions) -> Bool {
        permissions.allowsOnCluster(.delete, quietly: true) || permissions.allows(.describe, topic: topic)
    }

    private static func delete(
        _ state: DeleteTopicsRequest.DeleteTopicState, _ isRepeated: Bool, _ broker: Broker,
        _ permissions: Permissions, _ mutations: MutationCharge?
    ) -> DeleteTopicsResponse.DeletableTopicResult {
        var result = DeleteTopicsResponse.DeletableTopicResult()
        result.name = state.name
        result.topicID = state.topicID
        let byID = state.name == nil
        let catalog = broker.catalog
        let found = byID ? catalog.topic(id: state.topicID) : catalog.topic(named: state.name!)
        if isRepeated {
            result.errorCode = ErrorCode.invalidRequest.rawValue
            result.errorMessage = byID ? "Duplicate topic id." : "Duplicate topic name."
        } else if let name = found?.name ?? state.name, !maySee(name, permissions) {
            // Whether it exists is not told; its name only to who has said it.
            result.errorCode = ErrorCode.topicAuthorizationFailed.rawValue
            result.errorMessage = TopicRefusal.notAuthorized.message
        } else if let found, !permissions.allowsOnClusterOr(.delete, topic: found.name) {
            (result.name, result.topicID) = (found.name, found.id)
            result.errorCode = ErrorCode.topicAuthorizationFailed.rawValue
            result.errorMessage = TopicRefusal.notAuthorized.message
        } else if let found {
            result.name = found.name
            result.topicID = found.id
            if let refusal = mutations?.take(found.partitions.count) ?? broker.deleteTopic(found) {
                result.errorCode = refusal.code.rawValue
                result.errorMessage = refusal.message
            }
        } else {
            result.errorCode = (byID ? ErrorCode.unknownTopicID : .unknownTopicOrPartition).rawValue
            result.errorMessage = "This server does not host this topic-partition."
        }
        return result
    }
}
