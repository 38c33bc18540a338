import BrokerTestKit
import ByteBuffers
import KafkaModel
import KafkaWire
import Testing

@testable import Coordinators

/// What consumer groups take of memory, of records and of time, and what a log of somebody else may do to them.
@Suite struct ConsumerLimitsTests {
    private func entry(_ record: GroupRecord) -> ShardDriver.LogEntry {
        .record(.init(record: record.encoded, producerID: .none))
    }

    private func bytes(_ driver: ShardDriver) -> [Int] {
        driver.log.compactMap { entry in
            guard case .record(let logged) = entry else { return nil }
            return logged.record.sizeInBatch + CoordinatorRecord.batchHeader
        }
    }

    private func topics(_ count: Int, partitions: Int32 = 1) -> FakeTopics {
        FakeTopics(Dictionary(uniqueKeysWithValues: (0..<count).map { ("topic-\($0)", partitions) }))
    }

    // MARK: Patterns

    @Test func offsetsOfAPatternThatIsNotLookedUpStay() {
        let driver = ShardDriver(topics: FakeTopics(["t": 1]))
        driver.joinConsumer("m", topics: nil, pattern: "t")
        #expect(driver.commit([.init(offset: 7)], member: "m", generation: 2, version: 9) == [.none])
        let group = driver.shard.groups["g"]!
        #expect(group.isSubscribed(to: "t") && group.isSubscribed(to: "other"))
        driver.time.wallClockMs += driver.settings.offsetsRetentionMs + 1
        var walk = ShardWalk(.offsets)
        while !walk.isComplete { driver.run { $0.expireOffsets(&walk, now: $1) } }
        #expect(driver.fetch().committedOffset == 7)
        driver.doWork()
        #expect(driver.shard.groups["g"]!.isSubscribed(to: "t"))
        #expect(!driver.shard.groups["g"]!.isSubscribed(to: "other"))
    }

    @Test func whatAPatternStandsForIsNotTakenWithoutMemory() {
        var settings = GroupSettings()
        settings.maxMemoryBytes = 40_000
        let driver = ShardDriver(settings: settings, topics: topics(1_000))
        #expect(driver.joinConsumer("m", topics: nil, pattern: ".*").code == .none)
        #expect(driver.joinConsumer("n", topics: nil, pattern: "topic-1").code == .none)
        driver.doWork()
        let group = driver.shard.groups["g"]!.consumer!
        #expect(Array(group.patterns.keys) == ["topic-1"])
        #expect(group.isSubscribed(to: "topic-500"))
        #expect(driver.shard.memoryBytes <= 40_000)
        #expect(driver.shard.memoryBytes == driver.shard.groups.values.reduce(0) { $0 + $1.memoryBytes })
    }

    /// One that takes longer than the broker's patience would never end otherwise.
    @Test func aLookUpThatTakesLongIsTaken() {
        let driver = ShardDriver(topics: FakeTopics(["a": 1]))
        let member = FakeConsumer(driver, "m", topics: [], pattern: "a")
        member.step()
        let slow = driver.shard.patternWork(of: "g")!
        driver.pass(31_000)
        member.step()
        #expect(driver.work == [.patterns(groupID: "g", isSlow: false), .patterns(groupID: "g", isSlow: false)])
        driver.run { $0.patternsFound(slow.run { _ in true }!, now: $1) }
        let found = driver.shard.groups["g"]!.consumer!
        #expect(found.patterns["a"]?.topics == ["a"])
        // The other is of the state before that.
        #expect(driver.shard.patternWork(of: "g") == nil)
        driver.doWork()
        #expect(driver.shard.groups["g"]!.consumer!.patterns == found.patterns)
    }

    @Test func aNewPatternWaitsForItsTurn() {
        let driver = ShardDriver(topics: FakeTopics(["a": 1, "b": 1]))
        driver.joinConsumer("m", topics: nil, pattern: "a")
        driver.doWork()
        driver.joinConsumer("n", topics: nil, pattern: "b")
        #expect(driver.work.isEmpty)
        driver.pass(ConsumerGroup.patternIntervalMs)
        driver.joinConsumer("n", topics: nil, pattern: "b")
        #expect(driver.work == [.patterns(groupID: "g", isSlow: false)])
    }

