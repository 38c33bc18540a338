/// Reads a pattern of RE2's syntax, and refuses what RE2 refuses.
struct PatternParser {
    private typealias SyntaxError = TopicPattern.SyntaxError

    private struct Flags {
        var ignoresCase = false
        /// `.` matches the end of a line.
        var dotMatchesAll = false
    }

    private let scalars: [Unicode.Scalar]
    private var place = 0
    private var flags = Flags()
    private var depth = 0
    /// Names of groups, which may be given once.
    private var names: Set<String> = []

    init(_ text: String) { scalars = Array(text.unicodeScalars) }

    mutating func whole() throws(TopicPattern.SyntaxError) -> PatternNode {
        let node = try choice()
        if place < scalars.count { throw SyntaxError(problem: "a ')' without its '('") }
        return node
    }

    private var peeked: Unicode.Scalar? { place < scalars.count ? scalars[place] : nil }

    private mutating func takes(_ text: String) -> Bool {
        var next = place
        for wanted in text.unicodeScalars {
            guard next < scalars.count, scalars[next] == wanted else { return false }
            next += 1
        }
        place = next
        return true
    }

    // MARK: Structure

    private mutating func choice() throws(TopicPattern.SyntaxError) -> PatternNode {
        depth += 1
        defer { depth -= 1 }
        guard depth <= TopicPattern.maxDepth else { throw SyntaxError(problem: "its groups are nested too deeply") }
        var nodes = [try sequence()]
        while takes("|") { nodes.append(try sequence()) }
        return nodes.count == 1 ? nodes[0] : .choice(nodes)
    }

    private mutating func sequence() throws(TopicPattern.SyntaxError) -> PatternNode {
        var nodes: [PatternNode] = []
        // Repeats of what, and whether that is a repeat itself.
        var canRepeat = false
        var isRepeat = false
        while let scalar = peeked, scalar != "|", scalar != ")" {
            if let (least, most, isLiteral) = try repeatOperator(), !isLiteral {
                guard canRepeat, let last = nodes.popLast() else {
                    throw SyntaxError(
                        problem: isRepeat ? "a repeat of a repeat" : "a repeat of nothing")
                }
                nodes.append(.repeated(last, least: least, most: most))
                (canRepeat, isRepeat) = (false, true)
                continue
            }
            isRepeat = false
            let node = try item()
            // Flags alone are nothing that could be repeated.
            canRepeat = node != nil
            if let node { nodes += node }
        }
        return nodes.count == 1 ? nodes[0] : nodes.isEmpty ? .empty : .sequence(nodes)
    }

    /// Reads `*`, `+`, `?` or `{n,m}`, each perhaps with a `?` that changes nothing of what matches.
    private mutating func repeatOperator() throws(TopicPattern.SyntaxError) -> (Int, Int?, isLiteral: Bool)? {
        let found: (Int, Int?)
        if takes("*") {
            found = (0, nil)
        } else if takes("+") {
            found = (1, nil)
        } else if takes("?") {
            found = (0, 1)
        } else if peeked == "{" {
            guard let counts = try counts() else { return (0, 0, true) }
            found = counts
        } else {
            return nil
        }
        _ = takes("?")
        return (found.0, found.1, false)
    }

    /// Reads `{n}`, `{n,}` or `{n,m}`; nil: it is none, and the brace stands for itself.
    private mutating func counts() throws(TopicPattern.SyntaxError) -> (Int, Int?)? {
        let start = place
        place += 1
        guard let least = number() else {
            place = start
            return nil
        }
        var most: Int? = least
        if takes(",") {
            most = nil
            if peeked != "}" {
                guard let number = number() else {
                    place = start
                    return nil
                }
                most = number
            }
        }
        guard takes("}") else {
            place = start
            return nil
        }
        guard max(least, most ?? 0) <= TopicPattern.maxRepeat, most ?? least >= least else {
            throw SyntaxError(
                problem: "a repeat's count is above \(TopicPattern.maxRepeat), or its first number above its second")
        }
        return (least, most)
    }

    private mutating func number() -> Int? {
        let start = place
        var value = 0
        while let scalar = peeked, scalar.value >= 0x30, scalar.value <= 0x39 {
            value = min(value * 10 + Int(scalar.value - 0x30), 100_000)
            place += 1
        }
        // RE2 takes no number with a leading zero for one.
        if place == start || place - start > 1 && scalars[start] == "0" { return nil }
        return value
    }

