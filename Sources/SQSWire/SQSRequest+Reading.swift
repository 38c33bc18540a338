import ByteBuffers
import KafkaModel

extension SQSRequest {
    /// Reads and checks a body in JSON. What a request has that its operation does not know is gone over.
    public init(_ operation: SQSOperation, json body: UnsafeRawBufferPointer) throws(SQSError) {
        self = try Self.make(operation, try SQSParameters(body))
    }

    static func make(
        _ operation: SQSOperation, _ parameters: SQSParameters
    ) throws(SQSError) -> SQSRequest {
        switch operation {
        case .sendMessage, .sendMessageBatch, .receiveMessage, .deleteMessage, .deleteMessageBatch,
            .changeMessageVisibility, .changeMessageVisibilityBatch:
            return try ofMessages(operation, parameters)
        case .startMessageMoveTask, .cancelMessageMoveTask, .listMessageMoveTasks:
            return try ofMoveTasks(operation, parameters)
        default: return try ofQueues(operation, parameters)
        }
    }

    // MARK: Messages

    private static func ofMessages(
        _ operation: SQSOperation, _ parameters: SQSParameters
    ) throws(SQSError) -> SQSRequest {
        let queue = try parameters.queue()
        switch operation {
        case .sendMessage: return .sendMessage(queue, try SQSSentMessage(parameters, place: ""))
        case .receiveMessage: return .receiveMessage(queue, try SQSReceive(parameters))
        case .deleteMessage: return .deleteMessage(queue, receipt: try parameters.requiredReceipt(place: ""))
        case .deleteMessageBatch:
            return .deleteMessageBatch(
                queue,
                try parameters.batch("DeleteMessageBatchRequestEntry") { entry, place throws(SQSError) in
                    try entry.requiredReceipt(place: place)
                })
        case .changeMessageVisibilityBatch:
            return .changeMessageVisibilityBatch(
                queue,
                try parameters.batch("ChangeMessageVisibilityBatchRequestEntry") { entry, place throws(SQSError) in
                    try SQSVisibilityChange(entry, place: place)
                })
        case .sendMessageBatch:
            let entries = try parameters.batch("SendMessageBatchRequestEntry") { entry, place throws(SQSError) in
                try SQSSentMessage(entry, place: place)
            }
            let bytes = entries.reduce(0) { $0 + ((try? $1.content.get().byteCount) ?? 0) }
            guard bytes <= SQSLimits.maxBatchBytes else {
                throw SQSError(
                    .batchRequestTooLong,
                    "Batch requests cannot be longer than \(SQSLimits.maxBatchBytes) bytes. You have sent \(bytes) bytes."
                )
            }
            return .sendMessageBatch(queue, entries)
        default: return .changeMessageVisibility(queue, try SQSVisibilityChange(parameters, place: ""))
        }
    }

    // MARK: Queues

    private static func ofQueues(
        _ operation: SQSOperation, _ parameters: SQSParameters
    ) throws(SQSError) -> SQSRequest {
        switch operation {
        case .createQueue:
            let attributes = try SQSQueueAttributes(parameters.attributes ?? [])
            let queue = try parameters.newQueue(attributes)
            try attributes.check(isFIFO: queue.isFIFO)
            return .createQueue(queue, attributes, tags: try parameters.checkedTags(isRequired: false))
        case .getQueueURL: return .getQueueURL(try parameters.namedQueue())
        case .listQueues:
            let prefix = parameters.prefix ?? ""
            guard prefix.utf8.count <= SQSLimits.maxQueueNameBytes else {
                throw SQSError.invalid(prefix, "QueueNamePrefix", "It is longer than the name of a queue.")
            }
            return .listQueues(prefix: prefix, try SQSPage(parameters))
        default: break
        }
        let queue = try parameters.queue()
        switch operation {
        case .deleteQueue: return .deleteQueue(queue)
        case .purgeQueue: return .purgeQueue(queue)
        case .listQueueTags: return .listQueueTags(queue)
        case .listDeadLetterSourceQueues: return .listDeadLetterSourceQueues(queue, try SQSPage(parameters))
        case .getQueueAttributes:
            return .getQueueAttributes(queue, try SQSAttributeSelection(parameters.attributeNames ?? []))
        case .setQueueAttributes:
            guard let pairs = parameters.attributes, !pairs.isEmpty else { throw .missing("Attribute.Name") }
            let attributes = try SQSQueueAttributes(pairs)
            try attributes.check(isFIFO: queue.isFIFO)
            return .setQueueAttributes(queue, attributes)
        case .tagQueue: return .tagQueue(queue, try parameters.checkedTags(isRequired: true))
        case .untagQueue:
            guard let keys = parameters.tagKeys, !keys.isEmpty else { throw .missing("TagKeys") }
            return .untagQueue(queue, keys)
        case .addPermission:
            guard let accounts = parameters.accounts, !accounts.isEmpty else { throw .missing("AWSAccountIds") }
            guard let actions = parameters.actions, !actions.isEmpty else { throw .missing("Actions") }
            return .addPermission(
                queue, label: try parameters.checkedLabel(), accounts: try SQSPolicy.checkedAccounts(accounts),
                actions: try SQSPolicy.checkedActions(actions))
        default: return .removePermission(queue, label: try parameters.checkedLabel())
        }
    }

