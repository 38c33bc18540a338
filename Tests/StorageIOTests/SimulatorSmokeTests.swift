import BrokerTestKit
import StorageIO
import Testing

@Suite struct SimulatorSmokeTests {
    @Test func syncedBytesUnderASyncedNameSurvive() throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        let file = try fileSystem.open("a", .createNew)
        try file.write([1, 2, 3], at: 0)
        try file.sync()
        try fileSystem.syncDirectory(".")
        #expect(fileSystem.crash(keeping: .nothing).contents("a") == [1, 2, 3])
    }
}
