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
        /// Its place in `subscriptions`.
        var subscription: Int
        /// What it was to have until now.
        var target: PartitionLists
        /// Bytes of a record that its partitions may take: `ConsumerMember.recordBytes(topics:partitions:)`.
        var maxRecordBytes = Int.max
    }

    var topics: [Topic] = []
    /// What members subscribe to, no two the same: places in `topics`, each once. Members of one pattern share what may be long.
    private(set) var subscriptions: [[Int]] = []
    private var subscriptionPlaces: [[Int]: Int] = [:]
    var members: [Member] = []
    /// Nobody wants what it gives any more: it ends soon, with something unfinished.
    var isStopped: @Sendable () -> Bool = { false }

    /// Gives the place of a subscription in `subscriptions`. Of equal ones the topics are in the same order.
    mutating func place(ofSubscription topics: [Int]) -> Int {
        if let known = subscriptionPlaces[topics] { return known }
        subscriptionPlaces[topics] = subscriptions.count
        subscriptions.append(topics)
        return subscriptions.count - 1
    }

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

    /// Leaves the last partitions out, of more than `most`, or of more than records of `mostBytes` hold.
    static func limit(_ target: inout PartitionLists, _ most: Int, _ mostBytes: Int) {
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
    private var isHomogeneous: Bool { members.allSatisfy { $0.subscription == members[0].subscription } }

    /// Who subscribes to each topic, by subscriptions: a table by members would have an entry for each topic of each of them.
    private struct Readers {
        /// Of each subscription the members, by their places in an order.
        private var members: [[Int]]
        /// Of each topic the subscriptions, in order.
        private var subscriptions: [[Int]]
        /// The last that was asked for: mostly topics have the same readers.
        private var last: (subscriptions: [Int], members: [Int]) = ([], [])

        init(_ problem: AssignmentProblem, in order: some Sequence<Int>) {
            members = [[Int]](repeating: [], count: problem.subscriptions.count)
            for (place, member) in order.enumerated() { members[problem.members[member].subscription].append(place) }
            subscriptions = [[Int]](repeating: [], count: problem.topics.count)
            for (subscription, topics) in problem.subscriptions.enumerated() where !members[subscription].isEmpty {
                for topic in topics { subscriptions[topic].append(subscription) }
            }
        }

        func count(of topic: Int) -> Int { subscriptions[topic].reduce(0) { $0 + members[$1].count } }

        /// The members' places, in order.
        mutating func of(_ topic: Int) -> [Int] {
            if subscriptions[topic] != last.subscriptions {
                var found = subscriptions[topic].flatMap { members[$0] }
                if subscriptions[topic].count > 1 { found.sort() }
                last = (subscriptions[topic], found)
            }
            return last.members
        }

        func has(_ subscription: Int, of topic: Int) -> Bool {
            var (low, high) = (0, subscriptions[topic].count)
            while low < high {
                let middle = (low + high) / 2
                if subscriptions[topic][middle] < subscription { low = middle + 1 } else { high = middle }
            }
            return low < subscriptions[topic].count && subscriptions[topic][low] == subscription
        }
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
        var subscribers = Readers(self, in: order)
        var targets = [PartitionLists](repeating: [:], count: members.count)
        for (place, topic) in topics.enumerated() {
            if isStopped() { break }
            let readers = subscribers.of(place)
            if readers.isEmpty { continue }
            let share = topic.partitionCount / Int32(readers.count)
            let rest = Int(topic.partitionCount) % readers.count
            var next: Int32 = 0
            // Where there are more readers than partitions the others have none.
            for (place, reader) in readers.prefix(share > 0 ? readers.count : rest).enumerated() {
                let end = next + share + (place < rest ? 1 : 0)
                targets[order[reader]][topic.id] = Array(next..<end)
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
        guard let subscribed = members.first.map({ subscriptions[$0.subscription] }), !subscribed.isEmpty else {
            return targets
        }
        let total = subscribed.reduce(0) { $0 + Int(topics[$1].partitionCount) }
        let (least, extra) = total.quotientAndRemainder(dividingBy: members.count)
        var open = OpenPartitions(subscribed.map { topics[$0] })
        var kept = members.map { isStopped() ? [] : open.claim($0.target) }
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

    private static func places(of topics: [Topic]) -> [TopicID: Int] {
        Dictionary(topics.enumerated().map { ($1.id, $0) }) { first, _ in first }
    }

    static func lists(_ partitions: [Partition]) -> PartitionLists {
        var lists: PartitionLists = [:]
        for partition in partitions { lists[partition.topic, default: []].append(partition.index) }
        for topic in lists.keys { lists[topic]!.sort() }
        return lists
    }

    /// Partitions that nobody has, in the order of topics and numbers.
    private struct OpenPartitions {
        private var isTaken: [[Bool]]
        private let order: [Topic]
        private let places: [TopicID: Int]
        private var place = 0
        private var index: Int32 = 0
        private var returned: [Partition] = []

        init(_ topics: [Topic]) {
            order = topics
            isTaken = topics.map { [Bool](repeating: false, count: Int($0.partitionCount)) }
            places = AssignmentProblem.places(of: topics)
        }

        /// Takes those of the lists that exist and that nobody has taken.
        mutating func claim(_ lists: PartitionLists) -> [Partition] {
            var claimed: [Partition] = []
            // Of what it has, and not of all that there is: members are many.
            for place in lists.keys.compactMap({ places[$0] }).sorted() {
                let topic = order[place]
                for index in lists[topic.id] ?? [] where index >= 0 && index < topic.partitionCount {
                    guard !isTaken[place][Int(index)] else { continue }
                    isTaken[place][Int(index)] = true
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
                    if isTaken[place][Int(index)] { continue }
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
        var subscribers = Readers(self, in: members.indices)
        // Of each topic who has which partition.
        var owners = topics.map { [Int](repeating: -1, count: Int($0.partitionCount)) }
        let places = Self.places(of: topics)
        for (member, entry) in members.enumerated() {
            if isStopped() { break }
            for (id, partitions) in entry.target {
                guard let topic = places[id], subscribers.has(entry.subscription, of: topic) else { continue }
                for index in partitions where index >= 0 && Int(index) < owners[topic].count {
                    guard owners[topic][Int(index)] < 0 else { continue }
                    owners[topic][Int(index)] = member
                    loads[member] += 1
                }
            }
        }
        let counts = topics.indices.map { subscribers.count(of: $0) }
        let order = topics.indices.filter { counts[$0] > 0 }.sorted { (counts[$0], $0) < (counts[$1], $1) }
        for topic in order {
            if isStopped() { break }
            var heap = BinaryHeap(subscribers.of(topic).map { Loaded(load: loads[$0], member: $0) })
            for index in owners[topic].indices where owners[topic][index] < 0 {
                guard let least = heap.first else { break }
                owners[topic][index] = least.member
                loads[least.member] += 1
                heap.replaceFirst(Loaded(load: loads[least.member], member: least.member))
            }
        }
        for _ in 0..<Self.maxPasses {
            var isMoved = false
            for topic in order where counts[topic] > 1 {
                if isStopped() { break }
                if balance(&owners[topic], among: subscribers.of(topic), &loads) { isMoved = true }
            }
            if !isMoved || isStopped() { break }
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
