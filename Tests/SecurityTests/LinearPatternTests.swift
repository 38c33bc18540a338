import Testing

@testable import Security

/// Patterns of schemas: matched in a time that grows with the text alone.
@Suite struct LinearPatternTests {
    private func matches(_ pattern: String, _ text: String) throws -> Bool {
        try LinearPattern(pattern).matches(Array(text.utf8))
    }

    @Test(arguments: [
        ("abc", ["abc", "xabcx", "ababc"], ["", "ab", "acb"]), ("^abc$", ["abc"], ["", "xabc", "abcx", "abcabc"]),
        ("^a|b$", ["a", "ax", "xb"], ["ba", "xa", "bx"]), ("^(a|b)*$", ["", "a", "abba"], ["c", "abc"]),
        ("^[A-Z]{2}-\\d{3,5}$", ["AB-123", "XY-12345"], ["AB-12", "AB-123456", "aB-123"]),
        ("^\\w+@\\w+(\\.\\w+)+$", ["a@b.c", "ab_1@x.y.z"], ["a@b", "@b.c", "a@b."]),
        ("^$", [""], ["a"]), ("^a*$", ["", "aaa"], ["b", "aab"]), ("a*", ["", "b"], []),
        ("^[^a-c]$", ["d", "é"], ["a", "dd"]),
        ("^\u{e9}+$", ["é", "éé"], ["e", "éa"]), ("^.\u{1F600}$", ["x😀", "日😀"], ["😀", "x"]),
        ("^(?:a{2}){2}b?$", ["aaaa", "aaaab"], ["aaa", "aaaabb"]), ("x{0}y", ["y"], ["x"]),
        ("^a{2,}$", ["aa", "aaaa"], ["a"]),
        ("\\.\\$", ["a.$"], ["a$"]), ("^a.c$", ["abc"], ["a\nc"]), ("^(a?b?)+$", ["", "abab", "bbb"], ["abc"]),
    ])
    func whatMatchesAndWhatDoesNot(pattern: String, yes: [String], no: [String]) throws {
        for text in yes { #expect(try matches(pattern, text), "\(pattern) on \(text)") }
        for text in no { #expect(try !matches(pattern, text), "\(pattern) on \(text)") }
    }

    /// Of anchored patterns the other engine says whether the whole text matches: they agree.
    @Test func bothEnginesSayTheSame() throws {
        let patterns = [
            "(a|ab)(c|bcd)(d*)", "(a*)(a|aa)", "[ab]{1,3}c?", "(?:a|b|)c", "a(bc|b)?(d|cd)", "((a|b)c?){2,3}",
        ]
        let letters = Array("abcd")
        var texts = [""]
        for length in 1...5 {
            for number in 0..<(1 << (2 * length)) {
                texts.append(String((0..<length).map { letters[number >> (2 * $0) & 3] }))
            }
        }
        for pattern in patterns {
            let linear = try LinearPattern("^(?:\(pattern))$")
            let bounded = try BoundedPattern(pattern)
            for text in texts {
                var budget = BoundedPattern.maxSteps
                let found = bounded.match(text.unicodeScalars.map(\.value), at: 0, whole: true, budget: &budget) != nil
                #expect(linear.matches(Array(text.utf8)) == found, "\(pattern) on \(text)")
            }
        }
    }

    @Test(arguments: [
        ("a{65}", "more than 64 places"), ("[a-z]{1,100}", "more than 64 places"), ("a$b", "stand at the ends"),
        ("(^a)", "stand at the ends"),
        ("a*+", "possessive"), ("(a", "without its ')'"), ("\\1", "not supported"), ("(?=a)", "not supported"),
    ])
    func whatIsNotUnderstoodIsRefused(pattern: String, words: String) {
        let error = #expect(throws: BoundedPattern.SyntaxError.self) { _ = try LinearPattern(pattern) }
        #expect(error?.problem.contains(words) == true, "\(error?.problem ?? "")")
    }
}
