public import ByteBuffers
public import KafkaModel
internal import KafkaWire

/// The coordinator of all transactional ids that hash to one partition of `__transaction_state`.
///
/// A pure state machine: requests, time and records come in, `TransactionOutcome`s go out. The caller holds one lock around
/// each call and the append of the records it returns. No request waits in it: what would be CONCURRENT_TRANSACTIONS with
/// Kafka because an append is under way is answered here, and its answer waits for the disk with the others. States and events
/// are in the module's article. Sources: KIP-98, KIP-360, KIP-664, KIP-890.
public struct TransactionShard: Sendable {
    public enum Phase: Equatable, Sendable {
        /// `replay` is feeding the log's records; requests are refused with COORDINATOR_LOAD_IN_PROGRESS.
        case loading
        case active
        /// The partition is led elsewhere: NOT_COORDINATOR.
        case unloaded
    }

    public private(set) var phase = Phase.unloaded
    let settings: TransactionSettings
    var ids: [ExactString: TransactionMetadata] = [:]
    /// Ids whose transaction was refused at its first partitions, by a limit of ours: it has not begun, and who was told to abort it may.
    private var refusedAtBegin: Set<ExactString> = []
    /// Transactions that may time out.
    private(set) var openCount = 0
    private(set) var deadlines = TransactionDeadlines()
    /// Of the markers: the leader epoch of the shard's partition.
    private(set) var coordinatorEpoch: Int32 = 0
    /// The largest batch that the shard's partition takes, in bytes.
    public var maxBatchBytes = GroupShard.defaultMaxBatchBytes
    /// Bytes of memory that the shard's ids take, about, and those of the broker's other shards.
    public private(set) var memoryBytes = 0
    public var memoryElsewhere = 0
    /// Bytes of the ids themselves, which lists show.
    public private(set) var textBytes = 0

    public init(settings: TransactionSettings = TransactionSettings()) { self.settings = settings }

    public var count: Int { ids.count }
    /// Whether a transaction is open: whether time matters.
    public var hasOpen: Bool { openCount > 0 }

    var phaseError: ErrorCode? {
        switch phase {
        case .loading: .coordinatorLoadInProgress
        case .active: nil
        case .unloaded: .notCoordinator
        }
    }

    // MARK: Loading

    /// Begins anew, as a shard that just became this broker's, by this leader epoch.
    public mutating func beginLoading(epoch: Int32) {
        unload()
        phase = .loading
        coordinatorEpoch = epoch
    }

    public mutating func unload() {
        (ids, openCount, deadlines, memoryBytes, textBytes) = ([:], 0, TransactionDeadlines(), 0, 0)
        refusedAtBegin = []
        phase = .unloaded
    }

    /// Applies one record of the log, in the log's order. Keys of kinds that this code does not know are passed over.
    /// Throws where the record is damaged or newer: the log must not be served then.
    public mutating func replay(
        key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer?
    ) throws(DecodeError) {
        precondition(phase == .loading, "a record was replayed into a shard that is \(phase)")
        var reader = ByteReader(key)
        guard try reader.int16() == TransactionLogKey.recordType else { return }
        let id = ExactString(try TransactionLogKey(from: &reader, version: 0).transactionalID)
        guard let value else { return set(nil, of: id) }
        reader = ByteReader(value)
        guard let metadata = TransactionMetadata(try TransactionLogValue(withVersionFrom: &reader)) else {
            throw .invalid("a state of a transaction", position: 0)
        }
        set(metadata, of: id)
    }

    /// Ends the loading. What was decided before is to be ended still.
    public mutating func loaded() -> TransactionOutcome<Void> {
        precondition(phase == .loading, "a shard that is \(phase) was told that it is loaded")
        phase = .active
        var outcome = TransactionOutcome(())
        outcome.ends = ids.lazy.filter { $0.value.state.isPrepared }.map(\.key).sorted().compactMap { end(of: $0) }
        return outcome
    }

