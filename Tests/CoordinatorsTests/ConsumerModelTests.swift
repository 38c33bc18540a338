import BrokerTestKit
import KafkaModel
import KafkaWire
import Testing

@testable import Coordinators

/// Random members of random behaviour, and requests that no client would send; what must hold is looked at after each.
@Suite struct ConsumerModelTests {
    @Test(arguments: 1...120) func randomRuns(seed: Int) {
        Run(seed: UInt64(seed)).play(steps: 250)
    }

    private final class Run {
        let note: String
        var random: SeededRandom
        var driver: ShardDriver
        var members: [FakeConsumer] = []
        var nextName = 0
        /// The epochs that members, by id, and the group were seen at.
        var epochs: [String: Int32] = [:]
        var groupEpoch: Int32 = 0

        init(seed: UInt64) {
            note = "seed \(seed)"
            random = SeededRandom(seed: seed)
            var settings = GroupSettings()
            settings.consumerAssignmentIntervalMs = [0, 1_000, 5_000].randomElement(using: &random)!
            driver = ShardDriver(settings: settings, seed: seed, topics: FakeTopics(["t": 4, "u": 3, "v.1": 2]))
        }

        func play(steps: Int) {
            for _ in 0..<steps {
                step()
                check()
            }
            settle()
        }

        private func newMember() {
            nextName += 1
            let isStatic = Int.random(in: 0..<4, using: &random) == 0
            let topics = ["t", "u", "w"].filter { _ in Bool.random(using: &random) }
            let pattern =
                Int.random(in: 0..<3, using: &random) == 0 ? ["v\\..*", "[tu]"].randomElement(using: &random)! : nil
            members.append(
                FakeConsumer(
                    driver, "m\(nextName)", topics: topics, pattern: pattern, instance: isStatic ? "i\(nextName)" : nil)
            )
        }

        private func step() {
            let member = members.randomElement(using: &random)
            switch Int.random(in: 0..<40, using: &random) {
            case 0..<3 where members.count < 6: newMember()
            case 3: remove(member)
            case 4: member?.leave(forAWhile: member?.instanceID != nil)
            case 5:
                // A crash: nobody hears of it again.
                members.removeAll { $0 === member }
            case 6: comeBack(member)
            case 7: member?.subscribe(to: ["t", "u", "w"].filter { _ in Bool.random(using: &random) })
            case 8: changeTopics()
            case 9: restart()
            case 10: illegal()
            case 11..<14: driver.pass(Int64.random(in: 1...20_000, using: &random))
            case 14..<18: driver.doWork()
            case 18: member?.step(loses: true)
            case 19..<22: member?.step(acts: false)
            case 22..<24: member?.act()
            case 24: driver.walk(.offsets) { $0.expireOffsets(&$1, now: $2) }
            case 25: commit(member)
            default: member?.step()
            }
        }

        private func remove(_ member: FakeConsumer?) {
            guard let member else { return }
            member.leave()
            members.removeAll { $0 === member }
        }

        /// The static member's process starts anew, under another id.
        private func comeBack(_ member: FakeConsumer?) {
            guard let member, let instance = member.instanceID else { return }
            if Bool.random(using: &random) { member.leave(forAWhile: true) }
            members.removeAll { $0 === member }
            nextName += 1
            let next = FakeConsumer(
                driver, "m\(nextName)", topics: member.topics, pattern: member.pattern, instance: instance)
            if next.step() == .none { members.append(next) } else { members.append(member) }
        }

        private func changeTopics() {
            let name = ["t", "u", "v.1", "v.2", "w"].randomElement(using: &random)!
            if let size = driver.topics[name], Int.random(in: 0..<3, using: &random) > 0 {
                driver.topics[name] = size < 9 ? size + 1 : size
            } else {
                driver.topics[name] = driver.topics[name] == nil ? 2 : nil
                // What comes back under its name is another topic.
                for member in members { member.forget(name) }
            }
        }

        private func restart() {
            let before = driver.describe()
            let old = driver
            driver = driver.restarted()
            #expect(driver.describe() == before, "\(note)")
            expectSame(old)
            // The clients go on against the new one.
            members = members.map { FakeConsumer(continuing: $0, on: driver) }
        }

        private func expectSame(_ old: ShardDriver) {
            let (one, other) = (old.shard.groups["g"]?.consumer, driver.shard.groups["g"]?.consumer)
            #expect(one?.owners == other?.owners, "\(note)")
            #expect(one?.patterns == other?.patterns || one?.patterns.isEmpty == false, "\(note)")
            #expect(one?.epoch == other?.epoch && one?.metadataHash == other?.metadataHash, "\(note)")
            #expect(one?.staticMembers == other?.staticMembers, "\(note)")
            #expect(old.shard.liveBytes == driver.shard.liveBytes, "\(note)")
        }