    /// Reads one item; nil: it was flags for what follows. A quoted text is several.
    private mutating func item() throws(TopicPattern.SyntaxError) -> [PatternNode]? {
        let scalar = scalars[place]
        place += 1
        switch scalar {
        case "(": return try group()
        case "[": return [.character(try characterClass())]
        case ".":
            let lineEnd = ASCIISet("\n")
            return [.character(flags.dotMatchesAll ? .all : lineEnd.inverted)]
        case "^": return [.assert(.start)]
        case "$": return [.assert(.end)]
        case "\\": return try escape()
        default: return [.character(literal(scalar))]
        }
    }

    private func literal(_ scalar: Unicode.Scalar) -> ASCIISet {
        var set = ASCIISet()
        set.insert(scalar.value)
        guard flags.ignoresCase else { return set }
        // The two characters beyond ASCII whose other case is in it: the Kelvin sign and the long s.
        if scalar.value == 0x212a { set.insert(0x6b) }
        if scalar.value == 0x17f { set.insert(0x73) }
        return set.folded
    }

    // MARK: Groups

    private mutating func group() throws(TopicPattern.SyntaxError) -> [PatternNode]? {
        let outer = flags
        if takes("?") {
            if takes("P<") || takes("<") {
                if peeked == "=" || peeked == "!" { throw SyntaxError(problem: "it looks behind") }
                try groupName()
            } else if peeked == "=" || peeked == "!" {
                throw SyntaxError(problem: "it looks ahead")
            } else if try readsFlags() {
                // For the rest of the group around them.
                return nil
            }
        }
        let node = try choice()
        guard takes(")") else { throw SyntaxError(problem: "a '(' without its ')'") }
        flags = outer
        return [node]
    }

    private mutating func groupName() throws(TopicPattern.SyntaxError) {
        var name = ""
        while let scalar = peeked, scalar != ">" {
            guard scalar.isASCII, ASCIISet.word.contains(UInt8(scalar.value)) else {
                throw SyntaxError(problem: "a group's name has other characters than letters, digits and '_'")
            }
            name.unicodeScalars.append(scalar)
            place += 1
        }
        guard takes(">"), !name.isEmpty, names.insert(name).inserted else {
            throw SyntaxError(problem: "a group's name is empty, not ended, or given twice")
        }
    }

    /// Reads flags, up to `:` or `)`; true: it was the latter, and they are no group.
    private mutating func readsFlags() throws(TopicPattern.SyntaxError) -> Bool {
        var isOn = true
        var isAny = false
        while let scalar = peeked {
            place += 1
            switch scalar {
            case "i": flags.ignoresCase = isOn
            case "s": flags.dotMatchesAll = isOn
            // Lines and greed: a name has one line, and matches or does not.
            case "m", "U": break
            case "-" where isOn:
                (isOn, isAny) = (false, false)
                continue
            case ":" where isOn || isAny: return false
            case ")" where isAny: return true
            default: throw SyntaxError(problem: "'(?' is followed by something unknown")
            }
            isAny = true
        }
        throw SyntaxError(problem: "a '(' without its ')'")
    }

    // MARK: Escapes

    private mutating func escape() throws(TopicPattern.SyntaxError) -> [PatternNode] {
        guard let scalar = peeked else { throw SyntaxError(problem: "a '\\' at the end") }
        switch scalar {
        case "A": return taking(.assert(.start))
        case "z": return taking(.assert(.end))
        case "b": return taking(.assert(.wordBoundary))
        case "B": return taking(.assert(.noWordBoundary))
        case "C": return taking(.character(.all))
        case "Q":
            place += 1
            var nodes: [PatternNode] = []
            while place < scalars.count, !takes("\\E") {
                nodes.append(.character(literal(scalars[place])))
                place += 1
            }
            // A repeat behind it is one of its last character, or of nothing.
            return nodes
        default: break
        }
        if let set = try escapedClass() { return [.character(flags.ignoresCase ? set.folded : set)] }
        return [.character(literal(try escapedScalar()))]
    }

    private mutating func taking(_ node: PatternNode) -> [PatternNode] {
        place += 1
        return [node]
    }

