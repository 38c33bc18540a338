import BrokerTestKit
import ByteBuffers
import Glibc
import LogStorage
import StorageIO
import Testing

@testable import BrokerCore

@Suite struct FailedStartTests {
    /// Whichever call of a first start fails, the folder is another's to open in the same process.
    @Test func aStartThatFailsGivesTheFolderUp() throws {
        var failed = 0
        for call in 0..<200 {
            let files = SimulatedFileSystem()
            try files.createDirectoryDurably("/data")
            files.inject(Fault(.fail(errno: EIO), skipping: call, times: .max))
            do throws(StorageError) {
                let broker = try Broker(fileSystem: files, folder: "/data", options: SimulatedBroker.options)
                files.removeFaults()
                try? broker.stop()
            } catch {
                failed += 1
                files.removeFaults()
            }
            #expect(throws: Never.self, "call \(call)") { try files.lock("/data/millrace.lock").release() }
        }
        #expect(failed > 5)
    }

    @Test func aStopThatCannotMakeItsCheckpointGivesTheFolderUp() throws {
        let files = SimulatedFileSystem()
        let broker = try Broker(fileSystem: files, folder: "/data", options: SimulatedBroker.options)
        files.inject(Fault(.fail(errno: EIO), times: .max))
        #expect(throws: StorageError.self) { try broker.stop() }
        files.removeFaults()
        try files.lock("/data/millrace.lock").release()
    }

    @Test func theStoreTakesItsMemoryFromTheBrokersPool() throws {
        let pool = ChunkPool()
        let broker = try Broker(
            fileSystem: SimulatedFileSystem(), folder: "/data", options: SimulatedBroker.options, pool: pool)
        #expect(broker.store.chunkPool === pool)
        try broker.stop()
    }
}
