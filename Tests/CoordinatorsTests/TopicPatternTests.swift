import KafkaModel
import KafkaWire
import Testing

@testable import Coordinators

/// Patterns of subscriptions: RE2's syntax, the whole name, linear time.
@Suite struct TopicPatternTests {
    private func matches(_ pattern: String, _ name: String) throws -> Bool {
        var pattern = try TopicPattern(pattern)
        return pattern.matches(name.utf8)
    }

    @Test(arguments: [
        ("orders", ["orders"], ["order", "orders2", "my.orders"]), ("", [""], ["a"]),
        ("a|bc", ["a", "bc"], ["ab", "abc", "c"]), ("(a|b)*c", ["c", "abbac"], ["ab", "cc"]),
        ("a.c", ["abc", "a-c"], ["ac", "a\nc"]), ("(?s)a.c", ["a\nc"], []), ("a+b?", ["a", "aab"], ["b", "abb"]),
        ("a{2}", ["aa"], ["a", "aaa"]), ("a{2,}", ["aa", "aaaa"], ["a"]), ("a{1,3}", ["a", "aaa"], ["", "aaaa"]),
        ("a{,3}", ["a{,3}"], ["a"]), ("a{x", ["a{x"], ["a"]), ("a*?b+?", ["b", "aabb"], ["a"]),
        ("[a-c]x", ["ax", "cx"], ["dx"]), ("[^a-c]", ["d", "-"], ["a"]), ("[]a]+", ["]a"], ["b"]),
        ("[a-]+", ["a-"], ["b"]), ("[-a]+", ["-a"], []), ("[\\d_]+", ["1_2"], ["a"]), ("[[:alpha:]]+", ["abZ"], ["a1"]),
        ("[[:^alpha:]]+", ["12"], ["a"]), ("\\d+\\D", ["12a"], ["12"]), ("\\w+\\.\\W", ["ab.-"], ["ab.c"]),
        ("\\pL+", ["ab"], ["a1"]), ("\\p{Lu}\\P{Lu}", ["Ab"], ["ab"]), ("\\p{^Lu}", ["a"], ["A"]),
        ("\\pN", ["7"], ["x"]),
        ("\\p{Greek}|x", ["x"], ["a"]), ("\\p{Latin}", ["a"], ["1"]), ("(?i)OrDers", ["orders", "ORDERS"], ["order"]),
        ("a(?i)b", ["ab", "aB"], ["AB"]), ("(?i:a)b", ["Ab"], ["AB"]), ("(?i)[a-c]+(?-i)d", ["ABcd"], ["abD"]),
        ("(?P<name>a)(?<other>b)", ["ab"], []), ("(?:ab)+", ["abab"], ["aba"]), ("^a$", ["a"], ["ab"]),
        ("\\Aa\\z", ["a"], []), ("a\\b.c", ["a.c", "a-c"], ["abc"]), ("a\\Bbc", ["abc"], ["a.c"]), ("b^a", [], ["ba"]),
        ("\\Qa.b\\E+", ["a.b", "a.bbb"], ["axb"]), ("\\x41\\x{42}\\103", ["ABC"], []), ("\\.\\-\\_", [".-_"], ["abc"]),
        ("a||b", ["a", "b", ""], ["ab"]), ("()a", ["a"], []), ("((a*)*)*b", ["b", "aaab"], ["a"]),
        ("é|a", ["a"], ["e"]), ("(a?){3}a{3}", ["aaa", "aaaaaa"], ["aa", "aaaaaaa"]), ("x*", ["", "xxx"], ["y"]),
        (".*", ["", "anything-at.all_9"], []), ("a{0}b", ["b"], ["ab"]), ("\\07", ["\u{7}"], []),
        ("a{2}b{01}", ["aab{01}"], []),
    ])
    func whatMatchesAndWhatDoesNot(pattern: String, yes: [String], no: [String]) throws {
        for name in yes { #expect(try matches(pattern, name), "\(pattern) on \(name)") }
        for name in no { #expect(try !matches(pattern, name), "\(pattern) on \(name)") }
    }

    @Test(arguments: [
        "(", ")", "a)", "(a", "*", "+a", "?", "a**", "a*+", "a++", "a{2}{3}", "a|*", "(*)", "[", "[a", "[b-a]",
        "[a-\\d]",
        "[[:foo:]]", "\\", "\\1", "(a)\\1", "\\8", "\\p{Klingon}", "\\pX", "\\Z", "\\G", "\\y", "(?=a)", "(?!a)",
        "(?<=a)",
        "(?<!a)", "(?>a)", "(?x)a", "(?", "(?i", "(?P<a", "(?P<>a)", "(?P<a>x)(?P<a>y)", "(?P=a)", "a{1001}", "a{2,1}",
        "\\x", "\\xZ", "\\x{110000}", "\\x{}", "((a{100}){100}){100}", "(?-)a", "{2}a{", "[a-z-9]", "(?i)*",
    ])
    func whatRE2RefusesIsRefused(pattern: String) {
        let error = #expect(throws: TopicPattern.SyntaxError.self) { _ = try TopicPattern(pattern) }
        #expect(error?.problem.isEmpty == false)
    }

    @Test func limitsAreRefused() {
        for pattern in [
            String(repeating: "a", count: TopicPattern.maxBytes + 1), "(a{50}){50}", "((((){1000}){1000}){1000}){1000}",
            "((((a{0}){1000}){1000}){1000}){1000}",
            String(repeating: "(", count: 300) + "a" + String(repeating: ")", count: 300),
        ] {
            #expect(throws: TopicPattern.SyntaxError.self) { _ = try TopicPattern(pattern) }
        }
        #expect(throws: Never.self) { _ = try TopicPattern("(a{30}){30}") }
    }

    /// Patterns on which others take a time that doubles with every letter.
    @Test func noPatternIsSlow() throws {
        for text in ["(a*)*b", "(a|a)*b", "(a|aa)+b", "(.*)(.*)(.*)(.*)(.*)(.*)(.*)(.*)x", "(a?){200}a{200}b"] {
            var pattern = try TopicPattern(text)
            let isMatch = pattern.matches(String(repeating: "a", count: 249).utf8)
            #expect(!isMatch, "\(text)")
        }
    }

    // MARK: In groups

    @Test func aPatternIsLookedUpElsewhereAndBumpsWhereItChanges() {
        let driver = ShardDriver(topics: FakeTopics(["logs.a": 1, "logs.b": 1, "other": 1]))
        let member = FakeConsumer(driver, "m", topics: [], pattern: "logs\\..*")
        member.step()
        #expect((member.epoch, member.reading) == (2, [:]))
        driver.doWork()
        driver.pass(1_000)
        member.step()
        #expect(member.reading == ["logs.a": [0], "logs.b": [0]])
        let epoch = driver.describe().groupEpoch
        // A topic that it does not match changes nothing.
        driver.topics["more"] = 1
        driver.pass(10_000)
        member.step()
        driver.doWork()
        #expect(driver.describe().groupEpoch == epoch)
        driver.topics["logs.c"] = 2
        driver.pass(10_000)
        member.step()
        driver.doWork()
        driver.pass(1_000)
        member.step()
        #expect(member.reading == ["logs.a": [0], "logs.b": [0], "logs.c": [0, 1]])
        driver.topics["logs.a"] = nil
        driver.pass(10_000)
        member.step()
        driver.doWork()
        driver.pass(1_000)
        for _ in 0..<3 { member.step() }
        #expect(member.reading == ["logs.b": [0], "logs.c": [0, 1]])
    }

    @Test func whatTheClientMayNotDescribeIsLeftOut() {
        let driver = ShardDriver(topics: FakeTopics(["a": 1, "b": 1]))
        let member = FakeConsumer(driver, "m", topics: ["a"], pattern: ".*")
        member.step()
        driver.doWork { $0 != "b" }
        driver.pass(1_000)
        member.step()
        #expect(member.reading == ["a": [0]])
        // Rights are looked at again in the end.
        driver.pass(30_000)
        for _ in 0..<20 {
            driver.pass(30_000)
            member.step()
        }
        #expect(!driver.work.isEmpty)
        driver.doWork()
        driver.pass(1_000)
        member.step()
        #expect(member.reading == ["a": [0], "b": [0]])
    }

    @Test func aPatternGoesWithItsLastMember() {
        let driver = ShardDriver(topics: FakeTopics(["a": 1]))
        driver.joinConsumer("m", topics: nil, pattern: "a+")
        driver.joinConsumer("n", topics: nil, pattern: "a+")
        driver.doWork()
        #expect(driver.shard.groups["g"]!.consumer!.patterns.count == 1)
        driver.beat("m", -1)
        #expect(driver.shard.groups["g"]!.consumer!.patterns.count == 1)
        #expect(
            driver.restarted().shard.groups["g"]!.consumer!.patterns == driver.shard.groups["g"]!.consumer!.patterns)
        driver.beat("n", -1)
        #expect(driver.shard.groups["g"]!.consumer!.patterns.isEmpty)
        #expect(driver.restarted().shard.groups["g"]!.consumer!.patterns.isEmpty)
    }

    @Test func aMemberGivesUpItsPattern() {
        let driver = ShardDriver(topics: FakeTopics(["a": 1, "b": 1]))
        let member = FakeConsumer(driver, "m", topics: ["b"], pattern: "a")
        member.step()
        driver.doWork()
        driver.pass(1_000)
        member.step()
        #expect(member.reading == ["a": [0], "b": [0]])
        member.subscribe(to: ["b"], pattern: "")
        driver.pass(1_000)
        for _ in 0..<3 { member.step() }
        #expect(member.reading == ["b": [0]])
        #expect(driver.describe().members[0].subscribedTopicRegex == nil)
    }

    @Test func aGroupHasAMostOfPatterns() {
        let driver = ShardDriver(topics: FakeTopics(["a": 1]))
        for number in 0..<ConsumerGroup.maxPatterns {
            #expect(driver.joinConsumer("m\(number)", topics: nil, pattern: "a{\(number + 1)}").code == .none)
        }
        #expect(driver.joinConsumer("n", topics: nil, pattern: "b").code == .groupMaxSizeReached)
        #expect(driver.joinConsumer("n", topics: nil, pattern: "a{1}").code == .none)
    }
}
