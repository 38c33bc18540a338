import ByteBuffers
import CommandSyntax
import KafkaClient
import Synchronization
import Telemetry

/// What the threads of a `bench` command count, together.
final class BenchCounts: Sendable {
    struct Counts: Sendable {
        var records = 0
        var bytes = 0
        var failed = 0
        var requests = 0
        var waits = LatencyHistogram()
        /// How often each reason was met.
        var errors: [String: Int] = [:]
        /// What ended a thread early.
        var failure: (any Error)?
        /// When the newest record was counted (monotonic ns).
        var last: Int64 = 0

        mutating func done(records count: Int, bytes size: Int) {
            records += count
            bytes += size
            last = MonotonicClock.nanoseconds
        }

        mutating func failed(records count: Int, _ reason: String) {
            failed += count
            // A bound: reasons hold offsets and addresses.
            if errors[reason] != nil || errors.count < 20 { errors[reason, default: 0] += count }
        }
    }

    let counts = Lock(Counts())
    private let stopped = Atomic<Bool>(false)
    private let running = Atomic<Int>(0)
    private let interruption: Interruption

    init(_ interruption: Interruption) { self.interruption = interruption }

    var isStopped: Bool { stopped.load(ordering: .relaxed) || interruption.wasRequested }
    func stop() { stopped.store(true, ordering: .relaxed) }

    /// Runs `body` on `count` threads, shows each second what was done, and ends them after `seconds`.
    func run(
        threads count: Int, seconds: Double?, _ console: Console, _ body: @escaping @Sendable (Int) throws -> Void
    ) {
        let began = MonotonicClock.nanoseconds
        running.store(count, ordering: .relaxed)
        let threads = (0..<count).map { number in
            Thread(name: "bench-\(number)") {
                do { try body(number) } catch {
                    self.counts.withLock { if $0.failure == nil { $0.failure = error } }
                    self.stop()
                }
                self.running.wrappingSubtract(1, ordering: .relaxed)
            }
        }
        var shown = began
        var before = (records: 0, bytes: 0)
        while running.load(ordering: .relaxed) > 0 {
            MonotonicClock.sleep(milliseconds: 20)
            let now = MonotonicClock.nanoseconds
            if let seconds, Double(now - began) >= seconds * 1e9 { stop() }
            guard now - shown >= 1_000_000_000 else { continue }
            let (records, bytes, failed, waits) = counts.withLock { ($0.records, $0.bytes, $0.failed, $0.waits) }
            let elapsed = Double(now - shown) / 1e9
            var line = "\((now - began) / 1_000_000_000) s: \(Self.rate(records - before.records, elapsed)) records/s, "
            line += "\(Self.megabytes(bytes - before.bytes, elapsed)) MB/s"
            if waits.count > 0 { line += ", p99 so far \(Self.milliseconds(waits.quantile(0.99))) ms" }
            if failed > 0 { line += ", \(failed) failed" }
            console.complain(line)
            (before.records, before.bytes, shown) = (records, bytes, now)
        }
        for thread in threads { thread.join() }
    }

    /// The summary, and the error that the command ends with.
    func finish(_ invocation: Invocation, _ console: Console, began: Int64) throws {
        let counts = counts.withLock { $0 }
        let seconds = max(Double((counts.last == 0 ? MonotonicClock.nanoseconds : counts.last) - began) / 1e9, 1e-9)
        invocation[CommonOptions.json] ? writeJSON(counts, seconds, console) : writeText(counts, seconds, console)
        try console.output.finish()
        if let failure = counts.failure as? ClientError, failure == .cancelled {
            throw console.interruption.failure
        }
        if let failure = counts.failure { throw failure }
        if counts.failed > 0 { throw CommandFailure("\(counts.failed) records failed") }
        if console.interruption.wasRequested { throw console.interruption.failure }
    }

    private func writeText(_ counts: Counts, _ seconds: Double, _ console: Console) {
        var text = "\(counts.records) records, \(counts.bytes) bytes in \(Self.fixed(seconds, 3)) s\n"
        text += "\(Self.rate(counts.records, seconds)) records/s, \(Self.megabytes(counts.bytes, seconds)) MB/s"
        if counts.requests > 0 { text += ", \(Self.rate(counts.requests, seconds)) requests/s" }
        text += "\n"
        if counts.waits.count > 0 {
            let names = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)]
            text += "waits in ms: "
            text += names.map { "\($0.0) \(Self.milliseconds(counts.waits.quantile($0.1)))" }.joined(separator: ", ")
            text += ", longest \(Self.milliseconds(counts.waits.longest))\n"
        }
        for (reason, count) in counts.errors.sorted(by: { $0.value > $1.value }) {
            text += "\(count) failed: \(reason)\n"
        }
        console.output.write(text)
    }

    private func writeJSON(_ counts: Counts, _ seconds: Double, _ console: Console) {
        console.output.writeJSON { json in
            json.object { json in
                json.member("records", counts.records)
                json.member("bytes", counts.bytes)
                json.member("failed", counts.failed)
                json.member("requests", counts.requests)
                json.member("milliseconds", Int64(seconds * 1000))
                json.member("records_per_second", Int64(Double(counts.records) / seconds))
                json.member("bytes_per_second", Int64(Double(counts.bytes) / seconds))
                if counts.waits.count > 0 {
                    json.object("wait_microseconds") { json in
                        json.member("p50", counts.waits.quantile(0.5) / 1000)
                        json.member("p90", counts.waits.quantile(0.9) / 1000)
                        json.member("p99", counts.waits.quantile(0.99) / 1000)
                        json.member("p999", counts.waits.quantile(0.999) / 1000)
                        json.member("longest", counts.waits.longest / 1000)
                    }
                }
                json.array("errors") { json in
                    for (reason, count) in counts.errors.sorted(by: { $0.value > $1.value }) {
                        json.object { json in
                            json.member("reason", reason)
                            json.member("records", count)
                        }
                    }
                }
            }
        }
    }

    // MARK: Numbers as text

    static func rate(_ count: Int, _ seconds: Double) -> String { String(Int((Double(count) / seconds).rounded())) }
    static func megabytes(_ bytes: Int, _ seconds: Double) -> String { fixed(Double(bytes) / seconds / 1e6, 1) }
    static func milliseconds(_ nanoseconds: Int64) -> String { fixed(Double(nanoseconds) / 1e6, 2) }

    /// With so many digits behind the point.
    static func fixed(_ value: Double, _ digits: Int) -> String {
        var scale = 1
        for _ in 0..<digits { scale *= 10 }
        let scaled = Int((value * Double(scale)).rounded())
        let rest = String(scaled % scale)
        return "\(scaled / scale)." + String(repeating: "0", count: digits - rest.count) + rest
    }
}

/// What the `bench` commands have in common.
enum BenchRun {
    static let defaultTopic = "millrace-bench"
    /// How long a run takes that neither a time nor a number of records ends.
    private static let defaultSeconds = 10.0

    /// Seconds to run; `nil`: until the records are sent.
    static func seconds(_ invocation: Invocation) -> Double? {
        if let limit = invocation[BenchOptions.duration] { return seconds(milliseconds: limit) }
        return invocation[BenchOptions.records] == nil ? defaultSeconds : nil
    }

    static func seconds(milliseconds: Int64) -> Double { Double(milliseconds) / 1000 }
}