        private func illegal() {
            let id = members.randomElement(using: &random)?.memberID ?? "nobody"
            driver.beat(
                [id, "stranger"].randomElement(using: &random)!, Int32.random(in: -3...40, using: &random)
            ) { request in
                // As if it owned everything: who gives up what its client still reads is believed.
                request.topicPartitions = driver.owned(
                    Dictionary(uniqueKeysWithValues: ["t", "u", "v.1", "v.2", "w"].map { ($0, Set(0..<10)) }))
                if Int.random(in: 0..<4, using: &random) == 0 {
                    request.instanceID = "i\(Int.random(in: 0...9, using: &random))"
                }
                if Int.random(in: 0..<6, using: &random) == 0 { request.subscribedTopicRegex = "(" }
                if Int.random(in: 0..<6, using: &random) == 0 {
                    request.serverAssignor = ["range", "none"].randomElement(using: &random)!
                }
            }
        }

        private func commit(_ member: FakeConsumer?) {
            guard let member else { return }
            driver.commit([.init(offset: 1)], member: member.memberID, generation: member.epoch, version: 9)
        }

        // MARK: What must hold

        private func check() {
            let group = driver.describe()
            guard group.errorCode == 0 else {
                (groupEpoch, epochs) = (0, [:])
                return
            }
            #expect(group.groupEpoch >= groupEpoch, "\(note): the group's epoch fell")
            #expect(group.assignmentEpoch <= group.groupEpoch, "\(note)")
            groupEpoch = group.groupEpoch
            var targets: Set<TopicPartition> = []
            var readers: Set<TopicPartition> = []
            let consumer = driver.shard.groups["g"]!.consumer!
            for (key, member) in consumer.members {
                if member.epoch >= 0, let before = epochs[key.text], before >= 0 {
                    #expect(member.epoch >= before, "\(note): \(key)'s epoch fell from \(before) to \(member.epoch)")
                }
                epochs[key.text] = member.epoch
                #expect(member.epoch <= group.assignmentEpoch, "\(note)")
                for partitions in [member.assigned, member.pendingRevocation] {
                    for (topic, indexes) in partitions {
                        for index in indexes.keys {
                            let isOnly = readers.insert(.init(topicID: topic, partitionIndex: index)).inserted
                            #expect(isOnly, "\(note): \(topic) \(index) has two owners")
                            #expect(consumer.owners[topic]?[index] == key, "\(note)")
                        }
                    }
                }
                for (topic, indexes) in member.target {
                    for index in indexes {
                        let isOnly = targets.insert(.init(topicID: topic, partitionIndex: index)).inserted
                        #expect(isOnly, "\(note): \(topic) \(index) is to have two")
                    }
                }
            }
            #expect(
                consumer.owners.values.reduce(0) { $0 + $1.count } == readers.count, "\(note): owners that are gone")
            epochs = epochs.filter { consumer.members[$0.key] != nil }
            checkClients(consumer)
            #expect(driver.shard.memoryBytes == driver.shard.groups.values.reduce(0) { $0 + $1.memoryBytes }, "\(note)")
        }

        /// What clients do that are not fenced: no two read the same.
        private func checkClients(_ consumer: ConsumerGroup) {
            var reading: [String: String] = [:]
            for member in members where member.epoch > 0 {
                // Who is out of the group has lost its session, and what it still does is its own delay.
                guard let known = consumer.members[member.memberID], known.epoch >= 0 else { continue }
                for (topic, partitions) in member.reading where driver.topics[topic] != nil {
                    for index in partitions {
                        let other = reading.updateValue(member.memberID, forKey: "\(topic) \(index)")
                        #expect(
                            other == nil, "\(note): \(topic) \(index) is read by \(member.memberID) and \(other ?? "")")
                    }
                }
            }
        }

        /// Left alone, everybody comes to have what it is to have, and everything is read by somebody.
        private func settle() {
            for _ in 0..<30 {
                driver.pass(5_000)
                driver.doWork()
                for member in members { member.step() }
            }
            check()
            if members.isEmpty { return }
            let group = driver.describe()
            #expect(group.groupState == "Stable", "\(note): \(group)")
            #expect(group.members.count == members.count, "\(note)")
            #expect(Set(members.map(\.epoch)) == [group.assignmentEpoch], "\(note)")
            for name in driver.topics.names {
                let isWanted = driver.shard.groups["g"]!.consumer!.isSubscribed(to: name)
                let readers = members.reduce(0) { $0 + ($1.reading[name]?.count ?? 0) }
                #expect(readers == (isWanted ? Int(driver.topics[name]!) : 0), "\(note): \(name)")
            }
            // The log written once more gives the same.
            expectSame(driver.restarted())
        }
    }
}
