/// A regular expression that stands for topics: of RE2's syntax, and matched with the whole name, in a time that grows at most with
/// the length of the name times the instructions of the program. What cannot be matched so, look-around and back-references, is
/// refused when it is read.
///
/// Names of topics are ASCII, so a character is a set of 128 bits: what else a pattern may name matches nothing.
///
/// Limits, beyond which a pattern is refused: `maxBytes` of text, `maxRepeat` as RE2 has it, `maxInstructions` of the program that it
/// becomes, which is what each character of a name may take. Sources: RE2's syntax; Thompson's construction.
struct TopicPattern {
    /// Why a text is no pattern.
    struct SyntaxError: Error, Equatable {
        var problem: String
    }

    /// UTF-8.
    static let maxBytes = 10_000
    static let maxRepeat = 1_000
    static let maxInstructions = 2_000
    static let maxDepth = 200

    enum Instruction: Equatable {
        case character(ASCIISet)
        /// Goes on at both places.
        case split(Int, Int)
        case jump(Int)
        /// Goes on where this holds between two characters.
        case assert(Assertion)
        case match
    }

    enum Assertion: Equatable {
        case start, end, wordBoundary, noWordBoundary
    }

    private let program: [Instruction]
    /// Where the program is before the character that is looked at, and behind it.
    private var current = PlaceSet()
    private var next = PlaceSet()
    /// What `follow` has still to look at; empty between its calls.
    private var waiting: [Int] = []

    var instructionCount: Int { program.count }

    init(_ text: String) throws(SyntaxError) {
        guard text.utf8.count <= Self.maxBytes else {
            throw SyntaxError(problem: "it is longer than \(Self.maxBytes) bytes")
        }
        var parser = PatternParser(text)
        var compiler = PatternCompiler()
        try compiler.add(try parser.whole())
        compiler.program.append(.match)
        program = compiler.program
        current = PlaceSet(program.count)
        next = PlaceSet(program.count)
    }

    /// Whether all of the name matches.
    mutating func matches(_ name: some Collection<UInt8>) -> Bool {
        next.removeAll()
        var place = name.startIndex
        follow(0, before: nil, after: name.first)
        swap(&current, &next)
        while place != name.endIndex {
            let byte = name[place]
            place = name.index(after: place)
            let after = place == name.endIndex ? nil : name[place]
            next.removeAll()
            for index in current.places {
                if case .character(let set) = program[index], set.contains(byte) {
                    follow(index + 1, before: byte, after: after)
                }
            }
            swap(&current, &next)
            if current.places.isEmpty { return false }
        }
        return current.places.contains { program[$0] == .match }
    }

    /// Adds an instruction to `next`, and those that are reached from it without a character.
    private mutating func follow(_ first: Int, before: UInt8?, after: UInt8?) {
        waiting.append(first)
        while let index = waiting.popLast() {
            guard next.insert(index) else { continue }
            switch program[index] {
            case .character, .match: break
            case .jump(let target): waiting.append(target)
            case .split(let one, let other):
                waiting.append(other)
                waiting.append(one)
            case .assert(let assertion):
                if assertion.holds(before: before, after: after) { waiting.append(index + 1) }
            }
        }
    }

    /// Numbers below a limit, each once, that are forgotten at once.
    struct PlaceSet {
        private(set) var places: [Int] = []
        private var stamps: [UInt32] = []
        private var stamp: UInt32 = 0

        init(_ limit: Int = 0) { stamps = [UInt32](repeating: 0, count: limit) }

        mutating func removeAll() {
            places.removeAll(keepingCapacity: true)
            if stamp == .max { stamps = [UInt32](repeating: 0, count: stamps.count) }
            stamp = stamp == .max ? 1 : stamp + 1
        }

        mutating func insert(_ place: Int) -> Bool {
            if stamps[place] == stamp { return false }
            stamps[place] = stamp
            places.append(place)
            return true
        }
    }
}

extension TopicPattern.Assertion {
    func holds(before: UInt8?, after: UInt8?) -> Bool {
        func isWord(_ byte: UInt8?) -> Bool { byte.map { ASCIISet.word.contains($0) } ?? false }
        return switch self {
        case .start: before == nil
        case .end: after == nil
        case .wordBoundary: isWord(before) != isWord(after)
        case .noWordBoundary: isWord(before) == isWord(after)
        }
    }
}

