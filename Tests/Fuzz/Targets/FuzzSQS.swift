import ByteBuffers
import KafkaModel
import Security
import SQSWire

/// What clients of Amazon SQS send. The first byte names an operation, whose body in JSON is the rest; beyond the operations the rest is a
/// form, and its path stands before a zero byte.
@Sendable func fuzzSQS(_ bytes: UnsafeRawBufferPointer) {
    var input = Input(bytes)
    let operations = SQSOperation.allCases
    let place = Int(input.byte())
    do throws(SQSError) {
        if place < operations.count {
            check(try SQSRequest(operations[place], json: input.rest()))
        } else {
            let rest = input.rest()
            let end = rest.firstIndex(of: 0) ?? rest.count
            let form = try SQSForm(UnsafeRawBufferPointer(rebasing: rest[min(end + 1, rest.count)...]))
            check(try SQSRequest(form, path: String(decoding: rest[..<end], as: UTF8.self)))
        }
    } catch {
        insist(error.message.utf8.count < 4_096, "an error shows more of a client's text than it may")
        var out = ByteWriter()
        error.writeJSON(into: &out)
        insist(StrictJSON(parsing: out.array)?["message"]?.text == error.message, "an error is not the JSON of itself")
    }
}

/// What was taken is within its bounds, and comes back as it was.
private func check(_ request: SQSRequest) {
    switch request {
    case .sendMessage(_, let message): check(message)
    case .sendMessageBatch(_, let entries):
        insist((1...SQSLimits.maxEntries).contains(entries.count))
        insist(Set(entries.map { ExactString($0.id) }).count == entries.count, "two entries have one id")
        for entry in entries { if case .success(let message) = entry.content { check(message) } }
    case .receiveMessage(_, let receive):
        insist((1...SQSLimits.maxMessages).contains(receive.maxMessages))
    case .createQueue(let queue, let attributes, _):
        insist(queue.isFIFO == (attributes[.fifoQueue] == "true"))
    default: break
    }
}

private func check(_ message: SQSSentMessage) {
    insist(message.byteCount <= SQSLimits.maxMessageBytes && SQSMessageAttribute.isText(message.body))
    insist(message.attributes.allSatisfy { SQSMessageAttribute.isName($0.name) })
    // A text that this reader of JSON takes as a whole; it has a bound of its own.
    guard message.byteCount < StrictJSON.maxBytes / 8 else { return }
    var received = SQSReceivedMessage(
        id: "id", receipt: "receipt", body: message.body, sentMs: 0, firstReceivedMs: 0, receiveCount: 1)
    received.messageAttributes = message.attributes
    var out = ByteWriter()
    SQSReply.messages([received], .all).writeJSON(into: &out)
    guard case .array(let messages)? = StrictJSON(parsing: out.array)?["Messages"] else {
        return insist(false, "a reply is no JSON")
    }
    insist(messages[0]["Body"]?.text.map { Array($0.utf8) } == message.body, "a body comes back as another")
    for attribute in message.attributes where !attribute.isBinary {
        let told = messages[0]["MessageAttributes"]?[ExactString(attribute.name)]?["StringValue"]?.text
        insist(told.map { Array($0.utf8) } == attribute.value, "an attribute comes back as another")
    }
}