    /// The one way in which an id changes, alive and in replay.
    private mutating func set(_ metadata: TransactionMetadata?, of id: ExactString) {
        let known = ids[id]
        memoryBytes += (metadata?.memoryBytes(of: id) ?? 0) - (known?.memoryBytes(of: id) ?? 0)
        if (known == nil) != (metadata == nil) { textBytes += id.text.utf8.count * (metadata == nil ? -1 : 1) }
        ids[id] = metadata
        refusedAtBegin.remove(id)
        noteOpen(id, known, metadata)
    }

    private mutating func noteOpen(_ id: ExactString, _ known: TransactionMetadata?, _ next: TransactionMetadata?) {
        let (wasOpen, isOpen) = (known?.state == .ongoing, next?.state == .ongoing)
        if wasOpen != isOpen { openCount += isOpen ? 1 : -1 }
        if isOpen, let next, !wasOpen || known?.startMs != next.startMs {
            deadlines.push(
                TransactionDeadlines.Entry(
                    atMs: next.startMs + Int64(next.timeoutMs), startMs: next.startMs, id: id))
        }
        if deadlines.isOutgrown(openCount) { deadlines.keep { [ids] in Self.isOpen($0, in: ids) } }
    }

    private static func isOpen(_ entry: TransactionDeadlines.Entry, in ids: [ExactString: TransactionMetadata]) -> Bool
    {
        guard let metadata = ids[entry.id] else { return false }
        return metadata.state == .ongoing && metadata.startMs == entry.startMs
    }

    private mutating func write<Answer>(
        _ metadata: TransactionMetadata?, of id: ExactString, _ outcome: inout TransactionOutcome<Answer>
    ) {
        outcome.records.append(TransactionMetadata.record(id, metadata))
        set(metadata, of: id)
    }

    /// Whether an id may take so much more memory.
    private func hasRoom(for bytes: Int) -> Bool {
        bytes <= 0 || memoryBytes + memoryElsewhere + bytes <= settings.maxMemoryBytes
    }

    /// What ends the transaction of an id that is decided.
    private func end(of id: ExactString) -> TransactionEnd? {
        guard let metadata = ids[id], metadata.state.isPrepared else { return nil }
        return TransactionEnd(
            transactionalID: id, producer: ProducerIdentity(metadata.producerID, metadata.epoch),
            isCommit: metadata.state == .prepareCommit, isVersion2: metadata.isVersion2,
            coordinatorEpoch: coordinatorEpoch, partitions: metadata.partitions)
    }

    // MARK: InitProducerId

    /// Makes this producer the one of its id: bumps the epoch, which fences all before it, and aborts what they have left open.
    /// `known`: who the producer was, where it says so (KIP-360). `fresh`: a producer id that nobody has, where the caller has
    /// one at hand.
    public mutating func initProducer(
        _ id: ExactString, timeoutMs: Int32, known: ProducerIdentity?, fresh: Int64?, now: CoordinatorTime
    ) -> TransactionOutcome<IdentityAnswer> {
        if id.isEmpty { return TransactionOutcome(.refused(.invalidRequest)) }
        if timeoutMs <= 0 || timeoutMs > settings.maxTimeoutMs {
            return TransactionOutcome(.refused(.invalidTransactionTimeout))
        }
        if let phaseError { return TransactionOutcome(.refused(phaseError)) }
        var metadata: TransactionMetadata
        if let present = ids[id] {
            metadata = present
        } else {
            guard let fresh else { return TransactionOutcome(.needsProducerID) }
            metadata = TransactionMetadata(producerID: fresh, timeoutMs: timeoutMs, nowMs: now.wallClockMs)
            guard id.text.utf8.count <= Int(Int16.max), hasRoom(for: metadata.memoryBytes(of: id)) else {
                return TransactionOutcome(.refused(.policyViolation))
            }
        }
        if let known, metadata.epoch >= 0, known.id != metadata.producerID,
            known.id != metadata.previousProducerID || known.epoch < TransactionMetadata.lastClientEpoch
        {
            return TransactionOutcome(.refused(.producerFenced))
        }
        if metadata.state.isPrepared { return TransactionOutcome(.refused(.concurrentTransactions)) }
        if metadata.state == .ongoing { return fence(id, metadata, fresh: fresh, now) }
        return bump(id, metadata, timeoutMs, known?.epoch, fresh, now)
    }

