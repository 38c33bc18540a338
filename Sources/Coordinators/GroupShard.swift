public import ByteBuffers
public import KafkaModel
internal import KafkaWire

/// The coordinator of all groups whose ids hash to one partition of `__consumer_offsets`.
///
/// A pure state machine: requests, timers and records come in, `GroupActions` go out. The caller holds one lock around
/// each call and the append of the records it returns; see `GroupActions` for the rule of replies. States, events and
/// invariants are drawn in the module's article.
public struct GroupShard: Sendable {
    public enum Phase: Equatable, Sendable {
        /// `replay` is feeding the log's records; requests are refused with COORDINATOR_LOAD_IN_PROGRESS.
        case loading
        case active
        /// The partition is led elsewhere: NOT_COORDINATOR.
        case unloaded
    }

    /// Entries (groups, offsets, timers) that one call looks at, where the number of them is not that of a request: what is
    /// more needs further calls, and the lock around each is held for about a millisecond.
    public static let maxStepEntries = 512
    /// Bytes of records with which such a call ends: the entries may have 32 KB of names and text each.
    public static let maxStepBytes = 64 << 10

    /// `max.message.bytes` of `__consumer_offsets` unless its topic says otherwise.
    public static let defaultMaxBatchBytes = 1_048_588

    public private(set) var phase = Phase.loading
    /// How often the shard began to be loaded; see `ShardWalk`.
    private(set) var loadCount = 0
    /// By the bytes of their ids, as all that clients name here.
    var groups = SlotTable<ExactString, ClassicGroup>()
    var context: ShardContext
    /// Offsets of unfinished transactions: they count once their transaction commits. By producer, then group.
    var pendingTransactions: [ProducerID: [ExactString: CommittedOffsets]] = [:]

    /// The largest batch that the shard's partition takes, in bytes. A request whose records would not fit is refused as by
    /// Kafka, before it has changed anything: SyncGroup and a static member's return with UNKNOWN_SERVER_ERROR (the group
    /// rebalances again), OffsetCommit with INVALID_COMMIT_OFFSET_SIZE.
    public var maxBatchBytes: Int {
        get { context.maxBatchBytes }
        set { context.maxBatchBytes = newValue }
    }

    /// What holds for groups that have settings of their own. To be kept up to date.
    public var ownSettings: [ExactString: GroupSettings] {
        get { context.ownSettings }
        set { context.ownSettings = newValue }
    }

    /// The topics that there are, for groups that are assigned their partitions. To be kept up to date.
    public var topics: any GroupTopics {
        get { context.topics }
        set { context.topics = newValue }
    }

    /// Bytes of memory that the shard's groups take, about, with places that others have left and offsets that are pending.
    public var memoryBytes: Int { context.footprint.memoryBytes + context.idleBytes + context.pendingBytes }

    /// Bytes of text that ListGroups shows of the shard's groups: of all but those with unusually long text, and of these.
    public var listedText: (usual: Int, long: Int) { (context.footprint.usualText, context.footprint.longText) }

    /// Bytes that the groups of the broker's other shards take: `GroupSettings.maxMemoryBytes` is for all of them.
    public var memoryElsewhere: Int {
        get { context.memoryElsewhere }
        set { context.memoryElsewhere = newValue }
    }

    /// Runs what changes this group alone, and counts what that does to the memory of all.
    mutating func counting<Result>(_ groupID: String, _ body: (inout GroupShard) -> Result) -> Result {
        let before = groups[groupID]?.footprint ?? Footprint()
        let result = body(&self)
        context.footprint.replace(before, by: groups[groupID]?.footprint ?? Footprint())
        context.idleBytes = groups.idleBytes
        if context.timers.wantsRebuild {
            context.timers.rebuild(from: groups.values.flatMap(\.timerEntries))
        }
        return result
    }

    /// Makes a shard that loads. `random` makes member ids, and is the system's unless a test wants a run again.
    public init(
        settings: GroupSettings = GroupSettings(),
        random: any RandomNumberGenerator & Sendable = SystemRandomNumberGenerator()
    ) {
        context = ShardContext(settings: settings, random: random)
    }

    /// The refusal that the phase demands of every request; `nil` when the shard serves.
    var phaseError: ErrorCode? {
        switch phase {
        case .loading: .coordinatorLoadInProgress
        case .active: nil
        case .unloaded: .notCoordinator
        }
    }

    // MARK: Loading

    /// Applies one record of the log, in the log's order. Only while loading.
    ///
    /// - Parameter producerID: of the batch, when it is transactional.
    /// - Throws: the record is damaged or newer than this code; the log must not be served then.
    public mutating func replay(
        key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer?, producerID: ProducerID = .none
    ) throws(DecodeError) {
        precondition(phase == .loading, "a record was replayed into a shard that is \(phase)")
        switch try GroupRecord(key: key, value: value) {
        case .offset(let key, let offset): apply(key, offset, producerID: producerID)
        case .group(let groupID, let metadata): replayGroup(groupID, metadata)
        case .consumer(let groupID, let record): replayConsumer(groupID, record)
        case .share(let groupID, let record): replayShare(groupID, record)
        case .unknown: context.counters.skippedRecords += 1
        }
    }

