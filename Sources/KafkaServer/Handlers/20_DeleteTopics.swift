import BrokerCore
import ByteBuffers
import KafkaModel
import KafkaWire

/// DeleteTopics: by name, or from version 6 on by id. The files are gone when it is answered.
extension KafkaConnection {
    func deleteTopics(_ request: borrowing Request) throws(DecodeError) {
        let asked = try request.decode(DeleteTopicsRequest.self)
        let broker = broker
        let ticket = request.ticket
        offload {
            var response = DeleteTopicsResponse()
            let states =
                ticket.version >= 6
                ? asked.topics
                : asked.topicNames.map { name in
                    var state = DeleteTopicsRequest.DeleteTopicState()
                    state.name = name
                    return state
                }
            for state in states {
                var result = DeleteTopicsResponse.DeletableTopicResult()
                result.name = state.name
                result.topicID = state.topicID
                let byID = state.name == nil
                let catalog = broker.catalog
                let found = byID ? catalog.topic(id: state.topicID) : catalog.topic(named: state.name!)
                if let found {
                    result.name = found.name
                    result.topicID = found.id
                    if let refusal = broker.deleteTopic(found) {
                        result.errorCode = refusal.code.rawValue
                        result.errorMessage = refusal.message
                    }
                } else {
                    result.errorCode = (byID ? ErrorCode.unknownTopicID : .unknownTopicOrPartition).rawValue
                    result.errorMessage = "This server does not host this topic-partition."
                }
                response.responses.append(result)
            }
            return response
        } _: { connection, response in
            connection.reply(response, to: ticket)
        }
    }
}
