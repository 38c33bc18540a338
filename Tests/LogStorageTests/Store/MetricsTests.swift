import ByteBuffers
import KafkaModel
import Telemetry
import Testing

@testable import LogStorage

@Suite struct MetricsTests {
    private func page(_ registry: MetricsRegistry) -> [String: Double] {
        var writer = ByteWriter()
        registry.render(into: &writer)
        var values: [String: Double] = [:]
        for line in String(decoding: writer.bytes, as: UTF8.self).split(separator: "\n") where !line.hasPrefix("#") {
            let words = line.split(separator: " ")
            values[String(words[0])] = Double(words[1])
        }
        return values
    }

    /// Many partitions are not looked at by whoever makes the page, but by the maintaining thread.
    @Test func ofManyPartitionsThePageShowsWhatMaintenanceCounted() throws {
        let node = try TestStore()
        let registry = MetricsRegistry()
        node.store.showMetrics(in: registry)
        #expect(page(registry)["millrace_storage_partitions"] == 1)
        for index in 1...LogCensus.maxCountedAtOnce {
            _ = node.store.addPartition(
                topicID: TestStore.topicID, topicName: "t", partitionIndex: Int32(index), settings: TestStore.settings,
                leadership: .leader(in: LeaderEpoch(0)))
        }
        node.store.census.expire()
        #expect(page(registry)["millrace_storage_partitions"] == 1)
        node.store.maintain(nowMs: TestStore.now)
        let after = page(registry)
        #expect(after["millrace_storage_partitions"] == Double(LogCensus.maxCountedAtOnce + 1))
        #expect(after["millrace_storage_segments"] == Double(LogCensus.maxCountedAtOnce + 1))
    }

    @Test func aPageDoesNotWaitForACommit() throws {
        let node = try TestStore()
        let registry = MetricsRegistry()
        node.store.showMetrics(in: registry)
        let before = page(registry)
        // As a commit holds it while the disk takes its time.
        node.store.commits.committer.withLock { _ in
            let files = "millrace_storage_journal_files{state=\"free\"}"
            #expect(page(registry)[files] == before[files])
        }
        #expect(before["millrace_disk_reserve_bytes"] == 0)
    }
}