    /// Aborts what is open. Its producer asks again, and has its epoch when that is done.
    private mutating func fence(
        _ id: ExactString, _ metadata: TransactionMetadata, fresh: Int64?, _ now: CoordinatorTime
    ) -> TransactionOutcome<IdentityAnswer> {
        var outcome = TransactionOutcome(IdentityAnswer.refused(.concurrentTransactions))
        guard prepareBumped(id, metadata, isCommit: false, fresh: fresh, byClient: false, now, &outcome) else {
            return TransactionOutcome(.needsProducerID)
        }
        return outcome
    }

    private mutating func bump(
        _ id: ExactString, _ present: TransactionMetadata, _ timeoutMs: Int32, _ epoch: Int16?, _ fresh: Int64?,
        _ now: CoordinatorTime
    ) -> TransactionOutcome<IdentityAnswer> {
        var metadata = present
        if let epoch, metadata.epoch >= 0, epoch != metadata.epoch {
            // A repeated request: its reply was lost.
            guard epoch == metadata.lastEpoch else { return TransactionOutcome(.refused(.producerFenced)) }
        } else if metadata.isExhausted {
            guard let fresh else { return TransactionOutcome(.needsProducerID) }
            metadata.previousProducerID = metadata.producerID
            metadata.producerID = fresh
            metadata.lastEpoch = epoch == nil ? -1 : metadata.epoch
            metadata.epoch = 0
        } else {
            metadata.lastEpoch = epoch == nil ? -1 : metadata.epoch
            metadata.epoch += 1
        }
        metadata.state = .empty
        metadata.clearPartitions()
        metadata.startMs = -1
        metadata.timeoutMs = timeoutMs
        metadata.lastUpdateMs = now.wallClockMs
        metadata.isVersion2 = false
        var outcome = TransactionOutcome(
            IdentityAnswer.identity(ProducerIdentity(metadata.producerID, metadata.epoch)))
        write(metadata, of: id, &outcome)
        return outcome
    }

    // MARK: Partitions

    /// Adds partitions to the transaction of an id. `isVersion2`: the leader of a partition asks, for a client whose transactions
    /// are of that version.
    public mutating func addPartitions(
        _ id: ExactString, _ producer: ProducerIdentity, _ partitions: [ExactString: Set<Int32>], isVersion2: Bool,
        now: CoordinatorTime
    ) -> TransactionOutcome<ErrorCode> {
        if let error = refusal(id, producer) { return TransactionOutcome(error) }
        guard var metadata = ids[id] else { return TransactionOutcome(.invalidProducerIDMapping) }
        if metadata.state == .ongoing, Self.hasAll(partitions, in: metadata) { return TransactionOutcome(.none) }
        let before = metadata.memoryBytes(of: id)
        if metadata.state != .ongoing {
            metadata.state = .ongoing
            metadata.clearPartitions()
            metadata.startMs = now.wallClockMs
        }
        for (topic, indexes) in partitions { metadata.add(indexes, of: topic) }
        metadata.lastUpdateMs = now.wallClockMs
        metadata.isVersion2 = isVersion2
        guard metadata.partitionCount <= settings.maxPartitions, hasRoom(for: metadata.memoryBytes(of: id) - before)
        else {
            return refuse(id, .policyViolation)
        }
        var outcome = TransactionOutcome(ErrorCode.none)
        let record = TransactionMetadata.record(id, metadata)
        let size = record.sizeInBatch + CoordinatorRecord.batchHeader
        guard size <= settings.maxRecordBytes else { return refuse(id, .policyViolation) }
        // As Kafka answers what its log does not take (MESSAGE_TOO_LARGE).
        guard size <= maxBatchBytes else { return refuse(id, .unknownServerError) }
        outcome.records = [record]
        set(metadata, of: id)
        return outcome
    }

