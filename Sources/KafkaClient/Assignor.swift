/// How the leader of a classic group deals partitions out: pure functions with the same results as the Java client's
/// assignors of those names, so that members of both kinds can share a group.
public enum Assignor: String, Sendable, CaseIterable {
    /// Topic by topic in blocks: the first members get one more where it does not divide.
    case range
    /// All partitions of all topics in turn.
    case roundrobin

    public struct Member: Sendable, Equatable {
        public var memberID: String
        public var groupInstanceID: String?
        public var topics: [String]

        public init(memberID: String, groupInstanceID: String? = nil, topics: [String]) {
            self.memberID = memberID
            self.groupInstanceID = groupInstanceID
            self.topics = topics
        }

        /// Orders static members first, by their instance, then the others by member id.
        static func comesBefore(_ a: Member, _ b: Member) -> Bool {
            switch (a.groupInstanceID, b.groupInstanceID) {
            case (let left?, let right?): left < right
            case (_?, nil): true
            case (nil, _?): false
            case (nil, nil): a.memberID < b.memberID
            }
        }
    }

    /// Returns every member's partitions, by member id; a member may get none. `counts`: partitions of each topic that
    /// exists.
    public func assign(_ members: [Member], counts: [String: Int32]) -> [String: [PartitionName]] {
        let ordered = members.sorted(by: Member.comesBefore)
        let result = Dictionary(uniqueKeysWithValues: members.map { ($0.memberID, [PartitionName]()) })
        return self == .range ? range(ordered, counts, result) : roundRobin(ordered, counts, result)
    }

    private func range(
        _ members: [Member], _ counts: [String: Int32], _ empty: [String: [PartitionName]]
    ) -> [String: [PartitionName]] {
        var result = empty
        for (topic, count) in counts.sorted(by: { $0.key < $1.key }) {
            let subscribed = members.filter { $0.topics.contains(topic) }
            if subscribed.isEmpty { continue }
            let share = count / Int32(subscribed.count)
            let extra = count % Int32(subscribed.count)
            var next: Int32 = 0
            for (place, member) in subscribed.enumerated() {
                let own = share + (Int32(place) < extra ? 1 : 0)
                result[member.memberID]! += (next..<next + own).map { PartitionName(topic, $0) }
                next += own
            }
        }
        return result
    }

    private func roundRobin(
        _ members: [Member], _ counts: [String: Int32], _ empty: [String: [PartitionName]]
    ) -> [String: [PartitionName]] {
        var result = empty
        var turn = 0
        for (topic, count) in counts.sorted(by: { $0.key < $1.key }) {
            guard members.contains(where: { $0.topics.contains(topic) }) else { continue }
            for partition in 0..<count {
                while !members[turn % members.count].topics.contains(topic) { turn += 1 }
                result[members[turn % members.count].memberID]!.append(PartitionName(topic, partition))
                turn += 1
            }
        }
        return result
    }
}