    // MARK: Move tasks

    private static func ofMoveTasks(
        _ operation: SQSOperation, _ parameters: SQSParameters
    ) throws(SQSError) -> SQSRequest {
        if operation == .cancelMessageMoveTask {
            guard let handle = parameters.taskHandle, !handle.isEmpty else { throw .missing("TaskHandle") }
            guard handle.utf8.count <= SQSLimits.maxTokenBytes else {
                throw .invalid(handle, "TaskHandle", "The TaskHandle is too long.")
            }
            return .cancelMessageMoveTask(handle: handle)
        }
        guard let text = parameters.sourceARN, !text.isEmpty else { throw .missing("SourceArn") }
        let source = try resource(text, "SourceArn")
        if operation == .listMessageMoveTasks {
            let limit =
                try bounded(
                    parameters.maxResults, 1...SQSLimits.maxListedTasks, "MaxResults") ?? 1
            return .listMessageMoveTasks(source: source, limit: limit)
        }
        var destination: SQSQueueName?
        if let text = parameters.destinationARN { destination = try resource(text, "DestinationArn") }
        let rate = try bounded(parameters.moveRate, 1...SQSLimits.maxMoveRate, "MaxNumberOfMessagesPerSecond")
        return .startMessageMoveTask(source: source, destination: destination, rate: rate)
    }

    private static func resource(_ text: String, _ parameter: String) throws(SQSError) -> SQSQueueName {
        guard let queue = SQSResourceName.queue(text) else {
            throw .invalid(text, parameter, "It is not the resource name of a queue.")
        }
        return queue
    }

    /// A number within its bounds; nil where there is none.
    static func bounded(_ value: Int?, _ range: ClosedRange<Int>, _ parameter: String) throws(SQSError) -> Int? {
        guard let value else { return nil }
        guard range.contains(value) else {
            throw .invalid(
                "\(value)", parameter, "Must be between \(range.lowerBound) and \(range.upperBound), if provided.")
        }
        return value
    }
}

extension SQSParameters {
    func queue() throws(SQSError) -> SQSQueueName {
        guard let queueURL, !queueURL.isEmpty else { throw .missing("QueueUrl") }
        return try SQSQueueName(address: queueURL)
    }

    func namedQueue() throws(SQSError) -> SQSQueueName {
        guard let queueName, !queueName.isEmpty else { throw .missing("QueueName") }
        guard let name = SQSQueueName(queueName) else { throw Self.badName }
        return name
    }

    /// A FIFO queue has both the attribute and the suffix.
    fileprivate func newQueue(_ attributes: SQSQueueAttributes) throws(SQSError) -> SQSQueueName {
        let name = try namedQueue()
        if attributes[.fifoQueue] == "true", !name.isFIFO {
            throw SQSError(
                .invalidParameterValue,
                "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, must end with .fifo suffix and be 1 to 80 in length"
            )
        }
        if name.isFIFO, attributes[.fifoQueue] != "true" { throw Self.badName }
        return name
    }

    private static var badName: SQSError {
        SQSError(
            .invalidParameterValue,
            "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length")
    }

    fileprivate func requiredReceipt(place: String) throws(SQSError) -> String {
        guard let receipt, !receipt.isEmpty else { throw .missing("\(place)ReceiptHandle") }
        guard receipt.utf8.count <= SQSLimits.maxReceiptBytes else { throw .badReceipt(receipt) }
        return receipt
    }

    fileprivate func checkedLabel() throws(SQSError) -> String {
        guard let label, !label.isEmpty else { throw .missing("Label") }
        guard SQSText.isName(label, upTo: SQSLimits.maxQueueNameBytes) else {
            throw .invalid(
                label, "Label", "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length")
        }
        return label
    }

    fileprivate func checkedTags(isRequired: Bool) throws(SQSError) -> [SQSPair] {
        guard let tags, !tags.isEmpty else {
            if isRequired { throw .missing("Tags") }
            return []
        }
        for tag in tags {
            guard (1...SQSLimits.maxTagKeyBytes).contains(tag.name.utf8.count),
                tag.value.utf8.count <= SQSLimits.maxTagValueBytes, SQSText.firstForbidden(tag.name) == nil,
                SQSText.firstForbidden(tag.value) == nil
            else {
                throw SQSError(
                    .invalidParameterValue,
                    "Tag keys have 1 to \(SQSLimits.maxTagKeyBytes) bytes, and values at most \(SQSLimits.maxTagValueBytes)."
                )
            }
        }
        return tags
    }

