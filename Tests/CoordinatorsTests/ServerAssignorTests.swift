import BrokerTestKit
import KafkaModel
import Testing

@testable import Coordinators

/// What assignors promise: everything subscribed to has one reader, evenly, and as little as possible moves. Source: KIP-848.
@Suite struct ServerAssignorTests {
    private func problem(_ sizes: [Int32], _ subscriptions: [[Int]], _ targets: [PartitionLists] = [])
        -> AssignmentProblem
    {
        var problem = AssignmentProblem()
        problem.topics = sizes.enumerated().map { .init(id: TopicID(high: 1, low: UInt64($0)), partitionCount: $1) }
        for (place, topics) in subscriptions.enumerated() {
            problem.members.append(
                .init(
                    memberID: "m\(place)", instanceID: nil, subscription: problem.place(ofSubscription: topics),
                    target: place < targets.count ? targets[place] : [:]))
        }
        return problem
    }

    private func id(_ topic: Int) -> TopicID { TopicID(high: 1, low: UInt64(topic)) }

    @Test func rangesAreContiguousAndTheFirstHaveOneMore() {
        let solved = problem([7, 7, 1], [[0, 1], [0, 1, 2], [0]]).solve(.range)
        #expect(solved[0] == [id(0): [0, 1, 2], id(1): [0, 1, 2, 3]])
        #expect(solved[1] == [id(0): [3, 4], id(1): [4, 5, 6], id(2): [0]])
        #expect(solved[2] == [id(0): [5, 6]])
    }

    @Test func rangeTakesStaticMembersFirst() {
        var sample = problem([3], [[0], [0], [0]])
        sample.members[2].instanceID = "b"
        sample.members[1].instanceID = "z"
        #expect(sample.solve(.range) == [[id(0): [2]], [id(0): [1]], [id(0): [0]]])
    }

    @Test func nobodyAndNothing() {
        #expect(problem([3], []).solve(.uniform) == [])
        #expect(problem([3], []).solve(.range) == [])
        #expect(problem([3], [[], []]).solve(.uniform) == [[:], [:]])
        #expect(problem([], [[], []]).solve(.range) == [[:], [:]])
        #expect(problem([0, 2], [[0, 1]]).solve(.uniform) == [[id(1): [0, 1]]])
    }

    @Test func aMemberHasAMost() {
        let solved = problem([5, 5], [[0, 1]]).solve(.uniform, maxPartitions: 7)
        #expect(solved[0].values.reduce(0) { $0 + $1.count } == 7)
    }

    @Test(arguments: 1...200) func randomProblems(seed: Int) {
        var random = SeededRandom(seed: UInt64(seed))
        let topicCount = Int.random(in: 1...6, using: &random)
        let sizes = (0..<topicCount).map { _ in Int32.random(in: 0...12, using: &random) }
        let isEven = Bool.random(using: &random)
        let common = (0..<topicCount).filter { _ in Bool.random(using: &random) }
        func subscription() -> [Int] {
            isEven ? common : (0..<topicCount).filter { _ in Int.random(in: 0..<3, using: &random) > 0 }
        }
        var subscriptions = (0..<Int.random(in: 1...9, using: &random)).map { _ in subscription() }
        var targets: [PartitionLists] = []
        // Members come, go and change what they want; what they have goes along.
        for _ in 0..<6 {
            let sample = problem(sizes, subscriptions, targets)
            for assignor in ServerAssignor.allCases {
                check(sample, sample.solve(assignor), assignor, isEven: isEven, "seed \(seed)")
            }
            targets = sample.solve(.uniform)
            // Solved again nothing moves.
            #expect(problem(sizes, subscriptions, targets).solve(.uniform) == targets, "seed \(seed)")
            switch Int.random(in: 0..<3, using: &random) {
            case 0:
                subscriptions.append(subscription())
                targets.append([:])
            case 1 where subscriptions.count > 1:
                let gone = subscriptions.indices.randomElement(using: &random)!
                subscriptions.remove(at: gone)
                targets.remove(at: gone)
            default:
                if !isEven { subscriptions[subscriptions.indices.randomElement(using: &random)!] = subscription() }
            }
        }
    }