    /// Reads what follows a backslash, if that is a class of characters, Perl's or Unicode's; nil: it is none.
    private mutating func escapedClass() throws(TopicPattern.SyntaxError) -> ASCIISet? {
        guard let scalar = peeked else { return nil }
        let set: ASCIISet? =
            switch scalar {
            case "d": .digits
            case "D": ASCIISet.digits.inverted
            case "s": .spaces
            case "S": ASCIISet.spaces.inverted
            case "w": .word
            case "W": ASCIISet.word.inverted
            default: nil
            }
        if let set {
            place += 1
            return set
        }
        guard scalar == "p" || scalar == "P" else { return nil }
        place += 1
        var isInverted = scalar == "P"
        var name = ""
        if takes("{") {
            if takes("^") { isInverted.toggle() }
            while let letter = peeked, letter != "}" {
                name.unicodeScalars.append(letter)
                place += 1
            }
            guard takes("}") else { throw SyntaxError(problem: "a '{' without its '}'") }
        } else if let letter = peeked {
            place += 1
            name.unicodeScalars.append(letter)
        }
        guard let set = UnicodeClasses.inASCII(name) else {
            throw SyntaxError(problem: "there is no class of characters named \(name)")
        }
        return isInverted ? set.inverted : set
    }

    private mutating func escapedScalar() throws(TopicPattern.SyntaxError) -> Unicode.Scalar {
        guard let scalar = peeked else { throw SyntaxError(problem: "a '\\' at the end") }
        place += 1
        switch scalar {
        case "a": return "\u{07}"
        case "f": return "\u{0c}"
        case "n": return "\n"
        case "r": return "\r"
        case "t": return "\t"
        case "v": return "\u{0b}"
        case "x": return try hexScalar()
        case "1", "2", "3", "4", "5", "6", "7":
            // A digit alone is a reference to a group.
            guard let next = peeked, next.value >= 0x30, next.value <= 0x37 else {
                throw SyntaxError(problem: "it refers back to a group")
            }
            return octalScalar(scalar.value - 0x30)
        case "0": return octalScalar(0)
        default:
            let isPlain =
                scalar.isASCII
                && (ASCIISet.digits.contains(UInt8(scalar.value)) || ASCIISet.letters.contains(UInt8(scalar.value)))
            if isPlain || !scalar.isASCII { throw SyntaxError(problem: "'\\\(scalar)' is unknown") }
            return scalar
        }
    }

    private mutating func octalScalar(_ first: UInt32) -> Unicode.Scalar {
        var value = first
        for _ in 0..<2 {
            guard let next = peeked, next.value >= 0x30, next.value <= 0x37 else { break }
            value = value * 8 + next.value - 0x30
            place += 1
        }
        return Unicode.Scalar(value) ?? "\u{0}"
    }

    private mutating func hexScalar() throws(TopicPattern.SyntaxError) -> Unicode.Scalar {
        let isBraced = takes("{")
        var value: UInt32 = 0
        var digits = 0
        while let digit = peeked.flatMap({ Character($0).hexDigitValue }), digits < (isBraced ? 8 : 2) {
            value = value << 4 | UInt32(digit)
            digits += 1
            place += 1
        }
        guard isBraced ? digits > 0 && takes("}") : digits == 2, let scalar = Unicode.Scalar(value) else {
            throw SyntaxError(problem: "a '\\x' without the number of a character")
        }
        return scalar
    }

    // MARK: Classes

    private mutating func characterClass() throws(TopicPattern.SyntaxError) -> ASCIISet {
        var set = ASCIISet()
        let isInverted = takes("^")
        var isFirst = true
        while let scalar = peeked, scalar != "]" || isFirst {
            // A '-' stands for itself at both ends.
            if scalar == "-", !isFirst, place + 1 < scalars.count, scalars[place + 1] != "]" {
                throw SyntaxError(problem: "a '-' in a class is no range")
            }
            isFirst = false
            if takes("[:") {
                set.formUnion(try namedClass())
                continue
            }
            if scalar == "\\", place + 1 < scalars.count {
                place += 1
                if let escaped = try escapedClass() {
                    set.formUnion(escaped)
                    continue
                }
                place -= 1
            }
            let low = try classScalar()
            var high = low
            if peeked == "-", place + 1 < scalars.count, scalars[place + 1] != "]" {
                place += 1
                high = try classScalar()
                guard high >= low else { throw SyntaxError(problem: "a range in a class ends before it begins") }
            }
            if low == high { set.formUnion(literal(low)) } else { set.insert(low.value...high.value) }
        }
        guard takes("]") else { throw SyntaxError(problem: "a '[' without its ']'") }
        if flags.ignoresCase { set = set.folded }
        return isInverted ? set.inverted : set
    }

    private mutating func classScalar() throws(TopicPattern.SyntaxError) -> Unicode.Scalar {
        guard let scalar = peeked else { throw SyntaxError(problem: "a '[' without its ']'") }
        place += 1
        return scalar == "\\" ? try escapedScalar() : scalar
    }