    @Test func patternsOfAGroupAreBoundedTogether() {
        let driver = ShardDriver(topics: FakeTopics(["a": 1]))
        // Each has an instruction for each repeat, and one for its end.
        let count = ConsumerGroup.maxPatternInstructions / 1_000
        for number in 0..<count {
            let joined = driver.joinConsumer("m\(number)", topics: nil, pattern: "[\(number)a]{999}")
            #expect(joined.code == .none)
        }
        let consumer = driver.shard.groups["g"]!.consumer!
        #expect(consumer.patternInstructions == 1_000 * count)
        let records = driver.recordCount
        let refused = driver.joinConsumer("n", topics: nil, pattern: "a")
        #expect(refused.code == .groupMaxSizeReached)
        #expect(refused.errorMessage?.contains("\(ConsumerGroup.maxPatternInstructions)") == true)
        #expect(driver.recordCount == records)
        #expect(driver.joinConsumer("n", topics: nil, pattern: "[0a]{999}").code == .none)
        #expect(driver.restarted().shard.groups["g"]!.consumer!.patternInstructions == 1_000 * count)
        for id in ["m0", "n"] { driver.beat(id, -1) }
        #expect(driver.shard.groups["g"]!.consumer!.patternInstructions == 1_000 * (count - 1))
        #expect(driver.joinConsumer("n", topics: nil, pattern: "a").code == .none)
    }

    /// A log of somebody else may have patterns that are none here.
    @Test func aRecordedPatternThatIsNoneStandsForNothing() {
        var member = ConsumerMember(memberID: "m")
        (member.epoch, member.pattern, member.rebalanceTimeoutMs) = (2, "(?=a)", 60_000)
        (member.clientID, member.clientHost) = ("client", "/127.0.0.1")
        let driver = ShardDriver(
            topics: FakeTopics(["a": 1]),
            replaying: [
                entry(.consumerMember(groupID: "g", member)), entry(.consumerEpoch(groupID: "g", epoch: 2, hash: 0)),
                entry(.consumerTargetEpoch(groupID: "g", epoch: 2, timestampMs: 0)),
                entry(.consumerCurrent(groupID: "g", member)),
            ])
        #expect(driver.beat("m", 2).code == .none)
        driver.doWork()
        #expect(driver.shard.groups["g"]!.consumer!.patterns["(?=a)"]?.topics == [])
        #expect(!driver.shard.groups["g"]!.isSubscribed(to: "a"))
        // It is not looked up anew with each heartbeat.
        driver.pass(ConsumerGroup.patternIntervalMs + 1_000)
        #expect(driver.beat("m", 2).code == .none)
        #expect(driver.work.isEmpty)
        // Whoever names it hears what it is, the member that has it as well.
        #expect(driver.joinConsumer("m", topics: nil, pattern: "(?=a)").code == .invalidRegularExpression)
        #expect(driver.joinConsumer("n", topics: nil, pattern: "(?=a)").code == .invalidRegularExpression)
    }

    // MARK: Heartbeats

