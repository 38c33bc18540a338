import BrokerTestKit
import Glibc
import Testing

@testable import BrokerCore

/// A queue and its forwarder, to a topic of the broker or to another cluster's, with power cuts and kills at any call.
/// `MILLRACE_SEEDS=N` runs N seeds, `MILLRACE_SEED=N` only that one.
@Suite struct ForwardModelTests {
    private static let steps = 200

    @discardableResult
    private static func run(_ seed: UInt64, _ control: ForwardModel.Control = .none) throws -> ForwardModel {
        let model = try ForwardModel(seed: seed, control)
        for _ in 0..<steps { try model.step() }
        try model.settle()
        return model
    }

    @Test func eachMessageArrivesOnceAndInItsGroupsOrder() {
        let environment = { (name: String) in getenv(name).flatMap { UInt64(String(cString: $0)) } }
        let seeds = environment("MILLRACE_SEED").map { [$0] } ?? Array(1...(environment("MILLRACE_SEEDS") ?? 25))
        var (crashes, arrivals) = (0, 0)
        for seed in seeds {
            do {
                let model = try Self.run(seed)
                crashes += model.crashes
                arrivals += model.arrivals
            } catch {
                Issue.record("seed \(seed): \(error)")
                if seeds.count > 1 { break }
            }
        }
        print("forwarder: \(seeds.count) seeds, \(crashes) crashes, \(arrivals) messages arrived")
        #expect(crashes > seeds.count && arrivals > seeds.count)
    }

    /// The test is only worth something if it notices what is missing.
    @Test func aForwarderThatForgetsIsCaught() {
        let caught = (UInt64(1)...40).first { seed in
            do {
                try Self.run(seed, .forgetsIntents)
                return false
            } catch {
                print("forwarder that forgets: seed \(seed): \(error)")
                return true
            }
        }
        #expect(caught != nil)
    }
}
