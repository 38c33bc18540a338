import BrokerTestKit
import KafkaModel
import KafkaWire
import Testing

@testable import Coordinators

/// Whatever clients have stored, one call looks at a bounded part of it; and what comes between two calls is not lost.
@Suite struct ShardWalkTests {
    private let most = GroupShard.maxStepEntries

    /// One group with many offsets of several topics, and many groups with one each.
    private func filled() -> ShardDriver {
        let driver = ShardDriver()
        for topic in 0..<5 {
            driver.commit((0..<400).map { .init("topic-\(topic)", $0, offset: 1) }, group: "large")
        }
        for group in 0..<700 { driver.commit([.init("topic-0", 0, offset: 1)], group: "small-\(group)") }
        return driver
    }

    // MARK: Entries of one call

    @Test func aStepOfARewriteIsBoundedInEntriesAndBytes() {
        let driver = filled()
        var walk = ShardWalk(.offsets)
        var records: [CoordinatorRecord] = []
        while !walk.isComplete {
            let before = walk.entries
            let step = driver.shard.liveRecords(&walk, maxBytes: 4_000) ?? []
            #expect(walk.entries - before <= most)
            #expect(step.reduce(0) { $0 + $1.sizeInBatch } < 4_000 + 16 * 100)
            records += step
        }
        #expect(records.count == 2_700 && Set(records.map(\.key)).count == 2_700)
        var whole = ShardWalk(.offsets)
        #expect(driver.shard.liveRecords(&whole, maxBytes: .max)?.count ?? 0 <= most && whole.entries <= most)
        // What is reckoned without a look at them is near what they take.
        let bytes = records.reduce(0) { $0 + $1.sizeInBatch }
        #expect((bytes / 2..<bytes * 2).contains(driver.shard.liveBytes))
    }

    /// The names that a group's record has count as well: a log that is reckoned too small would be rewritten without end.
    @Test func aLongProtocolIsReckonedWith() throws {
        let driver = ShardDriver()
        let name = String(repeating: "p", count: 30_000)
        let join = driver.joinDynamic(protocols: [subscription(["t"], name)])
        driver.pass(driver.settings.initialRebalanceDelayMs)
        let joined = try #require(driver.joined(join.waiter))
        driver.sync(join.memberID, joined.generationID, assignments: [join.memberID: [1]])
        #expect(driver.state() == .stable)
        var walk = ShardWalk(.offsets)
        let bytes = (driver.shard.liveRecords(&walk, maxBytes: .max) ?? []).reduce(0) { $0 + $1.sizeInBatch }
        #expect(bytes > 30_000 && (bytes / 2..<bytes * 2).contains(driver.shard.liveBytes))
    }

    @Test func aStepOfASweepIsBounded() {
        let driver = filled()
        let deleted = driver.walk(.topic("topic-0")) { $0.topicsDeleted(["topic-0": .zero], &$1, now: $2) }
        #expect(deleted.max()! <= most && deleted.count > 4)
        #expect(driver.shard.metrics.offsets == 1_600 && driver.shard.groupCount == 1)
        // Nothing to remove: the look is bounded all the same.
        let kept = driver.walk(.offsets) { $0.expireOffsets(&$1, now: $2) }
        #expect(kept.max()! <= most && kept.count == 4)
        driver.pass(7 * 24 * 60 * 60_000)
        let records = driver.recordCount
        let expired = driver.walk(.offsets) { $0.expireOffsets(&$1, now: $2) }
        #expect(expired.max()! <= most)
        #expect(driver.recordCount == records + 1_600 && driver.shard.groupCount == 0)
    }

    /// Tombstones repeat their group's id, which may have 32 KB.
    @Test func aStepOfASweepIsBoundedInBytes() {
        let driver = ShardDriver()
        let long = String(repeating: "g", count: 30_000)
        for first in stride(from: Int32(0), to: 400, by: 20) {
            driver.commit((first..<first + 20).map { .init("t", $0, offset: 1) }, group: long)
        }
        for scope in [ShardWalk.Scope.topic("t"), .offsets] {
            let sweeper = driver.restarted()
            if scope == .offsets { sweeper.pass(7 * 24 * 60 * 60_000) }
            var walk = ShardWalk(scope)
            var steps = 0
            while !walk.isComplete {
                let before = sweeper.recordCount
                sweeper.run {
                    scope == .offsets
                        ? $0.expireOffsets(&walk, now: $1)
                        : $0.topicsDeleted(["t": .zero], &walk, now: $1)
                }
                #expect(sweeper.recordCount - before <= ShardWalk.Room.partEntries)
                steps += 1
            }
            #expect(steps >= 25 && sweeper.shard.metrics.offsets == 0)
        }
    }