    /// The entries of a batch. What is wrong with all of it is thrown, and what is wrong with one entry is that entry's.
    fileprivate func batch<Content>(
        _ name: String, _ read: (SQSParameters, _ place: String) throws(SQSError) -> Content
    ) throws(SQSError) -> [SQSEntry<Content>] {
        guard let entries, !entries.isEmpty else {
            throw SQSError(.emptyBatchRequest, "There should be at least one \(name) in the request.")
        }
        guard entryCount <= SQSLimits.maxEntries else {
            throw SQSError(
                .tooManyEntriesInBatchRequest,
                "Maximum number of entries per request are \(SQSLimits.maxEntries). You have sent \(entryCount).")
        }
        var ids: [ExactString] = []
        for (index, entry) in entries.enumerated() {
            guard let id = entry.entryID, !id.isEmpty else { throw .missing("\(name).\(index + 1).Id") }
            guard SQSText.isName(id, upTo: SQSLimits.maxEntryIDBytes) else {
                throw SQSError(
                    .invalidBatchEntryID,
                    "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most \(SQSLimits.maxEntryIDBytes) letters long."
                )
            }
            guard !ids.contains(ExactString(id)) else {
                throw SQSError(.batchEntryIDsNotDistinct, "Id \(id) repeated.")
            }
            ids.append(ExactString(id))
        }
        var found: [SQSEntry<Content>] = []
        for (index, entry) in entries.enumerated() {
            do throws(SQSError) {
                let content = try read(entry, "\(name).\(index + 1).")
                found.append(SQSEntry(id: ids[index].text, content: .success(content)))
            } catch {
                // What is not there at all is the whole request's error.
                if error.kind == .missingParameter { throw error }
                found.append(SQSEntry(id: ids[index].text, content: .failure(error)))
            }
        }
        return found
    }
}

extension SQSVisibilityChange {
    fileprivate init(_ parameters: SQSParameters, place: String) throws(SQSError) {
        receipt = try parameters.requiredReceipt(place: place)
        guard
            let seconds = try SQSRequest.bounded(
                parameters.visibilityTimeout, 0...SQSLimits.maxVisibilitySeconds, "VisibilityTimeout")
        else { throw .missing("\(place)VisibilityTimeout") }
        self.seconds = seconds
    }
}

extension SQSPage {
    fileprivate init(_ parameters: SQSParameters) throws(SQSError) {
        let asked = try SQSRequest.bounded(parameters.maxResults, 1...SQSLimits.maxListed, "MaxResults")
        isPaged = asked != nil
        limit = asked ?? SQSLimits.maxListed
        guard let token = parameters.nextToken, !token.isEmpty else {
            after = nil
            return
        }
        guard let name = Self.name(ofToken: token) else {
            throw .invalid(token, "NextToken", "It is no token of a list.")
        }
        after = name
    }

    /// The token of the page behind an item.
    public static func token(after name: String) -> String { Base64.encodeURL(Array(name.utf8)) }

    private static func name(ofToken token: String) -> String? {
        guard token.utf8.count <= SQSLimits.maxTokenBytes, let bytes = Base64.decodeURL(Array(token.utf8)) else {
            return nil
        }
        return String(validating: bytes, as: UTF8.self)
    }
}

extension SQSReceive {
    fileprivate init(_ parameters: SQSParameters) throws(SQSError) {
        maxMessages =
            try SQSRequest.bounded(parameters.maxMessages, 1...SQSLimits.maxMessages, "MaxNumberOfMessages") ?? 1
        visibilitySeconds = try SQSRequest.bounded(
            parameters.visibilityTimeout, 0...SQSLimits.maxVisibilitySeconds, "VisibilityTimeout")
        waitSeconds = try SQSRequest.bounded(parameters.waitSeconds, 0...SQSLimits.maxWaitSeconds, "WaitTimeSeconds")
        attemptID = parameters.attemptID
        if let attemptID, !SQSText.isID(attemptID) {
            throw .invalid(
                attemptID, "ReceiveRequestAttemptId",
                "ReceiveRequestAttemptId can only include alphanumeric and punctuation characters. 1 to 128 in length.")
        }
        // The older name and the newer one say the same.
        systemAttributes = try SQSSystemAttributes(
            (parameters.systemAttributeNames ?? []) + (parameters.attributeNames ?? []))
        messageAttributes = SQSNamePatterns(parameters.messageAttributeNames ?? [])
    }
}

extension SQSError {
    /// A receipt that no receive has given.
    public static func badReceipt(_ receipt: String) -> SQSError {
        SQSError(
            .receiptHandleIsInvalid,
            "The input receipt handle \"\(SQSText.quoted(receipt))\" is not a valid receipt handle.")
    }
}
