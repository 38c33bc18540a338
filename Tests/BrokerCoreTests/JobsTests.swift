import BrokerTestKit
import ByteBuffers
import Glibc
import JobLedger
import KafkaModel
import LogStorage
import RecordFormat
import StorageIO
import Testing

@testable import BrokerCore

/// What becomes of jobs whose commits or whose log fail.
@Suite struct JobsTests {
    private static let id = JobID(high: 7, low: 1)

    /// A broker whose jobs no thread ends, with one that runs.
    private func node() throws -> SimulatedBroker {
        let node = try SimulatedBroker()
        #expect(node.broker.jobs.makeTopic() == nil)
        node.broker.jobs.beginAll()
        _ = try node.broker.jobs.begin(
            Job(
                id: Self.id, route: "/v1/files", topic: "rows", quarantine: "quarantine.rows", owner: nil,
                fileName: nil, createdMs: BrokerClock.wallMs()))
        node.broker.store.commitPending()
        return node
    }

    /// Appends rows of the job; gives the ticket.
    private func appendRows(_ count: Int, to log: PartitionLog) throws -> UInt64 {
        let mark = TestRecord.Header("job_id", Array(Self.id.text.utf8))
        let records = (0..<count).map { TestRecord(value: Array("row".utf8), headers: $0 == 0 ? [mark] : []) }
        let slice = TestBatch(records).bytes().withUnsafeBytes { ChunkPool.shared.slice(copying: $0) }
        return try log.append(slice, origin: .client, nowMs: BrokerClock.wallMs()).get().ticket
    }

    /// A ticket that is durable says that its commit is over, and not that all of it is written.
    @Test func whatACommitLeftOutIsWaitedForAndCounted() throws {
        let node = try node()
        let (jobs, store) = (node.broker.jobs, node.broker.store)
        let settings = ["retention.ms": "-1"]
        let log = try node.broker.createTopic("rows", partitions: 1, settings: settings).get().partitions[0]
        _ = try appendRows(3, to: log)
        store.commitPending()
        // A journal without room, and a file that takes nothing.
        let filling = try node.broker.createTopic("filling", partitions: 1).get().partitions[0]
        for _ in 0..<80 {
            try node.append(filling)
            store.commitPending()
        }
        node.fileSystem.inject(
            Fault(.fail(errno: EPERM), on: .write, pathContains: log.folderName, times: .max))
        let ticket = try appendRows(2, to: log)
        store.commitPending()
        try #require(log.hasLeftOutAppends && store.durableTicket >= ticket && !store.isOffline)
        jobs.settle(JobEnd(Self.id, .failed, reason: "gone"), after: ticket)
        #expect(jobs.settleDue())
        #expect(try jobs.job(Self.id).state == .running)
        node.fileSystem.removeFaults()
        store.maintain(nowMs: BrokerClock.wallMs() + 20_000)
        try #require(!log.hasLeftOutAppends)
        #expect(!jobs.settleDue())
        let ended = try jobs.job(Self.id)
        #expect(ended.state == .failed && ended.reason == "gone" && ended.progress.accepted == 5, "\(ended)")
    }

    /// A job that the log did not take the end of is nobody's that a stop has left.
    @Test func aJobThatCannotBeEndedYetEndsAsItHas() throws {
        let node = try node()
        let jobs = node.broker.jobs
        let log = try #require(node.broker.catalog.topic(named: Topic.jobsTopicName)).partitions[0]
        jobs.unload(log)
        let end = JobEnd(Self.id, .finished)
        #expect(throws: JobRefusal.self) { try jobs.end(end, JobProgress()) }
        jobs.load(log)
        jobs.beginAll()
        #expect(try jobs.job(Self.id).state == .running)
        jobs.settle(end, after: 0)
        #expect(!jobs.settleDue())
        #expect(try jobs.job(Self.id).state == .finished)
    }
}
