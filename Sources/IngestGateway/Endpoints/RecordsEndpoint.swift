import BrokerCore
import HTTPWire
import KafkaModel
import Security

/// `GET /v1/topics/{t}/records?partition=&offset=&timestamp=&limit=&max_bytes=` and `/v1/topics/{t}/partitions/{p}/records?…`: a
/// stateless, repeatable read for people with curl.
///
///     {"topic":"t","partition":0,"records":[{"offset":5,"timestamp":"…","timestamp_ms":…,"key":null,"value":{…},
///      "value_encoding":"json","headers":[{"name":"event_id","value":"…"}]}],"next_offset":6,"high_watermark":9, …}
///
/// A value that is JSON (and not larger than an event may be) stands there as JSON, byte for byte; other UTF-8 as a string (`"text"`), anything else as
/// `"base64"`.
enum RecordsEndpoint: HTTPEndpoint {
    static var access: EndpointAccess { .topic(.read) }
    static var parameters: [StaticString]? { ["partition", "offset", "timestamp", "limit", "max_bytes"] }
    static var fields: KnownFields { KnownFields(.partitionKey) }

    static func wish(on loop: GatewayLoop) -> BodyWish {
        if let problem = loop.notUnderstood() { return .refused(problem) }
        return .nothing
    }

    static func handle(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        loop.getRecords(loop.route.topic, loop.route.partition)
    }
}

extension GatewayLoop {
    fileprivate func getRecords(
        _ rawTopic: UnsafeRawBufferPointer, _ rawPartition: UnsafeRawBufferPointer?
    ) -> Completion {
        var question = RecordsReply.Question()
        if let problem = readQuery(&question) { return refuse(problem) }
        if let rawPartition {
            guard let number = rawPartition.decimalValue else {
                return refuse(Problem(.partitionNotFound, "A partition is a number."))
            }
            question.partition = number
        }
        guard let name = PercentDecoding.string(rawTopic), let topic = broker.catalog.topic(named: name) else {
            return refuse(Problem(.topicNotFound, "There is no such topic."))
        }
        let index = question.partition ?? 0
        guard index < topic.partitions.count else {
            return refuse(
                Problem(.partitionNotFound, "The topic has the partitions 0 to \(topic.partitions.count - 1)."))
        }
        let reply = RecordsReply(
            topic, topic.partitions[index], question, maxJSONBytes: options.maxEventBytes, pool: pool,
            context: compression)
        return .suspended(.records(reply))
    }

    private func refuse(_ problem: Problem) -> Completion {
        answer(problem, instance: head.path)
        return .answered
    }

    private func readQuery(_ question: inout RecordsReply.Question) -> Problem? {
        var items = QueryItems(head.query)
        while let item = items.next() {
            let number = item.value.decimalValue
            if item.name.equals("partition") {
                guard let number else { return Problem(.invalidParameter, "partition is a number.") }
                question.partition = number
            } else if item.name.equals("offset") {
                if item.value.equals("latest") {
                    question.fromEnd = true
                } else if let number {
                    question.offset = Offset(Int64(number))
                } else if !item.value.equals("earliest") {
                    return Problem(.invalidParameter, "offset is a number, earliest or latest.")
                }
            } else if item.name.equals("timestamp") {
                guard let number else {
                    return Problem(.invalidParameter, "timestamp is a number of milliseconds since 1970.")
                }
                question.timestampMs = Int64(number)
            } else if item.name.equals("limit") {
                let most = RecordsReply.maxRecords
                guard let number, number > 0, number <= most else {
                    return Problem(.invalidParameter, "limit is 1 to \(most).", limit: most)
                }
                question.limit = number
            } else if item.name.equals("max_bytes") {
                let most = RecordsReply.maxBytes
                guard let number, number > 0, number <= most else {
                    return Problem(.invalidParameter, "max_bytes is 1 to \(most).", limit: most)
                }
                question.maxBytes = number
            }
        }
        guard question.timestampMs == nil || question.offset == nil && !question.fromEnd else {
            return Problem(.invalidParameter, "offset and timestamp exclude each other.")
        }
        return nil
    }
}
