import BrokerCore
import ByteBuffers
import KafkaModel
import KafkaWire
import Security

/// ListPartitionReassignments: none is under way, as there is no other broker. Source: KIP-455.
extension KafkaConnection {
    static func listPartitionReassignments(
        _ asked: ListPartitionReassignmentsRequest, _ context: AnswerContext
    ) -> Answer<ListPartitionReassignmentsResponse> {
        if let refusal = context.refusal(of: asked) { return Answer(response: asked.refused(by: refusal)) }
        var response = ListPartitionReassignmentsResponse()
        response.errorMessage = nil
        return Answer(response: response)
    }
}

extension ListPartitionReassignmentsRequest: WhollyRefusable {
    func refused(by refusal: AccessRefusal) -> ListPartitionReassignmentsResponse {
        var response = ListPartitionReassignmentsResponse()
        (response.errorCode, response.errorMessage) = (refusal.error.rawValue, refusal.message)
        return response
    }
}
