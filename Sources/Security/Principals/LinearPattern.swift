/// Whether a text holds something of a regular expression, in a time that grows with the text alone: ten nanoseconds a character,
/// whatever pattern and text are. For patterns that a configuration gives and texts that anybody may send.
///
/// Understood is what `BoundedPattern` understands, but for possessive repeats, and with `^` and `$` at the ends of the pattern, or of an
/// alternative that is all of it. A pattern has at most 64 places where a character can stand, those of repeats `{n,m}` counted as often
/// as they may come: which of them are reached is one word, and a step a few look-ups. Source: Glushkov's construction.
public struct LinearPattern: Sendable {
    /// Places where a character can stand; more is an error when the pattern is read.
    public static let maxPlaces = 64

    private var sets: [BoundedPattern.CharacterSet] = []
    /// The places that may follow each place.
    private var follow: [UInt64] = []
    /// The places of each character of ASCII.
    private var ascii = [UInt64](repeating: 0, count: 128)
    /// For each byte of a word of places (its number times 256, and the byte) the places that follow any of them.
    private var steps: [UInt64] = []
    /// Places that a match begins with: anywhere, and at the text's start alone.
    private var first: UInt64 = 0
    private var firstAtStart: UInt64 = 0
    /// Places that a match ends with: anywhere, and at the text's end alone.
    private var last: UInt64 = 0
    private var lastAtEnd: UInt64 = 0
    /// Every text matches, or the empty one does.
    private var matchesAll = false
    private var matchesEmpty = false

    public init(_ text: String) throws(BoundedPattern.SyntaxError) {
        var alternatives = [try BoundedPattern(text).root]
        if case .choice(let nodes) = alternatives[0] { alternatives = nodes }
        for alternative in alternatives { try add(alternative) }
        for (place, set) in sets.enumerated() {
            for character in 0..<128 where set.contains(UInt32(character)) { ascii[character] |= 1 << UInt64(place) }
        }
        steps = [UInt64](repeating: 0, count: 8 * 256)
        for byte in 0..<8 {
            for value in 0..<256 {
                for bit in 0..<8 where value >> bit & 1 == 1 && byte * 8 + bit < follow.count {
                    steps[byte * 256 + value] |= follow[byte * 8 + bit]
                }
            }
        }
    }

    // MARK: Reading

    /// What of a part of the pattern matters to those around it.
    private struct Part {
        var first: UInt64 = 0
        var last: UInt64 = 0
        var isNullable = true
    }

    /// Adds an alternative of the whole pattern.
    private mutating func add(_ node: BoundedPattern.Node) throws(BoundedPattern.SyntaxError) {
        var nodes = [node]
        if case .sequence(let inner) = node { nodes = inner }
        var (isAtStart, isAtEnd) = (false, false)
        if case .start = nodes.first { (isAtStart, _) = (true, nodes.removeFirst()) }
        if case .end = nodes.last { (isAtEnd, _) = (true, nodes.removeLast()) }
        let part = try part(of: .sequence(nodes))
        if isAtStart { firstAtStart |= part.first } else { first |= part.first }
        if isAtEnd { lastAtEnd |= part.last } else { last |= part.last }
        guard part.isNullable else { return }
        if isAtStart, isAtEnd { matchesEmpty = true } else { matchesAll = true }
    }

    private mutating func part(of node: BoundedPattern.Node) throws(BoundedPattern.SyntaxError) -> Part {
        switch node {
        case .empty: return Part()
        case .start, .end: throw BoundedPattern.SyntaxError(problem: "'^' and '$' stand at the ends of a pattern here")
        case .scalars(let set): return try place(set)
        case .group(_, let inner): return try part(of: inner)
        case .sequence(let nodes):
            var whole = Part()
            for node in nodes { whole = join(whole, try part(of: node)) }
            return whole
        case .choice(let nodes):
            var whole = Part(isNullable: false)
            for node in nodes {
                let one = try part(of: node)
                whole = Part(
                    first: whole.first | one.first, last: whole.last | one.last,
                    isNullable: whole.isNullable || one.isNullable)
            }
            return whole
        case .repeated(let inner, let least, let most, let greed):
            if greed == .possessive {
                throw BoundedPattern.SyntaxError(problem: "a possessive repeat is not supported here")
            }
            return try repeated(inner, least, most)
        }
    }

    private mutating func repeated(
        _ node: BoundedPattern.Node, _ least: Int, _ most: Int
    ) throws(BoundedPattern.SyntaxError) -> Part {
        var whole = Part()
        for _ in 0..<least { whole = join(whole, try part(of: node)) }
        if most == .max {
            // One more, or the last of those that must be there, as often as one likes.
            var again = try part(of: node)
            connect(again.last, to: again.first)
            again.isNullable = true
            return join(whole, again)
        }
        for _ in least..<most {
            var optional = try part(of: node)
            optional.isNullable = true
            whole = join(whole, optional)
        }
        return whole
    }

    private mutating func place(_ set: BoundedPattern.CharacterSet) throws(BoundedPattern.SyntaxError) -> Part {
        guard sets.count < Self.maxPlaces else {
            throw BoundedPattern.SyntaxError(
                problem: "more than \(Self.maxPlaces) places for characters, those of repeats counted")
        }
        sets.append(set)
        follow.append(0)
        let bit = UInt64(1) << UInt64(sets.count - 1)
        return Part(first: bit, last: bit, isNullable: false)
    }

    private mutating func join(_ one: Part, _ two: Part) -> Part {
        connect(one.last, to: two.first)
        return Part(
            first: one.isNullable ? one.first | two.first : one.first,
            last: two.isNullable ? one.last | two.last : two.last, isNullable: one.isNullable && two.isNullable)
    }

    private mutating func connect(_ from: UInt64, to: UInt64) {
        for place in follow.indices where from >> UInt64(place) & 1 == 1 { follow[place] |= to }
    }

    // MARK: Matching

    /// Whether something in the text, which is valid UTF-8, matches.
    public func matches(_ text: some Sequence<UInt8>) -> Bool {
        if matchesAll { return true }
        var reached: UInt64 = 0
        var mayBegin = first | firstAtStart
        var scalar: UInt32 = 0
        var missing = 0
        var isEmpty = true
        for byte in text {
            isEmpty = false
            if byte & 0xc0 == 0x80 {
                scalar = scalar << 6 | UInt32(byte & 0x3f)
                missing -= 1
                if missing > 0 { continue }
            } else if byte >= 0x80 {
                // The leading ones say how many bytes there are.
                missing = (~byte).leadingZeroBitCount - 1
                scalar = UInt32(byte) & (0x3f >> UInt32(missing))
                continue
            } else {
                scalar = UInt32(byte)
            }
            reached = (next(reached) | mayBegin) & places(of: scalar)
            if reached & last != 0 { return true }
            mayBegin = first
        }
        return isEmpty ? matchesEmpty : reached & lastAtEnd != 0
    }

    private func next(_ reached: UInt64) -> UInt64 {
        if reached == 0 { return 0 }
        var found: UInt64 = 0
        for byte in 0..<8 { found |= steps[byte * 256 + Int(truncatingIfNeeded: reached >> UInt64(byte * 8) & 0xff)] }
        return found
    }

    private func places(of scalar: UInt32) -> UInt64 {
        if scalar < 128 { return ascii[Int(scalar)] }
        var found: UInt64 = 0
        for (place, set) in sets.enumerated() where set.contains(scalar) { found |= 1 << UInt64(place) }
        return found
    }
}
