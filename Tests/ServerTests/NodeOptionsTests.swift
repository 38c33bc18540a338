import BrokerCore
import Configuration
import LogStorage
import Testing

@testable import Server

@Suite struct NodeOptionsTests {
    @Test func theKeysOfTheWindowReachTheStore() throws {
        let settings = ["log.window.max.bytes": "1GiB", "log.window.memory.percent": "10", "log.window.ms": "30s"]
        let configuration = try Configuration.load(
            file: nil, environment: [:], flags: settings.map { (key: $0.key, value: $0.value, flag: "--set") })
        let store = try NodeOptions(configuration, descriptorLimit: 4096).broker.store
        #expect(store.windowBytes == 1 << 30)
        #expect(store.windowPercent == 10)
        #expect(store.windowMs == 30_000)
        #expect(store.machineMemory != nil)
    }
}
