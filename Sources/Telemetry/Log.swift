import Glibc
public import Synchronization

/// The log: one line an event on standard error, as text for people or JSON for machines.
///
///     2026-11-21T10:00:00.123Z INFO  listener started  port=8080
///     {"time":"2026-11-21T10:00:00.123Z","level":"info","message":"listener started","port":"8080"}
///
/// Each line is one `write`, so that lines of several threads do not mix. Control characters of a value are escaped:
/// a peer cannot forge a line. A line is cut at `maxLine` bytes. Bodies and credentials are never logged: the callers
/// see to that.
public enum Log {
    public enum Level: Int, Sendable, Comparable, CaseIterable {
        case debug, info, warning, error
        public static func < (lhs: Level, rhs: Level) -> Bool { lhs.rawValue < rhs.rawValue }
        public init?(name: String) {
            guard let level = Level.allCases.first(where: { "\($0)" == name }) else { return nil }
            self = level
        }
    }

    public enum Format: Int, Sendable { case text, json }

    /// The longest line: 8 KiB keeps one `write` whole on a pipe in practice and a log readable.
    public static let maxLine = 8 << 10

    @usableFromInline static let threshold = Atomic<Int>(Level.info.rawValue)
    private static let format = Atomic<Int>(Format.text.rawValue)
    private static let descriptor = Atomic<Int32>(2)

    /// Lowest level that is written, and how. `descriptor` is standard error except in tests.
    public static func configure(level: Level = .info, format: Format = .text, descriptor: Int32 = 2) {
        threshold.store(level.rawValue, ordering: .relaxed)
        self.format.store(format.rawValue, ordering: .relaxed)
        self.descriptor.store(descriptor, ordering: .relaxed)
    }

    /// To ask before building costly fields.
    @inlinable
    public static func writes(_ level: Level) -> Bool { level.rawValue >= threshold.load(ordering: .relaxed) }

    /// `fields` alternate key and value: `Log.info("listener started", "port", 8080)`.
    public static func debug(_ message: StaticString, _ fields: any CustomStringConvertible...) {
        if writes(.debug) { write(.debug, message, fields) }
    }

    public static func info(_ message: StaticString, _ fields: any CustomStringConvertible...) {
        if writes(.info) { write(.info, message, fields) }
    }

    public static func warning(_ message: StaticString, _ fields: any CustomStringConvertible...) {
        if writes(.warning) { write(.warning, message, fields) }
    }

    public static func error(_ message: StaticString, _ fields: any CustomStringConvertible...) {
        if writes(.error) { write(.error, message, fields) }
    }

    private static func write(_ level: Level, _ message: StaticString, _ fields: [any CustomStringConvertible]) {
        precondition(fields.count % 2 == 0, "log fields come as key and value: \(message)")
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        let time = timestamp(seconds: now.tv_sec, milliseconds: now.tv_nsec / 1_000_000)
        let pairs = stride(from: 0, to: fields.count, by: 2).map {
            (fields[$0].description, fields[$0 + 1].description)
        }
        let asJSON = format.load(ordering: .relaxed) == Format.json.rawValue
        var line = asJSON ? json(time, level, message, pairs) : text(time, level, message, pairs)
        if line.count >= maxLine { line.removeSubrange((maxLine - 1)...) }
        line.append(UInt8(ascii: "\n"))
        line.withUnsafeBytes { bytes in
            // A log that cannot be written is lost: there is nowhere to say so.
            _ = Glibc.write(descriptor.load(ordering: .relaxed), bytes.baseAddress, bytes.count)
        }
    }

    private static func text(
        _ time: String, _ level: Level, _ message: StaticString, _ pairs: [(String, String)]
    ) -> [UInt8] {
        let name = "\(level)".uppercased()
        var line = Array("\(time) \(name)\(name.utf8.count < 5 ? " " : "") \(message)".utf8)
        for (index, (key, value)) in pairs.enumerated() {
            line += (index == 0 ? "  " : " ").utf8
            line += key.utf8
            line.append(UInt8(ascii: "="))
            let plain = !value.isEmpty && value.utf8.allSatisfy { $0 > 0x20 && $0 != 0x22 && $0 != 0x7f && $0 != 0x3d }
            if plain { line += value.utf8 } else { quote(value, into: &line) }
        }
        return line
    }

    private static func json(
        _ time: String, _ level: Level, _ message: StaticString, _ pairs: [(String, String)]
    ) -> [UInt8] {
        var line = Array("{\"time\":\"\(time)\",\"level\":\"\(level)\",\"message\":".utf8)
        quote(message.description, into: &line)
        for (key, value) in pairs {
            line.append(UInt8(ascii: ","))
            quote(key, into: &line)
            line.append(UInt8(ascii: ":"))
            quote(value, into: &line)
        }
        line.append(UInt8(ascii: "}"))
        return line
    }

    /// A JSON string, cut so that a single huge value leaves room for the rest of the line.
    private static func quote(_ value: String, into line: inout [UInt8]) {
        let digits = Array("0123456789abcdef".utf8)
        line.append(UInt8(ascii: "\""))
        for byte in value.utf8.prefix(maxLine / 4) {
            switch byte {
            case 0x22, 0x5c: line += [0x5c, byte]
            case 0x0a: line += [0x5c, UInt8(ascii: "n")]
            case 0x0d: line += [0x5c, UInt8(ascii: "r")]
            case 0..<0x20, 0x7f: line += "\\u00".utf8 + [digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            default: line.append(byte)
            }
        }
        line.append(UInt8(ascii: "\""))
    }

    /// RFC 3339 in UTC with milliseconds: `2026-11-21T10:00:00.123Z`.
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