/// Characters of ASCII.
struct ASCIISet: Hashable {
    private var low: UInt64 = 0
    private var high: UInt64 = 0

    init() {}

    init(_ characters: String) {
        for byte in characters.utf8 { insert(UInt32(byte)) }
    }

    init(_ ranges: ClosedRange<UInt32>...) {
        for range in ranges { insert(range) }
    }

    func contains(_ byte: UInt8) -> Bool {
        byte < 64 ? low >> UInt64(byte) & 1 == 1 : byte < 128 && high >> UInt64(byte - 64) & 1 == 1
    }

    mutating func insert(_ scalar: UInt32) {
        if scalar < 64 { low |= 1 << UInt64(scalar) } else if scalar < 128 { high |= 1 << UInt64(scalar - 64) }
    }

    mutating func insert(_ range: ClosedRange<UInt32>) {
        guard range.lowerBound < 128 else { return }
        for scalar in range.lowerBound...min(range.upperBound, 127) { insert(scalar) }
    }

    mutating func formUnion(_ other: ASCIISet) {
        low |= other.low
        high |= other.high
    }

    var inverted: ASCIISet {
        var set = self
        (set.low, set.high) = (~low, ~high)
        return set
    }

    /// With both cases of each letter.
    var folded: ASCIISet {
        var set = self
        for letter in UInt32(0x61)...0x7a {
            if contains(UInt8(letter)) || contains(UInt8(letter - 32)) {
                set.insert(letter)
                set.insert(letter - 32)
            }
        }
        return set
    }

    static let digits = ASCIISet(0x30...0x39)
    static let upper = ASCIISet(0x41...0x5a)
    static let lower = ASCIISet(0x61...0x7a)
    static let letters = ASCIISet(0x41...0x5a, 0x61...0x7a)
    static let word = ASCIISet(0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x5f...0x5f)
    static let spaces = ASCIISet("\t\n\u{0c}\r ")
    static let all = ASCIISet(0...127)
}

/// What a pattern is made of.
indirect enum PatternNode {
    case empty
    case character(ASCIISet)
    case assert(TopicPattern.Assertion)
    case sequence([PatternNode])
    case choice([PatternNode])
    /// `most` is nil without a limit.
    case repeated(PatternNode, least: Int, most: Int?)
}

/// Makes a program of a pattern.
struct PatternCompiler {
    var program: [TopicPattern.Instruction] = []
    /// Nodes that were gone through, each as often as it is repeated.
    private var steps = 0
    /// Repeats of nothing add no instruction, and are bounded as well.
    private static let maxSteps = 10 * TopicPattern.maxInstructions

    mutating func add(_ node: PatternNode) throws(TopicPattern.SyntaxError) {
        steps += 1
        guard program.count <= TopicPattern.maxInstructions, steps <= Self.maxSteps else {
            throw TopicPattern.SyntaxError(problem: "it is too large, its repeats counted")
        }
        switch node {
        case .empty: break
        case .character(let set): program.append(.character(set))
        case .assert(let assertion): program.append(.assert(assertion))
        case .sequence(let nodes): for node in nodes { try add(node) }
        case .choice(let nodes): try addChoice(nodes)
        case .repeated(let inner, let least, let most): try addRepeat(inner, least, most)
        }
    }

    private mutating func addChoice(_ nodes: [PatternNode]) throws(TopicPattern.SyntaxError) {
        var ends: [Int] = []
        for node in nodes.dropLast() {
            let split = program.count
            program.append(.split(split + 1, 0))
            try add(node)
            ends.append(program.count)
            program.append(.jump(0))
            program[split] = .split(split + 1, program.count)
        }
        if let last = nodes.last { try add(last) }
        for end in ends { program[end] = .jump(program.count) }
    }

    private mutating func addRepeat(
        _ inner: PatternNode, _ least: Int, _ most: Int?
    ) throws(TopicPattern.SyntaxError) {
        for _ in 0..<least { try add(inner) }
        guard let most else {
            let split = program.count
            program.append(.split(split + 1, 0))
            try add(inner)
            program.append(.jump(split))
            program[split] = .split(split + 1, program.count)
            return
        }
        var splits: [Int] = []
        for _ in least..<max(least, most) {
            splits.append(program.count)
            program.append(.split(program.count + 1, 0))
            try add(inner)
        }
        for split in splits { program[split] = .split(split + 1, program.count) }
    }
}
