package import KafkaModel
package import KafkaWire

/// What all groups of a shard share, lent to a group while it handles an event: the settings, the timers, the place for
/// what the event brings forth.
struct ShardContext: Sendable {
    /// Where a parked request belongs, so that its connection's end finds it.
    struct ParkedPlace: Equatable, Sendable {
        var groupID: String
        var memberID: String
    }

    let settings: GroupSettings
    /// See `GroupShard.ownSettings`.
    var ownSettings: [ExactString: GroupSettings] = [:]
    /// See `GroupShard.topics`.
    var topics: any GroupTopics = NoTopics()
    /// See `GroupShard.maxBatchBytes`.
    var maxBatchBytes = GroupShard.defaultMaxBatchBytes
    /// What all groups of the shard take of memory.
    var footprint = Footprint()
    /// What places keep that groups have left.
    var idleBytes = 0
    /// What offsets of unfinished transactions take of memory.
    var pendingBytes = 0
    /// See `GroupShard.memoryElsewhere`.
    var memoryElsewhere = 0
    var memberIDs: MemberIDSource
    var timers = DeadlineQueue()
    /// Pieces of work so far that were given away; see `ConsumerGroup.PendingWork`.
    var workNumber: UInt64 = 0
    private(set) var parked: [WaiterID: ParkedPlace] = [:]
    /// Whom the event that is handled, or the last one, has parked.
    private(set) var parkedNow: [WaiterID] = []
    var counters = GroupMetrics.Counters()
    /// Offset records so far, in the order of the log.
    var offsetRecords: UInt64 = 0
    /// The time of the event that is handled.
    private(set) var now = CoordinatorTime(monotonicMs: 0, wallClockMs: 0)
    var actions = GroupActions()

    init(settings: GroupSettings, random: any RandomNumberGenerator & Sendable) {
        self.settings = settings
        memberIDs = MemberIDSource(random)
    }

    /// What holds for a group: the broker's settings, or its own over them.
    func settings(of groupID: String) -> GroupSettings {
        ownSettings.isEmpty ? settings : ownSettings[groupID] ?? settings
    }

    mutating func begin(_ now: CoordinatorTime) {
        precondition(actions.isEmpty, "an event began before the last one's actions were taken")
        self.now = now
        parkedNow.removeAll(keepingCapacity: true)
    }

    mutating func finish() -> GroupActions {
        defer { actions = GroupActions() }
        return actions
    }

    mutating func reply(_ waiter: WaiterID, _ reply: GroupReply) { actions.reply(waiter, reply) }

    mutating func write(_ record: GroupRecord) { actions.records.append(record.encoded) }

    /// Returns the number of the next piece of work.
    mutating func nextWorkNumber() -> UInt64 {
        workNumber += 1
        return workNumber
    }

    mutating func park(_ waiter: WaiterID, groupID: String, memberID: String) {
        let before = parked.updateValue(ParkedPlace(groupID: groupID, memberID: memberID), forKey: waiter)
        precondition(before == nil, "waiter \(waiter.rawValue) waits already")
        parkedNow.append(waiter)
    }

    /// Forgets a parked request, and returns where it belongs.
    mutating func unpark(_ waiter: WaiterID) -> ParkedPlace? { parked.removeValue(forKey: waiter) }

    mutating func unparkAll() { parked = [:] }

    /// Takes over the requests of a group that other events have parked.
    mutating func takeParked(of group: ClassicGroup) {
        for member in group.members.values {
            for request in [member.join, member.sync] {
                guard let request else { continue }
                parked[request.waiter] = ParkedPlace(groupID: group.groupID, memberID: member.memberID)
            }
        }
    }

    mutating func answerJoin(_ request: ParkedRequest, _ response: JoinGroupResponse) {
        parked[request.waiter] = nil
        reply(request.waiter, .join(response.fitting(request.apiVersion)))
    }

    mutating func answerSync(_ request: ParkedRequest, _ response: SyncGroupResponse) {
        parked[request.waiter] = nil
        reply(request.waiter, .sync(response))
    }

    /// Whether records of so many bytes, each with its overhead, are a batch that the log takes.
    func fits(_ bytes: Int) -> Bool { bytes + CoordinatorRecord.batchHeader <= maxBatchBytes }

    /// Whether groups may take so much more memory. Who asks for none, or for less, is never refused.
    func hasRoom(for bytes: Int) -> Bool {
        bytes <= 0
            || footprint.memoryBytes + idleBytes + pendingBytes + memoryElsewhere + bytes <= settings.maxMemoryBytes
    }

    func after(_ milliseconds: Int64) -> Int64 {
        // A timer lies in the future, or a timeout of 0 that arms itself again would never let `advance` end.
        now.monotonicMs + max(1, milliseconds)
    }
}

/// What groups take of what is bounded.
struct Footprint: Equatable, Sendable {
    /// See `ClassicGroup.memoryBytes`.
    var memoryBytes = 0
    /// See `GroupShard.listedText`.
    var usualText = 0
    var longText = 0
    /// See `GroupShard.liveBytes`.
    var liveBytes = 0

    mutating func replace(_ old: Footprint, by new: Footprint) {
        memoryBytes += new.memoryBytes - old.memoryBytes
        usualText += new.usualText - old.usualText
        longText += new.longText - old.longText
        liveBytes += new.liveBytes - old.liveBytes
    }
}

extension ClassicGroup {
    var footprint: Footprint {
        let text = listedTextBytes
        let isLong = text > GroupShard.usualListedText
        return Footprint(
            memoryBytes: memoryBytes, usualText: isLong ? 0 : text, longText: isLong ? text : 0, liveBytes: liveBytes)
    }
}

extension JoinGroupResponse {
    package init(refusing error: ErrorCode, memberID: String) {
        self.init()
        errorCode = error.rawValue
        self.memberID = memberID
        generationID = -1
        protocolType = nil
        protocolName = nil
        leader = ""
    }

    /// Versions before 7 have no null for the protocol's name.
    package func fitting(_ apiVersion: Int16) -> JoinGroupResponse {
        guard apiVersion < 7, protocolName == nil else { return self }
        var copy = self
        copy.protocolName = ""
        return copy
    }
}

extension SyncGroupResponse {
    init(refusing error: ErrorCode) {
        self.init()
        errorCode = error.rawValue
    }
}
