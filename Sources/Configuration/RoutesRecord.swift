/// Which routes and topics a broker serves, as it tells in its data folder, for `millrace gateway plan` and `apply`:
///
///     millrace routes 1
///     pid 4711
///     file /etc/millrace.yaml
///     reads 3
///     outcome refused
///     problem routes[0].rate.rps=lots (from /etc/millrace.yaml, line 9): must be ...
///     left topics.events.partitions: has 2, declared 4; ...
///     value routes[0].path=/ingest
///
/// `reads` counts the times that the file was read since the start. The values are those that are served, also when the last read
/// was refused. Nothing relies on it but those commands: a broker writes it anew at each start and reload.
public struct RoutesRecord: Sendable, Equatable {
    public let pid: Int32
    /// Absolute path of the configuration file.
    public let file: String
    public var reads: Int
    /// Why the last read changed nothing; empty: it was taken.
    public var problems: [String] = []
    /// What of topics and queues that are there is not as declared, a line each with what changes it.
    public var leftAsTheyAre: [String] = []
    /// The leaves of the sections.
    public var values: [String: String]

    /// Its name in the data folder.
    public static let fileName = "routes.record"
    /// Twice what a configuration file may hold.
    public static let maxBytes = 4 << 20
    private static let header = "millrace routes 1"

    public init(pid: Int32, file: String, reads: Int, values: [String: String]) {
        self.pid = pid
        self.file = file
        self.reads = reads
        self.values = values
    }

    /// What the sections of a configuration say, and where their secrets are. Of an address that is called, what may be a secret
    /// is a fingerprint, by which a change is seen.
    public static func values(of configuration: Configuration) -> [String: String] {
        var values: [String: String] = [:]
        for name in Configuration.sectionNames {
            for leaf in configuration.section(name)?.node.leaves ?? [] {
                let separator = leaf.path.isEmpty || leaf.path.hasPrefix("[") ? "" : "."
                let key = name + separator + leaf.path
                values[key] = shown(leaf.value, key)
            }
        }
        return values
    }

    private static func shown(_ value: String, _ key: String) -> String {
        let kept: Substring
        if key.hasPrefix("subscriptions.") && key.hasSuffix(".to") || key.hasPrefix("pulls.") && key.hasSuffix(".url") {
            kept = value.prefix { $0 != "?" }
        } else if key.hasPrefix("alarms."), key.hasSuffix(".webhook.url"), let scheme = value.firstRange(of: "://") {
            kept = value[..<(value[scheme.upperBound...].firstIndex { $0 == "/" || $0 == "?" } ?? value.endIndex)]
        } else {
            return value
        }
        let rest = value[kept.endIndex...]
        if rest.isEmpty { return value }
        // FNV-1a.
        let print = rest.utf8.reduce(0xcbf2_9ce4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
        return "\(kept)…\(String(print, radix: 16))"
    }

    public var encoded: [UInt8] {
        var lines = [Self.header, "pid \(pid)", "file " + Self.escaped(file), "reads \(reads)"]
        lines.append(problems.isEmpty ? "outcome taken" : "outcome refused")
        lines += problems.map { "problem " + Self.escaped($0) }
        lines += leftAsTheyAre.map { "left " + Self.escaped($0) }
        lines += values.sorted { $0.key < $1.key }.map { "value " + Self.escaped("\($0.key)=\($0.value)") }
        return Array((lines.joined(separator: "\n") + "\n").utf8)
    }

    /// nil: it is no such record.
    public init?(decoding bytes: [UInt8]) {
        let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n")
        guard lines.first.map(String.init) == Self.header else { return nil }
        var pid: Int32?
        var file: String?
        var reads: Int?
        var problems: [String] = []
        var leftAsTheyAre: [String] = []
        var values: [String: String] = [:]
        for line in lines.dropFirst() {
            let words = line.split(separator: " ", maxSplits: 1)
            guard words.count == 2 else { return nil }
            let text = Self.unescaped(words[1])
            switch words[0] {
            case "pid": pid = Int32(text)
            case "file": file = text
            case "reads": reads = Int(text)
            case "problem": problems.append(text)
            case "left": leftAsTheyAre.append(text)
            case "value":
                guard let equals = text.firstIndex(of: "=") else { return nil }
                values[String(text[..<equals])] = String(text[text.index(after: equals)...])
            default: break
            }
        }
        guard let pid, let file, let reads else { return nil }
        self.init(pid: pid, file: file, reads: reads, values: values)
        (self.problems, self.leftAsTheyAre) = (problems, leftAsTheyAre)
    }

    /// One line of it.
    private static func escaped(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    private static func unescaped(_ text: Substring) -> String {
        var result = ""
        var isEscape = false
        for character in text.unicodeScalars {
            if isEscape {
                result.unicodeScalars.append(character == "n" ? "\n" : character == "r" ? "\r" : character)
                isEscape = false
            } else if character == "\\" {
                isEscape = true
            } else {
                result.unicodeScalars.append(character)
            }
        }
        return result
    }

    /// What is to change for `wanted` to be served, a line each, in the order of the names.
    public func changes(to wanted: [String: String]) -> [String] {
        Set(values.keys).union(wanted.keys).sorted().compactMap { name in
            switch (values[name], wanted[name]) {
            case (let old?, let new?): old == new ? nil : "~ \(name): \(old) -> \(new)"
            case (nil, let new?): "+ \(name): \(new)"
            case (let old?, nil): "- \(name): \(old)"
            case (nil, nil): nil
            }
        }
    }
}
