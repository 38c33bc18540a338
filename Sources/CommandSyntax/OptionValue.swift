internal import ByteBuffers
internal import Configuration

/// What the text behind an option may be, and what it means.
///
/// Whatever a command says of a value stands here and in the option's row: help and completion list the `choices`, the
/// parser reads the text and tells what is allowed, and the command gets a value that is within its range.
public struct OptionValue<Value: Sendable>: Sendable {
    /// The only texts that are taken; empty: `read` decides.
    let choices: [String]
    /// Gives the value, or what is wrong with the text.
    let read: @Sendable (String) throws(Refusal) -> Value

    typealias Refusal = ValueRefusal

    init(choices: [String] = [], read: @escaping @Sendable (String) throws(Refusal) -> Value) {
        self.choices = choices
        self.read = read
    }

    /// Reads what is in order as `read` gives it, and refuses the rest as not being `allowed`.
    init(_ allowed: String, read: @escaping @Sendable (String) -> Value?) {
        self.init { text throws(Refusal) in
            guard let value = read(text) else { throw Refusal(reason: "must be " + allowed) }
            return value
        }
    }
}

/// Why a text is not taken, as it follows `--option TEXT: `.
struct ValueRefusal: Error {
    var reason: String
}

/// `NAME=VALUE`, as several options take it.
public struct NamedValue: Sendable, Equatable {
    public let name: String
    public let value: String

    init?(_ text: String) {
        guard let equals = text.firstIndex(of: "="), equals > text.startIndex else { return nil }
        name = String(text[..<equals])
        value = String(text[text.index(after: equals)...])
    }

    init(name: String, value: String) {
        self.name = name
        self.value = value
    }
}

// MARK: Words

extension OptionValue where Value == String {
    /// Anything.
    static var text: Self { Self { text throws(Refusal) in text } }
}

extension OptionValue where Value: CaseIterable & RawRepresentable<String> {
    /// One of a few words.
    static var choice: Self {
        Self(choices: Value.allCases.map(\.rawValue)) { text throws(Refusal) in
            guard let value = Value(rawValue: text) else { preconditionFailure("\(text) is one of the choices") }
            return value
        }
    }
}

extension OptionValue where Value == [UInt8] {
    /// Text with the escapes of a format.
    static var escapedText: Self {
        Self { text throws(Refusal) in
            guard let bytes = RecordTemplate.unescape(text), !bytes.isEmpty else {
                throw Refusal(reason: "a \\ must be followed by n, t, r, 0 or \\")
            }
            return bytes
        }
    }
}

extension OptionValue where Value == NamedValue {
    static var pair: Self { Self("NAME=VALUE") { NamedValue($0) } }

    /// A topic's setting, with the unit taken off its value.
    static var topicSetting: Self {
        Self("NAME=VALUE") { text in
            NamedValue(text).map { NamedValue(name: $0.name, value: Quantity.setting($0.name, $0.value)) }
        }
    }
}

extension OptionValue where Value == RecordTemplate {
    static var template: Self {
        Self { text throws(Refusal) in
            switch RecordTemplate.parse(text) {
            case .success(let template): return template
            case .failure(let failure): throw Refusal(reason: failure.reason)
            }
        }
    }
}

// MARK: Numbers

extension OptionValue where Value: FixedWidthInteger {
    static func integer(_ range: ClosedRange<Value>) -> Self {
        Self("a whole number from \(range.lowerBound) to \(range.upperBound)") { text in
            Value(text).flatMap { range.contains($0) ? $0 : nil }
        }
    }

    /// As large as the type has it.
    static func integer(from least: Value) -> Self {
        Self("a whole number from \(least)") { text in Value(text).flatMap { $0 >= least ? $0 : nil } }
    }

    /// A number of bytes, with a unit or without.
    static func bytes(_ range: ClosedRange<Value>) -> Self {
        Self(
            "a number of bytes from \(range.lowerBound) to \(range.upperBound), with a unit such as 64KiB or 1MiB if "
                + "you like"
        ) { text in
            Quantity.bytes(text).flatMap { Value(exactly: $0) }.flatMap { range.contains($0) ? $0 : nil }
        }
    }
}

extension OptionValue where Value == Double {
    static var share: Self {
        Self("a number from 0 to 1") { text in Double(text).flatMap { (0...1).contains($0) ? $0 : nil } }
    }
}

/// What a time without a unit counts.
enum BareTime: Int64 {
    case milliseconds = 1
    case seconds = 1000

    var words: String { self == .milliseconds ? "ms" : "seconds" }
}

extension OptionValue where Value == Int64 {
    /// Milliseconds.
    static func time(_ range: ClosedRange<Int64>, bare: BareTime) -> Self {
        Self(
            "a time from \(range.lowerBound) to \(range.upperBound) ms; a bare number is in \(bare.words), and 500ms, "
                + "30s, 5m, 12h and 7d are taken"
        ) { text in
            Quantity.milliseconds(text, bareMs: bare.rawValue).flatMap { range.contains($0) ? $0 : nil }
        }
    }

    /// A moment, in ms since 1970.
    static var moment: Self {
        Self("ms since 1970, YYYY-MM-DDTHH:MM:SS with Z or +HH:MM, or -1h") { text in
            TimeText.moment(text.hasPrefix("@") ? String(text.dropFirst()) : text, nowMs: WallClock.milliseconds)
        }
    }
}

// MARK: Places

extension OptionValue where Value == StartPosition {
    static var position: Self { Self(StartPosition.allowed) { StartPosition($0) } }
}

extension OptionValue where Value == TopicSelection {
    static var topicSelection: Self { Self("TOPIC or TOPIC:P,P") { TopicSelection($0) } }
}
