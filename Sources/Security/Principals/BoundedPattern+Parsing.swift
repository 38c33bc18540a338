extension BoundedPattern {
    /// Reads a pattern, scalar by scalar; whatever it does not know is an error.
    struct Parser {
        let scalars: [UInt32]
        private var at = 0
        private var depth = 0
        private(set) var groups = 0

        init(scalars: [UInt32]) { self.scalars = scalars }

        mutating func pattern() throws(SyntaxError) -> Node {
            let node = try choice()
            guard at == scalars.count else { throw SyntaxError(problem: "a ')' that closes nothing") }
            return node
        }

        private var next: UInt32? { at < scalars.count ? scalars[at] : nil }

        private mutating func take(_ character: Unicode.Scalar) -> Bool {
            guard next == character.value else { return false }
            at += 1
            return true
        }

        private mutating func choice() throws(SyntaxError) -> Node {
            var choices = [try sequence()]
            while take("|") { choices.append(try sequence()) }
            return choices.count == 1 ? choices[0] : .choice(choices)
        }

        private mutating func sequence() throws(SyntaxError) -> Node {
            var nodes: [Node] = []
            while let character = next, character != Unicode.Scalar("|").value, character != Unicode.Scalar(")").value {
                nodes.append(try repeated(try atom()))
            }
            return nodes.isEmpty ? .empty : nodes.count == 1 ? nodes[0] : .sequence(nodes)
        }

        private mutating func atom() throws(SyntaxError) -> Node {
            let character = scalars[at]
            at += 1
            switch Unicode.Scalar(character) {
            case "^": return .start
            case "$": return .end
            case ".": return .scalars(Self.anything)
            case "(": return try group()
            case "[": return .scalars(try characterClass())
            case "\\": return .scalars(try escape())
            case "*", "+", "?": throw SyntaxError(problem: "a repeat of nothing")
            case "{": throw SyntaxError(problem: "a '{' that repeats nothing; write '\\{'")
            default: return .scalars(CharacterSet(ranges: [character...character]))
            }
        }

        private mutating func group() throws(SyntaxError) -> Node {
            depth += 1
            guard depth <= maxDepth else { throw SyntaxError(problem: "more than \(maxDepth) groups in each other") }
            defer { depth -= 1 }
            var number: Int?
            if take("?") {
                guard take(":") else {
                    throw SyntaxError(problem: "'(?' other than '(?:': look-around, flags and names are not supported")
                }
            } else {
                groups += 1
                number = groups
            }
            let inner = try choice()
            guard take(")") else { throw SyntaxError(problem: "a '(' without its ')'") }
            return number.map { .group($0, inner) } ?? inner
        }

        private mutating func repeated(_ node: Node) throws(SyntaxError) -> Node {
            let least: Int
            let most: Int
            if take("*") {
                (least, most) = (0, .max)
            } else if take("+") {
                (least, most) = (1, .max)
            } else if take("?") {
                (least, most) = (0, 1)
            } else if take("{") {
                (least, most) = try bounds()
            } else {
                return node
            }
            let greed: Greed = take("?") ? .lazy : take("+") ? .possessive : .greedy
            if let character = next.flatMap(Unicode.Scalar.init), "*+?{".unicodeScalars.contains(character) {
                throw SyntaxError(problem: "a repeat of a repeat")
            }
            return .repeated(node, least, most, greed)
        }

        private mutating func bounds() throws(SyntaxError) -> (Int, Int) {
            guard let least = number() else { throw SyntaxError(problem: "'{' without a number") }
            let most = take(",") ? number() ?? .max : least
            guard take("}") else { throw SyntaxError(problem: "'{' without its '}'") }
            guard least <= most, least <= maxRepeats, most == .max || most <= maxRepeats else {
                throw SyntaxError(
                    problem: "{\(least),\(most)}: the first must not exceed the second, nor both \(maxRepeats)")
            }
            return (least, most)
        }

        private mutating func number() -> Int? {
            var value: Int?
            while let digit = next, (0x30...0x39).contains(digit) {
                value = min((value ?? 0) * 10 + Int(digit - 0x30), maxRepeats + 1)
                at += 1
            }
            return value
        }

        private mutating func escape() throws(SyntaxError) -> CharacterSet {
            guard let character = next else { throw SyntaxError(problem: "a '\\' at the end") }
            at += 1
            let isAlphanumeric =
                character < 128
                && "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                    .unicodeScalars.contains { $0.value == character }
            guard isAlphanumeric else { return CharacterSet(ranges: [character...character]) }
            switch Unicode.Scalar(character) {
            case "d": return Self.digits
            case "w": return Self.wordCharacters
            case "s": return Self.blanks
            case "D": return CharacterSet(ranges: Self.digits.ranges, isNegated: true)
            case "W": return CharacterSet(ranges: Self.wordCharacters.ranges, isNegated: true)
            case "S": return CharacterSet(ranges: Self.blanks.ranges, isNegated: true)
            default: throw SyntaxError(problem: "'\\\(Unicode.Scalar(character)!)' is not supported")
            }
        }

        private mutating func characterClass() throws(SyntaxError) -> CharacterSet {
            var set = CharacterSet()
            set.isNegated = take("^")
            var isFirst = true
            while let character = next {
                at += 1
                if character == Unicode.Scalar("]").value, !isFirst { return set }
                isFirst = false
                switch Unicode.Scalar(character) {
                case "[": throw SyntaxError(problem: "a class in a class is not supported; write '\\['")
                case "&" where next == character: throw SyntaxError(problem: "'&&' is not supported")
                case "\\":
                    let escaped = try escape()
                    guard !escaped.isNegated else {
                        throw SyntaxError(problem: "a negated escape in a class is not supported")
                    }
                    if escaped.ranges.count == 1, escaped.ranges[0].count == 1 {
                        set.ranges.append(try range(from: escaped.ranges[0].lowerBound))
                    } else {
                        set.ranges += escaped.ranges
                    }
                default: set.ranges.append(try range(from: character))
                }
            }
            throw SyntaxError(problem: "a '[' without its ']'")
        }

        /// `a`, or `a-z`; a '-' before the closing bracket stands for itself.
        private mutating func range(from first: UInt32) throws(SyntaxError) -> ClosedRange<UInt32> {
            guard next == Unicode.Scalar("-").value, at + 1 < scalars.count,
                scalars[at + 1] != Unicode.Scalar("]").value
            else { return first...first }
            at += 1
            var last = scalars[at]
            at += 1
            if last == Unicode.Scalar("[").value { throw SyntaxError(problem: "a class in a class is not supported") }
            if last == Unicode.Scalar("\\").value {
                let escaped = try escape()
                guard escaped.ranges.count == 1, escaped.ranges[0].count == 1 else {
                    throw SyntaxError(problem: "a range that ends in no character")
                }
                last = escaped.ranges[0].lowerBound
            }
            guard first <= last else { throw SyntaxError(problem: "a range that runs backwards") }
            return first...last
        }

        private static let digits = CharacterSet(ranges: [0x30...0x39])
        private static let wordCharacters = CharacterSet(ranges: [0x30...0x39, 0x41...0x5a, 0x5f...0x5f, 0x61...0x7a])
        private static let blanks = CharacterSet(ranges: [0x09...0x0d, 0x20...0x20])
        /// `.`: all but the ends of lines.
        private static let anything = CharacterSet(
            ranges: [0x0a...0x0a, 0x0d...0x0d, 0x85...0x85, 0x2028...0x2029], isNegated: true)
    }
}
