import BrokerTestKit
import Glibc
import KafkaModel
import StorageIO
import Testing

@testable import BrokerCore

/// A producer id that came twice would let one producer's batches pass for another's retries.
@Suite struct ProducerIDsTests {
    @Test func idsNeverRepeatAcrossRestartsAndCrashes() throws {
        let node = try SimulatedBroker()
        var given: Set<Int64> = []
        var random = SeededRandom(seed: 1)
        for round in 0..<30 {
            for _ in 0..<random.number(in: 1...700) {
                let id = try #require(node.broker.producerIDs.next()).rawValue
                #expect(id >= 0)
                #expect(given.insert(id).inserted, "\(id) in round \(round)")
            }
            if random.chance(0.5) { try node.crash(keeping: .random, seed: UInt64(round)) } else { try node.restart() }
        }
    }

    @Test func idsNeverRepeatAfterACrashAtAnyCall() throws {
        var call = 0
        while true {
            let fileSystem = SimulatedFileSystem(seed: UInt64(call))
            try fileSystem.createDirectoryDurably("/data")
            var given: Set<Int64> = []
            let take = { (disk: SimulatedFileSystem) throws in
                let ids = ProducerIDs(metadata: try EmbeddedMetadataStore(fileSystem: disk, folder: "/data"))
                for _ in 0..<2500 {
                    guard let id = ids.next() else { return }
                    #expect(given.insert(id.rawValue).inserted, "call \(call): \(id.rawValue)")
                }
            }
            fileSystem.haltAtCall(fileSystem.callCount + call)
            try? take(fileSystem)
            try take(fileSystem.crash(keeping: .random, seed: UInt64(call)))
            if !fileSystem.isHalted { break }
            call += 1
        }
        #expect(call > 5)
    }

    @Test func withoutADurableBlockThereIsNoID() throws {
        let node = try SimulatedBroker()
        node.fileSystem.inject(Fault(.fail(errno: ENOSPC), on: .write, pathContains: "metadata.log", times: 1))
        #expect(node.broker.producerIDs.next() == nil)
        #expect(node.broker.producerIDs.next() != nil)
    }
}