    /// Reads the rest of a class that has a name between colons.
    private mutating func namedClass() throws(TopicPattern.SyntaxError) -> ASCIISet {
        let isInverted = takes("^")
        var name = ""
        while let scalar = peeked, scalar != ":" {
            name.unicodeScalars.append(scalar)
            place += 1
        }
        guard takes(":]"), let set = Self.named[name] else {
            throw SyntaxError(problem: "there is no class of characters named \(name)")
        }
        return isInverted ? set.inverted : set
    }

    private static let named: [String: ASCIISet] = [
        "alnum": ASCIISet(0x30...0x39, 0x41...0x5a, 0x61...0x7a), "alpha": .letters, "ascii": .all,
        "blank": ASCIISet("\t "), "cntrl": ASCIISet(0...0x1f, 0x7f...0x7f), "digit": .digits,
        "graph": ASCIISet(0x21...0x7e), "lower": .lower, "print": ASCIISet(0x20...0x7e),
        "punct": ASCIISet(0x21...0x2f, 0x3a...0x40, 0x5b...0x60, 0x7b...0x7e),
        "space": ASCIISet("\t\n\u{0b}\u{0c}\r "), "upper": .upper, "word": .word,
        "xdigit": ASCIISet(0x30...0x39, 0x41...0x46, 0x61...0x66),
    ]
}

/// What of Unicode's classes is in ASCII.
enum UnicodeClasses {
    /// Gives the characters of a general category or a script; nil: there is none of that name.
    static func inASCII(_ name: String) -> ASCIISet? {
        if let set = categories[name] { return set }
        return scripts.contains(name) ? ASCIISet() : nil
    }

    private static let categories: [String: ASCIISet] = [
        "Any": .all, "L": .letters, "Lu": .upper, "Ll": .lower, "Lt": ASCIISet(), "Lm": ASCIISet(), "Lo": ASCIISet(),
        "M": ASCIISet(), "Mn": ASCIISet(), "Mc": ASCIISet(), "Me": ASCIISet(), "N": .digits, "Nd": .digits,
        "Nl": ASCIISet(), "No": ASCIISet(), "P": ASCIISet("!\"#%&'()*,-./:;?@[\\]_{}"), "Pc": ASCIISet("_"),
        "Pd": ASCIISet("-"), "Ps": ASCIISet("([{"), "Pe": ASCIISet(")]}"), "Pi": ASCIISet(), "Pf": ASCIISet(),
        "Po": ASCIISet("!\"#%&'*,./:;?@\\"), "S": ASCIISet("$+<=>^`|~"), "Sm": ASCIISet("+<=>|~"),
        "Sc": ASCIISet("$"), "Sk": ASCIISet("^`"), "So": ASCIISet(), "Z": ASCIISet(" "), "Zs": ASCIISet(" "),
        "Zl": ASCIISet(), "Zp": ASCIISet(), "C": ASCIISet(0...0x1f, 0x7f...0x7f), "Cc": ASCIISet(0...0x1f, 0x7f...0x7f),
        "Cf": ASCIISet(), "Co": ASCIISet(), "Cs": ASCIISet(), "Latin": .letters,
        "Common": ASCIISet.letters.inverted,
    ]

    /// Scripts without a character in ASCII.
    private static let scripts: Set<String> = [
        "Arabic", "Armenian", "Balinese", "Bengali", "Bopomofo", "Braille", "Buginese", "Buhid", "Canadian_Aboriginal",
        "Carian", "Cham", "Cherokee", "Coptic", "Cuneiform", "Cypriot", "Cyrillic", "Deseret", "Devanagari", "Ethiopic",
        "Georgian", "Glagolitic", "Gothic", "Greek", "Gujarati", "Gurmukhi", "Han", "Hangul", "Hanunoo", "Hebrew",
        "Hiragana", "Inherited", "Javanese", "Kannada", "Katakana", "Kayah_Li", "Kharoshthi", "Khmer", "Lao", "Lepcha",
        "Limbu", "Linear_B", "Lycian", "Lydian", "Malayalam", "Mongolian", "Myanmar", "New_Tai_Lue", "Nko", "Ogham",
        "Ol_Chiki", "Old_Italic", "Old_Persian", "Oriya", "Osmanya", "Phags_Pa", "Phoenician", "Rejang", "Runic",
        "Saurashtra", "Shavian", "Sinhala", "Sundanese", "Syloti_Nagri", "Syriac", "Tagalog", "Tagbanwa", "Tai_Le",
        "Tamil", "Telugu", "Thaana", "Thai", "Tibetan", "Tifinagh", "Ugaritic", "Vai", "Yi",
    ]
}
