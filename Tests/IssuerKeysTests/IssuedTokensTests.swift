import ByteBuffers
import KafkaModel
import Security
import Testing

@testable import IssuerKeys

@Suite struct IssuedTokensTests {
    private let one = TestSigner("one")
    private let two = TestSigner("two")

    private func issuers() throws -> TestIssuers {
        let issuers = try TestIssuers("https://one")
        issuers.fetcher.set("https://one/keys", TestSigner.document(one))
        issuers.settle()
        return issuers
    }

    @Test func aTokenIsCheckedOnceAndThenRemembered() throws {
        let issuers = try issuers()
        let token = one.token()
        #expect(issuers.tokens.remembered(token) == nil)
        #expect(issuers.verdict(token) == "alice")
        #expect(issuers.tokens.remembered(token)?.principal == .user("alice"))
        #expect(issuers.verdict(one.token(expiry: 999_000)) == "expired")
        #expect(issuers.fetcher.asked == ["https://one/keys"])
    }

    /// Tokens that come before the first keys wait for them.
    @Test func theFirstKeysAreWaitedFor() throws {
        let issuers = try TestIssuers("https://one")
        issuers.fetcher.set("https://one/keys", TestSigner.document(one))
        issuers.check(one.token())
        issuers.runWork()
        #expect(issuers.take() == [])
        issuers.settle()
        #expect(issuers.take() == ["alice"])
    }

    @Test func aNewKeyIsFetchedWhenATokenNamesIt() throws {
        let issuers = try issuers()
        issuers.pass(.seconds(31))
        issuers.fetcher.set("https://one/keys", TestSigner.document(one, two))
        for _ in 0..<20 { issuers.check(two.token()) }
        issuers.check(one.token())
        issuers.runWork()
        // Who needs no new key does not wait for it.
        #expect(issuers.take() == ["alice"])
        issuers.settle()
        #expect(issuers.take() == [String](repeating: "alice", count: 20))
        #expect(issuers.fetcher.asked.count == 2)
    }

