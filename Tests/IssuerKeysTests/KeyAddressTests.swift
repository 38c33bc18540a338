import KafkaModel
import Security
import Testing

@testable import IssuerKeys

@Suite struct KeyAddressTests {
    @Test(arguments: [
        "https://h", "https://h/", "https://h/keys?x=1", "https://login.example.com:8443/keys", "https://10.0.0.1/",
        "https://[fd00::1]/k", "https://[fd00::1]:443/k", "http://localhost:80/k", "http://127.0.0.1/",
        "http://127.1.2.3:9/",
        "http://[::1]:8080/k",
    ])
    func addressesOfKeys(_ text: String) { #expect(KeyAddress(text)?.text == text) }

    @Test(arguments: [
        "", "h", "//h", "ftp://h", "HTTPS://h", "https:///k", "https://:1/", "https://h:/", "https://h:0/",
        "https://h:65536/",
        "https://h:1x/", "https://user@h/", "https://user:pw@h/", "https://h/#f", "https://h /", "https://h/\n",
        "https://h/ä",
        "https://[fd00::1/", "https://[x]/", "https://[::1]x/", "https://h_x/", "https://h\\@evil/", "http://h/",
        "http://10.0.0.1/",
        "http://127.0.0.1.evil/", "http://localhost.evil/", "http://[::2]/", "http://127.0.0.1\\@evil/",
        "http://0.0.0.0/",
        "http://127.1/", "http://[::ffff:10.0.0.1]/",
    ])
    func whatIsNone(_ text: String) { #expect(KeyAddress(text) == nil) }

    @Test func anAddressHasABound() {
        let path = String(repeating: "k", count: KeyAddress.maxBytes - "https://h/".count)
        #expect(KeyAddress("https://h/" + path) != nil && KeyAddress("https://h/k" + path) == nil)
    }

    @Test func locationsAreAddressesAndFiles() {
        #expect(KeyLocation("https://h/k") == .document(KeyAddress("https://h/k")!))
        #expect(KeyLocation("file:///etc/keys") == .file("/etc/keys"))
        for bad in ["file://etc/keys", "file:/etc/keys", "/etc/keys", "http://h/"] { #expect(KeyLocation(bad) == nil) }
        #expect(
            KeyLocation.discovery(issuer: KeyAddress("https://h/x")!).description
                == "https://h/x/.well-known/openid-configuration")
        #expect(KeyAddress("https://h/x/")!.appending("/y")?.text == "https://h/x/y")
    }
}

@Suite struct IssuerFileTests {
    private func parse(_ text: String) throws -> [IssuerSettings] {
        try IssuerFile.parse(Array(text.utf8), key: "file")
    }

    @Test func everyMemberIsRead() throws {
        let found = try parse(
            #"""
            {"issuers": [
              {"issuer": "https://one", "audience": ["a", "b"], "jwks": "https://one/keys", "algorithms": ["ES256"],
               "token_use": "access", "types": ["AT+jwt"], "subject_claim": "s", "scope_claim": "c", "groups_claim": "g",
               "prefix": "one/", "skew_seconds": 5, "authorized_party": true},
              {"issuer": ["https://two", "two"], "audience": "us", "prefix": "two/"}
            ]}
            """#)
        let one = found[0].issuer
        #expect(one.names == ["https://one"] && one.audiences == ["a", "b"] && one.algorithms == [.es256])
        #expect(one.use == .access && one.types == ["at+jwt"] && one.subjectClaim == "s" && one.scopeClaim == "c")
        #expect(
            one.groupsClaim == "g" && one.namePrefix == "one/" && one.skew == .seconds(5) && one.checksAuthorizedParty)
        #expect(found[0].location == KeyLocation("https://one/keys"))
        let two = found[1].issuer
        #expect(two.names == ["https://two", "two"] && two.audiences == ["us"] && two.algorithms.count == 3)
        #expect(two.use == nil && two.types == nil && two.skew == .seconds(30) && !two.checksAuthorizedParty)
        #expect(found[1].location == .discovery(issuer: KeyAddress("https://two")!))
    }

    @Test(arguments: [
        "", "[]", "{}", #"{"issuers":{}}"#, #"{"issuers":[]}"#, #"{"issuers":[1]}"#, #"{"issuers":[{}]}"#,
        #"{"issuers":[{"issuer":"https://one"}]}"#, #"{"issuers":[{"audience":"us"}]}"#,
        #"{"issuers":[{"issuer":"one","audience":"us"}]}"#, #"{"issuers":[{"issuer":"https://one","audience":""}]}"#,
        #"{"issuers":[{"issuer":"https://one","audience":[]}]}"#,
        #"{"issuers":[{"issuer":"https://one","audience":"us","jwks":"http://one"}]}"#,
        #"{"issuers":[{"issuer":"https://one","audience":"us","algorithms":["HS256"]}]}"#,
        #"{"issuers":[{"issuer":"https://one","audience":"us","algorithms":["none"]}]}"#,
        #"{"issuers":[{"issuer":"https://one","audience":"us","token_use":"both"}]}"#,
        #"{"issuers":[{"issuer":"https://one","audience":"us","skew_seconds":301}]}"#,
        #"{"issuers":[{"issuer":"https://one","audience":"us","skew_seconds":"5"}]}"#,
        #"{"issuers":[{"issuer":"https://one","audience":"us","skew":5}]}"#,
        #"{"issuers":[{"issuer":"https://one","audience":"us"}],"more":1}"#,
    ])
    func whatCannotBeMeantIsRefused(_ text: String) {
        #expect(throws: SecurityConfigurationError.self) { try parse(text) }
    }

    @Test func thereIsABoundOnIssuers() throws {
        func text(_ count: Int) -> String {
            let entries = (0..<count).map { #"{"issuer":"https://h\#($0)","audience":"us","prefix":"\#($0)/"}"# }
            return #"{"issuers":[\#(entries.joined(separator: ","))]}"#
        }
        #expect(try parse(text(IssuedTokens.maxIssuers)).count == IssuedTokens.maxIssuers)
        #expect(throws: SecurityConfigurationError.self) { try parse(text(IssuedTokens.maxIssuers + 1)) }
    }
}
