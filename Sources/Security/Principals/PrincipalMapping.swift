/// `ssl.principal.mapping.rules`: which user a certificate's name stands for.
///
/// Rules between commas, each `DEFAULT` (the name itself) or `RULE:pattern/replacement/` with nothing, `L` or `U`
/// behind it (lower or upper case). The first whose pattern matches the whole name wins. Source: KIP-371,
/// `SslPrincipalMapper`.
public struct PrincipalMapping: Sendable {
    /// More is an error at the start: each runs over every new connection's name.
    public static let maxRules = 100
    static let key = "ssl.principal.mapping.rules"

    enum Rule: Sendable {
        case identity
        case rewrite(BoundedPattern, [Piece], Casing)
    }

    /// Of a replacement.
    enum Piece: Sendable, Equatable {
        case text(String)
        case group(Int)
    }

    enum Casing: Sendable { case kept, lower, upper }

    let rules: [Rule]

    /// What Kafka uses when the key is not set.
    public static let identity = PrincipalMapping(rules: [.identity])

    private init(rules: [Rule]) { self.rules = rules }

    public init(parsing text: String) throws(SecurityConfigurationError) {
        var parser = Parser(text: text)
        rules = try parser.all()
    }

    /// The user's name, or nil: no rule matches, one makes an empty name, or the work passes its bound. The connection
    /// is then refused; it does not become anonymous.
    public func name(for distinguishedName: String) -> String? {
        guard distinguishedName.utf8.count <= DistinguishedName.maxBytes else { return nil }
        let text = distinguishedName.unicodeScalars.map(\.value)
        var budget = BoundedPattern.maxSteps
        for rule in rules {
            switch rule {
            case .identity: return distinguishedName.isEmpty ? nil : distinguishedName
            case .rewrite(let pattern, let pieces, let casing):
                guard pattern.match(text, at: 0, whole: true, budget: &budget) != nil else {
                    // Whether it matches is not known then, and no later rule may stand in for this one.
                    guard budget > 0 else { return nil }
                    continue
                }
                let name = Self.replace(in: text, pattern, pieces, &budget)
                guard budget > 0, !name.isEmpty else { return nil }
                return casing == .lower ? name.lowercased() : casing == .upper ? name.uppercased() : name
            }
        }
        return nil
    }

    /// Java's `replaceAll`: what `.*` matches of the empty rest of the name is replaced once more.
    private static func replace(
        in text: [UInt32], _ pattern: BoundedPattern, _ pieces: [Piece], _ budget: inout Int
    ) -> String {
        var result = String.UnicodeScalarView()
        func append(_ range: Range<Int>) { for value in text[range] { result.append(Unicode.Scalar(value)!) } }
        var position = 0
        while position <= text.count, budget > 0 {
            guard let match = pattern.match(text, at: position, whole: false, budget: &budget) else {
                if position < text.count { append(position..<position + 1) }
                position += 1
                continue
            }
            for piece in pieces {
                switch piece {
                case .text(let text): result.append(contentsOf: text.unicodeScalars)
                case .group(let number): if let range = match.groups[number] { append(range) }
                }
            }
            if match.range.isEmpty {
                if position < text.count { append(position..<position + 1) }
                position += 1
            } else {
                position = match.range.upperBound
            }
        }
        return String(result)
    }

    private struct Parser {
        let text: [Character]
        var at = 0

        init(text: String) { self.text = Array(text) }

        mutating func all() throws(SecurityConfigurationError) -> [Rule] {
            var rules: [Rule] = []
            while true {
                skip { $0.isWhitespace || $0 == "," }
                guard at < text.count else { return rules }
                let start = at
                if take("DEFAULT") {
                    rules.append(.identity)
                } else if take("RULE:") {
                    rules.append(try rule(from: start))
                } else {
                    throw error(from: start, "DEFAULT or RULE:pattern/replacement/[LU]")
                }
                skip(\.isWhitespace)
                guard at == text.count || text[at] == "," else { throw error(from: start, "a comma after each rule") }
                guard rules.count <= PrincipalMapping.maxRules else {
                    throw error(from: start, "at most \(PrincipalMapping.maxRules) rules")
                }
            }
        }

        private mutating func rule(from start: Int) throws(SecurityConfigurationError) -> Rule {
            guard let source = part(), let replacement = part() else {
                throw error(from: start, "RULE:pattern/replacement/, the last slash included")
            }
            let casing: Casing = take("L") ? .lower : take("U") ? .upper : .kept
            let pattern: BoundedPattern
            do { pattern = try BoundedPattern(source) } catch {
                throw self.error(from: start, "another pattern: \(error.problem)")
            }
            guard let pieces = Self.pieces(of: replacement, groups: pattern.groupCount) else {
                throw error(from: start, "'$' only before a digit; '\\$' stands for itself")
            }
            return .rewrite(pattern, pieces, casing)
        }

        /// Up to the next slash that no backslash stands before; the slash is taken, too. Escapes stay.
        private mutating func part() -> String? {
            var part = ""
            while at < text.count {
                let character = text[at]
                at += 1
                if character == "/" { return part }
                part.append(character)
                guard character == "\\" else { continue }
                guard at < text.count else { return nil }
                part.append(text[at])
                at += 1
            }
            return nil
        }

        /// `$12` is group 12 if there is one, else group 1 and a "2"; a group that the pattern does not have at all
        /// stays as it is written.
        private static func pieces(of replacement: String, groups: Int) -> [Piece]? {
            var pieces: [Piece] = []
            var literal = ""
            var rest = Substring(replacement)
            while let character = rest.popFirst() {
                if character == "\\" {
                    guard let next = rest.popFirst() else { return nil }
                    literal.append(next)
                } else if character == "$" {
                    guard let digit = rest.first, digit.isASCII, var number = digit.wholeNumberValue else { return nil }
                    rest.removeFirst()
                    guard number <= groups else {
                        literal += "$\(number)"
                        continue
                    }
                    while let digit = rest.first, digit.isASCII, let value = digit.wholeNumberValue,
                        number * 10 + value <= groups
                    {
                        number = number * 10 + value
                        rest.removeFirst()
                    }
                    if !literal.isEmpty { pieces.append(.text(literal)) }
                    literal = ""
                    pieces.append(.group(number))
                } else {
                    literal.append(character)
                }
            }
            return literal.isEmpty ? pieces : pieces + [.text(literal)]
        }

        private mutating func skip(_ isSkipped: (Character) -> Bool) {
            while at < text.count, isSkipped(text[at]) { at += 1 }
        }

        private mutating func take(_ word: String) -> Bool {
            guard text[at...].starts(with: word) else { return false }
            at += word.count
            return true
        }

        private func error(from start: Int, _ expected: String) -> SecurityConfigurationError {
            SecurityConfigurationError(key: PrincipalMapping.key, value: String(text[start...]), expected: expected)
        }
    }
}
