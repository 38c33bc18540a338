import BrokerCore
import ByteBuffers
import KafkaModel
import RecordFormat
import SQSWire

/// How a message of SQS stands in a record, for Kafka's consumers and for those who receive it:
///
///     value    the body's bytes
///     headers  each attribute by its name, its value as it is; NAME, where others have a use for the name, as sqs.attribute.NAME
///              sqs.types          NAME=TYPE, a line for each attribute that is no String
///              sqs.trace          the trace header
///              sqs.sender         who sent it, where that is known
///
/// The other way round, whatever has put a record there: a header that could be an attribute is one, of type String where it is text
/// and of type Binary where it is not. A value that no text can hold is given out in base64, and says so.
enum SQSMessageForm {
    private static let attributePrefix = "sqs.attribute."
    private static let typesKey = "sqs.types"
    private static let traceKey = "sqs.trace"
    private static let senderKey = "sqs.sender"
    /// Beginnings of names that are somebody's: the queues', the dead letters', and these.
    private static let reserved = ["queue.", "dead_letter.", "sqs."]
    /// The attribute of a body that is in base64.
    private static let encodingName = "body-encoding"

    // MARK: Sending

    static func message(_ sent: SQSSentMessage, sender: String?, isFIFO: Bool) -> QueueMessage {
        var message = QueueMessage(body: sent.body)
        message.groupID = sent.groupID
        message.deduplicationID = sent.deduplicationID
        // Of a FIFO queue it is 0, if it is there: such a message waits as the queue says.
        message.delayMs = isFIFO ? nil : sent.delaySeconds.map { Int64($0) * 1_000 }
        var types: [String] = []
        for attribute in sent.attributes {
            message.headers.append(RecordHeader(key: key(of: attribute.name), value: attribute.value))
            if attribute.type != "String" { types.append("\(attribute.name)=\(attribute.type)") }
        }
        func add(_ key: String, _ text: String?) {
            if let text { message.headers.append(RecordHeader(key: key, value: Array(text.utf8))) }
        }
        add(typesKey, types.isEmpty ? nil : types.joined(separator: "\n"))
        add(traceKey, sent.traceHeader)
        add(senderKey, sender)
        // Names and values count, as senders know them.
        let counted = sent.attributes.reduce(0) { $0 + $1.name.utf8.count + $1.value.count }
        let all = message.headers.reduce(0) { $0 + $1.key.utf8.count + ($1.value?.count ?? 0) }
        message.uncountedBytes = all - counted
        return message
    }

    private static func key(of name: String) -> String {
        reserved.contains(where: name.hasPrefix) ? attributePrefix + name : name
    }

    // MARK: Receiving

    /// - Parameter names: the attributes that were asked for.
    static func received(
        _ message: ReceivedMessage, names: SQSNamePatterns, isFIFO: Bool, region: String
    ) -> SQSReceivedMessage {
        let isText = SQSMessageAttribute.isText(message.body)
        var received = SQSReceivedMessage(
            id: message.id, receipt: message.handle,
            body: isText ? message.body : Array(Base64.encode(message.body).utf8), sentMs: message.sentMs,
            firstReceivedMs: message.firstReceivedMs, receiveCount: message.receiveCount)
        received.groupID = message.groupID
        received.deduplicationID = message.deduplicationID
        if isFIFO { received.sequenceNumber = sequenceNumber(message.offset) }
        received.deadLetterSource = message.deadLetter.flatMap { origin in
            SQSQueueName(origin.queue).map { SQSResourceName.text($0, region: region) }
        }
        read(message.headers, into: &received, names)
        if !isText {
            // Each name stands once.
            received.messageAttributes.removeAll { $0.name.isExactly(encodingName) }
            received.messageAttributes.append(
                SQSMessageAttribute(name: encodingName, type: "String", value: Array("base64".utf8)))
        }
        return received
    }

    private static func read(
        _ headers: [RecordHeader], into received: inout SQSReceivedMessage, _ names: SQSNamePatterns
    ) {
        var types: [Substring: Substring] = [:]
        if let text = headers.first(where: { $0.key == typesKey })?.value {
            for line in String(decoding: text, as: UTF8.self).split(separator: "\n") {
                let parts = line.split(separator: "=", maxSplits: 1)
                if parts.count == 2 { types[parts[0]] = parts[1] }
            }
        }
        for header in headers {
            guard let value = header.value else { continue }
            switch header.key {
            case traceKey:
                received.traceHeader = SQSMessageAttribute.isText(value) ? String(decoding: value, as: UTF8.self) : nil
            case senderKey:
                received.senderID = SQSMessageAttribute.isText(value) ? String(decoding: value, as: UTF8.self) : nil
            case typesKey: break
            default:
                guard received.messageAttributes.count < SQSLimits.maxMessageAttributes,
                    let attribute = attribute(header.key, value, types), names.contains(attribute.name),
                    !received.messageAttributes.contains(where: { $0.name.isExactly(attribute.name) })
                else { continue }
                received.messageAttributes.append(attribute)
            }
        }
    }

    /// Nil: what it is called, or holds, is no attribute's.
    private static func attribute(
        _ key: String, _ value: [UInt8], _ types: [Substring: Substring]
    ) -> SQSMessageAttribute? {
        let isEscaped = key.hasPrefix(attributePrefix)
        let name = isEscaped ? String(key.dropFirst(attributePrefix.count)) : key
        guard isEscaped || !reserved.contains(where: key.hasPrefix), !value.isEmpty, SQSMessageAttribute.isName(name)
        else { return nil }
        let type = types[Substring(name)].map(String.init) ?? "String"
        let attribute = SQSMessageAttribute(name: name, type: type, value: value)
        // What no sender of SQS has called a String may be any bytes.
        if attribute.isBinary || SQSMessageAttribute.isText(value) { return attribute }
        return SQSMessageAttribute(name: name, type: "Binary", value: value)
    }

    /// The offset, in as many digits as make texts sort as numbers do.
    static func sequenceNumber(_ offset: Offset) -> String {
        let digits = String(offset.rawValue)
        return String(repeating: "0", count: max(0, 20 - digits.utf8.count)) + digits
    }
}
