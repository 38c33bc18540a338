/// A regular expression with a bound on its work: what mapping rules of distinguished names need, and no more.
///
/// Understood, with Java's meaning: characters, `.`, classes `[a-z^...]`, `\d \w \s \D \W \S`, escaped punctuation,
/// groups `( )` and `(?: )`, alternation, `* + ? {n} {n,} {n,m}` greedy, lazy and possessive, `^` and `$`. Everything
/// else of Java's (back references, look-around, flags, `\p`, classes in classes) is an error when the pattern is read,
/// so no rule can mean something else here than it says there.
///
/// Matching goes back over its choices, as Java's does, and counts its steps; past the bound nothing matches. The choices
/// are on a stack of its own, not the thread's, whose depth a text could otherwise choose.
public struct BoundedPattern: Sendable {
    /// About a millisecond. A certificate's holder chooses the text, so a rule with nested repeats must not stop a
    /// loop.
    public static let maxSteps = 100_000
    /// The largest number of `{n,m}`.
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
}