    /// Topics with fewer partitions than readers, of which some read something else, too.
    @Test func rangesOfManySubscriptions() {
        let solved = problem([2, 5, 2], [[0, 1], [0, 2], [0, 1], [0, 2], [0, 1]]).solve(.range)
        #expect(
            solved == [
                [id(0): [0], id(1): [0, 1]], [id(0): [1], id(2): [0]], [id(1): [2, 3]], [id(2): [1]], [id(1): [4]],
            ])
    }

    private func check(
        _ sample: AssignmentProblem, _ solved: [PartitionLists], _ assignor: ServerAssignor, isEven: Bool,
        _ note: String
    ) {
        var readers: [AssignmentProblem.Partition: Int] = [:]
        for (member, target) in solved.enumerated() {
            for (topic, partitions) in target {
                #expect(partitions == partitions.sorted() && !partitions.isEmpty, "\(note)")
                for index in partitions {
                    let before = readers.updateValue(member, forKey: .init(topic: topic, index: index))
                    #expect(before == nil, "\(note): \(topic) \(index) has two readers")
                    let place = sample.topics.firstIndex { $0.id == topic }!
                    #expect(sample.subscribed(member).contains(place), "\(note)")
                    #expect(index < sample.topics[place].partitionCount, "\(note)")
                }
            }
        }
        let wanted = sample.topics.indices.filter { topic in
            sample.members.indices.contains { sample.subscribed($0).contains(topic) }
        }
        #expect(readers.count == wanted.reduce(0) { $0 + Int(sample.topics[$1].partitionCount) }, "\(note)")
        guard assignor == .uniform else { return }
        let loads = solved.map { $0.values.reduce(0) { $0 + $1.count } }
        // No single partition could go to somebody who has two less.
        for (partition, reader) in readers {
            let place = sample.topics.firstIndex { $0.id == partition.topic }!
            for member in sample.members.indices where sample.subscribed(member).contains(place) {
                #expect(loads[reader] - loads[member] < 2, "\(note): \(loads)")
            }
        }
        guard isEven else { return }
        // Who keeps as much as it may of what it had: what moves is no more than must.
        let least = readers.count / sample.members.count
        var extra = readers.count % sample.members.count
        let had = sample.members.enumerated().map { member, entry in
            sample.subscribed(member).reduce(0) { $0 + (entry.target[sample.topics[$1].id]?.count ?? 0) }
        }
        var mayKeep = 0
        for count in had.sorted(by: >) {
            mayKeep += min(count, least + (extra > 0 && count > least ? 1 : 0))
            if count > least { extra -= 1 }
        }
        var keeps = 0
        for (member, target) in solved.enumerated() {
            for (topic, partitions) in target {
                let before = Set(sample.members[member].target[topic] ?? [])
                keeps += partitions.reduce(0) { $0 + (before.contains($1) ? 1 : 0) }
            }
        }
        #expect(keeps == mayKeep, "\(note): keeps \(keeps) of \(mayKeep)")
    }

    @Test func aThousandMembersOfTwoThousandPartitionsAreQuick() {
        var sample = problem([1_000, 1_000], (0..<1_000).map { _ in [0, 1] })
        let first = sample.solve(.uniform)
        for place in sample.members.indices { sample.members[place].target = first[place] }
        sample.members.removeLast()
        let second = sample.solve(.uniform)
        #expect(second.allSatisfy { (2...3).contains($0.values.reduce(0) { $0 + $1.count }) })
        let moved = second.enumerated().reduce(0) { sum, entry in
            sum + entry.element.reduce(0) { $0 + Set($1.value).subtracting(first[entry.offset][$1.key] ?? []).count }
        }
        #expect(moved == 2)
    }
}

extension AssignmentProblem {
    fileprivate func subscribed(_ member: Int) -> [Int] { subscriptions[members[member].subscription] }
}
