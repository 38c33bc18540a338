/// One row of the configuration table: a key, what it may hold, and how it is shown.
public struct ConfigurationKey: Sendable, Equatable {
    /// Kafka's own name where one exists, else a name of ours in the same manner.
    public let name: String
    /// Other names that mean the same key, such as `broker.id` for `node.id`.
    public let aliases: [String]
    public let kind: Kind
    /// The default in canonical form; `nil` when the key is unset unless somebody sets it.
    public let defaultText: String?
    /// One sentence for `--help`, DescribeConfigs and the documentation.
    public let documentation: String
    /// The topic-level setting whose default this key is, such as `retention.ms` for `log.retention.hours`.
    public let topicKey: String?

    /// What a value may be. Numbers are in the key's own unit; a unit word may be written behind them (`512MiB`, `7d`).
    public enum Kind: Sendable, Equatable {
        case integer(ClosedRange<Int64>, width: Width = .int)
        case bytes(ClosedRange<Int64>, width: Width = .long)
        case duration(DurationUnit, ClosedRange<Int64>, width: Width = .long)
        case boolean
        case choice([String])
        /// Comma-separated words; `among` empty means any word.
        case list(among: [String])
        case text
        /// `HOST:PORT` or `NAME://HOST:PORT`, several between commas; an empty host means every address. `usual` is the name of
        /// one without; `among` empty means any name.
        case listeners(usual: String, among: [String])
        /// A PEM text, over several lines. Shown to nobody: what should be a certificate may have the key in it as well.
        case pem
        /// Text that is shown to nobody.
        case secret
    }

    /// The integer type that Kafka reports for the key.
    public enum Width: Sendable, Equatable {
        case int
        case long
    }

    public enum DurationUnit: Sendable, Equatable {
        case milliseconds, seconds, minutes, hours

        var milliseconds: Int64 {
            switch self {
            case .milliseconds: 1
            case .seconds: 1_000
            case .minutes: 60_000
            case .hours: 3_600_000
            }
        }

        var word: String {
            switch self {
            case .milliseconds: "ms"
            case .seconds: "seconds"
            case .minutes: "minutes"
            case .hours: "hours"
            }
        }
    }

    init(
        _ name: String, _ kind: Kind, default defaultText: String?, aliases: [String] = [], topicKey: String? = nil,
        _ documentation: String
    ) {
        self.name = name
        self.aliases = aliases
        self.kind = kind
        self.defaultText = defaultText
        self.documentation = documentation
        self.topicKey = topicKey
    }
}

extension ConfigurationKey {
    /// The environment variable that sets this key: `MILLRACE_NUM_PARTITIONS` for `num.partitions`.
    public var environmentName: String { Self.environmentName(of: name) }

    static func environmentName(of name: String) -> String {
        ConfigurationTable.environmentPrefix
            + String(name.map { $0 == "." || $0 == "-" ? "_" : Character($0.uppercased()) })
    }

    /// The type number of DescribeConfigs (KIP-569): BOOLEAN 1, STRING 2, INT 3, LONG 5, LIST 7, PASSWORD 9.
    public var wireType: Int8 {
        switch kind {
        case .boolean: 1
        case .choice, .text, .listeners: 2
        case .pem, .secret: 9
        case .integer(_, let width), .bytes(_, let width), .duration(_, _, let width): width == .int ? 3 : 5
        case .list: 7
        }
    }

    /// What is allowed, in words, for messages and the documentation.
    public var allowed: String {
        switch kind {
        case .integer(let range, _): Self.words(range, "")
        case .bytes(let range, _): Self.words(range, "bytes") + ", or with a unit such as 64KiB, 512MiB, 1GiB"
        case .duration(let unit, let range, _):
            Self.words(range, unit.word) + ", or with a unit such as 500ms, 30s, 12h, 7d"
        case .boolean: "true or false"
        case .choice(let choices) where choices.count == 1: choices[0]
        case .choice(let choices): "one of " + choices.joined(separator: ", ")
        case .list(let among) where among.isEmpty: "a comma-separated list"
        case .list(let among) where among.count == 1: among[0]
        case .list(let among): "a comma-separated list of " + among.joined(separator: ", ")
        case .text: "text of 1 to \(Self.maxTextLength) characters without control characters"
        case .listeners(_, let among):
            (["HOST:PORT"] + (among.isEmpty ? ["NAME"] : among).map { "\($0)://HOST:PORT" }).joined(separator: " or ")
                + ", several between commas with different names; an empty host is every address, port 0 picks a free one"
        case .pem: "PEM text of at most \(Self.maxPEMLength) bytes, with -----BEGIN in it"
        case .secret: "text of 1 to \(Self.maxTextLength) characters without control characters; shown nowhere"
        }
    }

    /// The value is shown to nobody: not in replies, errors or logs.
    public var isSensitive: Bool {
        switch kind {
        case .secret, .pem: true
        default: false
        }
    }

    /// The longest PEM text that is a value; longer ones belong into files.
    static let maxPEMLength = 65_536

    /// Longest text value; none of the keys has use for more, and it bounds DescribeConfigs replies.
    static let maxTextLength = 1024

    private static func words(_ range: ClosedRange<Int64>, _ unit: String) -> String {
        let unit = unit.isEmpty ? "" : " " + unit
        return switch (range.lowerBound, range.upperBound) {
        case (let low, let high) where low == high: "\(low)\(unit)"
        case (-1, .max): "-1 for no limit, or a whole number from 0\(unit)"
        case (-1, let high): "-1 for no limit, or a whole number from 0 to \(high)\(unit)"
        case (let low, .max): "a whole number from \(low)\(unit)"
        case (let low, let high): "a whole number from \(low) to \(high)\(unit)"
        }
    }
}