    /// Refuses partitions by a limit, on which clients abort: librdkafka ends the transaction also where these were its first.
    private mutating func refuse(_ id: ExactString, _ error: ErrorCode) -> TransactionOutcome<ErrorCode> {
        if ids[id]?.state != .ongoing { refusedAtBegin.insert(id) }
        return TransactionOutcome(error)
    }

    /// Whether a partition is in the producer's transaction: `.none`, or TRANSACTION_ABORTABLE where it is not.
    public func verify(
        _ id: ExactString, _ producer: ProducerIdentity, _ topic: ExactString, _ index: Int32
    ) -> ErrorCode {
        if let error = refusal(id, producer) { return error }
        guard let metadata = ids[id], metadata.state == .ongoing else { return .transactionAbortable }
        return metadata.partitions[topic]?.contains(index) == true ? .none : .transactionAbortable
    }

    private static func hasAll(_ partitions: [ExactString: Set<Int32>], in metadata: TransactionMetadata) -> Bool {
        partitions.allSatisfy { topic, indexes in metadata.partitions[topic].map(indexes.isSubset) ?? indexes.isEmpty }
    }

    private func refusal(_ id: ExactString, _ producer: ProducerIdentity) -> ErrorCode? {
        if id.isEmpty { return .invalidRequest }
        if let phaseError { return phaseError }
        guard let metadata = ids[id], metadata.producerID == producer.id else { return .invalidProducerIDMapping }
        if metadata.epoch != producer.epoch { return .producerFenced }
        return metadata.state.isPrepared ? .concurrentTransactions : nil
    }

    // MARK: EndTxn

    /// Ends the transaction of a client of version 1: the epoch stays. One that was refused at its first partitions is aborted by a word.
    public mutating func endTransaction(
        _ id: ExactString, _ producer: ProducerIdentity, isCommit: Bool, now: CoordinatorTime
    ) -> TransactionOutcome<IdentityAnswer> {
        if id.isEmpty { return TransactionOutcome(.refused(.invalidRequest)) }
        if let phaseError { return TransactionOutcome(.refused(phaseError)) }
        guard let metadata = ids[id], metadata.producerID == producer.id else {
            return TransactionOutcome(.refused(.invalidProducerIDMapping))
        }
        if metadata.epoch != producer.epoch { return TransactionOutcome(.refused(.producerFenced)) }
        if !isCommit, refusedAtBegin.contains(id) { return TransactionOutcome(.identity(producer)) }
        switch metadata.state {
        case .ongoing:
            var outcome = TransactionOutcome(IdentityAnswer.identity(producer))
            var next = metadata
            next.isVersion2 = false
            prepare(id, next, isCommit: isCommit, now, &outcome)
            return outcome
        case .prepareCommit, .prepareAbort:
            return TransactionOutcome(
                .refused((metadata.state == .prepareCommit) == isCommit ? .concurrentTransactions : .invalidTxnState))
        case .completeCommit, .completeAbort:
            return TransactionOutcome(
                (metadata.state == .completeCommit) == isCommit ? .identity(producer) : .refused(.invalidTxnState))
        case .empty: return TransactionOutcome(.refused(.invalidTxnState))
        }
    }

