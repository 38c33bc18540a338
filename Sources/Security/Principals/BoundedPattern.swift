/// A regular expression with a bound on its work: what mapping rules of distinguished names need, and no more.
///
/// Understood, with Java's meaning: characters, `.`, classes `[a-z^...]`, `\d \w \s \D \W \S`, escaped punctuation,
/// groups `( )` and `(?: )`, alternation, `* + ? {n} {n,} {n,m}` greedy, lazy and possessive, `^` and `$`. Everything
/// else of Java's (back references, look-around, flags, `\p`, classes in classes) is an error when the pattern is read,
/// so no rule can mean something else here than it says there.
///
/// Matching goes back over its choices, as Java's does, and counts its steps; past the bound nothing matches.
public struct BoundedPattern: Sendable {
    /// About a millisecond. A certificate's holder chooses the text, so a rule with nested repeats must not stop a
    /// loop.
    public static let maxSteps = 100_000
    /// How often a group is repeated at most, so that the depth of the calls is bounded; past it nothing matches. One
    /// character repeats as often as the text has it. Also the largest number of `{n,m}`.
    public static let maxRepeats = 256
    /// Groups within groups; more is an error when the pattern is read.
    public static let maxDepth = 32

    indirect enum Node: Sendable {
        case empty
        case scalars(CharacterSet)
        case start
        case end
        case sequence([Node])
        case choice([Node])
        case group(Int, Node)
        case repeated(Node, Int, Int, Greed)
    }

    enum Greed { case greedy, lazy, possessive }

    struct CharacterSet: Sendable {
        var ranges: [ClosedRange<UInt32>] = []
        var isNegated = false

        func contains(_ scalar: UInt32) -> Bool { ranges.contains { $0.contains(scalar) } != isNegated }
    }

    let root: Node
    public let groupCount: Int

    public init(_ text: String) throws(SyntaxError) {
        var parser = Parser(scalars: text.unicodeScalars.map(\.value))
        root = try parser.pattern()
        groupCount = parser.groups
    }

    public struct SyntaxError: Error, Hashable {
        public let problem: String
    }

    /// Where a match and its groups lie; groups that took no part are nil.
    struct Match {
        let groups: [Range<Int>?]
        var range: Range<Int> { groups[0]! }
    }

    /// The match that begins at `start`, or nil; with `whole`, the one that ends at the text's end. Nil as well when
    /// `budget` is used up.
    func match(_ text: [UInt32], at start: Int, whole: Bool, budget: inout Int) -> Match? {
        var matcher = Matcher(text: text, groups: Array(repeating: nil, count: groupCount + 1), budget: budget)
        defer { budget = matcher.budget }
        var found: Int?
        let isMatched = matcher.run(root, start) { matcher, end in
            if whole && end != text.count { return false }
            found = end
            return true
        }
        guard isMatched, let found, matcher.budget > 0 else { return nil }
        matcher.groups[0] = start..<found
        return Match(groups: matcher.groups)
    }

    /// Tries the alternatives in order; `next` is what has to match after them.
    private struct Matcher {
        let text: [UInt32]
        var groups: [Range<Int>?]
        var budget: Int

        typealias Next = (inout Matcher, Int) -> Bool

        mutating func run(_ node: Node, _ position: Int, _ next: Next) -> Bool {
            budget -= 1
            guard budget > 0 else { return false }
            switch node {
            case .empty: return next(&self, position)
            case .start: return position == 0 && next(&self, position)
            case .end: return position == text.count && next(&self, position)
            case .scalars(let set):
                return position < text.count && set.contains(text[position]) && next(&self, position + 1)
            case .sequence(let nodes): return run(nodes[...], position, next)
            case .choice(let nodes):
                for node in nodes where run(node, position, next) { return true }
                return false
            case .group(let number, let node):
                let before = groups[number]
                let isMatched = run(node, position) { matcher, end in
                    let inner = matcher.groups[number]
                    matcher.groups[number] = position..<end
                    if next(&matcher, end) { return true }
                    matcher.groups[number] = inner
                    return false
                }
                if !isMatched { groups[number] = before }
                return isMatched
            case .repeated(let node, let least, let most, .possessive):
                var at = position
                var count = 0
                while count < most {
                    var end: Int?
                    guard
                        run(
                            node, at,
                            { _, reached in
                                end = reached
                                return true
                            }), let end
                    else { break }
                    count += 1
                    if end == at { break }
                    at = end
                }
                return (count >= least || at == position && count > 0) && next(&self, at)
            case .repeated(.scalars(let set), let least, let most, let greed):
                return run(set, least, most, greed, position, next)
            case .repeated(let node, let least, let most, let greed):
                return run(node, times: 0, least, most, greed, position, next)
            }
        }

        private mutating func run(_ nodes: ArraySlice<Node>, _ position: Int, _ next: Next) -> Bool {
            guard let first = nodes.first else { return next(&self, position) }
            return run(first, position) { matcher, end in matcher.run(nodes.dropFirst(), end, next) }
        }

        /// Without a call for each character.
        private mutating func run(
            _ set: CharacterSet, _ least: Int, _ most: Int, _ greed: Greed, _ position: Int, _ next: Next
        ) -> Bool {
            let rest = text[position...].prefix(min(most, text.count - position))
            let longest = rest.firstIndex { !set.contains($0) }.map { $0 - position } ?? rest.count
            budget -= longest
            var count = greed == .lazy ? least : longest
            while budget > 0, count >= least, count <= longest {
                if next(&self, position + count) { return true }
                budget -= 1
                count += greed == .lazy ? 1 : -1
            }
            return false
        }

        private mutating func run(
            _ node: Node, times: Int, _ least: Int, _ most: Int, _ greed: Greed, _ position: Int, _ next: Next
        ) -> Bool {
            budget -= 1
            if times > maxRepeats { budget = 0 }
            guard budget > 0 else { return false }
            func once(_ matcher: inout Matcher) -> Bool {
                guard times < most else { return false }
                return matcher.run(node, position) { matcher, end in
                    // A round that took nothing ends the repeats: more of it would never end.
                    if end == position { return next(&matcher, end) }
                    return matcher.run(node, times: times + 1, least, most, greed, end, next)
                }
            }
            if times < least { return once(&self) }
            return greed == .lazy ? next(&self, position) || once(&self) : once(&self) || next(&self, position)
        }
    }
}
