public import ByteBuffers
import Security

extension SQSReply {
    /// Writes a body in JSON. What is empty is left out, as SDKs take a list of attributes that is there for one with a digest; lists
    /// that the service's model says are always there, are.
    public func writeJSON(into out: inout ByteWriter) {
        SQSComposer.compose(.json, into: &out) { write(to: &$0, entryName: "") }
    }

    /// Writes a body in XML, as the older protocol has it.
    public func writeXML(_ operation: SQSOperation, requestID: String, into out: inout ByteWriter) {
        let name = operation.rawValue
        out.put("<?xml version=\"1.0\"?><\(name)Response xmlns=\"\(Self.nameSpace)\">")
        if case .empty = self {
        } else {
            out.put("<\(name)Result>")
            SQSComposer.compose(.xml, into: &out) { write(to: &$0, entryName: "\(name)ResultEntry") }
            out.put("</\(name)Result>")
        }
        out.put("<ResponseMetadata><RequestId>\(requestID)</RequestId></ResponseMetadata></\(name)Response>")
    }

    fileprivate static let nameSpace = "http://queue.amazonaws.com/doc/2012-11-05/"

    /// `entryName`: in XML, of what an entry of a batch became.
    private func write(to composer: inout SQSComposer, entryName: String) {
        switch self {
        case .empty: break
        case .queueURL(let url): composer.text("QueueUrl", url)
        case .queueURLs(let urls, let next):
            composer.texts("QueueUrls", "QueueUrl", urls)
            composer.text("NextToken", next)
        case .deadLetterSources(let urls, let next):
            composer.texts("queueUrls", "QueueUrl", urls, isRequired: true)
            composer.text("NextToken", next)
        case .attributes(let pairs): composer.map("Attributes", "Attribute", "Name", pairs)
        case .tags(let pairs): composer.map("Tags", "Tag", "Key", pairs)
        case .sent(let result): result.write(to: &composer)
        case .batch(let entries): Self.write(entries, to: &composer, entryName)
        case .messages(let messages, let asked):
            composer.list("Messages", "Message", messages) { $0.write(to: &$1, asked) }
        case .moveStarted(let handle): composer.text("TaskHandle", handle)
        case .moveTasks(let tasks):
            composer.list("Results", "ListMessageMoveTasksResultEntry", tasks) { $0.write(to: &$1) }
        case .moveCancelled(let moved): composer.number("ApproximateNumberOfMessagesMoved", moved)
        }
    }

    private static func write(_ entries: [SQSEntryResult], to composer: inout SQSComposer, _ entryName: String) {
        let good = entries.compactMap { entry in
            if case .success(let sent) = entry.outcome { (id: entry.id, sent: sent) } else { nil }
        }
        composer.list("Successful", entryName, good, isRequired: true) { entry, composer in
            composer.text("Id", entry.id)
            entry.sent?.write(to: &composer)
        }
        let bad = entries.compactMap { entry in
            if case .failure(let error) = entry.outcome { (id: entry.id, error: error) } else { nil }
        }
        composer.list("Failed", "BatchResultErrorEntry", bad, isRequired: true) { entry, composer in
            composer.text("Id", entry.id)
            composer.flag("SenderFault", entry.error.kind.isSendersFault)
            composer.text("Code", entry.error.kind.code)
            composer.text("Message", entry.error.message)
        }
    }
}

extension SQSError {
    public func writeJSON(into out: inout ByteWriter) {
        SQSComposer.compose(.json, into: &out) {
            $0.text("__type", kind.type)
            $0.text("message", message)
        }
    }

    public func writeXML(requestID: String, into out: inout ByteWriter) {
        out.put("<?xml version=\"1.0\"?><ErrorResponse xmlns=\"\(SQSReply.nameSpace)\"><Error>")
        SQSComposer.compose(.xml, into: &out) {
            $0.text("Type", kind.isSendersFault ? "Sender" : "Receiver")
            $0.text("Code", kind.code)
            $0.text("Message", message)
        }
        out.put("<Detail/></Error><RequestId>\(requestID)</RequestId></ErrorResponse>")
    }
}

extension SQSSentResult {
    fileprivate func write(to composer: inout SQSComposer) {
        composer.text("MessageId", id)
        composer.text("MD5OfMessageBody", bodyDigest)
        composer.text("MD5OfMessageAttributes", attributesDigest)
        composer.text("MD5OfMessageSystemAttributes", systemAttributesDigest)
        composer.text("SequenceNumber", sequenceNumber)
    }
}

extension SQSReceivedMessage {
    fileprivate func write(to composer: inout SQSComposer, _ asked: SQSSystemAttributes) {
        composer.text("MessageId", id)
        composer.text("ReceiptHandle", receipt)
        composer.text("MD5OfBody", MD5.hexadecimal(body))
        composer.bytes("Body", body)
        let system = SQSSystemAttributes.names.compactMap { name, attribute in
            asked.contains(attribute) ? value(attribute).map { SQSPair(name: name.description, value: $0) } : nil
        }
        composer.map("Attributes", "Attribute", "Name", system)
        composer.text("MD5OfMessageAttributes", SQSMessageAttribute.digest(messageAttributes))
        composer.entries("MessageAttributes", "MessageAttribute", messageAttributes, \.name) { attribute, composer in
            if attribute.isBinary {
                composer.text("BinaryValue", Base64.encode(attribute.value))
            } else {
                composer.bytes("StringValue", attribute.value)
            }
            composer.text("DataType", attribute.type)
        }
    }
}

extension SQSMoveTask {
    fileprivate func write(to composer: inout SQSComposer) {
        composer.text("TaskHandle", handle)
        composer.text("Status", status.rawValue)
        composer.text("SourceArn", sourceARN)
        composer.text("DestinationArn", destinationARN)
        composer.number("MaxNumberOfMessagesPerSecond", rate)
        composer.number("ApproximateNumberOfMessagesMoved", moved)
        composer.number("ApproximateNumberOfMessagesToMove", toMove)
        composer.text("FailureReason", failure)
        composer.number("StartedTimestamp", Int(startedMs))
    }
}
