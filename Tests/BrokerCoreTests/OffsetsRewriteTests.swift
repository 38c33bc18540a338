import BrokerTestKit
import ByteBuffers
import Coordinators
import KafkaModel
import LogStorage
import Testing

@testable import BrokerCore

/// `__consumer_offsets` stays in proportion to what is alive in it, and no crash on the way costs an offset.
@Suite struct OffsetsRewriteTests {
    private func options(floor: Int64 = 4 << 10) -> BrokerOptions {
        var options = SimulatedBroker.options
        options.offsetsRewriteFloor = floor
        return options
    }

    /// Commits of eight groups, one after the other, until the log has outgrown the floor by far.
    private func commitMany(_ node: SimulatedBroker, rounds: Int, from first: Int64 = 0) {
        for round in 0..<rounds {
            for group in 0..<8 { node.commit(group: "g\(group)", offset: first + Int64(round)) }
            node.broker.store.commitPending()
        }
    }

    @Test func theLogsStartMovesPastHistory() throws {
        let node = try SimulatedBroker(options: options())
        commitMany(node, rounds: 20)
        let end = node.offsetsLog.logEndOffset
        #expect(node.offsetsLog.logStartOffset == Offset(0))
        // The live records are appended, and wait for their commit before the start moves.
        #expect(node.broker.groups.rewriteOutgrown())
        #expect(node.offsetsLog.logStartOffset == Offset(0))
        #expect(node.broker.groups.rewriteOutgrown())
        node.broker.store.commitPending()
        #expect(!node.broker.groups.rewriteOutgrown())
        node.broker.store.commitPending()
        #expect(node.offsetsLog.logStartOffset == end)
        #expect(node.offsetsLog.logEndOffset == end + 8)

        try node.crash()
        #expect(node.offsetsLog.logStartOffset == end)
        for group in 0..<8 { #expect(node.offsets(group: "g\(group)") == ["t-0": 19]) }
    }

    /// The lock is held for a step; requests come between two of them, and are not lost.
    @Test func requestsComeBetweenTheSteps() throws {
        let node = try SimulatedBroker(options: options())
        fill(node)
        let shard = node.broker.groups.shards[0]
        let begin = node.offsetsLog.logEndOffset
        var expected = Self.filled
        var looked = 0
        var steps = 0
        while node.broker.groups.rewriteStep(shard) == .goesOn {
            let entries = shard.withLock { $0.rewrite.writing?.walk.entries ?? 0 }
            #expect(entries - looked <= GroupShard.maxStepEntries)
            looked = entries
            for change in Self.changes(behind: steps) {
                apply(change, to: node)
                expected[change.partition] = change.offset
            }
            steps += 1
        }
        #expect(steps > 1)
        #expect(node.offsetsLog.logStartOffset < begin)
        node.broker.store.commitPending()
        #expect(!node.broker.groups.rewriteOutgrown())
        node.broker.store.commitPending()
        #expect(node.offsetsLog.logStartOffset == begin)
        #expect(partitions(node) == expected)
        try node.crash()
        #expect(node.offsetsLog.logStartOffset == begin)
        #expect(partitions(node) == expected)
    }

    /// What waits for a commit is bounded, whatever is alive: without one nothing more is appended, of any shard.
    @Test func noMoreIsAppendedThanTheCommitsTake() throws {
        var options = options()
        options.offsetsPartitions = 2
        let node = try SimulatedBroker(options: options)
        let logs = try #require(node.broker.catalog.topic(named: Topic.offsetsTopicName)).partitions
        let groups = node.broker.groups
        let names = (0..<20).map { "g\($0)" }
        for index in Int32(0)..<2 {
            let group = try #require(names.first { groups.partitionIndex(of: $0) == index })
            fill(node, group: group)
        }
        let begin = logs.map(\.logEndOffset)
        var polls = 0
        while polls < 20, groups.rewriteOutgrown(maxBytes: 1_000) {
            let queued = logs.map(\.logEndOffset)
            #expect(groups.rewriteOutgrown(maxBytes: 1_000) && logs.map(\.logEndOffset) == queued)
            // One step.
            #expect(logs.reduce(0) { $0 + ($1.logEndOffset - $1.highWatermark) } <= GroupShard.maxStepEntries)
            node.broker.store.commitPending()
            polls += 1
        }
        #expect((5..<20).contains(polls))
        node.broker.store.commitPending()
        #expect(logs.map(\.logStartOffset) == begin && logs.map(\.logEndOffset) == begin.map { $0 + 1_200 })
    }

    /// Transactions may come one after the other for ever.
    @Test func aTransactionHoldsARewriteUpAndDoesNotMakeItBeginAgain() throws {
        let node = try SimulatedBroker(options: options())
        fill(node)
        let shard = node.broker.groups.shards[0]
        let begin = node.offsetsLog.logEndOffset
        let now = BrokerClock.now()
        var transactions = 0
        while transactions < 20, node.broker.groups.rewriteStep(shard) == .goesOn {
            let producer = TransactionalProducer(id: ProducerID(7), epoch: ProducerEpoch(0))
            var request = TransactionalCommit(producer: producer, groupID: "other")
            request.partitions = [.init(topicName: "t", partitionIndex: 0, offset: 1)]
            // Their records, which are not what this is about, are not appended.
            shard.withLock { _ = $0.machine.txnOffsetCommit(request, waiter: WaiterID(5), now: now) }
            let end = node.offsetsLog.logEndOffset
            #expect(node.broker.groups.rewriteStep(shard) == .waits && node.offsetsLog.logEndOffset == end)
            shard.withLock {
                _ = $0.machine.completeTransaction(of: producer.id, committed: false, waiter: nil, now: now)
            }
            transactions += 1
        }
        #expect((2..<20).contains(transactions))
        node.broker.store.commitPending()
        #expect(!node.broker.groups.rewriteOutgrown())
        node.broker.store.commitPending()
        #expect(node.offsetsLog.logStartOffset == begin && node.offsetsLog.logEndOffset == begin + 1_200)
    }

    /// Cuts the power at each call of a rewrite of several steps.
    @Test func aCrashBetweenTwoStepsLosesNoCommitAndBringsNothingDeletedBack() throws {
        for seed in UInt64(1)...2 {
            var call = 0
            while !(try crashBetweenSteps(call, seed: seed)) { call += 1 }
            #expect(call > 5)
        }
    }

    private func crashBetweenSteps(_ call: Int, seed: UInt64) throws -> Bool {
        let node = try SimulatedBroker(SimulatedFileSystem(seed: seed), options: options())
        fill(node)
        // What a restart may show: more than one value where nobody was told that the change is stored.
        var allowed = Self.filled.mapValues { Set([Int64?.some($0)]) }
        node.fileSystem.haltAtCall(node.fileSystem.callCount + call)
        var steps = 0
        while node.broker.groups.rewriteStep(node.broker.groups.shards[0]) == .goesOn {
            let changes = Self.changes(behind: steps)
            for change in changes {
                apply(change, to: node)
                allowed[change.partition]!.insert(change.offset)
            }
            node.broker.store.commitPending()
            if !node.fileSystem.isHalted {
                for change in changes { allowed[change.partition] = [change.offset] }
            }
            steps += 1
        }
        for _ in 0..<3 {
            node.broker.store.commitPending()
            _ = node.broker.groups.rewriteOutgrown()
        }
        try? node.broker.store.checkpoint()
        let isDone = !node.fileSystem.isHalted
        if isDone { #expect(node.offsetsLog.logStartOffset > Offset(0)) }
        try node.crash(keeping: .random, seed: seed &* 1000 &+ UInt64(call))
        let found = partitions(node)
        for (partition, values) in allowed {
            #expect(values.contains(found[partition]), "seed \(seed), call \(call), partition \(partition)")
        }
        return isDone
    }

    private static let filled = Dictionary(uniqueKeysWithValues: (Int32(0)..<1_200).map { ($0, Int64(9)) })

    /// One group's offsets of 1,200 partitions, ten times: several steps of a rewrite.
    private func fill(_ node: SimulatedBroker, group: String = "g") {
        for round in Int64(0)..<10 {
            for first in stride(from: Int32(0), to: 1_200, by: 100) {
                node.commit(group: group, partitions: first..<first + 100, offset: round)
            }
            node.broker.store.commitPending()
        }
    }

    private struct Change {
        var partition: Int32
        /// `nil`: the offset is deleted.
        var offset: Int64?
    }

    /// Commits and deletions of what the walk has come by, and of what it has not.
    private static func changes(behind step: Int) -> [Change] {
        let step = Int32(step)
        return [
            Change(partition: step, offset: 100), Change(partition: 1_199 - step, offset: 200),
            Change(partition: 50 + step, offset: nil), Change(partition: 1_149 - step, offset: nil),
        ]
    }

    private func apply(_ change: Change, to node: SimulatedBroker) {
        if let offset = change.offset {
            node.commit(group: "g", partition: change.partition, offset: offset)
        } else {
            node.deleteOffset(group: "g", partition: change.partition)
        }
    }

    private func partitions(_ node: SimulatedBroker) -> [Int32: Int64] {
        var found: [Int32: Int64] = [:]
        for (name, offset) in node.offsets(group: "g") { found[Int32(name.dropFirst(2))!] = offset }
        return found
    }

    @Test func aLogInProportionIsLeftAlone() throws {
        let node = try SimulatedBroker(options: options())
        // All of it is alive: many groups, one commit each.
        for group in 0..<100 { node.commit(group: "g\(group)", offset: 1) }
        node.broker.store.commitPending()
        let end = node.offsetsLog.logEndOffset
        #expect(!node.broker.groups.rewriteOutgrown())
        #expect(node.offsetsLog.logEndOffset == end)
        let small = try SimulatedBroker(options: options(floor: 1 << 20))
        commitMany(small, rounds: 20)
        #expect(!small.broker.groups.rewriteOutgrown())
    }

    @Test func aLogOfNothingAliveIsEmptied() throws {
        let node = try SimulatedBroker(options: options())
        commitMany(node, rounds: 20)
        node.broker.groups.topicDeleted("t")
        #expect(node.broker.groups.rewriteOutgrown())
        node.broker.store.commitPending()
        #expect(!node.broker.groups.rewriteOutgrown())
        node.broker.store.commitPending()
        try node.crash()
        #expect(node.offsetsLog.logStartOffset == node.offsetsLog.logEndOffset)
        #expect(node.offsets(group: "g0") == [:])
    }

    @Test func itGoesOnForever() throws {
        let node = try SimulatedBroker(options: options())
        var largest: Int64 = 0
        for round in 0..<40 {
            commitMany(node, rounds: 10, from: Int64(round * 10))
            _ = node.broker.groups.rewriteOutgrown()
            node.broker.store.commitPending()
            _ = node.broker.groups.rewriteOutgrown()
            let offsets = node.offsetsLog.offsets
            largest = max(largest, offsets.logEnd - offsets.logStart)
        }
        // 3,200 commits, each a record; one batch of each is a little over 100 bytes.
        #expect(largest < 300)
        try node.restart()
        for group in 0..<8 { #expect(node.offsets(group: "g\(group)") == ["t-0": 399]) }
    }

    @Test func aCrashAtAnyCallLosesNoOffset() throws {
        for seed in UInt64(1)...3 {
            var call = 0
            var isDone = false
            while !isDone {
                isDone = try crashAtCall(call, seed: seed)
                call += 1
            }
            #expect(call > 5)
        }
    }

    /// Cuts the power at the call number `call` after the commits; true when the rewrite was over before it.
    private func crashAtCall(_ call: Int, seed: UInt64) throws -> Bool {
        let node = try SimulatedBroker(SimulatedFileSystem(seed: seed), options: options())
        commitMany(node, rounds: 20)
        node.fileSystem.haltAtCall(node.fileSystem.callCount + call)
        for _ in 0..<3 {
            _ = node.broker.groups.rewriteOutgrown()
            node.broker.store.commitPending()
        }
        try? node.broker.store.checkpoint()
        let isDone = !node.fileSystem.isHalted
        try node.crash(keeping: .random, seed: seed &* 1000 &+ UInt64(call))
        for group in 0..<8 {
            let offsets = node.offsets(group: "g\(group)")
            #expect(offsets == ["t-0": 19], "seed \(seed), call \(call), group \(group)")
        }
        return isDone
    }
}