    /// The last record tells what a group is, classic, consumer or share: tombstones of what it was before may come behind those of what it
    /// is.
    private mutating func replayConsumer(_ groupID: String, _ record: ConsumerGroupRecord) {
        if groups[groupID]?.consumer == nil {
            if record.isTombstone { return }
            var group = ClassicGroup(offsetsOf: groups[groupID], groupID)
            group.consumer = ConsumerGroup(groupID: groupID)
            groups[groupID] = group
        }
        if case .epoch(nil) = record {
            groups[groupID]!.consumer = nil
            return dispose(groupID)
        }
        groups[groupID]!.consumer!.replay(record)
    }

    private mutating func replayShare(_ groupID: String, _ record: ShareGroupRecord) {
        if groups[groupID]?.share == nil {
            if record.isTombstone { return }
            var group = ClassicGroup(offsetsOf: groups[groupID], groupID)
            group.share = ShareGroup(groupID: groupID)
            groups[groupID] = group
        }
        if case .epoch(nil) = record {
            groups[groupID]!.share = nil
            return dispose(groupID)
        }
        groups[groupID]!.share!.replay(record)
    }

    private mutating func replayGroup(_ groupID: String, _ metadata: GroupMetadataValue?) {
        if metadata == nil, let group = groups[groupID], group.consumer != nil || group.share != nil { return }
        // Offsets have records of their own; those before this record stay.
        var group = ClassicGroup(offsetsOf: groups[groupID], groupID)
        if let metadata {
            group.restore(metadata)
        } else if group.offsets.isEmpty && group.openTransactions.isEmpty {
            groups[groupID] = nil
            return
        }
        groups[groupID] = group
    }

    /// Ends the loading: sessions of the members found begin now, and requests are served.
    public mutating func loaded(now: CoordinatorTime) -> GroupActions {
        precondition(phase == .loading, "a shard that is \(phase) was told that it is loaded")
        phase = .active
        context.footprint = Footprint()
        for group in groups.values { context.footprint.replace(Footprint(), by: group.footprint) }
        context.idleBytes = groups.idleBytes
        context.begin(now)
        for groupID in groups.keys {
            if !groups[groupID]!.members.isEmpty { groups[groupID]!.takeUp(&context) }
            groups[groupID]!.consumer?.takeUp(&context)
            groups[groupID]!.share?.takeUp(&context)
        }
        return context.finish()
    }

    /// Forgets everything, because the partition goes elsewhere or the broker stops; every parked request is told so.
    public mutating func unload(now: CoordinatorTime) -> GroupActions {
        context.begin(now)
        for groupID in groups.keys { groups[groupID]!.answerAll(with: .notCoordinator, &context) }
        groups = SlotTable()
        pendingTransactions = [:]
        context.footprint = Footprint()
        context.idleBytes = 0
        context.pendingBytes = 0
        context.unparkAll()
        context.timers.removeAll()
        phase = .unloaded
        return context.finish()
    }

    /// Begins anew, as a shard that just became this broker's.
    public mutating func beginLoading() {
        precondition(phase == .unloaded, "a shard that is \(phase) began to load")
        phase = .loading
        loadCount += 1
    }

    // MARK: Time

    /// The earliest time, on the monotonic clock, at which `advance` may have something to do; `nil`: never.
    public var nextDeadline: Int64? { context.timers.next }

    /// Lets timers fire that are due at `now`, `maxStepEntries` of them at most; `nextDeadline` tells whether others are.
    public mutating func advance(now: CoordinatorTime) -> GroupActions {
        context.begin(now)
        for _ in 0..<Self.maxStepEntries {
            guard let entry = context.timers.popDue(now.monotonicMs) else { break }
            counting(entry.groupID) { shard in
                shard.groups[entry.groupID]?.timerFired(entry, &shard.context)
                shard.dispose(entry.groupID)
            }
        }
        return context.finish()
    }

    /// Forgets a parked request whose connection is closed: its reply is not wanted any more. Unknown waiters are
    /// ignored, as their reply was on its way.
    public mutating func waiterGone(_ waiter: WaiterID, now: CoordinatorTime) -> GroupActions {
        context.begin(now)
        if let place = context.unpark(waiter) {
            counting(place.groupID) { shard in
                shard.groups[place.groupID]?.connectionGone(place.memberID, waiter, &shard.context)
                shard.dispose(place.groupID)
            }
        }
        return context.finish()
    }

    /// How many requests wait for a later event.
    public var parkedCount: Int { context.parked.count }

    /// The requests that the last event has parked, and not answered in the end.
    public var newlyParked: [WaiterID] { context.parkedNow.filter(isParked) }

    public func isParked(_ waiter: WaiterID) -> Bool { context.parked[waiter] != nil }

    // MARK: Groups

    /// Forgets a group that nothing is left of.
    mutating func dispose(_ groupID: String) {
        if groups[groupID]?.isDisposable == true { groups[groupID] = nil }
    }

    /// Returns the group, and makes it when it does not exist.
    mutating func createGroup(_ groupID: String) {
        if groups[groupID] == nil {
            groups[groupID] = ClassicGroup(groupID: groupID, wallClockMs: context.now.wallClockMs)
        }
    }

