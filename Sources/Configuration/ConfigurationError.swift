/// What is wrong with the configuration, all of it at once. Only thrown at start.
public struct ConfigurationError: Error, Equatable, Sendable, CustomStringConvertible {
    public var problems: [Problem]
    /// What of it is sound; the rest is at its default. Enough to say the problems in the format that was asked for.
    public var valid: Configuration

    public init(problems: [Problem], valid: Configuration = Configuration()) {
        self.problems = problems
        self.valid = valid
    }

    /// One problem: the key, the value, where it came from, what is allowed, what to do.
    public struct Problem: Equatable, Sendable, CustomStringConvertible {
        /// The key as it was written; `nil` when the problem is not about one key.
        public var key: String?
        public var value: String?
        public var source: ConfigurationSource?
        /// What is wrong, and what is allowed.
        public var reason: String
        public var remedy: String

        public init(key: String?, value: String?, source: ConfigurationSource?, reason: String, remedy: String) {
            self.key = key
            self.value = value
            self.source = source
            self.reason = reason
            self.remedy = remedy
        }

        public var description: String {
            var text = ""
            if let key { text += value.map { "\(key)=\($0)" } ?? key }
            if let source { text += (text.isEmpty ? "" : " ") + "(\(source))" }
            if !text.isEmpty { text += ": " }
            return text + reason + (reason.hasSuffix("?") ? " " : ". ") + remedy + "."
        }
    }

    public var description: String { problems.map(\.description).joined(separator: "\n") }
}

extension ConfigurationError {
    /// A value that its key allows, and that is wrong for whoever uses it.
    public init(_ configuration: Configuration, _ key: String, reason: String, remedy: String) {
        let value = configuration.value(for: key)
        self.init(
            problems: [Problem(key: key, value: value?.text, source: value?.source, reason: reason, remedy: remedy)],
            valid: configuration)
    }
}

/// Where a value came from, highest precedence first.
public enum ConfigurationSource: Equatable, Sendable, CustomStringConvertible {
    case flag(String)
    case environment(String)
    case file(String, line: Int)
    case builtIn

    public var description: String {
        switch self {
        case .flag(let name): "from \(name)"
        case .environment(let name): "from the environment variable \(name)"
        case .file(let path, let line): "from \(path), line \(line)"
        case .builtIn: "built-in default"
        }
    }

    /// The source number of DescribeConfigs: STATIC_BROKER_CONFIG 4, DEFAULT_CONFIG 5.
    public var wireSource: Int8 {
        switch self {
        case .flag, .environment, .file: 4
        case .builtIn: 5
        }
    }

    var precedence: Int {
        switch self {
        case .flag: 0
        case .environment: 1
        case .file: 2
        case .builtIn: 3
        }
    }
}