    @Test func aQuietHeartbeatWritesNothing() {
        let driver = ShardDriver(topics: FakeTopics(["t": 4, "u": 1]))
        let member = FakeConsumer(driver, "m", pattern: "u")
        for _ in 0..<4 {
            member.step()
            driver.doWork()
            driver.pass(1_000)
        }
        let (records, members) = (driver.recordCount, driver.shard.groups["g"]!.consumer!.members["m"]!)
        #expect(members.partitionCount == 10)
        member.step()
        #expect(driver.recordCount == records)
        // What differs in a canonical form alone is another text.
        driver.beat("m", member.epoch, clientID: "caf\u{e9}")
        driver.beat("m", member.epoch, clientID: "cafe\u{301}")
        #expect(driver.recordCount == records + 2)
        #expect(
            driver.restarted().shard.groups["g"]!.consumer!.members["m"]!.clientID.utf8.elementsEqual(
                "cafe\u{301}".utf8))
    }

    /// Live and replayed state are the same, whatever is refused.
    @Test func aRefusedMemberLeavesAnEmptyClassicGroupAsItWas() {
        let driver = ShardDriver(topics: FakeTopics(["t": 1]))
        let (id, _) = driver.joinDynamic()
        driver.pass(driver.settings.initialRebalanceDelayMs)
        driver.leave([(id, nil)])
        driver.commit([.init(offset: 7)], member: "", generation: -1, version: 9)
        let records = driver.recordCount
        let refused = driver.joinConsumer("m", topics: nil, pattern: "(")
        #expect(refused.code == .invalidRegularExpression)
        #expect(driver.recordCount == records)
        #expect(driver.shard.groups["g"]!.recorded != nil)
        #expect(driver.shard.groups["g"]!.recorded == driver.restarted().shard.groups["g"]!.recorded)
        #expect(driver.joinConsumer("m").code == .none)
        #expect(driver.shard.groups["g"]!.recorded == nil)
        let restarted = driver.restarted()
        #expect(restarted.describe().members.map(\.memberID) == ["m"])
        #expect(restarted.shard.groups["g"]!.recorded == nil)
        #expect(restarted.fetch().committedOffset == 7)
    }

    // MARK: Assignments

    /// Looking names up is of each member's own, whether there are such topics or not.
    @Test func manyNamesOfManyMembersAreForAWorker() {
        let driver = ShardDriver(topics: FakeTopics(["t": 1]))
        let names = (0..<60).map { "missing-\($0)" }
        for number in 0..<8 { driver.joinConsumer("m\(number)", topics: names) }
        driver.pass(1_000)
        #expect(driver.work.isEmpty)
        #expect(driver.consumerState() == "Stable" || driver.consumerState() == "Reconciling")
        driver.joinConsumer("n", topics: names)
        driver.pass(1_000)
        #expect(driver.work == [.assignment(groupID: "g")])
        driver.doWork()
        #expect(driver.describe().assignmentEpoch == driver.describe().groupEpoch)
    }

    /// A timer does not look at topics, so that nobody knows how large they are.
    @Test func anAssignmentOfTopicsThatHaveGrownIsForAWorker() {
        let driver = ShardDriver(topics: FakeTopics(["t": 1]))
        driver.joinConsumer("m")
        driver.joinConsumer("n")
        driver.topics["t"] = 10_000
        driver.pass(1_000)
        #expect(driver.work == [.assignment(groupID: "g")])
        driver.doWork()
        #expect(driver.consumerState() != "Assigning")
    }

    @Test func anAssignmentThatTakesLongIsTaken() {
        let driver = ShardDriver(topics: FakeTopics(["t": 1_000]))
        let member = FakeConsumer(driver, "m")
        member.step()
        let slow = driver.shard.assignmentWork(of: "g")!
        driver.pass(31_000)
        #expect(driver.work == [.assignment(groupID: "g"), .assignment(groupID: "g")])
        driver.run { $0.assignmentMade(slow.run()!, now: $1) }
        #expect(driver.describe().assignmentEpoch == driver.describe().groupEpoch)
        member.step()
        #expect(member.reading["t"]?.count == 1_000)
    }

    /// A group of the same name that came meanwhile has epochs of its own.
    @Test func anAssignmentOfAGroupThatIsGoneIsNotTaken() {
        let driver = ShardDriver(topics: FakeTopics(["t": 1_000]))
        driver.joinConsumer("m")
        let old = driver.shard.assignmentWork(of: "g")!
        driver.beat("m", -1)
        #expect(driver.deleteGroups(["g"]) == [.none])
        driver.joinConsumer("n")
        driver.run { $0.assignmentMade(old.run()!, now: $1) }
        #expect(driver.consumerState() == "Assigning")
        #expect(driver.describe().members[0].targetAssignment.topicPartitions.isEmpty)
        driver.doWork()
        #expect(driver.describe().members[0].targetAssignment.topicPartitions.map(\.partitions.count) == [1_000])
    }

    /// What is made is of the members that there were, and of a static one for its next process.
    @Test func aStaticMemberThatCameBackMeanwhileHasItsShare() {
        let driver = ShardDriver(topics: FakeTopics(["t": 1_000]))
        driver.joinConsumer("m", instance: "i")
        let slow = driver.shard.assignmentWork(of: "g")!
        driver.beat("m", -2) { $0.instanceID = "i" }
        driver.joinConsumer("n", instance: "i")
        driver.run { $0.assignmentMade(slow.run()!, now: $1) }
        #expect(driver.describe().members.map(\.memberID) == ["n"])
        #expect(driver.describe().members[0].targetAssignment.topicPartitions.map(\.partitions.count) == [1_000])
        #expect(driver.shard.memoryBytes == driver.shard.groups.values.reduce(0) { $0 + $1.memoryBytes })
        let restarted = driver.restarted().describe()
        #expect(restarted.members[0].targetAssignment.topicPartitions.map(\.partitions.count) == [1_000])
    }

    /// What a pattern stands for may be long, and its members many.
    @Test func membersOfOnePatternShareWhatItStandsFor() {
        let driver = ShardDriver(topics: topics(100))
        for number in 0..<20 { driver.joinConsumer("m\(number)", topics: nil, pattern: ".*") }
        driver.joinConsumer("n", topics: ["topic-1"], pattern: ".*")
        driver.joinConsumer("o", topics: ["topic-2"])
        driver.doWork()
        driver.pass(1_000)
        driver.joinConsumer("p", topics: nil, pattern: ".*")
        let problem = driver.shard.assignmentWork(of: "g")!.problem
        #expect(problem.members.count == 23)
        #expect(problem.subscriptions.map(\.count).sorted() == [1, 100])
    }

    @Test func subscriptionsOfAGroupAreBoundedTogether() {
        let (count, most) = (10_000, ConsumerGroup.maxSubscribedEntries)
        let driver = ShardDriver(topics: topics(count))
        func lookUp() {
            let found = driver.shard.patternWork(of: "g")!.run { _ in true }!
            driver.run { $0.patternsFound(found, now: $1) }
        }
        driver.joinConsumer("m", topics: nil, pattern: ".*")
        lookUp()
        for number in 1..<most / count { driver.joinConsumer("m\(number)", topics: nil, pattern: ".*") }
        #expect(driver.shard.groups["g"]!.consumer!.subscribedEntries == most)
        let records = driver.recordCount
        for (names, pattern) in [(nil, ".*"), (["t"], nil)] as [([String]?, String?)] {
            let refused = driver.joinConsumer("n", topics: names, pattern: pattern)
            #expect(refused.code == .groupMaxSizeReached)
            #expect(refused.errorMessage?.contains("\(most)") == true)
        }
        #expect(driver.recordCount == records)
        // Who has its place keeps it, and another pattern is let in, but stands for nothing as long as it would be too much.
        #expect(driver.joinConsumer("m", topics: nil, pattern: ".*").code == .none)
        driver.pass(ConsumerGroup.patternIntervalMs)
        #expect(driver.joinConsumer("n", topics: nil, pattern: "topic-1.*").code == .none)
        lookUp()
        #expect(driver.shard.groups["g"]!.consumer!.patterns["topic-1.*"] == nil)
        #expect(driver.shard.groups["g"]!.consumer!.patterns[".*"]?.topics.count == count)
        driver.beat("m", -1)
        driver.pass(ConsumerGroup.patternIntervalMs)
        driver.joinConsumer("n", topics: nil, pattern: "topic-1.*")
        lookUp()
        #expect(driver.shard.groups["g"]!.consumer!.patterns["topic-1.*"]?.topics.count == 1_111)
    }

    /// Whoever stops does not wait for what takes long.
    @Test(arguments: [["range"], ["uniform"], ["uniform", "t"]]) func anAssignmentThatNobodyWantsEnds(_ kind: [String])
    {
        let driver = ShardDriver(topics: topics(600))
        let names = (0..<600).map { "topic-\($0)" }
        driver.joinConsumer("m", topics: names, assignor: kind[0])
        driver.joinConsumer("n", topics: kind.count == 1 ? names : Array(names.dropLast()), assignor: kind[0])
        let work = driver.shard.assignmentWork(of: "g")!
        // It looks after each of a few steps, wherever it is.
        for steps in 0..<4 {
            let asked = Counted()
            #expect(work.run(isStopped: { asked.next() > steps }) == nil)
            #expect(asked.count < 50)
        }
        #expect(work.run() != nil)
    }

    @Test func aLookUpThatNobodyWantsEnds() {
        let driver = ShardDriver(topics: topics(600))
        driver.joinConsumer("m", topics: nil, pattern: "topic-.*")
        let work = driver.shard.patternWork(of: "g")!
        var (looked, asked) = (0, 0)
        let found = work.run {
            _ in
            looked += 1
            return true
        } isStopped: {
            asked += 1
            return asked > 10
        }
        #expect(found == nil)
        #expect(looked == 10)
        #expect(work.run { _ in true } != nil)
    }

    private final class Counted: Sendable {
        private let state = Lock(0)
        var count: Int { state.withLock { $0 } }
        func next() -> Int {
            state.withLock {
                $0 += 1
                return $0
            }
        }
    }

    /// Members come to read what they are to long after there was room for it.
    @Test func roomForWhatMembersWillReadIsKept() {
        var settings = GroupSettings()
        settings.maxMemoryBytes = 160_000
        let driver = ShardDriver(settings: settings, topics: FakeTopics(["t": 1_000]))
        let members = ["g", "h"].map { FakeConsumer(driver, "m", group: $0) }
        for member in members { member.step() }
        driver.doWork()
        #expect(driver.consumerState("g") == "Reconciling" && driver.consumerState("h") == "Assigning")
        let kept = driver.shard.memoryBytes
        for member in members { member.step() }
        #expect(members.map { $0.reading["t"]?.count } == [1_000, nil])
        #expect(driver.shard.memoryBytes == kept)
        #expect(driver.shard.memoryBytes <= settings.maxMemoryBytes)
        #expect(driver.shard.memoryBytes == driver.shard.groups.values.reduce(0) { $0 + $1.memoryBytes })
        #expect(driver.restarted().shard.memoryBytes == kept)
        // With the room comes the share.
        driver.beat("m", -1, group: "g")
        driver.pass(30_000)
        driver.doWork()
        members[1].step()
        #expect(members[1].reading["t"]?.count == 1_000)
    }

    private func limitBatches(of driver: ShardDriver, to bytes: Int) {
        driver.run { shard, _ in
            shard.maxBatchBytes = bytes
            return GroupActions()
        }
    }

    /// What is made meanwhile was limited by an id that is shorter.
    @Test func aStaticMemberThatCameBackUnderALongIDHasWhatItsRecordsHold() {
        let driver = ShardDriver(topics: FakeTopics(["t": 1_000]))
        limitBatches(of: driver, to: 9_000)
        driver.joinConsumer("m", instance: "i")
        let made = driver.shard.assignmentWork(of: "g")!.run()!
        driver.beat("m", -2) { $0.instanceID = "i" }
        let id = String(repeating: "n", count: 6_000)
        let joined = driver.joinConsumer(id, instance: "i")
        #expect(joined.code == .none)
        driver.run { $0.assignmentMade(made, now: $1) }
        #expect(driver.describe().assignmentEpoch == 2)
        let count = driver.describe().members[0].targetAssignment.topicPartitions.first?.partitions.count ?? 0
        #expect((200...400).contains(count))
        let response = driver.beat(id, joined.memberEpoch) { $0.instanceID = "i" }
        #expect(driver.reading(response)?["t"]?.count == count)
        #expect(bytes(driver).allSatisfy { $0 <= 9_000 })
        #expect(driver.restarted().describe() == driver.describe())
    }

    /// Its records have its id, and all that the process before was to read.
    @Test func aStaticMemberMayNotComeBackUnderAnIDThatNoRecordHolds() {
        let driver = ShardDriver(topics: FakeTopics(["t": 1_000]))
        limitBatches(of: driver, to: 9_000)
        driver.joinConsumer("m", instance: "i")
        driver.doWork()
        driver.beat("m", -2) { $0.instanceID = "i" }
        let id = String(repeating: "n", count: 4_000)
        #expect(driver.joinConsumer(id, instance: "i").code == .invalidRequest)
        #expect(driver.joinConsumer("n", instance: "i").code == .none)
        #expect(bytes(driver).max()! <= 9_000)
    }

    @Test func anAssignmentIsNotTakenWithoutMemoryAndTriedAgain() {
        var settings = GroupSettings()
        settings.maxMemoryBytes = 20_000
        let driver = ShardDriver(settings: settings, topics: FakeTopics(["t": 400]))
        let member = FakeConsumer(driver, "m")
        #expect(member.step() == .none)
        driver.doWork()
        #expect(driver.consumerState() == "Assigning")
        #expect(member.reading.isEmpty)
        #expect(driver.shard.memoryBytes <= 20_000)
        driver.topics["t"] = nil
        driver.topics["t"] = 40
        driver.pass(40_000)
        driver.doWork()
        member.step()
        #expect(driver.consumerState() == "Stable")
        #expect(member.reading["t"]?.count == 40)
    }

    /// A topic takes as much as some partitions.
    @Test func whatAMemberReadsFitsARecord() {
        let driver = ShardDriver(topics: topics(300, partitions: 3))
        driver.run {
            $0.maxBatchBytes = 10_000
            _ = $1
            return GroupActions()
        }
        let member = FakeConsumer(driver, "m", topics: driver.topics.names)
        for _ in 0..<4 {
            member.step()
            driver.doWork()
            driver.pass(1_000)
        }
        #expect(member.reading.values.reduce(0) { $0 + $1.count } > 200)
        let largest = bytes(driver).max()!
        #expect(largest <= 10_000, "a record of \(largest) bytes")
    }

    @Test func aClassicMemberWhoseAssignmentNoRecordWouldHoldIsNotConverted() {
        let driver = ShardDriver(topics: FakeTopics(["t": 1_000]))
        let (id, join) = driver.joinDynamic()
        driver.pass(driver.settings.initialRebalanceDelayMs)
        var assignment = ConsumerProtocolAssignment()
        var part = ConsumerProtocolAssignment.TopicPartition()
        (part.topic, part.partitions) = ("t", Array(0..<1_000))
        assignment.assignedPartitions = [part]
        driver.sync(id, driver.joined(join)!.generationID, assignments: [id: assignment.encodedWithVersion(1)])
        driver.run {
            $0.maxBatchBytes = 6_000
            _ = $1
            return GroupActions()
        }
        #expect(driver.joinConsumer("m").code == .groupIDNotFound)
        #expect(driver.state() == .stable)
        driver.run {
            $0.maxBatchBytes = GroupShard.defaultMaxBatchBytes
            _ = $1
            return GroupActions()
        }
        #expect(driver.joinConsumer("m").code == .none)
    }

    // MARK: Records of somebody else

    @Test func aClassicMemberWithoutProtocolsIsRefusedAndEndsNothing() {
        var member = ConsumerMember(memberID: "m")
        member.classic = ConsumerMember.Classic()
        (member.epoch, member.topicNames) = (2, ["t"])
        let other = ConsumerMember(memberID: "n")
        let driver = ShardDriver(
            topics: FakeTopics(["t": 1]),
            replaying: [
                entry(.consumerMember(groupID: "g", member)), entry(.consumerMember(groupID: "g", other)),
                entry(.consumerEpoch(groupID: "g", epoch: 2, hash: 0)),
                entry(.consumerTargetEpoch(groupID: "g", epoch: 2, timestampMs: .min)),
                entry(.consumerCurrent(groupID: "g", member)), entry(.consumerCurrent(groupID: "g", other)),
            ])
        #expect(driver.syncError(driver.sync("m", 2)) == .inconsistentGroupProtocol)
        // It is alone, and has nothing by which a classic group could be.
        driver.beat("n", -1)
        #expect(driver.describe().members.map(\.memberID) == ["m"])
        #expect(driver.joinError(driver.join("m")) == ErrorCode.none)
    }

    @Test func theLastEpochIsKept() {
        var member = ConsumerMember(memberID: "m")
        (member.epoch, member.topicNames, member.state) = (.max, ["t"], .unrevoked)
        let driver = ShardDriver(
            topics: FakeTopics(["t": 1]),
            replaying: [
                entry(.consumerMember(groupID: "g", member)),
                entry(.consumerEpoch(groupID: "g", epoch: .max, hash: 0)),
                entry(.consumerTargetEpoch(groupID: "g", epoch: 4, timestampMs: .min)),
                entry(.consumerCurrent(groupID: "g", member)),
            ])
        driver.beat("m", .max) { $0.topicPartitions = [] }
        driver.joinConsumer("n")
        driver.pass(2_000)
        driver.doWork()
        #expect(driver.describe().groupEpoch == .max)
        driver.beat("m", -1)
        driver.beat("n", -1)
        #expect(driver.consumerState() == "Empty")
    }

    @Test func anyTimeInARecordMayBeCompared() {
        let driver = ShardDriver(
            topics: FakeTopics(["t": 1]),
            replaying: [
                entry(.consumerEpoch(groupID: "g", epoch: 2, hash: 0)),
                entry(.consumerTargetEpoch(groupID: "g", epoch: 2, timestampMs: .min)),
            ])
        driver.commit([.init(offset: 7)], member: "", generation: -1, version: 9)
        var walk = ShardWalk(.offsets)
        while !walk.isComplete { driver.run { $0.expireOffsets(&walk, now: $1) } }
        #expect(driver.shard.groupCount == 0)
    }
}