    // MARK: Looks

    /// Returns a shard with this group alone: what takes long is looked at there, outside of the lock that all requests
    /// for the shard's groups take. It is a copy of references; the group is copied when it changes meanwhile.
    public func view(of groupID: String) -> GroupShard {
        var view = GroupShard(settings: context.settings)
        view.phase = phase
        view.context.topics = context.topics
        view.context.ownSettings = context.ownSettings
        guard let group = groups[groupID] else { return view }
        view.groups[groupID] = group
        for producer in group.openTransactions {
            guard let offsets = pendingTransactions[producer]?[groupID] else { continue }
            view.pendingTransactions[producer] = [ExactString(groupID): offsets]
            view.context.pendingBytes += offsets.memoryBytes
        }
        return view
    }

    /// Returns a shard with this group alone, which an event of the group can be tried on: its decision and its records are
    /// those of this shard.
    public func trial(of groupID: String) -> GroupShard {
        var trial = view(of: groupID)
        trial.context.footprint = trial.groups[groupID]?.footprint ?? Footprint()
        trial.context.memoryElsewhere = context.memoryElsewhere + memoryBytes - trial.memoryBytes
        trial.context.maxBatchBytes = context.maxBatchBytes
        trial.context.workNumber = context.workNumber
        if let group = trial.groups[groupID] { trial.context.takeParked(of: group) }
        return trial
    }

    public var groupCount: Int { groups.count }

    /// Counts offset records so far, replayed ones included: what was committed earlier has a lower number
    /// (`topicsDeleted`). It does not fall, also not when the shard is loaded anew.
    public var offsetRecords: UInt64 { context.offsetRecords }

    /// Counts the committed offsets of a group.
    public func offsetCount(of groupID: String) -> Int { groups[groupID]?.offsets.count ?? 0 }

    /// Returns the bytes of text that `partitions` different committed offsets of a group, or all of them, have with
    /// them, at most.
    public func metadataBytes(of groupID: String, partitions: Int) -> Int {
        guard let offsets = groups[groupID]?.offsets else { return 0 }
        let (most, overflow) = offsets.longestMetadata.multipliedReportingOverflow(by: partitions)
        return overflow ? offsets.metadataBytes : min(offsets.metadataBytes, most)
    }

    public var metrics: GroupMetrics {
        var metrics = GroupMetrics()
        for group in groups.values {
            if let share = group.share {
                metrics.members += share.members.count
            } else if let consumer = group.consumer {
                metrics.consumerGroups[consumer.state, default: 0] += 1
                metrics.members += consumer.members.count
            } else {
                metrics.groups[group.state, default: 0] += 1
                metrics.members += group.members.count
            }
            metrics.pendingMembers += group.pendingMembers.count
            metrics.offsets += group.offsets.count
        }
        metrics.parkedRequests = parkedCount
        metrics.counters = context.counters
        return metrics
    }
}

extension ClassicGroup {
    /// The state that a group's record describes.
    fileprivate mutating func restore(_ metadata: GroupMetadataValue) {
        record(metadata)
        protocolType = metadata.protocolType.isEmpty ? nil : metadata.protocolType
        generationID = metadata.generation
        protocolName = metadata.protocol
        leaderID = metadata.leader
        for record in metadata.members {
            var subscription = JoinGroupRequest.JoinGroupRequestProtocol()
            subscription.name = metadata.protocol ?? ""
            subscription.metadata = record.subscription
            let member = GroupMember(
                memberID: record.memberID, groupInstanceID: record.groupInstanceID, clientID: record.clientID,
                clientHost: record.clientHost,
                rebalanceTimeoutMs: record.rebalanceTimeout == -1 ? record.sessionTimeout : record.rebalanceTimeout,
                sessionTimeoutMs: record.sessionTimeout, protocols: [subscription], assignment: record.assignment,
                isNew: false, joinOrder: nextJoinOrder())
            members[member.memberID] = member
            memberBytes += member.memoryBytes
            if let instanceID = member.groupInstanceID { staticMembers[instanceID] = member.memberID }
            countSupport(of: member, by: 1)
        }
        restore(stateTimestampMs: metadata.currentStateTimestamp == -1 ? nil : metadata.currentStateTimestamp)
        refreshSubscribedTopics()
    }

    fileprivate mutating func takeUp(_ shard: inout ShardContext) {
        for memberID in members.keys.sorted() { keepAlive(memberID.text, &shard) }
        // The limit was lowered: members join again, and the last to come are refused.
        if members.count > shard.settings.maxSize { prepareRebalance(&shard) }
    }

    /// Answers all parked requests; the group ends.
    mutating func answerAll(with error: ErrorCode, _ shard: inout ShardContext) {
        for member in orderedMembers {
            answerJoin(member.memberID, JoinGroupResponse(refusing: error, memberID: member.memberID), &shard)
            answerSync(member.memberID, SyncGroupResponse(refusing: error), &shard)
        }
        transition(to: .dead, wallClockMs: shard.now.wallClockMs)
    }
}
