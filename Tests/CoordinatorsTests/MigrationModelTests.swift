import BrokerTestKit
import ByteBuffers
import KafkaModel
import KafkaWire
import Testing

@testable import Coordinators

/// Random members of both protocols in one group, which goes from one to the other and back: no partition has two readers, and left
/// alone everything is read.
@Suite struct MigrationModelTests {
    /// A client of the classic protocol that gives everything up before it joins again, as those of eager assignors do.
    private final class EagerConsumer {
        let driver: ShardDriver
        private(set) var memberID = ""
        private(set) var generation: Int32 = -1
        private(set) var reading: Set<Int32> = []
        private var joining: WaiterID?
        private var syncing: WaiterID?
        private var isIn = false

        init(_ driver: ShardDriver) { self.driver = driver }

        func step() {
            if let waiter = joining { return hearJoin(waiter) }
            if let waiter = syncing { return hearSync(waiter) }
            guard isIn else { return join() }
            switch driver.heartbeat(memberID, generation) {
            case .none: break
            case .rebalanceInProgress: join()
            default: reset()
            }
        }

        func leave() {
            if !memberID.isEmpty { driver.leave([(memberID, nil)]) }
            reset()
        }

        private func reset() { (memberID, generation, reading, joining, syncing, isIn) = ("", -1, [], nil, nil, false) }

        private func join() {
            (reading, isIn) = ([], false)
            joining = driver.join(memberID, protocols: [subscription(["t"])])
            hearJoin(joining!)
        }

        private func hearJoin(_ waiter: WaiterID) {
            guard let reply = driver.joined(waiter) else { return }
            joining = nil
            switch ErrorCode(rawValue: reply.errorCode) {
            case .none:
                (memberID, generation) = (reply.memberID, reply.generationID)
                var assignments: [String: [UInt8]] = [:]
                let count = reply.members.count
                for (place, member) in reply.members.enumerated() {
                    let part = stride(from: Int32(place), to: driver.topics["t"]!, by: max(1, count))
                    assignments[member.memberID] = Self.assignment(Array(part))
                }
                syncing = driver.sync(memberID, generation, assignments: assignments)
                hearSync(syncing!)
            case .memberIDRequired: memberID = reply.memberID
            case .rebalanceInProgress: break
            default: reset()
            }
        }

        private func hearSync(_ waiter: WaiterID) {
            guard let reply = driver.synced(waiter) else { return }
            syncing = nil
            guard reply.errorCode == 0 else {
                return ErrorCode(rawValue: reply.errorCode) == .rebalanceInProgress ? () : reset()
            }
            (reading, isIn) = (Self.partitions(reply.assignment), true)
        }

        private static func assignment(_ partitions: [Int32]) -> [UInt8] {
            var assignment = ConsumerProtocolAssignment()
            var part = ConsumerProtocolAssignment.TopicPartition()
            (part.topic, part.partitions) = ("t", partitions)
            assignment.assignedPartitions = [part]
            return assignment.encodedWithVersion(1)
        }

        private static func partitions(_ bytes: [UInt8]) -> Set<Int32> {
            bytes.withUnsafeBytes { raw in
                var reader = ByteReader(raw)
                let assignment = try? ConsumerProtocolAssignment(withVersionFrom: &reader)
                return Set(assignment?.assignedPartitions.flatMap(\.partitions) ?? [])
            }
        }
    }

    @Test(arguments: 1...80) func randomRuns(seed: Int) {
        var random = SeededRandom(seed: UInt64(seed))
        var settings = GroupSettings()
        settings.consumerAssignmentIntervalMs = [0, 1_000].randomElement(using: &random)!
        settings.initialRebalanceDelayMs = 0
        let driver = ShardDriver(settings: settings, seed: UInt64(seed), topics: FakeTopics(["t": 6]))
        var old: [EagerConsumer] = []
        var new: [FakeConsumer] = []
        for number in 0..<300 {
            switch Int.random(in: 0..<20, using: &random) {
            case 0 where old.count < 3: old.append(EagerConsumer(driver))
            case 1 where new.count < 3: new.append(FakeConsumer(driver, "n\(number)"))
            case 2: old.popLast()?.leave()
            case 3: new.popLast()?.leave()
            // A crash.
            case 4 where number % 3 == 0: _ = old.popLast()
            case 5 where number % 3 == 0: _ = new.popLast()
            case 6..<8: driver.pass(Int64.random(in: 1...4_000, using: &random))
            case 8..<14: old.randomElement(using: &random)?.step()
            default: new.randomElement(using: &random)?.step(acts: Bool.random(using: &random))
            }
            check(driver, old, new, "seed \(seed), step \(number)")
        }
        for _ in 0..<200 {
            driver.pass(1_000)
            driver.doWork()
            for member in old { member.step() }
            for member in new { member.step() }
            check(driver, old, new, "seed \(seed), at the end")
        }
        if old.isEmpty, new.isEmpty { return }
        let read = old.reduce(0) { $0 + $1.reading.count } + new.reduce(0) { $0 + ($1.reading["t"]?.count ?? 0) }
        #expect(read == 6, "seed \(seed): \(old.map(\.reading)) \(new.map(\.reading))")
        let isConsumer = driver.shard.groups["g"]?.consumer != nil
        #expect(isConsumer == !new.isEmpty, "seed \(seed)")
        #expect((driver.restarted().shard.groups["g"]?.consumer != nil) == isConsumer, "seed \(seed)")
    }

    private func check(_ driver: ShardDriver, _ old: [EagerConsumer], _ new: [FakeConsumer], _ note: String) {
        let group = driver.shard.groups["g"]
        var readers: [Int32: String] = [:]
        func read(_ partitions: Set<Int32>, by memberID: String) {
            for index in partitions {
                let other = readers.updateValue(memberID, forKey: index)
                #expect(other == nil, "\(note): \(index) is read by \(memberID) and \(other ?? "")")
            }
        }
        // Who is out of the group, and has not heard of it, reads on its own account.
        for member in old
        where group?.members.has(member.memberID) == true || group?.consumer?.members.has(member.memberID) == true {
            read(member.reading, by: member.memberID)
        }
        for member in new where member.epoch > 0 && group?.consumer?.members.has(member.memberID) == true {
            read(member.reading["t"] ?? [], by: member.memberID)
        }
        #expect(driver.shard.memoryBytes == driver.shard.groups.values.reduce(0) { $0 + $1.memoryBytes }, "\(note)")
    }
}
