import ByteBuffers
import KafkaModel
import LogStorage
import QueueLedger
import RecordFormat
import Security

/// Sending: a message is a record of the queue's topic, as any producer's.
extension QueueCoordinator {
    public func send(
        _ messages: [QueueMessage], to name: String
    ) -> QueueOutcome<[Result<SentMessage, QueueRefusal>]> {
        defer { broker.store.kick() }
        do throws(QueueRefusal) {
            let (queue, topic) = try find(name)
            guard messages.count <= QueueMessage.maxBatch else {
                throw QueueRefusal(.invalid, "a call sends \(QueueMessage.maxBatch) messages at most")
            }
            return send(messages, to: queue, topic)
        } catch {
            return QueueOutcome(messages.map { _ in .failure(error) })
        }
    }

    /// A message that is acceptable, as it will stand in the log.
    struct Prepared {
        /// Among those of the call.
        let place: Int
        let body: [UInt8]
        let key: [UInt8]?
        var headers: [RecordHeader]
        let group: NameDigest?
        /// FIFO: of its de-duplication id.
        let id: NameDigest?
        let isDelayed: Bool
    }

    private func send(
        _ messages: [QueueMessage], to queue: Queue, _ topic: Topic
    ) -> QueueOutcome<[Result<SentMessage, QueueRefusal>]> {
        var results: [Result<SentMessage, QueueRefusal>?] = Array(repeating: nil, count: messages.count)
        let sticky = queue.sends.next(of: topic.partitions.count)
        var byPartition: [Int: [Prepared]] = [:]
        for (place, message) in messages.enumerated() {
            do throws(QueueRefusal) {
                let prepared = try prepare(message, place, queue.settings)
                byPartition[
                    Self.partition(of: prepared, queue.settings, sticky, topic.partitions.count), default: []
                ].append(prepared)
            } catch {
                results[place] = .failure(error)
            }
        }
        var commits = CommitSpan()
        for (index, prepared) in byPartition {
            let partition = QueuePartition(queue: queue, log: topic.partitions[index])
            append(prepared, to: partition, &results, &commits)
        }
        return QueueOutcome(
            results.map { $0 ?? .failure(QueueRefusal(.unavailable, "the message was not appended")) }, commits)
    }

    private static func partition(
        of message: Prepared, _ settings: QueueSettings, _ sticky: Int, _ count: Int
    ) -> Int {
        settings.order == .fifo ? message.partition(of: count, settings, withoutGroup: 0) : sticky
    }

    private func prepare(
        _ message: QueueMessage, _ place: Int, _ settings: QueueSettings
    ) throws(QueueRefusal) -> Prepared {
        if let problem = message.problem(settings) { throw QueueRefusal(.invalid, problem) }
        let bytes = message.headers.reduce(message.body.count) { $0 + $1.key.utf8.count + ($1.value?.count ?? 0) }
        guard bytes - message.uncountedBytes <= settings.maxMessageBytes else {
            throw QueueRefusal(.tooLarge, "a message has \(settings.maxMessageBytes) bytes at most")
        }
        var headers = message.headers
        var id: NameDigest?
        let group = message.groupID.map { NameDigest(of: $0.utf8) }
        if let groupID = message.groupID { headers.append(QueueHeader.header(QueueHeader.group, groupID)) }
        if settings.order == .fifo {
            guard
                let text = message.deduplicationID ?? (settings.deduplicatesByContent ? Self.digest(message.body) : nil)
            else {
                throw QueueRefusal(
                    .invalid,
                    "a message of a FIFO queue has a de-duplication id, unless the queue makes it of the content")
            }
            headers.append(QueueHeader.header(QueueHeader.deduplication, text))
            id = NameDigest(
                deduplication: text.utf8, group: settings.deduplicationScope == .messageGroup ? group : nil)
        }
        if let delayMs = message.delayMs { headers.append(QueueHeader.header(QueueHeader.delay, delayMs)) }
        return Prepared(
            place: place, body: message.body, key: message.key ?? message.groupID.map { Array($0.utf8) },
            headers: headers, group: group, id: id, isDelayed: (message.delayMs ?? 0) > 0)
    }

