import BrokerTestKit
import Glibc
import Testing

@testable import BrokerCore

/// Random senders and receivers with power cuts and kills at any call. `MILLRACE_SEEDS=N` runs N seeds, `MILLRACE_SEED=N` only that one.
@Suite struct QueueModelTests {
    private static let steps = 300

    @discardableResult
    private static func run(_ seed: UInt64, _ control: QueueModel.Control = .none) throws -> QueueModel {
        let model = try QueueModel(seed: seed, control)
        for _ in 0..<steps { try model.step() }
        try model.restart()
        try model.settle()
        return model
    }

    @Test func whatIsAcknowledgedNeverComesAgainAndAllElseDoes() {
        let environment = { (name: String) in getenv(name).flatMap { UInt64(String(cString: $0)) } }
        let seeds = environment("MILLRACE_SEED").map { [$0] } ?? Array(1...(environment("MILLRACE_SEEDS") ?? 25))
        var (crashes, ends) = (0, 0)
        for seed in seeds {
            do {
                let model = try Self.run(seed)
                crashes += model.crashes
                ends += model.ends
            } catch {
                Issue.record("seed \(seed): \(error)")
                if seeds.count > 1 { break }
            }
        }
        print("queues: \(seeds.count) seeds, \(crashes) crashes, \(ends) messages ended")
        #expect(crashes > seeds.count && ends > seeds.count)
    }

    /// The test is only worth something if it notices each of these.
    @Test(arguments: [QueueModel.Control.withoutSync, .answersEarly])
    func aBrokerThatBreaksTheRulesIsCaught(_ control: QueueModel.Control) {
        let caught = (UInt64(1)...40).first { seed in
            do {
                try Self.run(seed, control)
                return false
            } catch {
                print("queues, control \(control): seed \(seed): \(error)")
                return true
            }
        }
        #expect(caught != nil)
    }
}
