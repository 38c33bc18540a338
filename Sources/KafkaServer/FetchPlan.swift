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
        let topicID: TopicID
        let partitionIndex: Int32
        /// Nil when `error` says why there is none.
        var log: PartitionLog?
        var error: ErrorCode
        var fetchOffset: Int64
        var maxBytes: Int
        let currentLeaderEpoch: Int32
        /// High watermark at the last look; growth beyond it wakes a parked fetch.
        var seenHighWatermark: Int64 = 0
    }

    let reply: ReplyTicket
    var items: [Item]
    let maxWaitMs: Int32
    let minBytes: Int
    let maxBytes: Int
    let readsCommitted: Bool
    /// Records of so many bytes are sent from their file.
    let fileFrom: Int
    /// The incremental session this answers for; nil without one.
    let session: FetchSession?
    /// Every partition is told of, changed or not.
    var isFull = true

    init(
        reply: ReplyTicket, items: [Item], maxWaitMs: Int32, minBytes: Int, maxBytes: Int, readsCommitted: Bool,
        fileFrom: Int, session: FetchSession?
    ) {
        self.reply = reply
        self.items = items
        self.maxWaitMs = maxWaitMs
        self.minBytes = minBytes
        self.maxBytes = maxBytes
        self.readsCommitted = readsCommitted
        self.fileFrom = fileFrom
        self.session = session
    }

    struct Found {
        var result: FetchPartitionResult
        /// What was read; more than one where it lies in several places.
        var records: FetchedRecords?
        var more: [FetchedRecords] = []
    }

    struct Outcome {
        /// One for each item, in their order.
        var found: [Found] = []
        var bytes = 0
        var hasError = false
        /// Some of the records are on the disk alone: nothing of this counts, it is to be read where it may wait.
        var wouldWait = false

        func isEnough(_ plan: FetchPlan) -> Bool {
            hasError || bytes >= plan.minBytes || plan.items.isEmpty || plan.maxWaitMs <= 0
        }
    }

    /// Reads what there is just now, within the budgets. The first partition with records gives at least one batch,
    /// whatever its size (KIP-74). On an event loop it must not wait for the disk (`Outcome.wouldWait`).
    func read(_ server: KafkaServer, mayWait: Bool) -> Outcome {
        var outcome = Outcome()
        outcome.found.reserveCapacity(items.count)
        var budget = maxBytes
        for index in items.indices {
            let found = read(
                &items[index], budget: budget, missing: minBytes - outcome.bytes, atLeastOne: outcome.bytes == 0,
                mayWait, &outcome.wouldWait, server
            )
            if outcome.wouldWait { return outcome }
            budget -= found.result.recordsCount
            outcome.bytes += found.result.recordsCount
            if found.result.errorCode != .none { outcome.hasError = true }
            outcome.found.append(found)
        }
        return outcome
    }

    private func read(
        _ item: inout Item, budget: Int, missing: Int, atLeastOne: Bool, _ mayWait: Bool, _ wouldWait: inout Bool,
        _ server: KafkaServer
    ) -> Found {
        guard let log = item.log else {
            return Found(result: FetchPartitionResult(index: item.partitionIndex, errorCode: item.error))
        }
        if item.currentLeaderEpoch >= 0 {
            let epoch = log.leaderEpoch.rawValue
            if item.currentLeaderEpoch != epoch {
                let code: ErrorCode = item.currentLeaderEpoch < epoch ? .fencedLeaderEpoch : .unknownLeaderEpoch
                return Found(result: FetchPartitionResult(index: item.partitionIndex, errorCode: code))
            }
        }
        let limit = max(0, min(item.maxBytes, budget))
        let pool = server.broker.store.chunkPool
        switch log.read(
            from: Offset(item.fetchOffset), maxBytes: limit, atLeastOne: atLeastOne, fileFrom: fileFrom,
            mayWait: mayWait, pool: pool)
        {
        case .success(let records):
            var more: [FetchedRecords] = []
            var byteCount = records.byteCount
            var end = records.endOffset
            // One read gives what lies in one place. Where that is not enough for `minBytes`, the rest (of the next
            // segment, or still in memory) must not be waited for.
            while byteCount > 0, byteCount < min(missing, limit), let next = end, next < records.highWatermark,
                case .success(let found) = log.read(
                    from: next, maxBytes: limit - byteCount, atLeastOne: false, fileFrom: fileFrom,
                    mayWait: mayWait, pool: pool),
                found.byteCount > 0
            {
                more.append(found)
                byteCount += found.byteCount
                end = found.endOffset
            }
            var result = FetchPartitionResult(index: item.partitionIndex)
            result.highWatermark = records.highWatermark.rawValue
            result.lastStableOffset = records.highWatermark.rawValue
            result.logStartOffset = records.logStartOffset.rawValue
            result.abortedTransactions = readsCommitted ? [] : nil
            result.recordsCount = byteCount
            item.seenHighWatermark = records.highWatermark.rawValue
            return Found(result: result, records: records, more: more)
        case .failure(let refusal):
            let code: ErrorCode
            switch refusal {
            case .outOfRange: code = .offsetOutOfRange
            case .corrupt: code = .corruptMessage
            case .storage: code = .kafkaStorageError
            case .wouldWait:
                wouldWait = true
                return Found(result: FetchPartitionResult(index: item.partitionIndex))
            }
            return Found(result: FetchPartitionResult(index: item.partitionIndex, errorCode: code))
        }
    }

    /// Topics that have been deleted since the plan was made become errors, which end the wait: their logs can still be
    /// read but tell nobody of growth any more.
    func refuseDeleted(_ catalog: TopicCatalog) {
        for index in items.indices {
            guard let log = items[index].log, catalog.topic(id: log.topicID) == nil else { continue }
            items[index].log = nil
            items[index].error = reply.version >= 13 ? .unknownTopicID : .unknownTopicOrPartition
        }
    }
}

/// A fetch that waits for records on a muted connection.
struct ParkedFetch {
    let plan: FetchPlan
    let connection: ConnectionID
    var timer: LoopTimer?
}
