import ByteBuffers
import BrokerCore
import KafkaModel
import KafkaWire
import LogStorage
import RecordFormat
import Transport

/// What one Fetch asks for, resolved: it outlives the request's frame while the fetch is parked.
final class FetchPlan {
    struct Item {
        let topicName: [UInt8]
        /// In the plan's session; -1 without one.
        var sessionSlot: Int32 = -1
        let topicID: TopicID
        let partitionIndex: Int32
        /// Nil when `error` says why there is none.
        var log: PartitionLog?
        var error: ErrorCode
        var fetchOffset: Int64
        var maxBytes: Int
        let currentLeaderEpoch: Int32
        /// Bytes that the partition may still add to the reply: `maxBytes` without what is there.
        var room = 0
        /// The partition's count of visible bytes at the last look.
        var position: Int64 = 0
        /// Where the log keeps this waiter; -1: nowhere yet. With a session the entry has it.
        var slot: Int32 = -1
    }

    let reply: ReplyTicket
    /// With a session: what of it is ready, and nothing while the fetch waits.
    var items: [Item]
    let maxWaitMs: Int32
    /// What the client asks for, but at most what the reply may hold: more would be waited for in vain.
    let minBytes: Int
    let maxBytes: Int
    let readsCommitted: Bool
    var visibility: PartitionLog.Visibility { readsCommitted ? .stable : .committed }
    /// Records of so many bytes are sent from their file.
    let fileFrom: Int
    /// What the client may read.
    let rights: FetchRights
    /// Of the ACLs by which its items were decided, or older ones.
    var rulesNumber: UInt64 = 0
    /// The incremental session this answers for; nil without one.
    let session: FetchSession?
    /// The session's epoch when the plan was made: with another one it is not this plan's any more.
    let sessionEpoch: Int32
    /// With more partitions than these its steps are not a loop's work (`KafkaServerOptions.maxInlinePartitions`).
    let maxInlinePartitions: Int
    /// Nothing is asked for, so nothing is waited for.
    let isEmpty: Bool
    /// Every partition is told of, changed or not.
    var isFull = true
    /// While it waits: what is missing, and of which growth the partitions tell.
    var round = GrowthRound(missing: 0)
    /// With a session: partitions that may join the round before the next one is begun.
    var joinRoom = 0

    init(
        reply: ReplyTicket, items: [Item], maxWaitMs: Int32, minBytes: Int, maxBytes: Int, readsCommitted: Bool,
        fileFrom: Int, maxInlinePartitions: Int, session: FetchSession?, rights: FetchRights = .all
    ) {
        self.reply = reply
        self.items = items
        self.maxWaitMs = maxWaitMs
        // A reply that may hold nothing still holds a first batch (KIP-74), which is worth a byte.
        let room = session?.cap ?? items.reduce(0) { $0 + $1.cap }
        self.minBytes = min(minBytes, max(1, min(maxBytes, room)))
        self.maxBytes = maxBytes
        self.readsCommitted = readsCommitted
        self.fileFrom = fileFrom
        self.maxInlinePartitions = maxInlinePartitions
        self.session = session
        self.rights = rights
        sessionEpoch = session?.epoch ?? 0
        isEmpty = session == nil && items.isEmpty
    }

    struct Found {
        var result: FetchPartitionResult
        /// What was read; more than one where it lies in several places.
        var records: FetchedRecords?
        var more: [FetchedRecords] = []
    }

    struct Outcome {
        /// What was found of each item, in their order.
        var found: [Found] = []
        var bytes = 0
        /// Bytes that count for `minBytes`: of what each partition has at most its `maxBytes`, as in Kafka's
        /// `DelayedFetch`. More than `bytes` where the next batch would not fit.
        var available = 0
        /// Whether the reply takes no more records.
        var isFull = false
        var hasError = false
        /// Some of the records are on the disk alone: nothing of this counts, it is to be read where it may wait.
        var wouldWait = false

        func isEnough(_ plan: FetchPlan) -> Bool {
            hasError || isFull || max(bytes, available) >= plan.minBytes || plan.isEmpty || plan.maxWaitMs <= 0
        }
    }

    /// Reads what there is just now, within the budgets. The first partition with records gives at least one batch,
    /// whatever its size (KIP-74). On an event loop it must not wait for the disk (`Outcome.wouldWait`).
    func read(_ server: KafkaServer, mayWait: Bool) -> Outcome {
        var outcome = Outcome()
        outcome.found.reserveCapacity(items.count)
        var budget = maxBytes
        for index in items.indices {
            let found = read(&items[index], budget: budget, mayWait, &outcome, server)
            if outcome.wouldWait { return outcome }
            budget -= found.result.recordsCount
            outcome.bytes += found.result.recordsCount
            outcome.available += items[index].cap - items[index].room
            if found.result.errorCode != .none { outcome.hasError = true }
            outcome.found.append(found)
        }
        return outcome
    }

