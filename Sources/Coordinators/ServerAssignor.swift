import ByteBuffers
import KafkaModel

/// How a consumer group's partitions are given to its members, by Kafka's names.
public enum ServerAssignor: String, CaseIterable, Sendable {
    /// As even as subscriptions allow; a member keeps what it has, up to its share.
    case uniform
    /// Of each topic a contiguous range for each member, in their order: topics of equal size are read by the same members. What a
    /// member has does not count.
    case range
}

/// Members with their subscriptions, and topics with their partitions.
struct AssignmentProblem: Sendable {
    struct Topic: Sendable {
        var id: TopicID
        var partitionCount: Int32
    }

    struct Member: Sendable {
        var memberID: String
        var instanceID: String?
        /// Places in `topics`, each once.
        var subscribed: [Int]
        /// What it was to have until now.
        var target: PartitionLists
        /// Bytes of a record that its partitions may take: `ConsumerMember.recordBytes(topics:partitions:)`.
        var maxRecordBytes = Int.max
    }

    var topics: [Topic] = []
    var members: [Member] = []

    /// Gives each member's partitions. Of what a member would have beyond `maxPartitions`, or its `maxRecordBytes`, the last is left
    /// out.
    func solve(_ assignor: ServerAssignor, maxPartitions: Int = .max) -> [PartitionLists] {
        var targets =
            switch assignor {
            case .range: solveByRange()
            case .uniform: isHomogeneous ? solveEvenly() : solveUnevenly()
            }
        for place in targets.indices { Self.limit(&targets[place], maxPartitions, members[place].maxRecordBytes) }
        return targets
    }

    private static func limit(_ target: inout PartitionLists, _ most: Int, _ mostBytes: Int) {
        let count = target.values.reduce(0) { $0 + $1.count }
        guard count > most || ConsumerMember.recordBytes(topics: target.count, partitions: count) > mostBytes else {
            return
        }
        let (ofTopic, ofPartition) = (
            ConsumerMember.recordBytes(topics: 1, partitions: 0), ConsumerMember.recordBytes(topics: 0, partitions: 1)
        )
        var (room, bytes) = (most, mostBytes)
        for topic in target.keys.sorted(by: TopicID.precedes) {
            let fitting = max(0, bytes - ofTopic) / ofPartition
            let kept = Array(target[topic]!.prefix(min(room, fitting)))
            target[topic] = kept.isEmpty ? nil : kept
            if kept.isEmpty { continue }
            room -= kept.count
            bytes -= ofTopic + ofPartition * kept.count
        }
    }

    /// Whether all members subscribe to the same topics.
    private var isHomogeneous: Bool {
        guard let first = members.first.map({ Set($0.subscribed) }) else { return true }
        return members.allSatisfy { $0.subscribed.count == first.count && $0.subscribed.allSatisfy(first.contains) }
    }

    // MARK: Range

    private func solveByRange() -> [PartitionLists] {
        // Static members first, by their instance, then the others by their ids.
        let order = members.indices.sorted { one, other in
            switch (members[one].instanceID, members[other].instanceID) {
            case (let a?, let b?): ExactString(a) < ExactString(b)
            case (nil, nil): ExactString(members[one].memberID) < ExactString(members[other].memberID)
            case (let a, _): a != nil
            }
        }
        var subscribers = [[Int]](repeating: [], count: topics.count)
        for member in order {
            for topic in members[member].subscribed { subscribers[topic].append(member) }
        }
        var targets = [PartitionLists](repeating: [:], count: members.count)
        for (topic, readers) in zip(topics, subscribers) where !readers.isEmpty {
            let share = topic.partitionCount / Int32(readers.count)
            let rest = Int(topic.partitionCount) % readers.count
            var next: Int32 = 0
            for (place, member) in readers.enumerated() {
                let end = next + share + (place < rest ? 1 : 0)
                if end > next { targets[member][topic.id] = Array(next..<end) }
                next = end
            }
        }
        return targets
    }

    // MARK: Uniform, one subscription

    /// Everybody keeps what it has up to its share, and those who have most of all keep one more where the shares differ: so nothing
    /// moves that needs not.
    private func solveEvenly() -> [PartitionLists] {
        var targets = [PartitionLists](repeating: [:], count: members.count)
        guard let subscribed = members.first?.subscribed, !subscribed.isEmpty else { return targets }
        let total = subscribed.reduce(0) { $0 + Int(topics[$1].partitionCount) }
        let (least, extra) = total.quotientAndRemainder(dividingBy: members.count)
        var open = OpenPartitions(subscribed.map { topics[$0] })
        var kept = members.map { open.claim($0.target) }
        let counts = kept.map(\.count)
        // Those with the most are given the larger shares.
        let larger = Set(members.indices.sorted { (counts[$0], $1) > (counts[$1], $0) }.prefix(extra))
        for member in members.indices {
            let share = least + (larger.contains(member) ? 1 : 0)
            while kept[member].count > share { open.giveBack(kept[member].removeLast()) }
        }
        for member in members.indices {
            let share = least + (larger.contains(member) ? 1 : 0)
            while kept[member].count < share, let next = open.next() { kept[member].append(next) }
            targets[member] = Self.lists(kept[member])
        }
        return targets
    }

    struct Partition: Hashable, Sendable {
        var topic: TopicID
        var index: Int32
    }

