import BrokerCore
import Foundation
import QueueLedger
import Testing

@testable import IngestGateway

/// How many receivers a queue needs, and what becomes of its backlog.
@Suite struct QueueCapacityTests {
    /// 500 messages a second at the peak, 300 ms for each: 3.33 a second and receiver, so 150 of them. With 100 it is 333 a second: 167 are too
    /// many, 601,200 in an hour, and 6,012 s until they are gone where 100 a second fewer come than are done.
    @Test func aPeakFillsTheBacklogAndTheTimeAfterItEmptiesIt() {
        var capacity = QueueCapacity(arrivals: 500, serviceMs: 300, workers: 100, backlog: 0)
        #expect(capacity.workerRate.map { ($0 * 100).rounded() / 100 } == 3.33)
        #expect(capacity.requiredWorkers == 150 && capacity.rate == 333)
        #expect(capacity.growth == 167 && capacity.backlogInHour == 601_200)
        #expect(capacity.utilization == 1.5 && capacity.drainSeconds == 0)
        capacity.backlog = 601_200
        #expect(capacity.drainSeconds == nil)
        capacity.arrivals = 233
        #expect(capacity.growth == -100 && capacity.drainSeconds == 6012 && capacity.backlogInHour == 241_200)
        capacity.workers = 150
        capacity.arrivals = 500
        #expect(capacity.rate == 500 && capacity.growth == 0 && capacity.drainSeconds == nil)
    }

    /// Receivers of slow work keep up, too.
    @Test func lessThanAMessageASecondIsARate() {
        var capacity = QueueCapacity(arrivals: 0, serviceMs: 60_000, workers: 10, backlog: 100)
        #expect(capacity.rate == 0.166 && capacity.drainSeconds.map { ($0).rounded() } == 602)
        capacity = QueueCapacity(arrivals: 1, serviceMs: 2000, workers: 3, backlog: 3600)
        #expect(capacity.rate == 1.5 && capacity.growth == -0.5 && capacity.drainSeconds == 7200)
        capacity = QueueCapacity(arrivals: 0, serviceMs: 43_200_000, workers: 1, backlog: 1)
        #expect(capacity.rate.map { $0 > 0 } == true && capacity.drainSeconds.map { $0 < 44_000 } == true)
        capacity.backlog = 1_000_000_000_000
        #expect(capacity.drainSeconds == nil)
        capacity = QueueCapacity(arrivals: 1, acknowledged: 1.0.nextUp, backlog: 1_000_000)
        #expect(capacity.drainSeconds == nil)
    }

    @Test func whatIsNotKnownIsNotTold() {
        let nothing = QueueCapacity(backlog: 5)
        #expect(nothing.rate == nil && nothing.requiredWorkers == nil && nothing.growth == nil)
        #expect(nothing.backlogInHour == nil && nothing.drainSeconds == nil && nothing.utilization == nil)
        // Of receivers that nobody told of it is known what they did.
        let observed = QueueCapacity(arrivals: 10, acknowledged: 12.5, serviceMs: 200, backlog: 5)
        #expect(observed.growth == -2.5 && observed.drainSeconds == 2 && observed.requiredWorkers == 2)
        #expect(observed.rate == nil && observed.backlogInHour == 0)
        let instant = QueueCapacity(arrivals: 10, serviceMs: 0, workers: 3, backlog: 0)
        #expect(instant.workerRate == nil && instant.rate == nil && instant.requiredWorkers == 0)
        let most = QueueCapacity(arrivals: 1e9, serviceMs: 43_200_000, workers: 1, backlog: .max)
        #expect(most.backlogInHour == .max && most.requiredWorkers == 43_200_000_000_000)
    }

    /// The reply to a request with these parameters.
    private func reply(_ queues: MemoryQueues, _ parameters: KeyValuePairs<StaticString, StaticString>) throws
        -> [String: Any]
    {
        var asked = QueueCapacityEndpoint.Asked()
        for (name, value) in parameters {
            let name = UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount)
            let value = UnsafeRawBufferPointer(start: value.utf8Start, count: value.utf8CodeUnitCount)
            #expect(asked.read(name, value) == nil)
        }
        let answer = QueueCapacityEndpoint.answer("jobs", asked, queues)
        #expect(answer.problem == nil && answer.status == 200)
        let json = try JSONSerialization.jsonObject(with: Data(answer.body)) as? [String: Any]
        return try #require(json)
    }

    @Test func theReplyTellsWhatWasObservedAndWhatItComesTo() throws {
        let queues = MemoryQueues()
        _ = try queues.createQueue("jobs", QueueSettings(), partitions: 1, tags: [:]).get()
        let idle = try reply(queues, [:])
        for name in [
            "worker_per_second", "workers_per_second", "required_workers", "utilization", "growth_per_second",
            "backlog_in_1h",
        ] { #expect(idle[name] is NSNull, "\(name): \(idle)") }
        #expect(idle["drain_seconds"] as? Int == 0)
        var flow = QueueFlow()
        (flow.arrivedPerSecond, flow.acknowledgedPerSecond) = (12.3456, 10)
        for _ in 0..<100 { flow.work.note(300) }
        queues.observe(flow)
        let found = try reply(queues, ["workers": "2"])
        let observed = try #require(found["observed"] as? [String: Any])
        #expect(observed["arrivals_per_second"] as? Double == 12.346 && observed["visibility_ms"] as? Int == 30_000)
        #expect(observed["acknowledged_per_second"] as? Double == 10)
        #expect(observed["service_ms"] as? [String: Int] == ["mean": 300, "p99": 319])
        for (name, value) in [
            "worker_per_second": 3.333, "workers_per_second": 6.66, "required_workers": 4, "utilization": 1.852,
            "growth_per_second": 5.686, "backlog_in_1h": 20468, "drain_seconds": 0,
        ] { #expect(found[name] as? Double == value, "\(name): \(found)") }
        let after = try reply(queues, ["workers": "100", "service_ms": "300", "rate": "233", "backlog": "601200"])
        #expect(after["drain_seconds"] as? Int == 6012 && after["growth_per_second"] as? Int == -100, "\(after)")
    }

    @Test func wrongParametersAreRefusedByName() throws {
        let harness = try GatewayHarness()
        let type = ["Content-Type: application/json"]
        #expect(try harness.call("PUT", "/v1/queues/jobs", "{}", fields: type).status == 201)
        #expect(try harness.call("GET", "/v1/queues/jobs/capacity?workers=3").status == 200)
        for (query, words) in [
            ("workers=0", "workers is a whole number from 1 to 1000000."),
            ("service_ms=43200001", "service_ms is a whole number from 1 to 43200000."),
            ("rate=-1", "rate is a whole number from 0 to 1000000000."),
            ("backlog=1.5", "backlog is a whole number from 0 to 1000000000000."),
        ] {
            let reply = try harness.call("GET", "/v1/queues/jobs/capacity?\(query)")
            #expect(reply.status == 400 && reply.string("error") == words, "\(reply.text)")
        }
        #expect(try harness.call("GET", "/v1/queues/jobs/capacity?other=1").status == 400)
        #expect(try harness.call("GET", "/v1/queues/nobody/capacity").status == 404)
        #expect(try harness.call("POST", "/v1/queues/jobs/capacity", "{}", fields: type).status == 405)
    }
}
