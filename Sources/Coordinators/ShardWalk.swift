public import KafkaModel

/// A walk through a shard's groups and their offsets, some entries at a time: so that the shard's lock is held for a step,
/// whatever clients have stored.
///
/// It is a place in the shard's tables (`SlotTable`) and no more. It comes by everything that stays from its beginning to
/// its end; what came meanwhile it may leave out, and what is gone it does not know. When the shard was loaded anew it
/// begins again.
public struct ShardWalk: Sendable {
    public enum Scope: Equatable, Sendable {
        /// Groups, and all their committed offsets.
        case offsets
        /// Groups, and their committed offsets of one topic.
        case topic(ExactString)
        /// Groups alone.
        case groups
    }

    /// What a step came by: a group, or a part of one.
    struct Part {
        var groupID: ExactString
        /// Nothing of the group came before.
        var isFirst: Bool
        /// Nothing of the group is to come.
        var isLast = false
        var offsets: [(key: GroupRecord.OffsetKey, offset: CommittedOffset)] = []
    }

    /// What one step may still look at and write.
    struct Room {
        var entries = GroupShard.maxStepEntries
        /// Taken from by who writes records for what it is given. The part that takes the last of them may take more.
        var bytes = GroupShard.maxStepBytes
        /// Entries of a part, behind which the bytes are looked at.
        static let partEntries = 16
    }

    private let scope: Scope
    public private(set) var isComplete = false
    /// Groups, offsets and empty slots that were looked at.
    public private(set) var entries = 0

    private var groupSlot = 0
    /// The group that was begun and is not complete.
    private var groupID: ExactString?
    private var topicSlot = 0
    private var offsetSlot = 0
    /// `GroupShard.loadCount` of the shard that it goes through.
    private var loadCount: Int?

    public init(_ scope: Scope) { self.scope = scope }

    /// Ends it where it is.
    mutating func end() { isComplete = true }

    /// Goes to the next group.
    private mutating func leaveGroup() {
        groupSlot += 1
        groupID = nil
        topicSlot = 0
        offsetSlot = 0
    }

    /// Returns whether the shard is the one that the walk began with, as far as it has begun.
    func isThrough(_ shard: borrowing GroupShard) -> Bool {
        guard let loadCount else { return true }
        return loadCount == shard.loadCount
    }

    /// Returns the next part, after a look at no more than `room` entries, which it takes from `room`; nil when `room` is
    /// used up or the walk is complete.
    mutating func next(in shard: borrowing GroupShard, _ room: inout Int) -> Part? {
        if !isThrough(shard) { self = ShardWalk(scope, entries: entries) }
        loadCount = shard.loadCount
        while room > 0 {
            guard groupSlot < shard.groups.slotCount else {
                end()
                return nil
            }
            guard let (key, group) = shard.groups.entry(at: groupSlot), groupID == nil || groupID == key else {
                // Where a group was that is gone there may be another, which is new.
                if groupID == nil { look(&room) }
                leaveGroup()
                continue
            }
            var part = Part(groupID: key, isFirst: groupID == nil)
            if part.isFirst { look(&room) }
            groupID = key
            take(group.offsets, into: &part, &room)
            if part.isLast { leaveGroup() }
            return part
        }
        return nil
    }

    /// Returns the next part, a small one; nil when the step or the walk is over.
    mutating func next(in shard: borrowing GroupShard, _ room: inout Room) -> Part? {
        while room.entries > 0, room.bytes > 0, !isComplete {
            let most = min(room.entries, Room.partEntries)
            var left = most
            let part = next(in: shard, &left)
            room.entries -= most - left
            if let part { return part }
        }
        return nil
    }

    private init(_ scope: Scope, entries: Int) {
        self.scope = scope
        self.entries = entries
    }

    private mutating func look(_ room: inout Int) {
        room -= 1
        entries += 1
    }

    private mutating func take(_ offsets: CommittedOffsets, into part: inout Part, _ room: inout Int) {
        while topicSlot < topicCount(offsets) {
            guard room > 0 else { return }
            look(&room)
            guard let (topic, partitions) = topic(offsets), offsetSlot < partitions.slotCount else {
                topicSlot += 1
                offsetSlot = 0
                continue
            }
            if let (index, offset) = partitions.entry(at: offsetSlot) {
                let key = GroupRecord.OffsetKey(
                    groupID: part.groupID.text, topic: topic.text, partitionIndex: index)
                part.offsets.append((key, offset))
            }
            offsetSlot += 1
        }
        part.isLast = true
    }

    private func topicCount(_ offsets: CommittedOffsets) -> Int {
        switch scope {
        case .offsets: offsets.byTopic.slotCount
        case .topic: 1
        case .groups: 0
        }
    }

    private func topic(_ offsets: CommittedOffsets) -> (ExactString, SlotTable<Int32, CommittedOffset>)? {
        guard case .topic(let name) = scope else { return offsets.byTopic.entry(at: topicSlot) }
        return offsets.byTopic[name].map { (name, $0) }
    }
}
