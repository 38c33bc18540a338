import BrokerCore
import ByteBuffers
import KafkaModel
import QueueLedger
import SQSWire
import Security

/// Messages: sent, received, deleted, given back.
extension SQSCalls {
    // MARK: Sending

    func send(_ message: SQSSentMessage, to queue: SQSQueueName) throws(SQSError) -> Answer {
        let described = try described(queue, .write)
        try check(message, described)
        let sent = queues.send(
            [SQSMessageForm.message(message, sender: sender, isFIFO: described.isFIFO)], to: queue.text.text)
        switch sent.answer[0] {
        case .success(let stored):
            return QueueOutcome(.success(.sent(result(message, stored, described))), sent.commits)
        case .failure(let refusal): return QueueOutcome(.failure(Self.error(refusal)))
        }
    }

    /// Sends the entries that are in order, all of them at once.
    func send(_ entries: [SQSEntry<SQSSentMessage>], to queue: SQSQueueName) throws(SQSError) -> Answer {
        let described = try described(queue, .write)
        var results: [Result<SQSSentResult?, SQSError>] = []
        var good: [(index: Int, message: SQSSentMessage)] = []
        for (index, entry) in entries.enumerated() {
            do throws(SQSError) {
                let message = try entry.content.get()
                try check(message, described)
                good.append((index, message))
                results.append(.success(nil))
            } catch {
                results.append(.failure(error))
            }
        }
        var commits = CommitSpan()
        if !good.isEmpty {
            let sent = queues.send(
                good.map { SQSMessageForm.message($0.message, sender: sender, isFIFO: described.isFIFO) },
                to: queue.text.text)
            commits = sent.commits
            for ((index, message), outcome) in zip(good, sent.answer) {
                results[index] = outcome.map { result(message, $0, described) }.mapError(Self.error)
            }
        }
        return QueueOutcome(.success(Self.batch(entries.map(\.id), results)), commits)
    }

    private func check(_ message: SQSSentMessage, _ queue: QueueDescription) throws(SQSError) {
        try message.check(
            isFIFO: queue.isFIFO, maxMessageBytes: queue.settings.maxMessageBytes,
            deduplicatesByContent: queue.settings.deduplicatesByContent)
    }

    private func result(_ message: SQSSentMessage, _ stored: SentMessage, _ queue: QueueDescription) -> SQSSentResult {
        SQSSentResult(
            message, id: stored.id,
            sequenceNumber: queue.isFIFO ? SQSMessageForm.sequenceNumber(stored.offset) : nil)
    }

    private static func batch(_ ids: [String], _ results: [Result<SQSSentResult?, SQSError>]) -> SQSReply {
        .batch(zip(ids, results).map { SQSEntryResult(id: $0, $1) })
    }

    // MARK: Receiving

    /// Receives; `done` is called once, on any thread, with what is to be done where nobody is there any more to be answered.
    func receive(
        _ asked: SQSReceive, from queue: SQSQueueName, ending wait: WaitEnd,
        _ done: @escaping @Sendable (Answer, _ abandoned: (@Sendable () -> Void)?) -> Void
    ) {
        let described: QueueDescription
        do throws(SQSError) { described = try self.described(queue, .read) } catch {
            return done(QueueOutcome(.failure(error)), nil)
        }
        var request = QueueReceive()
        request.maxMessages = asked.maxMessages
        request.maxBytes = QueueReceive.maxBytesLimit
        request.visibilityMs = asked.visibilitySeconds.map { Int64($0) * 1_000 }
        request.waitMs = min(asked.waitSeconds.map { Int64($0) * 1_000 } ?? described.settings.receiveWaitMs, maxWaitMs)
        if described.isFIFO { request.attemptID = asked.attemptID }
        let (isFIFO, region, queues, name) = (described.isFIFO, region, queues, queue.text.text)
        let end = queues.receive(request, from: name) { outcome in
            switch outcome.answer {
            case .messages(let messages):
                let received = messages.map {
                    SQSMessageForm.received($0, names: asked.messageAttributes, isFIFO: isFIFO, region: region)
                }
                done(QueueOutcome(.success(.messages(received, asked.systemAttributes)), outcome.commits)) {
                    queues.abandon(messages, in: name)
                }
            case .overLimit:
                let error = SQSError(.overLimit, "As many messages of the queue are in flight as may be at a time.")
                done(QueueOutcome(.failure(error)), nil)
            case .refused(let refusal): done(QueueOutcome(.failure(Self.error(refusal))), nil)
            }
        }
        wait.began(end)
    }

    // MARK: Settling

    func delete(_ receipt: String, in queue: SQSQueueName) throws(SQSError) -> Answer {
        _ = try described(queue, .read)
        let settled = queues.acknowledge([receipt], in: queue.text.text)
        return try Self.one(settled) { Self.deleted($0, receipt) }
    }

    func delete(_ entries: [SQSEntry<String>], in queue: SQSQueueName) throws(SQSError) -> Answer {
        _ = try described(queue, .read)
        return try Self.many(entries) { receipts in
            queues.acknowledge(receipts, in: queue.text.text)
        } judged: {
            Self.deleted($0, $1)
        }
    }

    func changeVisibility(_ change: SQSVisibilityChange, in queue: SQSQueueName) throws(SQSError) -> Answer {
        _ = try described(queue, .read)
        let settled = queues.changeVisibility([Self.handle(change)], in: queue.text.text)
        return try Self.one(settled) { Self.changed($0, change) }
    }

