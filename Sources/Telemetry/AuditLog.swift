internal import ByteBuffers

/// The audit: one JSON object a line for each sign-in, each change and each refusal. What it is written to is the caller's; a
/// thread of its own writes, so that no disk keeps an event loop. A line that cannot be written is lost and counted: the audit
/// never holds up what it tells of.
///
///     {"time":"2026-11-21T10:00:00.123Z","kind":"refusal","who":"User:alice","from":"10.0.0.1","what":"WRITE","on":"TOPIC orders","result":"DENIED"}
public final class AuditLog: Sendable {
    /// Lines that wait for the disk, 2 KB each at most; more are lost.
    static let maxWaiting = 10_000
    /// How often it is looked for windows that are over.
    static let sweepMs: Int64 = 5_000

    private struct State {
        var folding = AuditFolding()
        var waiting: [[UInt8]] = []
        var thread: Thread?
        var isStopping = false
    }

    private let state = Lock(State())
    private let signal = Signal()
    private let write: @Sendable ([UInt8]) -> Bool
    private let written: Counter
    private let lost: Counter

    /// - Parameter write: writes lines, on one thread; false: they are lost.
    public init(metrics: MetricsRegistry, write: @escaping @Sendable ([UInt8]) -> Bool) {
        self.write = write
        let (name, help) = ("millrace_audit_lines_total", "Lines of the audit, and those that could not be written.")
        written = metrics.counter(name, help: help, labels: ["result": "written"])
        lost = metrics.counter(name, help: help, labels: ["result": "lost"])
    }

    /// Notes it, on any thread, without waiting for anything.
    public func note(_ entry: AuditEntry) {
        let nowMs = MonotonicClock.milliseconds
        let wakes = state.withLock { state -> Bool in
            guard !state.isStopping, let line = state.folding.note(entry, nowMs: nowMs) else { return false }
            add([line], to: &state)
            if state.thread == nil { state.thread = Thread(name: "audit") { [self] in run() } }
            return true
        }
        if wakes { signal.raise() }
    }

    private func add(_ lines: [AuditFolding.Line], to state: inout State) {
        if lines.isEmpty { return }
        let time = Log.timestamp()
        for line in lines {
            guard state.waiting.count < Self.maxWaiting else {
                lost.add()
                continue
            }
            state.waiting.append(Self.bytes(line, time))
        }
    }

    private func run() {
        while true {
            let (lines, rests, isStopping) = state.withLock { state -> ([[UInt8]], Bool, Bool) in
                add(state.folding.sweep(nowMs: MonotonicClock.milliseconds, all: state.isStopping), to: &state)
                defer { state.waiting = [] }
                return (state.waiting, state.folding.isEmpty, state.isStopping)
            }
            if !lines.isEmpty { (write(Array(lines.joined())) ? written : lost).add(lines.count) }
            if isStopping { return }
            signal.wait(timeoutMs: rests ? nil : Self.sweepMs)
        }
    }

    /// Writes what is left, then ends the thread.
    public func stop() {
        let thread = state.withLock { state in
            state.isStopping = true
            defer { state.thread = nil }
            return state.thread
        }
        signal.raise()
        thread?.join()
    }

    static func bytes(_ line: AuditFolding.Line, _ time: String) -> [UInt8] {
        var fields = [("time", time), ("kind", line.kind.rawValue)]
        if let entry = line.entry {
            fields += [("who", entry.who), ("from", entry.from), ("what", entry.what)]
            if !entry.on.isEmpty { fields.append(("on", entry.on)) }
            fields.append(("result", entry.result))
        } else {
            fields.append(("what", "others, too many to be told apart"))
        }
        var bytes: [UInt8] = []
        for (key, value) in fields {
            bytes += bytes.isEmpty ? "{".utf8 : ",".utf8
            bytes += LogLine.quoted(key)
            bytes.append(UInt8(ascii: ":"))
            bytes += LogLine.quoted(value)
        }
        // The first one of an entry has been told by itself.
        if line.count > 1 || line.entry == nil { bytes += ",\"more\":\(line.count)".utf8 }
        bytes += "}\n".utf8
        return bytes
    }
}
