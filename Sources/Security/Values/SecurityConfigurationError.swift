/// A setting that cannot be used: found at the start, told to who wrote it.
public struct SecurityConfigurationError: Error, Hashable, CustomStringConvertible {
    public let key: String
    /// What was written; never a secret.
    public let value: String
    public let expected: String

    public init(key: String, value: String, expected: String) {
        self.key = key
        self.value = value
        self.expected = expected
    }

    public var description: String { "\(key) has '\(value)': expected \(expected)" }
}

extension Substring {
    var trimmingBlanks: String {
        let blanks: Set<Character> = [" ", "\t", "\n", "\r", "\r\n"]
        let start = self.drop { blanks.contains($0) }
        return String(start.reversed().drop { blanks.contains($0) }.reversed())
    }
}
