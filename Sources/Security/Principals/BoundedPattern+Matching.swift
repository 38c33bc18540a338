extension BoundedPattern {
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
        guard let end = matcher.run(root, from: start, whole: whole) else { return nil }
        matcher.groups[0] = start..<end
        return Match(groups: matcher.groups)
    }

    /// Whether the whole text matches. Steps are taken from `budget`; without any left nothing matches.
    public func matchesWhole(_ text: String, budget: inout Int) -> Bool {
        guard budget > 0 else { return false }
        return match(text.unicodeScalars.map(\.value), at: 0, whole: true, budget: &budget) != nil
    }

    /// What is left to match. As long as the pattern is nested, never as long as the text.
    private indirect enum Rest {
        case done
        case nodes(ArraySlice<Node>, Rest)
        case groupEnd(Int, start: Int, Rest)
        /// One round of a repeat is over; `times` were before it, and it began at `start`.
        case round(Loop, times: Int, start: Int, Rest)
        /// As `round`; the choices down to `height` were its own, and are given up.
        case atom(Loop, times: Int, start: Int, height: Int, Rest)
    }

    private struct Loop {
        let node: Node
        let least: Int
        let most: Int
        let isLazy: Bool
    }

    /// Where to go on when the way that was taken leads nowhere.
    private struct Choice {
        enum Way {
            case node(Node)
            case rest
            /// Another round of a lazy repeat.
            case again(Loop, times: Int)
            /// The last round of a possessive repeat did not match.
            case over(Loop, times: Int)
            /// One character more or less; `left` more such choices.
            case step(Int, left: Int)
        }
        let way: Way
        let position: Int
        let rest: Rest
        /// Changes of groups that are undone first.
        let changes: Int
    }

    private struct Matcher {
        let text: [UInt32]
        var groups: [Range<Int>?]
        /// Each step makes at most one choice for each repeat around a node, and each alternative costs a step, so this
        /// bounds the stack, too.
        var budget: Int
        private var choices: [Choice] = []
        private var changes: [(group: Int, before: Range<Int>?)] = []

        init(text: [UInt32], groups: [Range<Int>?], budget: Int) {
            self.text = text
            self.groups = groups
            self.budget = budget
        }

        /// The end of the first match in the order of the choices.
        mutating func run(_ root: Node, from start: Int, whole: Bool) -> Int? {
            var position = start
            var rest: Rest? = enter(root, &position, .done)
            while true {
                budget -= 1
                guard budget > 0 else { return nil }
                if let here = rest {
                    if case .done = here {
                        if !whole || position == text.count { return position }
                        rest = nil
                    } else {
                        rest = proceed(here, &position)
                    }
                } else {
                    guard let choice = choices.popLast() else { return nil }
                    rest = resume(choice, &position)
                }
            }
        }

        private mutating func push(_ way: Choice.Way, _ position: Int, _ rest: Rest) {
            choices.append(Choice(way: way, position: position, rest: rest, changes: changes.count))
        }

        private mutating func resume(_ choice: Choice, _ position: inout Int) -> Rest? {
            while changes.count > choice.changes {
                let change = changes.removeLast()
                groups[change.group] = change.before
            }
            position = choice.position
            switch choice.way {
            case .node(let node): return enter(node, &position, choice.rest)
            case .rest: return choice.rest
            case .again(let loop, let times): return enterRound(loop, times, &position, choice.rest)
            case .over(let loop, let times): return times >= loop.least ? choice.rest : nil
            case .step(let by, let left):
                if left > 0 { push(.step(by, left: left - 1), position + by, choice.rest) }
                return choice.rest
            }
        }

        private mutating func proceed(_ rest: Rest, _ position: inout Int) -> Rest? {
            switch rest {
            case .done: return rest
            case .nodes(let nodes, let rest):
                guard let first = nodes.first else { return rest }
                return enter(first, &position, nodes.count == 1 ? rest : .nodes(nodes.dropFirst(), rest))
            case .groupEnd(let number, let start, let rest):
                changes.append((number, groups[number]))
                groups[number] = start..<position
                return rest
            case .round(let loop, let times, let start, let rest):
                // A round that took nothing ends the repeats: more of it would never end.
                return position == start ? rest : `repeat`(loop, times + 1, &position, rest)
            case .atom(let loop, let times, let start, let height, let rest):
                choices.removeLast(choices.count - height)
                return position == start ? rest : repeatPossessively(loop, times + 1, &position, rest)
            }
        }

        /// Matches what it can of the node at once; nil when it does not match here. Calls itself as deep as groups are in
        /// each other.
        private mutating func enter(_ node: Node, _ position: inout Int, _ rest: Rest) -> Rest? {
            switch node {
            case .empty: return rest
            case .start: return position == 0 ? rest : nil
            case .end: return position == text.count ? rest : nil
            case .scalars(let set):
                guard position < text.count, set.contains(text[position]) else { return nil }
                position += 1
                return rest
            case .sequence(let nodes): return .nodes(nodes[...], rest)
            case .choice(let nodes):
                for node in nodes.dropFirst().reversed() { push(.node(node), position, rest) }
                budget -= nodes.count
                return enter(nodes[0], &position, rest)
            case .group(let number, let node):
                let start = position
                return enter(node, &position, .groupEnd(number, start: start, rest))
            case .repeated(let node, let least, let most, .possessive):
                return repeatPossessively(Loop(node: node, least: least, most: most, isLazy: false), 0, &position, rest)
            case .repeated(.scalars(let set), let least, let most, let greed):
                return enter(set, least, most, isLazy: greed == .lazy, &position, rest)
            case .repeated(let node, let least, let most, let greed):
                return `repeat`(
                    Loop(node: node, least: least, most: most, isLazy: greed == .lazy), 0, &position, rest)
            }
        }

        /// Without a step for each character.
        private mutating func enter(
            _ set: CharacterSet, _ least: Int, _ most: Int, isLazy: Bool, _ position: inout Int, _ rest: Rest
        ) -> Rest? {
            let longest = text[position...].prefix(min(most, text.count - position)).prefix { set.contains($0) }.count
            budget -= longest
            guard longest >= least else { return nil }
            position += isLazy ? least : longest
            if longest > least {
                let by = isLazy ? 1 : -1
                push(.step(by, left: longest - least - 1), position + by, rest)
            }
            return rest
        }

        private mutating func `repeat`(_ loop: Loop, _ times: Int, _ position: inout Int, _ rest: Rest) -> Rest? {
            if times < loop.least { return enterRound(loop, times, &position, rest) }
            guard times < loop.most else { return rest }
            if loop.isLazy {
                push(.again(loop, times: times), position, rest)
                return rest
            }
            push(.rest, position, rest)
            return enterRound(loop, times, &position, rest)
        }

        private mutating func enterRound(
            _ loop: Loop, _ times: Int, _ position: inout Int, _ rest: Rest
        ) -> Rest? {
            let start = position
            return enter(loop.node, &position, .round(loop, times: times, start: start, rest))
        }

        private mutating func repeatPossessively(
            _ loop: Loop, _ times: Int, _ position: inout Int, _ rest: Rest
        ) -> Rest? {
            guard times < loop.most else { return rest }
            let height = choices.count
            push(.over(loop, times: times), position, rest)
            let start = position
            return enter(loop.node, &position, .atom(loop, times: times, start: start, height: height, rest))
        }
    }
}