    /// A shard that has lost its log may have thousands of deletions to make up for.
    @Test func topicsThatWereDeletedTogetherTakeOneWalk() {
        let driver = filled()
        driver.commitInTransaction(7, [.init("topic-1", 5, offset: 1), .init("other", 0, offset: 1)], group: "small-0")
        let topics = Dictionary(uniqueKeysWithValues: (0..<5_000).map { (ExactString("topic-\($0)"), TopicID.zero) })
        let looked = driver.walk(.offsets) { $0.topicsDeleted(topics, &$1, now: $2) }
        #expect(looked.max()! <= most && looked.reduce(0, +) < 2 * (2_700 + 701) + most)
        #expect(driver.shard.metrics.offsets == 0)
        driver.endTransaction(of: ProducerID(7), committed: true)
        #expect(driver.fetchAll(group: "small-0").topics.map(\.name) == ["other"])
    }

    @Test func aStepOfAListIsBounded() {
        let driver = filled()
        var walk = ShardWalk(.groups)
        var groups: [String] = []
        while !walk.isComplete {
            let listed = driver.shard.listGroups(in: Set(GroupState.allCases), &walk).groups
            #expect(listed.count <= most)
            groups += listed.map(\.groupID)
        }
        #expect(Set(groups).count == 701 && groups.count == 701)
    }

    /// Filters are as long as a client likes: what they come to is known before the walk, and none of it is a step's
    /// work.
    @Test func aListThatNothingIsInLooksAtNoGroup() {
        let driver = filled()
        for (states, types) in [(["NoSuchState", ""], []), ([], ["consumer"]), (["Empty"], ["share"])]
            as [([String], [String])]
        {
            var walk = ShardWalk(.groups)
            let listed = driver.shard.listGroups(in: GroupState.listed(states: states, types: types), &walk)
            #expect(listed.error == .none && listed.groups.isEmpty && walk.isComplete && walk.entries == 0)
        }
        let many = [String](repeating: "sTABLE", count: 10_000) + ["none", "empty"]
        #expect(GroupState.listed(states: many, types: ["none", "Classic"]) == [.stable, .empty])
    }

    @Test func timersThatAreDueTogetherFireInSteps() {
        let driver = ShardDriver()
        for group in 0..<2 * most { driver.connectionGone(driver.join(group: "g\(group)", version: 9)) }
        driver.time.monotonicMs += 1_000_000
        var steps = 0
        while driver.shard.nextDeadline != nil {
            let before = driver.shard.groupCount
            driver.run { $0.advance(now: $1) }
            #expect(before - driver.shard.groupCount <= most)
            steps += 1
        }
        #expect(steps >= 2 && driver.shard.groupCount == 0)
    }

    // MARK: What comes between

    /// From the walk's beginning on the log has every key's newest record, whatever comes between two steps.
    @Test(arguments: UInt64(1)...20) func whatComesBetweenTwoStepsIsInTheRewrittenLog(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let driver = ShardDriver()
        let groups = (0..<8).map { "g\($0)" }
        func change() {
            let group = groups[Int.random(in: 0..<groups.count, using: &random)]
            let partition = Int32.random(in: 0..<12, using: &random)
            switch Int.random(in: 0..<12, using: &random) {
            case 0: _ = driver.deleteGroups([group])
            case 1...3: _ = driver.deleteOffsets("t", [partition], group: group)
            // A group with members has a record of its own, which changes with each generation and ends with a tombstone.
            case 4 where driver.shard.groups[group]?.members.isEmpty ?? true: _ = driver.stableGroup(1, group: group)
            case 4, 5:
                let members = driver.shard.groups[group]?.members.keys.map(\.text) ?? []
                if let member = members.first { driver.leave([(member, nil)], group: group) }
                driver.pass(60_000)
            default:
                driver.commit(
                    [.init("t", partition, offset: Int64.random(in: 0..<1_000, using: &random))], group: group)
            }
        }
        for _ in 0..<200 { change() }
        var position = driver.log.count
        var log: [ShardDriver.LogEntry] = []
        var walk = ShardWalk(.offsets)
        while !walk.isComplete {
            for _ in 0..<Int.random(in: 0..<8, using: &random) { change() }
            log += driver.log[position...]
            position = driver.log.count
            let live = driver.shard.liveRecords(&walk, maxBytes: 1) ?? []
            log += live.map { .record(ShardDriver.LoggedRecord(record: $0, producerID: .none)) }
        }
        let rewritten = ShardDriver(replaying: log)
        for group in groups {
            #expect(rewritten.fetchAll(group: group) == driver.fetchAll(group: group), "seed \(seed), \(group)")
            #expect(rewritten.shard.groups[group]?.recorded == driver.shard.groups[group]?.recorded)
        }
    }

