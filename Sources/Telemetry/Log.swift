internal import ByteBuffers
import Glibc
public import Synchronization

/// The log: one line an event on standard error, as text for people or JSON for machines.
///
///     2026-11-21T10:00:00.123Z INFO  listener started  port=8080
///     {"time":"2026-11-21T10:00:00.123Z","level":"info","message":"listener started","port":"8080"}
///
/// Each line is one `write`, so that lines of several threads do not mix. Control characters of a value are escaped:
/// a peer cannot forge a line. A line has at most `maxLine` bytes, and one message is written at most `maxRepeats` times in
/// `repeatWindowMs`. Bodies and credentials are never logged: the callers see to that.
public enum Log {
    public enum Level: Int, Sendable, Comparable, CaseIterable {
        case debug, info, warning, error
        public static func < (lhs: Level, rhs: Level) -> Bool { lhs.rawValue < rhs.rawValue }
        public init?(name: String) {
            guard let level = Level.allCases.first(where: { "\($0)" == name }) else { return nil }
            self = level
        }
    }

    public enum Format: Int, Sendable, CaseIterable {
        case text, json

        public init?(name: String) {
            guard let format = Format.allCases.first(where: { "\($0)" == name }) else { return nil }
            self = format
        }
    }

    /// The longest line: 8 KiB keeps one `write` whole on a pipe in practice and a log readable.
    public static let maxLine = 8 << 10

    @usableFromInline static let threshold = Atomic<Int>(Level.info.rawValue)
    private static let format = Atomic<Int>(Format.text.rawValue)
    private static let descriptor = Atomic<Int32>(2)

    /// Sets the lowest level that is written, and how. `descriptor` is standard error except in tests.
    public static func configure(level: Level = .info, format: Format = .text, descriptor: Int32 = 2) {
        threshold.store(level.rawValue, ordering: .relaxed)
        self.format.store(format.rawValue, ordering: .relaxed)
        self.descriptor.store(descriptor, ordering: .relaxed)
    }

    /// Returns whether a level is written; to ask before building costly fields.
    @inlinable
    public static func writes(_ level: Level) -> Bool { level.rawValue >= threshold.load(ordering: .relaxed) }

    /// Writes a line. `fields` alternate key and value: `Log.info("listener started", "port", 8080)`.
    public static func debug(_ message: StaticString, _ fields: any CustomStringConvertible...) {
        if writes(.debug) { write(.debug, message, fields) }
    }

    public static func info(_ message: StaticString, _ fields: any CustomStringConvertible...) {
        if writes(.info) { write(.info, message, fields) }
    }

    public static func warning(_ message: StaticString, _ fields: any CustomStringConvertible...) {
        if writes(.warning) { write(.warning, message, fields) }
    }

    /// The same of fields whose number is not known before.
    public static func warning(_ message: StaticString, _ fields: [any CustomStringConvertible]) {
        if writes(.warning) { write(.warning, message, fields) }
    }

    public static func error(_ message: StaticString, _ fields: any CustomStringConvertible...) {
        if writes(.error) { write(.error, message, fields) }
    }

    // MARK: Repeats

    /// Lines of one message within `repeatWindowMs`: a client that makes one again and again writes a line a second on
    /// average, some 20 MB a day, instead of filling the disk; and a start that has much to tell tells a hundred. The others are counted (`linesLeftOut`), and the next one
    /// that is written says how many were left out before it. Each message has its own count, so that a flood of one
    /// hides no other.
    public static let maxRepeats = 100
    public static let repeatWindowMs: Int64 = 100_000

    private static let limiter = Lock(LineLimiter())
    static let linesLeftOut = Counter()

    /// Shows on the metrics page what the log kept to itself.
    public static func show(in registry: MetricsRegistry) {
        registry.show(
            linesLeftOut, as: "millrace_log_lines_left_out_total",
            help: "Log lines not written because their message had come \(maxRepeats) times within the last seconds.")
    }

    // MARK: The line

    private static func write(_ level: Level, _ message: StaticString, _ fields: [any CustomStringConvertible]) {
        precondition(fields.count % 2 == 0, "log fields come as key and value: \(message)")
        let monotonicMs = MonotonicClock.nanoseconds / 1_000_000
        guard let leftOut = limiter.withLock({ $0.admit(UInt(bitPattern: message.utf8Start), atMs: monotonicMs) })
        else {
            return linesLeftOut.add()
        }
        var pairs = stride(from: 0, to: fields.count, by: 2).map {
            (fields[$0].description, fields[$0 + 1].description)
        }
        if leftOut > 0 { pairs.append(("left_out", String(leftOut))) }
        let time = timestamp()
        let asJSON = format.load(ordering: .relaxed) == Format.json.rawValue
        let line = LogLine(time, level, message, pairs, asJSON: asJSON).bytes
        line.withUnsafeBytes { bytes in
            // A log that cannot be written is lost: there is nowhere to say so.
            _ = Glibc.write(descriptor.load(ordering: .relaxed), bytes.baseAddress, bytes.count)
        }
    }

    static func timestamp() -> String {
        let wallMs = Int(WallClock.milliseconds)
        return timestamp(seconds: wallMs / 1000, milliseconds: wallMs % 1000)
    }

    /// Returns a time by RFC 3339, in UTC with milliseconds: `2026-11-21T10:00:00.123Z`.
    public static func timestamp(seconds: Int, milliseconds: Int) -> String {
        var moment = seconds
        var parts = tm()
        gmtime_r(&moment, &parts)
        func padded(_ value: Int, _ width: Int) -> String {
            let digits = String(value)
            return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
        }
        let day =
            "\(padded(Int(parts.tm_year) + 1900, 4))-\(padded(Int(parts.tm_mon) + 1, 2))-\(padded(Int(parts.tm_mday), 2))"
        let clock = "\(padded(Int(parts.tm_hour), 2)):\(padded(Int(parts.tm_min), 2)):\(padded(Int(parts.tm_sec), 2))"
        return "\(day)T\(clock).\(padded(milliseconds, 3))Z"
    }
}