    private func read(
        _ item: inout Item, budget: Int, _ mayWait: Bool, _ outcome: inout Outcome, _ server: KafkaServer
    ) -> Found {
        item.room = item.cap
        guard let log = item.log else {
            return Found(result: FetchPartitionResult(index: item.partitionIndex, errorCode: item.error))
        }
        if item.currentLeaderEpoch >= 0,
            let code = log.leadershipProblem(currentLeaderEpoch: item.currentLeaderEpoch)
        {
            return Found(result: FetchPartitionResult(index: item.partitionIndex, errorCode: code))
        }
        let limit = max(0, min(item.maxBytes, budget))
        let pool = server.broker.store.chunkPool
        switch log.read(
            from: Offset(item.fetchOffset), maxBytes: limit, atLeastOne: outcome.bytes == 0, visibility: visibility,
            fileFrom: fileFrom, mayWait: mayWait, pool: pool)
        {
        case .success(let records):
            var more: [FetchedRecords] = []
            var byteCount = records.byteCount
            var end = records.endOffset
            var isCut = records.isCut
            var latest = records
            let missing = minBytes - outcome.available
            // One read gives what lies in one place. Where that is not enough for `minBytes`, the rest (of the next
            // segment, or still in memory) must not be waited for.
            while !isCut, byteCount > 0, byteCount < min(missing, limit), let next = end,
                next < (readsCommitted ? latest.lastStableOffset : latest.highWatermark)
            {
                guard
                    case .success(let found) = log.read(
                        from: next, maxBytes: limit - byteCount, atLeastOne: false, visibility: visibility,
                        fileFrom: fileFrom, mayWait: mayWait, pool: pool)
                else {
                    // What is here goes out now; the next fetch is told what is wrong behind it, or waits for the disk.
                    isCut = true
                    break
                }
                isCut = found.isCut
                latest = found
                if found.byteCount == 0 { break }
                more.append(found)
                byteCount += found.byteCount
                end = found.endOffset
            }
            item.position = latest.watermarkPosition
            // Where the next batch does not fit, there is as much as may be asked for.
            item.room = isCut ? 0 : max(0, item.cap - byteCount)
            if isCut, limit < item.maxBytes { outcome.isFull = true }
            var result = FetchPartitionResult(index: item.partitionIndex)
            result.highWatermark = latest.highWatermark.rawValue
            result.lastStableOffset = latest.lastStableOffset.rawValue
            result.logStartOffset = records.logStartOffset.rawValue
            if readsCommitted {
                switch aborted(in: log, from: item.fetchOffset, to: end, mayWait) {
                case .success(let aborted): result.abortedTransactions = aborted
                case .failure(let refusal): return failed(refusal, item, &outcome)
                }
            }
            result.recordsCount = byteCount
            return Found(result: result, records: records, more: more)
        case .failure(let refusal): return failed(refusal, item, &outcome)
        }
    }

    private func failed(_ refusal: ReadRefusal, _ item: Item, _ outcome: inout Outcome) -> Found {
        let code: ErrorCode
        switch refusal {
        case .outOfRange: code = .offsetOutOfRange
        case .corrupt: code = .corruptMessage
        case .storage: code = .kafkaStorageError
        case .notLeader: code = .notLeaderOrFollower
        case .wouldWait:
            outcome.wouldWait = true
            return Found(result: FetchPartitionResult(index: item.partitionIndex))
        }
        return Found(result: FetchPartitionResult(index: item.partitionIndex, errorCode: code))
    }

    /// The aborted transactions that reach into records that were read; `end` is nil where there are none.
    private func aborted(
        in log: PartitionLog, from: Int64, to end: Offset?, _ mayWait: Bool
    ) -> Result<[FetchResponse.AbortedTransaction], ReadRefusal> {
        guard let end else { return .success([]) }
        return log.abortedTransactions(from: Offset(from), to: end, mayWait: mayWait).map { found in
            found.map { transaction in
                var aborted = FetchResponse.AbortedTransaction()
                aborted.producerID = transaction.producerID
                aborted.firstOffset = transaction.firstOffset
                return aborted
            }
        }
    }

    /// Makes errors of topics that have been deleted since the plan was made, which ends the wait: their logs can still
    /// be read but tell nobody of growth any more; and of those that the client may not read any more. `decisions`: on their
    /// loop alone.
    func refuseLost(_ broker: Broker, _ decisions: LoopDecisions?) {
        let number = broker.rulesNumber
        let asks = !rights.isUnlimited && number != rulesNumber
        rulesNumber = number
        let catalog = broker.catalog
        // Neighbours are often of one topic: it is asked about once for all of them.
        var last: (id: TopicID, mayRead: Bool)?
        for index in items.indices {
            guard let log = items[index].log else { continue }
            guard let topic = catalog.topic(id: log.topicID) else {
                items[index].log = nil
                items[index].error = reply.version >= 13 ? .unknownTopicID : .unknownTopicOrPartition
                continue
            }
            guard asks else { continue }
            if last?.id != log.topicID {
                last = (log.topicID, rights.mayRead(topic, items[index].topicName, byID: true, decisions))
            }
            guard last?.mayRead == false else { continue }
            items[index].log = nil
            items[index].error = .topicAuthorizationFailed
        }
    }
}

extension FetchPlan.Item {
    /// Most bytes of the partition that count for `minBytes`.
    var cap: Int { max(1, maxBytes) }
}