    func changeVisibility(
        _ entries: [SQSEntry<SQSVisibilityChange>], in queue: SQSQueueName
    ) throws(SQSError) -> Answer {
        _ = try described(queue, .read)
        return try Self.many(entries) { changes in
            queues.changeVisibility(changes.map(Self.handle), in: queue.text.text)
        } judged: {
            Self.changed($0, $1)
        }
    }

    private static func handle(_ change: SQSVisibilityChange) -> (handle: String, visibilityMs: Int64) {
        (change.receipt, Int64(change.seconds) * 1_000)
    }

    private typealias Settled = QueueOutcome<Result<[QueueSettlement], QueueRefusal>>

    private static func one(
        _ settled: Settled, judged: (QueueSettlement) -> SQSError?
    ) throws(SQSError) -> Answer {
        switch settled.answer {
        case .failure(let refusal): throw error(refusal)
        case .success(let settlements):
            if let error = judged(settlements[0]) { throw error }
            return QueueOutcome(.success(.empty), settled.commits)
        }
    }

    /// Settles the entries that are in order, all of them at once.
    private static func many<Content>(
        _ entries: [SQSEntry<Content>], _ settle: ([Content]) -> Settled,
        judged: (QueueSettlement, Content) -> SQSError?
    ) throws(SQSError) -> Answer {
        var results: [Result<SQSSentResult?, SQSError>] = []
        var good: [(index: Int, content: Content)] = []
        for (index, entry) in entries.enumerated() {
            switch entry.content {
            case .success(let content):
                good.append((index, content))
                results.append(.success(nil))
            case .failure(let error): results.append(.failure(error))
            }
        }
        var commits = CommitSpan()
        if !good.isEmpty {
            let settled = settle(good.map(\.content))
            commits = settled.commits
            switch settled.answer {
            case .failure(let refusal): throw error(refusal)
            case .success(let settlements):
                for ((index, content), settlement) in zip(good, settlements) {
                    if let error = judged(settlement, content) { results[index] = .failure(error) }
                }
            }
        }
        return QueueOutcome(.success(batch(entries.map(\.id), results)), commits)
    }

    /// What a receipt that was to delete is refused with; nil: the message is gone, or belongs to somebody else by now.
    private static func deleted(_ settlement: QueueSettlement, _ receipt: String) -> SQSError? {
        switch settlement {
        case .settled(.done), .settled(.noEffect), .settled(.notInFlight): nil
        case .settled(.expired), .settled(.beyondLimit):
            .invalid(receipt, "ReceiptHandle", "The receipt handle has expired.")
        case .settled(.unknown), .invalidHandle: .badReceipt(receipt)
        case .refused(let refusal): error(refusal)
        }
    }

    private static func changed(_ settlement: QueueSettlement, _ change: SQSVisibilityChange) -> SQSError? {
        switch settlement {
        case .settled(.done), .settled(.noEffect): nil
        case .settled(.expired):
            .invalid(change.receipt, "ReceiptHandle", "The receipt handle has expired.")
        case .settled(.notInFlight):
            SQSError(
                .messageNotInflight,
                "The message does not exist or is not available for a change of its visibility timeout.")
        case .settled(.beyondLimit):
            .invalid(
                "\(change.seconds)", "VisibilityTimeout",
                "Total VisibilityTimeout for the message is beyond the limit [\(SQSLimits.maxVisibilitySeconds) seconds]."
            )
        case .settled(.unknown), .invalidHandle: .badReceipt(change.receipt)
        case .refused(let refusal): error(refusal)
        }
    }

    // MARK: Whole queues

    func purge(_ queue: SQSQueueName) throws(SQSError) -> Answer {
        _ = try described(queue, .delete)
        let purged = queues.purge(queue.text.text)
        if let refusal = purged.answer { throw Self.error(refusal) }
        return QueueOutcome(.success(.empty), purged.commits)
    }

    func attributes(of queue: SQSQueueName, _ selection: SQSAttributeSelection) throws(SQSError) -> Answer {
        let described = try described(queue, .describe)
        var commits = CommitSpan()
        var counts = QueueCounts()
        if Self.counted.contains(where: selection.contains) {
            let counted = queues.counts(of: queue.text.text, withOldest: false)
            commits = counted.commits
            switch counted.answer {
            case .success(let found): counts = found
            case .failure(let refusal): throw Self.error(refusal)
            }
        }
        let pairs = SQSQueueAttribute.allCases.compactMap { attribute -> SQSPair? in
            guard selection.contains(attribute) else { return nil }
            let value: String? =
                switch attribute {
                case .approximateNumberOfMessages: String(counts.visible)
                case .approximateNumberOfMessagesNotVisible: String(counts.inFlight + counts.ending)
                case .approximateNumberOfMessagesDelayed: String(counts.delayed)
                case .createdTimestamp: String(described.createdMs / 1_000)
                case .lastModifiedTimestamp: String(described.modifiedMs / 1_000)
                case .queueARN: SQSResourceName.text(queue, region: region)
                default: SQSQueueForm.value(attribute, of: described.settings, region: region)
                }
            return value.map { SQSPair(name: attribute.rawValue, value: $0) }
        }
        return QueueOutcome(.success(.attributes(pairs)), commits)
    }

    private static let counted: [SQSQueueAttribute] = [
        .approximateNumberOfMessages, .approximateNumberOfMessagesNotVisible, .approximateNumberOfMessagesDelayed,
    ]
}

extension QueueDescription {
    var isFIFO: Bool { settings.order == .fifo }
}