    static func digest(_ body: [UInt8]) -> String {
        let digits = Array("0123456789abcdef".utf8)
        return String(
            decoding: HashAlgorithm.sha256.hash(body).flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] },
            as: UTF8.self)
    }

    // MARK: Appending

    private func append(
        _ messages: [Prepared], to partition: QueuePartition, _ results: inout [Result<SentMessage, QueueRefusal>?],
        _ commits: inout CommitSpan
    ) {
        let needsLedger = partition.queue.settings.order == .fifo || messages.contains(where: \.isDelayed)
        do throws(QueueRefusal) {
            guard needsLedger else {
                return appendAll(messages, to: partition, nowMs(), &results, &commits)
            }
            var (found, span) = (results, commits)
            _ = try withLedger(of: partition) { entry, shard, nowMs throws(QueueRefusal) in
                if partition.log.hasLeftOutAppends {
                    // Ids may be known of messages that are not there: all is read anew when it is known what is.
                    entry.isLost = true
                    throw QueueRefusal(.unavailable, "messages of \(partition.log.name) are not available")
                }
                try append(messages, to: partition, &entry, nowMs, &found, &span)
            }
            (results, commits) = (found, span)
        } catch {
            for message in messages where results[message.place] == nil { results[message.place] = .failure(error) }
        }
    }

    /// In the turn of the partition's ledger: so nobody tells it of delayed messages before it is known that there are some, and
    /// nobody sends under an id between the look for it and the append.
    private func append(
        _ messages: [Prepared], to partition: QueuePartition, _ entry: inout QueueShard.Entry, _ nowMs: Int64,
        _ results: inout [Result<SentMessage, QueueRefusal>?], _ commits: inout CommitSpan
    ) throws(QueueRefusal) {
        let isFIFO = partition.queue.settings.order == .fifo
        if !isFIFO {
            if isFull { throw Self.noMemory }
            guard entry.ledger.hasRoomForDelay else {
                throw QueueRefusal(.limit, "no more messages with delays of their own are taken until some are over")
            }
            appendAll(messages, to: partition, nowMs, &results, &commits)
            entry.timedBelow = partition.log.logEndOffset
            return
        }
        // By id the message of this call that has it.
        var firsts: [NameDigest: Int] = [:]
        var repeats: [(place: Int, of: Int)] = []
        var fresh: [Prepared] = []
        for message in messages {
            guard let id = message.id else { continue }
            if let original = entry.ledger.original(of: id, nowMs: nowMs) {
                results[message.place] = .success(Self.sent(partition, original, isDuplicate: true))
                commits.add(entry.sendTicket)
            } else if let first = firsts[id] {
                repeats.append((message.place, first))
            } else if isFull {
                results[message.place] = .failure(Self.noMemory)
            } else if !entry.ledger.hasRoomForID {
                results[message.place] = .failure(
                    QueueRefusal(.limit, "as many de-duplication ids are known as may be; they are for five minutes"))
            } else {
                firsts[id] = message.place
                fresh.append(message)
            }
        }
        var own = CommitSpan()
        appendAll(fresh, to: partition, nowMs, &results, &own)
        commits.add(own)
        entry.sendTicket = max(entry.sendTicket, own.last)
        for message in fresh {
            guard case .success(let sent)? = results[message.place], let id = message.id else { continue }
            entry.ledger.noteSent(id, at: sent.offset, sentMs: nowMs)
        }
        for (place, first) in repeats {
            results[place] = results[first].map { result in
                result.map { sent in
                    var copy = sent
                    copy.isDuplicate = true
                    return copy
                }
            }
        }
    }

    private static let noMemory = QueueRefusal(
        .limit, "queues have all the memory that they may; send it again when messages have been acknowledged")

    private static func sent(_ partition: QueuePartition, _ offset: Offset, isDuplicate: Bool) -> SentMessage {
        SentMessage(
            id: QueueMessageID.text(partition.id, offset), partitionIndex: partition.log.partitionIndex,
            offset: offset, isDuplicate: isDuplicate)
    }

    /// Appends in batches that the topic takes, in order; what follows a refusal is refused like it.
    func appendAll(
        _ messages: [Prepared], to partition: QueuePartition, _ nowMs: Int64,
        _ results: inout [Result<SentMessage, QueueRefusal>?], _ commits: inout CommitSpan
    ) {
        let limit = partition.log.settings.maxBatchBytes
        var builder = RecordBatchBuilder(pool: broker.store.chunkPool)
        var inBatch: [Prepared] = []
        var failure: QueueRefusal?

        func close() {
            if inBatch.isEmpty { return }
            defer { inBatch = [] }
            let batch = builder.finishUncompressed()
            switch partition.log.append(batch, origin: .client, nowMs: nowMs) {
            case .success(let receipt):
                commits.add(receipt.ticket)
                for (index, message) in inBatch.enumerated() {
                    results[message.place] = .success(
                        Self.sent(partition, receipt.baseOffset + Int64(index), isDuplicate: false))
                }
            case .failure(let refusal):
                failure = QueueRefusal(refusal)
                for message in inBatch { results[message.place] = .failure(QueueRefusal(refusal)) }
            }
        }

        for message in messages {
            if let failure {
                results[message.place] = .failure(failure)
                continue
            }
            let size = message.sizeInBatch
            guard RecordBatchHeader.size + size <= limit else {
                results[message.place] = .failure(
                    QueueRefusal(.tooLarge, "the topic's max.message.bytes, \(limit), has no room for the message"))
                continue
            }
            if builder.sizeInBytes + size > limit { close() }
            if let failure {
                results[message.place] = .failure(failure)
                continue
            }
            builder.append(key: message.key, value: message.body, headers: message.headers, timestampMs: nowMs)
            inBatch.append(message)
        }
        close()
    }
}