    /// The new tables have their entries elsewhere.
    @Test func aWalkThroughAShardThatIsLoadedAnewBeginsAgain() throws {
        var shard = GroupShard()
        let names = (0..<2 * most).map { "g\($0)" }
        let time = CoordinatorTime(monotonicMs: 0, wallClockMs: 0)
        func load(_ names: [String]) throws {
            for name in names {
                let key = GroupRecord.OffsetKey(groupID: name, topic: "t", partitionIndex: 0)
                let record = GroupRecord.offset(key, CommittedOffset(offset: 1)).encoded
                try record.key.withUnsafeBytes { key in
                    try record.value!.withUnsafeBytes { try shard.replay(key: key, value: $0) }
                }
            }
            _ = shard.loaded(now: time)
        }
        try load(names)
        var sweep = ShardWalk(.groups)
        _ = shard.listGroups(in: Set(GroupState.allCases), &sweep)
        var rewrite = ShardWalk(.offsets)
        #expect(shard.liveRecords(&rewrite, maxBytes: 1_000)?.isEmpty == false)
        _ = shard.unload(now: time)
        shard.beginLoading()
        try load(names.reversed())
        var listed: [String] = []
        while !sweep.isComplete {
            listed += shard.listGroups(in: Set(GroupState.allCases), &sweep).groups.map(\.groupID)
        }
        #expect(listed.count == names.count && Set(listed) == Set(names))
        // A log that begins in the middle of it would lack what the walk came by before.
        #expect(shard.liveRecords(&rewrite, maxBytes: 1_000) == nil)
    }
}

/// The table under the walk.
@Suite struct SlotTableTests {
    @Test(arguments: UInt64(1)...20) func itIsADictionaryAndAWalkMeetsWhatStays(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var table = SlotTable<Int, Int>()
        var model: [Int: Int] = [:]
        func change() {
            let (key, value) = (Int.random(in: 0..<40, using: &random), Int.random(in: 0..<9, using: &random))
            switch Int.random(in: 0..<5, using: &random) {
            case 0:
                table[key] = nil
                model[key] = nil
            case 1: #expect(table.removeValue(forKey: key) == model.removeValue(forKey: key))
            case 2: #expect(table.updateValue(value, forKey: key) == model.updateValue(value, forKey: key))
            case 3:
                table[key, default: 7] += value
                model[key, default: 7] += value
            default:
                table[key] = value
                model[key] = value
            }
            #expect(table[key] == model[key] && table.has(key) == (model[key] != nil))
        }
        for _ in 0..<200 { change() }
        var staying = Set(model.keys)
        var met: [Int] = []
        var slot = 0
        while slot < table.slotCount {
            if let entry = table.entry(at: slot) { met.append(entry.key) }
            slot += 1
            change()
            staying.formIntersection(model.keys)
        }
        #expect(staying.isSubset(of: met), "seed \(seed)")
        #expect(Dictionary(uniqueKeysWithValues: table.map { ($0.key, $0.value) }) == model, "seed \(seed)")
        #expect(table.count == model.count && table.isEmpty == model.isEmpty)
    }

    @Test func aSlotThatIsEmptyIsTakenAgain() {
        var table = SlotTable<Int, String>()
        for key in [-2, -1] { table[key] = "value" }
        table[-2] = nil
        #expect(table.slotCount == 2 && table.entry(at: 0) == nil)
        for key in 0..<100 {
            table[key] = "value"
            #expect(table.slotCount == 2 && table.entry(at: 0)?.key == key)
            table[key] = nil
        }
    }

    @Test func emptySlotsAtTheEndAreGivenBack() {
        var table = SlotTable<Int, String>()
        for key in 0..<10_000 { table[key] = "value" }
        for key in 100..<10_000 { table[key] = nil }
        #expect(table.slotCount == 100 && table.idleBytes == 0)
        for key in 0..<100 { table[key] = nil }
        #expect(table.slotCount == 0 && table.isEmpty)
        // In whatever order, with slots that were noted as empty before they were given back.
        for key in 0..<1_000 { table[key] = "value" }
        for key in (0..<1_000).shuffled() { table[key] = nil }
        #expect(table.slotCount == 0 && table.idleBytes == 0)
        for key in 0..<1_000 { table[key] = "value" }
        #expect(table.slotCount == 1_000 && table.count == 1_000)
        #expect(Set(table.keys) == Set(0..<1_000))
    }

    @Test func whatStaysEmptyInBetweenIsKnown() {
        var table = SlotTable<Int, String>()
        for key in 0..<10_000 { table[key] = "value" }
        let full = table.idleBytes
        for key in 0..<9_999 { table[key] = nil }
        #expect(full == 0 && table.idleBytes > 9_000 * MemoryLayout<String>.stride)
        for key in 0..<9_999 { table[key] = "value" }
        #expect(table.idleBytes == 0 && table.slotCount == 10_000)
    }
}