    @Test func unknownKeysBringAboutOneFetchInHalfAMinute() throws {
        let issuers = try issuers()
        let unknown = (0..<10).map { TestSigner("unknown\($0)").token() }
        for token in unknown { #expect(issuers.verdict(token) == "unknownKey") }
        #expect(issuers.fetcher.asked.count == 1)
        issuers.pass(.seconds(30))
        for token in unknown { #expect(issuers.verdict(token) == "unknownKey") }
        issuers.pass(.seconds(29))
        for token in unknown { #expect(issuers.verdict(token) == "unknownKey") }
        #expect(issuers.fetcher.asked.count == 2)
        // A token of nobody's asks nobody.
        issuers.pass(.seconds(60))
        #expect(issuers.verdict(two.token("https://other")) == "unknownIssuer")
        #expect(issuers.fetcher.asked.count == 2)
    }

    @Test func keysAreFetchedAgainAfterTheInterval() throws {
        let issuers = try issuers()
        issuers.pass(.seconds(599))
        issuers.settle()
        #expect(issuers.fetcher.asked.count == 1)
        issuers.pass(.seconds(1))
        issuers.settle()
        #expect(issuers.fetcher.asked.count == 2)
    }

    @Test func aKeyThatWasTakenBackIsNoKeyAnyMore() throws {
        let issuers = try issuers()
        let token = one.token()
        #expect(issuers.verdict(token) == "alice")
        issuers.fetcher.set("https://one/keys", TestSigner.document(two))
        issuers.pass(.seconds(600))
        issuers.settle()
        #expect(issuers.tokens.remembered(token) == nil)
        #expect(issuers.verdict(token) == "unknownKey")
        #expect(issuers.verdict(two.token()) == "alice")
    }

    /// The same document again is no news: what is remembered stays.
    @Test func keysThatStayKeepTheCache() throws {
        let issuers = try issuers()
        let token = one.token()
        #expect(issuers.verdict(token) == "alice")
        issuers.pass(.seconds(600))
        issuers.settle()
        #expect(issuers.fetcher.asked.count == 2 && issuers.tokens.remembered(token) != nil)
    }

    @Test(arguments: [nil, "", "no json", #"{"keys":[]}"#, #"{"keys":[{"kty":"oct","k":"AAAA"}]}"#])
    func theLastGoodKeysOutliveAnOutageForADay(_ answer: String?) throws {
        let issuers = try issuers()
        issuers.fetcher.set("https://one/keys", answer.map { Array($0.utf8) })
        for _ in 0..<23 {
            issuers.pass(.seconds(3_600))
            issuers.settle()
        }
        #expect(issuers.verdict(one.token()) == "alice")
        // A key that could be one of those that cannot be fetched: nobody can tell, and the client tries again.
        #expect(issuers.verdict(two.token()) == "unavailable")
        issuers.pass(.seconds(3_599))
        issuers.settle()
        #expect(issuers.verdict(one.token()) == "alice")
        issuers.pass(.seconds(1))
        issuers.settle()
        #expect(issuers.verdict(one.token()) == "unavailable")
        issuers.fetcher.set("https://one/keys", TestSigner.document(one))
        issuers.pass(.seconds(60))
        issuers.settle()
        #expect(issuers.verdict(one.token()) == "alice")
    }

    /// After a failure the pauses grow from a second to a minute.
    @Test func anIssuerThatDoesNotAnswerIsAskedLessOften() throws {
        let issuers = try TestIssuers("https://one")
        for _ in 0..<3_600 {
            issuers.settle()
            issuers.pass(.seconds(1))
        }
        // 1 + 2 + 4 + 8 + 16 + 32 seconds, then once a minute.
        #expect((60...70).contains(issuers.fetcher.asked.count), "\(issuers.fetcher.asked.count)")
    }

    @Test func oneIssuersOutageIsNoneOfAnothers() throws {
        let issuers = try TestIssuers("https://one", "https://two")
        issuers.fetcher.set("https://two/keys", TestSigner.document(two))
        issuers.settle()
        #expect(issuers.verdict(two.token("https://two")) == "https://two/alice")
        #expect(issuers.verdict(one.token("https://one")) == "unavailable")
        // Each has its own keys.
        #expect(issuers.verdict(two.token("https://one")) == "unavailable")
    }

    // MARK: Bounds

    @Test func whoSendsManyLeavesRoomToOthers() throws {
        let issuers = try issuers()
        let token = one.token()
        for _ in 0..<IssuedTokens.maxPendingOfOne { #expect(issuers.check(token)) }
        #expect(!issuers.check(token))
        #expect(issuers.check(token, from: "10.0.0.2"))
        // A network of IPv6 is one.
        for _ in 0..<IssuedTokens.maxPendingOfOne { #expect(issuers.check(token, from: "fd00::1")) }
        #expect(!issuers.check(token, from: "fd00::2"))
        for host in 3..<12 {
            for _ in 0..<IssuedTokens.maxPendingOfOne { issuers.check(token, from: "10.0.0.\(host)") }
        }
        #expect(!issuers.check(token, from: "10.0.1.1"))
        issuers.runWork()
        #expect(issuers.take().count == IssuedTokens.maxPending)
        #expect(issuers.check(token) && issuers.check(token, from: "10.0.1.1"))
    }

    /// To send a token and to close costs its sender nothing: what nobody waits for is not verified.
    @Test func whatWasGivenUpIsNotLookedAt() throws {
        let issuers = try issuers()
        let pending = (0..<IssuedTokens.maxPendingOfOne).compactMap { _ in issuers.begin(one.token()) }
        #expect(pending.count == IssuedTokens.maxPendingOfOne)
        for check in pending.dropLast() { check.giveUp() }
        issuers.runWork()
        #expect(issuers.take() == ["alice"])
        #expect(issuers.check(one.token()))
    }

    /// Keys may take as long to come as a fetch does; until then what was given up must take nobody's place.
    @Test func whatWasGivenUpWhileItWaitsForKeysMakesRoom() throws {
        let issuers = try issuers()
        issuers.pass(.seconds(31))
        let pending = (0..<IssuedTokens.maxPendingOfOne).compactMap { _ in issuers.begin(two.token()) }
        issuers.runWork()
        #expect(pending.count == IssuedTokens.maxPendingOfOne && issuers.take() == [])
        #expect(!issuers.check(two.token()))
        for check in pending.dropLast() { check.giveUp() }
        for _ in pending.dropLast() { #expect(issuers.check(one.token())) }
        #expect(!issuers.check(one.token()))
        issuers.runWork()
        #expect(issuers.take().count == pending.count - 1)
        // Who still waits is told in the end.
        issuers.settle()
        #expect(issuers.take() == ["unknownKey"])
    }

    @Test func whatWaitsAtTheEndIsToldThatNobodyKnows() throws {
        let issuers = try issuers()
        issuers.pass(.seconds(31))
        issuers.check(two.token())
        issuers.runWork()
        issuers.tokens.stop()
        #expect(issuers.take() == ["unavailable"])
        #expect(!issuers.check(one.token()))
    }

    /// Else a token that comes just then finds neither the keys nor a fetch to wait for.
    @Test func whoAsksWhileKeysAreToldMayWaitForThem() throws {
        let fetcher = ScriptedFetcher()
        fetcher.set("https://one/keys", TestSigner.document(one))
        let issuer = TokenIssuer(
            names: ["https://one"], audiences: ["us"], algorithms: [.edDSA], keys: JSONWebKeySet(keys: []))
        let settings = IssuerSettings(issuer, try #require(KeyLocation("https://one/keys")))
        let (asked, watch) = (Lock<[Int?]>([]), Lock<KeyWatch?>(nil))
        let made = KeyWatch(
            settings, interval: .seconds(600), fetcher: fetcher, clock: { MonotonicTime(seconds: 1_000) }
        ) { _ in
            let number = watch.withLock { $0 }?.ask()
            asked.withLock { $0.append(number) }
        }
        watch.withLock { $0 = made }
        made.turn()
        #expect(asked.withLock { $0 } == [1])
        // Afterwards none is worth waiting for.
        #expect(made.ask() == nil)
        watch.withLock { $0 = nil }
    }

    /// Threads of their own fetch, and a stop ends them.
    @Test func watchesRunOnThreads() throws {
        let issuers = try TestIssuers("https://one", "https://two")
        issuers.fetcher.set("https://one/keys", TestSigner.document(one))
        issuers.tokens.start()
        issuers.check(one.token("https://one"))
        while issuers.verdicts.withLock({ $0.isEmpty }) { issuers.runWork() }
        issuers.tokens.stop()
        #expect(issuers.take() == ["https://one/alice"])
    }

    // MARK: Discovery

    private func discovered(_ answer: String) throws -> (verdict: String, asked: [String]) {
        let issuers = try TestIssuers("https://one") { .discovery(issuer: KeyAddress($0)!) }
        issuers.fetcher.set("https://one/.well-known/openid-configuration", answer)
        for address in ["https://keys.one/k", "http://127.0.0.1/k"] {
            issuers.fetcher.set(address, TestSigner.document(one))
        }
        issuers.settle()
        return (issuers.verdict(one.token()), issuers.fetcher.asked)
    }

    @Test func keysAreFoundByDiscovery() throws {
        let found = try discovered(#"{"issuer":"https://one","jwks_uri":"https://keys.one/k","x":[1]}"#)
        #expect(found.verdict == "alice")
        #expect(found.asked == ["https://one/.well-known/openid-configuration", "https://keys.one/k"])
    }

    @Test(arguments: [
        #"{"issuer":"https://two","jwks_uri":"https://keys.one/k"}"#, #"{"jwks_uri":"https://keys.one/k"}"#,
        #"{"issuer":"https://one"}"#, #"{"issuer":"https://one","jwks_uri":1}"#,
        #"{"issuer":"https://one","jwks_uri":"http://keys.one/k"}"#,
        // Who is elsewhere has no say over this machine's own ports.
        #"{"issuer":"https://one","jwks_uri":"http://127.0.0.1/k"}"#,
        #"{"issuer":"https://one","jwks_uri":"file:///etc/passwd"}"#,
        #"{"issuer":"https://one","issuer":"https://one","jwks_uri":"https://keys.one/k"}"#, "[]", "",
    ])
    func discoveryThatCannotBeMeantIsRefused(_ answer: String) throws {
        let found = try discovered(answer)
        #expect(found.verdict == "unavailable")
        #expect(Set(found.asked) == ["https://one/.well-known/openid-configuration"])
    }
}