extension QueueCoordinator.Prepared {
    /// The partition of its group among `count`, in a queue of these rules. `number`: spreads those that have no group.
    func partition(of count: Int, _ settings: QueueSettings, withoutGroup number: UInt64) -> Int {
        // One id may count over all groups: then all are in one partition.
        if settings.order == .fifo, settings.deduplicationScope == .queue { return 0 }
        return Int((group?.low ?? number) % UInt64(count))
    }

    /// Whether a log takes it, as the only one of a batch.
    func fits(_ log: PartitionLog) -> Bool {
        RecordBatchHeader.size + sizeInBatch <= log.settings.maxBatchBytes
    }

    /// Bytes that the record takes in a batch, at most.
    fileprivate var sizeInBatch: Int {
        let fixed = CoordinatorRecordOverhead.bytes + body.count + (key?.count ?? 0)
        return headers.reduce(fixed) { $0 + 10 + $1.key.utf8.count + ($1.value?.count ?? 0) }
    }

    private enum CoordinatorRecordOverhead {
        /// Lengths of five bytes each of the record, its key, its value and its headers, and ten each of time and offset.
        static let bytes = 41
    }
}

extension QueueRefusal {
    init(_ refusal: AppendRefusal) {
        let kind: Kind
        switch refusal.code {
        case _ where refusal.isDiskFull: kind = .diskFull
        case .unknownTopicOrPartition: kind = .notFound
        case .messageTooLarge: kind = .tooLarge
        case .kafkaStorageError, .notLeaderOrFollower, .notEnoughReplicas: kind = .unavailable
        default: kind = .invalid
        }
        self.init(kind, refusal.message)
    }

    init(_ refusal: TopicRefusal) {
        let kind: Kind
        switch refusal.code {
        case .unknownTopicOrPartition: kind = .notFound
        case .invalidTopicException: kind = .invalidName
        case .policyViolation: kind = .limit
        case .kafkaStorageError: kind = .unavailable
        default: kind = .invalid
        }
        self.init(kind, refusal.message)
    }
}

extension QueueMessage {
    /// What of it no queue of these settings takes.
    fileprivate func problem(_ settings: QueueSettings) -> String? {
        if headers.count > Self.maxHeaders { return "a message has \(Self.maxHeaders) headers at most" }
        if let own = headers.first(where: { QueueHeader.isOwn($0.key) }) {
            return
                "headers that begin with \(QueueHeader.ownPrefixes.joined(separator: " or ")) are the queue's own: \(own.key)"
        }
        for (name, id) in [("group", groupID), ("de-duplication", deduplicationID)] {
            if let id, !(1...Self.maxIDBytes).contains(id.utf8.count) {
                return "the \(name) id has 1 to \(Self.maxIDBytes) bytes"
            }
        }
        if settings.order == .fifo {
            if groupID == nil { return "a message of a FIFO queue has a group" }
            if delayMs != nil { return "messages of a FIFO queue have no delay of their own" }
        } else if deduplicationID != nil {
            return "only FIFO queues take a de-duplication id"
        }
        if let delayMs, !(0...QueueSettings.maxDelayMs).contains(delayMs) { return "a delay is 0 to 15 minutes" }
        return nil
    }
}
