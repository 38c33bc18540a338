/// "Did you mean": the known word that a mistyped one is nearest to.
public enum Spelling {
    /// The nearest of `candidates` to `word`, if near enough to be a likely slip; ties go to the earlier candidate.
    ///
    /// Near enough: at most a third of the word's length in edits (at least two), where an edit inserts, deletes,
    /// replaces or swaps neighbours; or `word` is the beginning of exactly one candidate.
    public static func nearest(to word: String, among candidates: some Sequence<String>) -> String? {
        let typed = normalised(word)
        // What a peer or a file can make this work on is bounded.
        guard !typed.isEmpty, typed.count <= 128 else { return nil }
        var best: (distance: Int, candidate: String)?
        var completions: [String] = []
        for candidate in candidates {
            let known = normalised(candidate)
            if known.count > typed.count, known.starts(with: typed) { completions.append(candidate) }
            let distance = distance(typed, known)
            if distance < best?.distance ?? .max { best = (distance, candidate) }
        }
        if let best, best.distance <= max(2, typed.count / 3), best.distance < typed.count { return best.candidate }
        return completions.count == 1 ? completions[0] : nil
    }

    /// Case and separators do not count as mistakes.
    private static func normalised(_ word: String) -> [UInt8] {
        word.lowercased().utf8.map { $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: "-") ? UInt8(ascii: ".") : $0 }
    }

    /// Edits between two words (optimal string alignment).
    static func distance(_ a: [UInt8], _ b: [UInt8]) -> Int {
        if a.isEmpty || b.isEmpty { return max(a.count, b.count) }
        var beforePrevious = [Int](repeating: 0, count: b.count + 1)
        var previous = Array(0...b.count)
        for i in 1...a.count {
            var current = [Int](repeating: i, count: b.count + 1)
            for j in 1...b.count {
                let replaced = previous[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)
                current[j] = min(replaced, previous[j] + 1, current[j - 1] + 1)
                if i > 1, j > 1, a[i - 1] == b[j - 2], a[i - 2] == b[j - 1] {
                    current[j] = min(current[j], beforePrevious[j - 2] + 1)
                }
            }
            beforePrevious = previous
            previous = current
        }
        return previous[b.count]
    }
}
