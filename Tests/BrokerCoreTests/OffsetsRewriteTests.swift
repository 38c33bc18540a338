import BrokerTestKit
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