    /// Ends the transaction of a client of version 2: whoever it was, it has the next epoch afterwards. A request that was
    /// answered and comes again, as the answer was lost, is answered again. Source: KIP-890.
    public mutating func endTransactionBumping(
        _ id: ExactString, _ producer: ProducerIdentity, isCommit: Bool, fresh: Int64?, now: CoordinatorTime
    ) -> TransactionOutcome<IdentityAnswer> {
        if id.isEmpty { return TransactionOutcome(.refused(.invalidRequest)) }
        if let phaseError { return TransactionOutcome(.refused(phaseError)) }
        guard let metadata = ids[id] else { return TransactionOutcome(.refused(.invalidProducerIDMapping)) }
        let isOverflowRetry =
            metadata.previousProducerID == producer.id && metadata.epoch == 0
            && producer.epoch == TransactionMetadata.lastClientEpoch
        guard metadata.producerID == producer.id || isOverflowRetry else {
            return TransactionOutcome(.refused(.invalidProducerIDMapping))
        }
        let isRetry = isOverflowRetry || Int32(metadata.epoch) == Int32(producer.epoch) + 1
        let isCurrent = !isOverflowRetry && metadata.epoch == producer.epoch
        let stored = IdentityAnswer.identity(ProducerIdentity(metadata.producerID, metadata.epoch))
        switch metadata.state {
        case .ongoing:
            guard isCurrent else { return TransactionOutcome(.refused(.producerFenced)) }
        case .empty:
            guard isCurrent else { return TransactionOutcome(.refused(.producerFenced)) }
            if isCommit { return TransactionOutcome(.refused(.invalidTxnState)) }
        case .prepareCommit, .prepareAbort:
            guard isRetry else { return TransactionOutcome(.refused(.producerFenced)) }
            return TransactionOutcome(
                .refused((metadata.state == .prepareCommit) == isCommit ? .concurrentTransactions : .invalidTxnState))
        case .completeCommit, .completeAbort:
            guard isRetry || isCurrent else { return TransactionOutcome(.refused(.producerFenced)) }
            if isRetry {
                let isSame = (metadata.state == .completeCommit) == isCommit
                return TransactionOutcome(isSame ? stored : .refused(.invalidTxnState))
            }
            if isCommit { return TransactionOutcome(.refused(.invalidTxnState)) }
        }
        var outcome = TransactionOutcome(stored)
        guard prepareBumped(id, metadata, isCommit: isCommit, fresh: fresh, byClient: true, now, &outcome) else {
            return TransactionOutcome(.needsProducerID)
        }
        let next = ids[id]!
        outcome.answer = .identity(
            next.nextProducerID >= 0
                ? ProducerIdentity(next.nextProducerID, 0) : ProducerIdentity(next.producerID, next.epoch))
        return outcome
    }

    /// Decides how a transaction ends, and bumps the epoch with that. False: the epoch has run out, and no id is at hand.
    /// `byClient`: a client asks for it and may go on; whoever is aborted otherwise is fenced.
    private mutating func prepareBumped<Answer>(
        _ id: ExactString, _ present: TransactionMetadata, isCommit: Bool, fresh: Int64?, byClient: Bool,
        _ now: CoordinatorTime, _ outcome: inout TransactionOutcome<Answer>
    ) -> Bool {
        var metadata = present
        if metadata.isExhausted {
            guard let fresh else { return false }
            metadata.nextProducerID = fresh
        }
        metadata.lastEpoch = byClient ? metadata.epoch : -1
        metadata.epoch = metadata.isExhausted ? .max : metadata.epoch + 1
        metadata.isVersion2 = true
        if metadata.state != .ongoing {
            metadata.clearPartitions()
            metadata.startMs = now.wallClockMs
        }
        prepare(id, metadata, isCommit: isCommit, now, &outcome)
        return true
    }

    private mutating func prepare<Answer>(
        _ id: ExactString, _ present: TransactionMetadata, isCommit: Bool, _ now: CoordinatorTime,
        _ outcome: inout TransactionOutcome<Answer>
    ) {
        var metadata = present
        metadata.state = isCommit ? .prepareCommit : .prepareAbort
        metadata.lastUpdateMs = now.wallClockMs
        write(metadata, of: id, &outcome)
        if let end = end(of: id) { outcome.ends.append(end) }
    }

