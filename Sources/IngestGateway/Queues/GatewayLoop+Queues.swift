import BrokerCore
import HTTPWire
import KafkaModel
import Security

/// What all endpoints of queues have in common.
extension GatewayLoop {
    /// Bytes of a request's body that asks something of a queue: a thousand receipts, and some.
    static let maxQueueCallBytes = 256 << 10

    /// Why the request at hand is none for a queue, by its head alone.
    func queueProblem(needsBody: Bool) -> Problem? {
        if let problem = notUnderstood() { return problem }
        if let coding = head[.contentEncoding], !RequestHead.equals(coding, "identity") {
            return Problem(.unsupportedEncoding, "The body is read here as it is: send it unpacked.")
        }
        if case .length(let length) = head.body {
            if length == 0 { return needsBody ? bodyRequired() : nil }
            let most = routeRow.pointee.maxBodyBytes
            if length > most { return bodyTooLarge(most) }
        }
        return unsupportedMediaType()
    }

    /// A POST has a body of JSON, be it `{}`: one without could be sent by any web page that somebody looks at.
    func wishForQueueCall() -> BodyWish {
        if let problem = queueProblem(needsBody: false) { return .refused(problem) }
        if head.method == .post, head.body == .length(0) {
            return .refused(Problem(.bodyRequired, "Request body is required: send {} where nothing is to be said"))
        }
        return .collected(upTo: routeRow.pointee.maxBodyBytes)
    }

    func wishForNoBody() -> BodyWish {
        if let problem = queueProblem(needsBody: false) { return .refused(problem) }
        return .nothing
    }

    /// Calls `body` with the name of the queue in the path.
    func withQueue(_ body: (String) -> Completion) -> Completion {
        guard let name = PercentDecoding.string(route.topic) else {
            return refuseQueue(Problem(.invalidQueue, "The queue's name is not percent-encoded UTF-8."))
        }
        return body(name)
    }

    func refuseQueue(_ problem: Problem) -> Completion {
        answer(problem, instance: head.path)
        return .answered
    }

    /// Asks the queues on a thread that may wait.
    func ask(
        on place: QueueWork.Place = .worker, ending wait: WaitEnd = WaitEnd(), _ call: @escaping QueueWork.Call
    ) -> Completion {
        .suspended(.work(QueueWork(gateway, on: place, ending: wait, call)))
    }
}
