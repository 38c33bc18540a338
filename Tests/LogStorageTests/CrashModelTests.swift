import BrokerTestKit
import Glibc
import Testing

@testable import LogStorage

/// Random operations and crashes on the simulated disk. `MILLRACE_SEEDS=N` runs N seeds, `MILLRACE_SEED=N` only that one.
@Suite struct CrashModelTests {
    private static let steps = 400

    static func run(_ seed: UInt64, withoutSync: Bool = false) throws -> Int {
        let model = try StoreModel(seed: seed, withoutSync: withoutSync)
        for _ in 0..<steps { try model.step() }
        try model.restart(isCrash: true)
        return model.crashes
    }

    @Test func everyPromiseHoldsAfterEveryCrash() {
        let environment = { (name: String) in getenv(name).flatMap { UInt64(String(cString: $0)) } }
        let seeds: [UInt64]
        if let only = environment("MILLRACE_SEED") {
            seeds = [only]
        } else {
            seeds = Array(1...(environment("MILLRACE_SEEDS") ?? 12))
        }
        var crashes = 0
        for seed in seeds {
            do {
                crashes += try Self.run(seed)
            } catch {
                Issue.record("seed \(seed): \(error)")
                if seeds.count > 1 { break }
            }
        }
        print("crash model: \(seeds.count) seeds, \(crashes) crashes")
        #expect(crashes > seeds.count)
    }

    /// The test is only worth something if it notices a store that does not sync.
    @Test func aStoreWithoutSyncIsCaughtLosingData() {
        let caught = (UInt64(1)...20).contains { seed in
            do {
                _ = try Self.run(seed, withoutSync: true)
                return false
            } catch {
                return true
            }
        }
        #expect(caught)
    }
}
