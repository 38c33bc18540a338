/// A place in a section while it is read: what stands there, and how messages call it. Each reader gives nil when it does not
/// find what it asks for, and has noted why; so a section is read to its end, and all that is wrong is told at once.
public struct ConfigurationPlace {
    public let node: ConfigurationNode
    /// `routes[0].rate`.
    public let name: String
    private let findings: ConfigurationFindings

    public init(_ section: ConfigurationSection, _ findings: ConfigurationFindings) {
        self.init(section.node, section.name, findings)
    }

    private init(_ node: ConfigurationNode, _ name: String, _ findings: ConfigurationFindings) {
        self.node = node
        self.name = name
        self.findings = findings
    }

    /// Notes that what stands here is wrong. `showsValue`: what stands here is no secret, not even by mistake.
    public func refuse(_ reason: String, remedy: String, showsValue: Bool = true) {
        var value: String?
        if showsValue, case .text(let text, _) = node.content { value = text }
        findings.note(name, value, node.line, reason, remedy)
    }

    public var source: ConfigurationSource { .file(findings.file, line: node.line) }

    // MARK: Mappings and lists

    /// The entries of a mapping whose keys are chosen by who writes it, each once.
    public func entries() -> [(key: String, place: ConfigurationPlace)]? {
        guard case .mapping(let entries) = node.content else {
            refuse("must be a mapping of names to values", remedy: "Write one entry a line, `name: value`")
            return nil
        }
        var lines: [String: Int] = [:]
        var found: [(key: String, place: ConfigurationPlace)] = []
        for entry in entries {
            let place = ConfigurationPlace(entry.value, "\(name).\(entry.key)", findings)
            if let earlier = lines.updateValue(entry.line, forKey: entry.key) {
                place.refuse("the same key is set in line \(earlier)", remedy: "Remove one of the two")
            } else {
                found.append((entry.key, place))
            }
        }
        return found
    }

    /// The entries of a mapping whose keys are known; those that are there and not null. `showsValues`: what stands under a name
    /// that is none is no secret.
    public func fields(_ known: [String], showsValues: Bool = true) -> [String: ConfigurationPlace]? {
        guard let entries = entries() else { return nil }
        var found: [String: ConfigurationPlace] = [:]
        for (key, place) in entries {
            guard known.contains(key) else {
                let nearest = Spelling.nearest(to: key, among: known)
                place.refuse(
                    "there is no such key" + (nearest.map { "; did you mean \($0)?" } ?? ""),
                    remedy: "The keys here are " + known.joined(separator: ", "), showsValue: showsValues)
                continue
            }
            if place.node.isNull {
                place.refuse("there is no value", remedy: "Write one, or leave the key out")
            } else {
                found[key] = place
            }
        }
        return found
    }

    public func items() -> [ConfigurationPlace]? {
        guard case .list(let items) = node.content else {
            refuse("must be a list", remedy: "Write one item a line, with a hyphen before it")
            return nil
        }
        return items.enumerated().map { ConfigurationPlace($1, "\(name)[\($0)]", findings) }
    }

    /// A list, or one value that stands for a list of one.
    public func oneOrMore() -> [ConfigurationPlace]? {
        if case .text = node.content { return [self] }
        return items()
    }

    // MARK: Values

    public func text() -> String? {
        guard case .text(let text, _) = node.content, !text.isEmpty, ConfigurationKey.isPrintable(text) else {
            return wrong("must be text of 1 to \(ConfigurationKey.maxTextLength) characters without control characters")
        }
        return text
    }

    public func texts() -> [String]? {
        guard let places = oneOrMore() else { return nil }
        let texts = places.compactMap { $0.text() }
        return texts.count == places.count ? texts : nil
    }

    public func choice<Choice>(_ choices: KeyValuePairs<String, Choice>) -> Choice? {
        if case .text(let text, _) = node.content, let found = choices.first(where: { $0.key == text }) {
            return found.value
        }
        return wrong("must be " + Self.alternatives(choices.map { $0.key }))
    }

    public func integer(_ range: ClosedRange<Int64>) -> Int? { number(.integer(range)) }
    public func bytes(_ range: ClosedRange<Int64>) -> Int? { number(.bytes(range)) }
    public func milliseconds(_ range: ClosedRange<Int64>) -> Int? { number(.duration(.milliseconds, range)) }
    public func seconds(_ range: ClosedRange<Int64>) -> Int? { number(.duration(.seconds, range)) }

    public func boolean() -> Bool? {
        if case .text(let text, _) = node.content {
            if text == "true" { return true }
            if text == "false" { return false }
        }
        return wrong("must be true or false")
    }

    private func number(_ kind: ConfigurationKey.Kind) -> Int? {
        let key = ConfigurationKey(name, kind, default: nil, "")
        guard case .text(let text, _) = node.content, let number = key.canonical(text).flatMap({ Int($0) }) else {
            return wrong("must be \(key.allowed)")
        }
        return number
    }

    private func wrong<Value>(_ reason: String) -> Value? {
        refuse(reason, remedy: "Correct the value")
        return nil
    }

    private static func alternatives(_ words: [String]) -> String {
        words.count < 2 ? words.joined() : words.dropLast().joined(separator: ", ") + " or " + words[words.count - 1]
    }
}

/// What is wrong with a section, in the order in which it was found.
public final class ConfigurationFindings {
    public private(set) var problems: [ConfigurationError.Problem] = []
    fileprivate let file: String
    /// More than this many of one file nobody reads.
    private static let maxProblems = 100

    public init(file: String) { self.file = file }

    fileprivate func note(_ key: String, _ value: String?, _ line: Int, _ reason: String, _ remedy: String) {
        guard problems.count < Self.maxProblems else { return }
        problems.append(
            .init(key: key, value: value, source: .file(file, line: line), reason: reason, remedy: remedy))
    }
}
