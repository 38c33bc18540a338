import BrokerTestKit
import Forwarder
import KafkaModel
import Testing

/// A lane in a world where every step may fail or be the last one before a crash, by seeds.
@Suite struct ForwardLaneModelTests {
    private static let seeds: Range<UInt64> = 0..<1500

    @Test func eachMessageIsDeliveredOnceWhateverFails() {
        var rules = ForwardWorld.Rules()
        rules.failures = 250
        check(rules)
    }

    @Test func ordersOfGroupsStayWhateverFails() {
        var rules = ForwardWorld.Rules()
        rules.isOrdered = true
        check(rules) { world in world.disordered.isEmpty }
    }

    @Test func poisonGoesAloneAndItsNeighboursGoOn() {
        var rules = ForwardWorld.Rules()
        rules.poison = 9
        rules.isOrdered = true
        rules.failures = 0
        check(rules) { world in
            world.disordered.isEmpty && !world.deadLetters.isEmpty
                && world.deadLetters.allSatisfy { world.isPoison($0) }
        }
    }

    @Test func batchesThatAreTooLargeAreHalved() {
        var rules = ForwardWorld.Rules()
        rules.limit = 20
        rules.failures = 0
        check(rules) { $0.deadLetters.isEmpty }
    }

    /// A destination that forgets producers gets some messages twice, and none is lost.
    @Test func forgottenProducersLoseNothing() {
        var rules = ForwardWorld.Rules()
        rules.forgetsProducers = true
        for seed in Self.seeds.prefix(300) {
            var world = ForwardWorld(rules, seed: seed)
            let isOver = world.run()
            #expect(isOver, "seed \(seed): not all messages have ended")
            #expect(Set(world.delivered).count == rules.messages, "seed \(seed)")
        }
    }

    /// The same without intents: the checks see what goes wrong then.
    @Test func withoutIntentsMessagesAreRepeated() {
        var rules = ForwardWorld.Rules()
        rules.forgetsIntents = true
        let repeating = Self.seeds.prefix(100).filter { seed in
            var world = ForwardWorld(rules, seed: seed)
            return world.run() && Set(world.delivered).count < world.delivered.count
        }
        #expect(repeating.count > 50)
    }

    private func check(_ rules: ForwardWorld.Rules, _ isRight: (ForwardWorld) -> Bool = { _ in true }) {
        var crashes = 0
        for seed in Self.seeds {
            var world = ForwardWorld(rules, seed: seed)
            guard world.run() else {
                Issue.record("seed \(seed): \(world.ended.count) of \(rules.messages) messages have ended")
                return
            }
            crashes += world.crashes
            let all = (0..<Int64(rules.messages)).map { Offset($0) }
            guard (world.delivered + world.deadLetters).sorted() == all, isRight(world) else {
                Issue.record("seed \(seed): \(world.partitions.map { $0.log.map(\.rawValue) }), \(world.deadLetters)")
                return
            }
        }
        #expect(crashes > Self.seeds.count)
    }
}