    /// All markers of a transaction are on disk. Nothing happens where the id has gone on since, which an administrator may
    /// have brought about.
    public mutating func ended(_ end: TransactionEnd, now: CoordinatorTime) -> TransactionOutcome<Bool> {
        guard phase == .active, self.end(of: end.transactionalID) == end, var metadata = ids[end.transactionalID] else {
            return TransactionOutcome(false)
        }
        metadata.state = end.isCommit ? .completeCommit : .completeAbort
        metadata.clearPartitions()
        metadata.lastUpdateMs = now.wallClockMs
        if metadata.nextProducerID >= 0 {
            metadata.previousProducerID = metadata.producerID
            metadata.producerID = metadata.nextProducerID
            metadata.nextProducerID = -1
            metadata.epoch = 0
        }
        var outcome = TransactionOutcome(true)
        write(metadata, of: end.transactionalID, &outcome)
        return outcome
    }

    // MARK: Time

    /// Aborts transactions that are open for too long, of `GroupShard.maxStepEntries` looked at and until `GroupShard.maxStepBytes` of
    /// records are made; the answer says whether more are due. `fresh` gives a producer id that nobody has; an id whose epoch has run out waits for one, and is looked at again
    /// `freshRetryMs` later.
    public mutating func abortTimedOut(
        now: CoordinatorTime, fresh: () -> Int64?
    ) -> TransactionOutcome<Bool> {
        var outcome = TransactionOutcome(false)
        guard phase == .active else { return outcome }
        var bytes = 0
        for _ in 0..<GroupShard.maxStepEntries {
            if bytes >= GroupShard.maxStepBytes { break }
            let before = outcome.records.count
            guard var entry = deadlines.popDue(now.wallClockMs) else { return outcome }
            guard let metadata = ids[entry.id], Self.isOpen(entry, in: ids) else { continue }
            let isAborted = prepareBumped(
                entry.id, metadata, isCommit: false, fresh: metadata.isExhausted ? fresh() : nil, byClient: false, now,
                &outcome)
            bytes += outcome.records[before...].reduce(0) { $0 + $1.sizeInBatch }
            if !isAborted {
                entry.atMs = now.wallClockMs + Self.freshRetryMs
                deadlines.push(entry)
            }
        }
        outcome.answer = deadlines.isDue(now.wallClockMs)
        return outcome
    }

    /// A block of producer ids is claimed within one commit of the metadata.
    static let freshRetryMs: Int64 = 1000

    /// Forgets ids that nobody has used for long, so many at a time; the answer says whether there are more.
    public mutating func forgetUnused(now: CoordinatorTime) -> TransactionOutcome<Bool> {
        var outcome = TransactionOutcome(false)
        guard phase == .active else { return outcome }
        var unused: [ExactString] = []
        var bytes = 0
        for (id, metadata) in ids
        where metadata.state.mayExpire && metadata.lastUpdateMs <= now.wallClockMs - settings.idExpirationMs {
            guard unused.count < GroupShard.maxStepEntries, bytes < GroupShard.maxStepBytes else {
                outcome.answer = true
                break
            }
            unused.append(id)
            bytes += id.text.utf8.count
        }
        for id in unused { write(nil, of: id, &outcome) }
        return outcome
    }

    // MARK: Looks

    /// What is known of an id; a refusal where it is not known here.
    public func describe(_ id: ExactString) -> Result<TransactionMetadata, TransactionRefusal> {
        if id.isEmpty { return .failure(TransactionRefusal(code: .invalidRequest)) }
        if let phaseError { return .failure(TransactionRefusal(code: phaseError)) }
        guard let metadata = ids[id] else { return .failure(TransactionRefusal(code: .transactionalIDNotFound)) }
        return .success(metadata)
    }

    /// Bytes of memory that an id takes, about, which is more than its record; 0 where it is not known here.
    public func memoryBytes(of id: ExactString) -> Int { ids[id]?.memoryBytes(of: id) ?? 0 }

    /// Calls `body` with every id.
    public func forEach(_ body: (ExactString, TransactionMetadata) -> Void) {
        for (id, metadata) in ids { body(id, metadata) }
    }
}

/// Why nothing is told of a transactional id.
public struct TransactionRefusal: Error, Equatable, Sendable {
    public let code: ErrorCode

    public init(code: ErrorCode) { self.code = code }
}
