import BrokerTestKit
import Glibc
import Testing

@testable import BrokerCore

/// Random transactions, markers and commits of groups with power cuts and kills at any call. `MILLRACE_SEEDS=N` runs N seeds,
/// `MILLRACE_SEED=N` only that one.
@Suite struct ExactlyOnceTests {
    private static let steps = 400

    @discardableResult
    private static func run(_ seed: UInt64, _ control: ExactlyOnceModel.Control = .none) throws -> ExactlyOnceModel {
        let model = try ExactlyOnceModel(seed: seed, control)
        for _ in 0..<steps { try model.step() }
        try model.restart()
        try model.finish()
        return model
    }

    @Test func everythingIsThereOnceOrNotAtAll() {
        let environment = { (name: String) in getenv(name).flatMap { UInt64(String(cString: $0)) } }
        let seeds = environment("MILLRACE_SEED").map { [$0] } ?? Array(1...(environment("MILLRACE_SEEDS") ?? 25))
        var (crashes, commits, aborts) = (0, 0, 0)
        for seed in seeds {
            do {
                let model = try Self.run(seed)
                crashes += model.crashes
                commits += model.commits
                aborts += model.aborts
            } catch {
                Issue.record("seed \(seed): \(error)")
                if seeds.count > 1 { break }
            }
        }
        print("exactly once: \(seeds.count) seeds, \(crashes) crashes, \(commits) commits, \(aborts) aborts")
        #expect(crashes > seeds.count && commits > seeds.count && aborts > 0)
    }

    /// The test is only worth something if it notices each of these.
    @Test(arguments: [ExactlyOnceModel.Control.withoutSync, .answersEarly, .beginsEarly])
    func aBrokerThatBreaksTheRulesIsCaught(_ control: ExactlyOnceModel.Control) {
        let caught = (UInt64(1)...40).first { seed in
            do {
                try Self.run(seed, control)
                return false
            } catch {
                print("exactly once, control \(control): seed \(seed): \(error)")
                return true
            }
        }
        #expect(caught != nil)
    }
}
