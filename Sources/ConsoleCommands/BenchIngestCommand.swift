import ByteBuffers
import CommandSyntax
import KafkaClient
import Telemetry

/// `millrace bench ingest`.
enum BenchIngestCommand {
    private struct Plan: Sendable {
        var address: BrokerAddress
        /// Whole requests, sent in turn, with the bytes of their events.
        var requests: [(bytes: [UInt8], eventBytes: Int)]
        var eventsPerRequest: Int
        var connections: Int
        /// Of all connections.
        var requestLimit: Int?
        /// Requests a second of all connections; 0: as fast as it goes.
        var rate: Double
        var timeoutSeconds: Int
    }

    static func run(_ invocation: Invocation, _ console: Console) throws {
        let address = try gateway(invocation)
        let perRequest = BenchIngestOptions.eventsPerRequest(invocation)
        let events = try BenchPayload.events(
            invocation[BenchIngestOptions.payloadFile], size: invocation[BenchIngestOptions.size] ?? 200)
        let rate = Double(invocation[BenchOptions.rate] ?? 0)
        let plan = Plan(
            address: address, requests: try requests(invocation, address, events, perRequest),
            eventsPerRequest: perRequest, connections: invocation[BenchIngestOptions.connections] ?? 8,
            requestLimit: invocation[BenchOptions.records].map { $0 / perRequest }, rate: rate / Double(perRequest),
            timeoutSeconds: Int(invocation[BenchIngestOptions.timeout] ?? 15_000) / 1000)
        console.interruption.begin()
        let counts = BenchCounts(console.interruption)
        let began = MonotonicClock.nanoseconds
        counts.run(threads: plan.connections, seconds: BenchRun.seconds(invocation), console) {
            try post($0, plan, counts, began)
        }
        try counts.finish(invocation, console, began: began)
    }

    /// The gateway that is named, or this machine's.
    static func gateway(_ invocation: Invocation) throws(UsageError) -> BrokerAddress {
        var text = invocation[BenchIngestOptions.http] ?? "localhost:8080"
        if !text.split(separator: "]").last!.contains(":") { text += ":8080" }
        guard let address = BrokerAddress(text) else {
            throw UsageError("--http \(text): must be HOST:PORT", command: invocation.name)
        }
        return address
    }

    /// As many requests as use every event once, at most 1,000 and 16 MiB.
    private static func requests(
        _ invocation: Invocation, _ address: BrokerAddress, _ events: [[UInt8]], _ perRequest: Int
    ) throws -> [(bytes: [UInt8], eventBytes: Int)] {
        let mode = invocation[BenchIngestOptions.mode] ?? .single
        let topic = invocation[BenchIngestOptions.topic] ?? BenchRun.defaultTopic
        let path = invocation[BenchIngestOptions.path] ?? "/v1/topics/\(topic)/events"
        let key = invocation[BenchIngestOptions.apiKey]
        let headers = invocation[BenchIngestOptions.headers]
        var head = "POST \(path) HTTP/1.1\r\nHost: \(address)\r\nContent-Type: "
        head += mode == .ndjson ? "application/x-ndjson\r\n" : "application/json\r\n"
        if let key { head += "Authorization: Bearer \(key)\r\n" }
        for header in headers { head += "\(header.name): \(header.value)\r\n" }
        let isPlain = head.unicodeScalars.allSatisfy { $0 == "\r" || $0 == "\n" || $0.value >= 32 && $0.value < 127 }
        let lines = head.utf8.count { $0 == UInt8(ascii: "\n") }
        let expected = 3 + (key == nil ? 0 : 1) + headers.count
        guard isPlain, lines == expected else {
            throw UsageError("path, key and headers must be printable ASCII", command: invocation.name)
        }
        var found: [(bytes: [UInt8], eventBytes: Int)] = []
        var next = 0
        var total = 0
        repeat {
            var body: [UInt8] = mode == .batch ? [UInt8(ascii: "[")] : []
            var eventBytes = 0
            for place in 0..<perRequest {
                if place > 0, mode == .batch { body.append(UInt8(ascii: ",")) }
                let event = events[(next + place) % events.count]
                body += event
                eventBytes += event.count
                if mode == .ndjson { body.append(UInt8(ascii: "\n")) }
            }
            if mode == .batch { body.append(UInt8(ascii: "]")) }
            found.append((Array("\(head)Content-Length: \(body.count)\r\n\r\n".utf8) + body, eventBytes))
            total += body.count
            next += perRequest
        } while next < events.count && found.count < 1000 && total < 16 << 20
        return found
    }

    private static func post(_ number: Int, _ plan: Plan, _ counts: BenchCounts, _ began: Int64) throws {
        var connection = try BenchHTTPConnection(plan.address, timeoutSeconds: plan.timeoutSeconds)
        let limit =
            plan.requestLimit.map { $0 / plan.connections + (number < $0 % plan.connections ? 1 : 0) } ?? .max
        let interval = plan.rate > 0 ? 1e9 * Double(plan.connections) / plan.rate : 0
        let first = began + Int64(interval * Double(number) / Double(plan.connections))
        var sent = 0
        while sent < limit, !counts.isStopped {
            var time = MonotonicClock.nanoseconds
            if plan.rate > 0 {
                let due = first + Int64(Double(sent) * interval)
                if due > time {
                    // At most a fifth of a second at once, so that the end of the time is seen.
                    MonotonicClock.sleep(nanoseconds: min(due - time, 200_000_000))
                    continue
                }
                time = due
            }
            let request = plan.requests[(sent * plan.connections + number) % plan.requests.count]
            sent += 1
            let status: Int
            do { status = try connection.exchange(request.bytes) } catch {
                guard !counts.isStopped else { return }
                counts.counts.withLock { $0.failed(records: plan.eventsPerRequest, "\(error)") }
                connection = try BenchHTTPConnection(plan.address, timeoutSeconds: plan.timeoutSeconds)
                continue
            }
            let now = MonotonicClock.nanoseconds
            counts.counts.withLock { state in
                state.requests += 1
                // 207: some events were refused; which ones, this command does not ask.
                if (200..<300).contains(status), status != 207 {
                    state.waits.observe(nanoseconds: now - time)
                    state.done(records: plan.eventsPerRequest, bytes: request.eventBytes)
                } else {
                    state.failed(records: plan.eventsPerRequest, "HTTP status \(status)")
                }
            }
            if connection.isClosed {
                connection = try BenchHTTPConnection(plan.address, timeoutSeconds: plan.timeoutSeconds)
            }
        }
    }
}