    static func lists(_ partitions: [Partition]) -> PartitionLists {
        var lists: PartitionLists = [:]
        for partition in partitions { lists[partition.topic, default: []].append(partition.index) }
        for topic in lists.keys { lists[topic]!.sort() }
        return lists
    }

    /// Partitions that nobody has, in the order of topics and numbers.
    private struct OpenPartitions {
        private var isTaken: [TopicID: [Bool]] = [:]
        private let order: [Topic]
        private var place = 0
        private var index: Int32 = 0
        private var returned: [Partition] = []

        init(_ topics: [Topic]) {
            order = topics
            for topic in topics { isTaken[topic.id] = [Bool](repeating: false, count: Int(topic.partitionCount)) }
        }

        /// Takes those of the lists that exist and that nobody has taken.
        mutating func claim(_ lists: PartitionLists) -> [Partition] {
            var claimed: [Partition] = []
            for topic in order {
                for index in lists[topic.id] ?? [] where index >= 0 && index < topic.partitionCount {
                    guard !isTaken[topic.id]![Int(index)] else { continue }
                    isTaken[topic.id]![Int(index)] = true
                    claimed.append(Partition(topic: topic.id, index: index))
                }
            }
            return claimed
        }

        mutating func giveBack(_ partition: Partition) { returned.append(partition) }

        mutating func next() -> Partition? {
            if let partition = returned.popLast() { return partition }
            while place < order.count {
                let topic = order[place]
                while index < topic.partitionCount {
                    defer { index += 1 }
                    if isTaken[topic.id]![Int(index)] { continue }
                    return Partition(topic: topic.id, index: index)
                }
                place += 1
                index = 0
            }
            return nil
        }
    }

    // MARK: Uniform, different subscriptions

    /// Everybody keeps what it has and may have; what nobody has goes, topic by topic, those with the fewest subscribers first, to the
    /// subscriber with the least; then single partitions go from who has at least two more than another subscriber to that one,
    /// until there is none.
    private func solveUnevenly() -> [PartitionLists] {
        var loads = [Int](repeating: 0, count: members.count)
        var subscribers = [[Int]](repeating: [], count: topics.count)
        for (member, entry) in members.enumerated() {
            for topic in entry.subscribed { subscribers[topic].append(member) }
        }
        // Of each topic who has which partition.
        var owners = topics.map { [Int](repeating: -1, count: Int($0.partitionCount)) }
        for topic in topics.indices {
            for member in subscribers[topic] {
                for index in members[member].target[topics[topic].id] ?? []
                where index >= 0 && Int(index) < owners[topic].count {
                    guard owners[topic][Int(index)] < 0 else { continue }
                    owners[topic][Int(index)] = member
                    loads[member] += 1
                }
            }
        }
        let order = topics.indices.filter { !subscribers[$0].isEmpty }
            .sorted { (subscribers[$0].count, $0) < (subscribers[$1].count, $1) }
        for topic in order {
            var heap = BinaryHeap(subscribers[topic].map { Loaded(load: loads[$0], member: $0) })
            for index in owners[topic].indices where owners[topic][index] < 0 {
                guard let least = heap.first else { break }
                owners[topic][index] = least.member
                loads[least.member] += 1
                heap.replaceFirst(Loaded(load: loads[least.member], member: least.member))
            }
        }
        for _ in 0..<Self.maxPasses {
            var isMoved = false
            for topic in order where subscribers[topic].count > 1 {
                if balance(&owners[topic], among: subscribers[topic], &loads) { isMoved = true }
            }
            if !isMoved { break }
        }
        var targets = [PartitionLists](repeating: [:], count: members.count)
        for topic in order {
            for (index, member) in owners[topic].enumerated() where member >= 0 {
                targets[member][topics[topic].id, default: []].append(Int32(index))
            }
        }
        return targets
    }

    /// Rounds through all topics in which partitions are moved from one member to another: with each the loads come nearer to each
    /// other, and mostly one or two are enough.
    static let maxPasses = 64

    private struct Loaded: HeapElement {
        var load: Int
        var member: Int

        func precedes(_ other: Loaded) -> Bool { (load, member) < (other.load, other.member) }
    }

    /// Moves a topic's partitions between its subscribers until none has two more than another one that could have one of them.
    private func balance(_ owners: inout [Int], among subscribers: [Int], _ loads: inout [Int]) -> Bool {
        var held: [Int: [Int]] = [:]
        for (index, member) in owners.enumerated() where member >= 0 { held[member, default: []].append(index) }
        // Negative loads: the one with the most comes first.
        var givers = BinaryHeap(held.keys.map { Loaded(load: -loads[$0], member: $0) })
        var takers = BinaryHeap(subscribers.map { Loaded(load: loads[$0], member: $0) })
        var isMoved = false
        while let giver = givers.first, let taker = takers.first {
            guard -giver.load - taker.load >= 2 else { break }
            guard let index = held[giver.member]?.popLast() else {
                givers.removeFirst()
                continue
            }
            owners[index] = taker.member
            loads[giver.member] -= 1
            loads[taker.member] += 1
            isMoved = true
            givers.replaceFirst(Loaded(load: -loads[giver.member], member: giver.member))
            takers.replaceFirst(Loaded(load: loads[taker.member], member: taker.member))
        }
        return isMoved
    }
}
