import BrokerTestKit
import Glibc
import Testing

@testable import LogStorage

/// Random operations and crashes on the simulated disk. `MILLRACE_SEEDS=N` runs N seeds, `MILLRACE_SEED=N` only that one.
@Suite struct CrashModelTests {
    private static let steps = 400

    static func run(
        _ seed: UInt64, withoutSync: Bool = false, trustingCache: Bool = false
    ) throws -> (crashes: Int, kills: Int) {
        let model = try StoreModel(seed: seed, withoutSync: withoutSync, trustingCache: trustingCache)
        for _ in 0..<steps { try model.step() }
        try model.restart(.killed)
        try model.restart(.powerCut)
        return (model.crashes, model.kills)
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
        var kills = 0
        for seed in seeds {
            do {
                let run = try Self.run(seed)
                crashes += run.crashes
                kills += run.kills
            } catch {
                Issue.record("seed \(seed): \(error)")
                if seeds.count > 1 { break }
            }
        }
        print("crash model: \(seeds.count) seeds, \(crashes) crashes, \(kills) of them with the page cache kept")
        #expect(kills > seeds.count && crashes - kills > seeds.count)
    }

    /// The test is only worth something if it notices a store that does not sync ...
    @Test func aStoreWithoutSyncIsCaughtLosingData() { #expect(Self.isCaught { try Self.run($0, withoutSync: true) }) }

    /// ... and one that takes what a killed process left in the page cache for durable.
    @Test func aRecoveryThatTrustsThePageCacheIsCaughtLosingData() {
        #expect(Self.isCaught { try Self.run($0, trustingCache: true) })
    }

    private static func isCaught(_ run: (UInt64) throws -> (crashes: Int, kills: Int)) -> Bool {
        (UInt64(1)...20).contains { seed in
            do {
                _ = try run(seed)
                return false
            } catch {
                print("crash model, control: seed \(seed): \(error)")
                return true
            }
        }
    }
}
