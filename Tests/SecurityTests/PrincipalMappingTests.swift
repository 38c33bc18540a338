import COpenSSL
import KafkaModel
import Security
import Testing

@Suite struct PrincipalMappingTests {
    @Test func namesAreWrittenAsJavaWritesThem() {
        for (der, expected) in javaNames {
            let found = DistinguishedName.text(ofName: Hexadecimal.decode(der.utf8)!)
            #expect(found.map { ExactString($0) } == expected.map { ExactString($0) }, "\(der)")
        }
        #expect(ERR_peek_error() == 0)
    }

    @Test func whatIsNoNameHasNoText() {
        let good = Hexadecimal.decode(javaNames[0].der.utf8)!
        for cut in 0..<good.count { #expect(DistinguishedName.text(ofName: Array(good[..<cut])) == nil) }
        #expect(DistinguishedName.text(ofName: good + [0]) == nil && DistinguishedName.text(ofSubjectOf: good) == nil)
        // What is left behind would be taken for the next connection's error.
        #expect(ERR_peek_error() == 0)
    }

    @Test func aNameHasABound() {
        func name(_ length: Int) -> [UInt8] {
            func tlv(_ tag: UInt8, _ bytes: [UInt8]) -> [UInt8] {
                [tag, 0x82, UInt8(bytes.count >> 8), UInt8(bytes.count & 255)] + bytes
            }
            let value = tlv(0x0c, [UInt8](repeating: 0x78, count: length))
            return tlv(0x30, tlv(0x31, tlv(0x30, [0x06, 0x03, 0x55, 0x04, 0x03] + value)))
        }
        #expect(DistinguishedName.text(ofName: name(1_021))?.utf8.count == 1_024)
        #expect(DistinguishedName.text(ofName: name(1_022)) == nil)
    }

    /// Patterns that Java takes and this engine does not: an error at the start, never another meaning.
    private static let unsupported = [
        "(?i)", "\\p{L}", "\\1", "(?=", "\\Q", "[[", "&&", "\\x41", "=^a", "[]a]",
    ]

    @Test func rulesMeanWhatTheyMeanToKafka() {
        for (rules, name, expected) in kafkaMappings {
            let result: String
            do {
                let mapping = try PrincipalMapping(parsing: rules)
                result = mapping.name(for: name).map { "=\($0)" } ?? "none"
            } catch {
                result = "error"
            }
            let isUnsupported = Self.unsupported.contains { rules.contains($0) }
            // An empty name is nobody's. Kafka lets it in.
            let kafkas = expected == "=" ? "none" : expected
            #expect(result == kafkas || (isUnsupported && result == "error"), "\(rules) on \(name)")
        }
    }

    @Test func anEmptyNameIsNobody() {
        #expect(PrincipalMapping.identity.name(for: "") == nil)
        #expect(PrincipalMapping.identity.name(for: "CN=a") == "CN=a")
        #expect(PrincipalMapping.identity.name(for: String(repeating: "x", count: 1_025)) == nil)
    }

    @Test func rulesHaveABound() throws {
        _ = try PrincipalMapping(parsing: String(repeating: "DEFAULT,", count: 100))
        #expect(throws: SecurityConfigurationError.self) {
            try PrincipalMapping(parsing: String(repeating: "DEFAULT,", count: 101))
        }
    }

    /// What stops Java's engine for minutes stops this one at its bound.
    @Test func nestedRepeatsEndAtTheBound() throws {
        for pattern in ["(a+)+", "(a|a)*", "(a*)*", "(.*)(.*)(.*)(.*)(.*)(.*)(.*)(.*)x", "(a|aa)+", "((a?)+b?)+"] {
            let mapping = try PrincipalMapping(parsing: "RULE:^CN=\(pattern)$/x/")
            #expect(mapping.name(for: "CN=" + String(repeating: "a", count: 200) + "!") == nil, "\(pattern)")
        }
    }

    /// Whether the rule matches is not known at the bound, and what stands behind it is for other names.
    @Test func atTheBoundNoLaterRuleIsTried() throws {
        let fallback = try PrincipalMapping(parsing: "RULE:^(a|a)*$/x/,RULE:^.*$/everybody/")
        #expect(fallback.name(for: "CN=abc") == "everybody")
        #expect(fallback.name(for: String(repeating: "a", count: 40) + "!") == nil)
        let mapping = try PrincipalMapping(parsing: "RULE:^CN=([a-z]|-)+,OU=Blocked$/blocked/,DEFAULT")
        #expect(mapping.name(for: "CN=" + String(repeating: "b", count: 300) + ",OU=Blocked") == "blocked")
        let slow = try PrincipalMapping(parsing: "RULE:^CN=(a|a)*,OU=Blocked$/blocked/,DEFAULT")
        #expect(slow.name(for: "CN=" + String(repeating: "a", count: 300) + "!,OU=Blocked") == nil)
    }

    /// A certificate's holder chooses the text, and with it how often a group is repeated.
    @Test func aLongNameTakesNoDeeperStack() throws {
        let groups = String(repeating: "(", count: 30) + "x" + String(repeating: ")", count: 30)
        for (rule, name) in [
            ("RULE:^CN=((((x))))*$/ok/", "CN=" + String(repeating: "x", count: 1_000)),
            ("RULE:^CN=(?:\(groups){0,250}-)*,O=(.*)$/ok/", "CN=" + String(repeating: "xxx-", count: 240) + ",O=a"),
        ] {
            let mapping = try PrincipalMapping(parsing: rule)
            #expect(onSmallStack { mapping.name(for: name) } == "ok")
        }
    }

    @Test func longNamesFitTheBound() throws {
        let mapping = try PrincipalMapping(parsing: "RULE:^CN=(.*?),((?:OU=[^,]+,)*)O=(.*)$/$1@$3/L")
        let units = (0..<100).map { "OU=u\($0)," }.joined()
        #expect(mapping.name(for: "CN=Duke,\(units)O=Ex") == "duke@ex")
        let long = String(repeating: "x", count: 1_000)
        #expect(mapping.name(for: "CN=\(long),O=Ex") == "\(long)@ex")
    }

    @Test func groupsWithinGroupsHaveABound() throws {
        func nested(_ depth: Int) -> String {
            "RULE:^\(String(repeating: "(", count: depth))a\(String(repeating: ")", count: depth))$/x/"
        }
        #expect(try PrincipalMapping(parsing: nested(32)).name(for: "a") == "x")
        #expect(throws: SecurityConfigurationError.self) { try PrincipalMapping(parsing: nested(33)) }
    }

    @Test(arguments: [
        "a{300}", "a{2,1}", "a{", "a{}", "a{1", "a**", "a|*", "(", ")", "(a", "a)", "[a", "[", "\\", "[z-a]", "[a-\\d]",
        "(?<n>a)", "(?:a", "\\z", "\\b", "{2}",
    ])
    func brokenPatternsAreErrors(_ pattern: String) {
        #expect(throws: BoundedPattern.SyntaxError.self) { try BoundedPattern(pattern) }
    }
}
