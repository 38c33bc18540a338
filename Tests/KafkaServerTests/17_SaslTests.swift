@testable import BrokerCore
import ByteBuffers
import KafkaModel
import KafkaWire
import Security
import Testing

@testable import KafkaServer

/// What the states and messages are is tested with `SaslSession`; here, that a listener asks it, and does what it says.
@Suite struct SaslTests {
    private func broker(
        _ mechanisms: [SaslMechanism] = [.plain, .scramSHA256, .scramSHA512], maxSession: Duration = .zero,
        delay: Duration = .zero, parting: Duration = .zero, users: [String] = ["alice"]
    ) throws -> TestBroker {
        let broker = try TestBroker { options in
            options.sasl = SaslSettings(
                mechanisms: mechanisms, failureDelay: delay, maxSession: maxSession, parting: parting)
            options.loops = 2
        }
        for user in users { Self.setPassword(of: user, "pencil", on: broker) }
        return broker
    }

    static func setPassword(
        of user: String, _ password: String, _ mechanisms: [ScramMechanism] = [.sha256, .sha512], on broker: TestBroker
    ) {
        for mechanism in mechanisms {
            let salt = ScramDecoys.newSalt()
            var salted = mechanism.algorithm.pbkdf2(
                password: Secret(copying: Array(password.utf8)[...]), salt: salt, iterations: 4_096)
            let results = broker.broker.alterScramCredentials(
                deletions: [],
                upsertions: [
                    .init(
                        user: user, mechanism: mechanism.rawValue, iterations: 4_096, salt: salt,
                        saltedPassword: Secret(wiping: &salted))
                ])
            #expect(results.allSatisfy { $0.refusal == nil })
        }
    }

    private func serves(_ client: WireClient) throws -> Bool {
        try client.call(MetadataRequest()).clusterID == client.broker.broker.clusterID
    }

    // MARK: Who gets in

    @Test(arguments: ScramMechanism.allCases) func whoKnowsThePasswordGetsInByScram(_ mechanism: ScramMechanism) throws
    {
        let client = try broker().client()
        let reply = try client.logIn(mechanism, "alice", "pencil")
        #expect(reply.errorCode == 0 && reply.sessionLifetimeMs == 0)
        #expect(try serves(client))
    }

    @Test func whoKnowsThePasswordGetsInByPlain() throws {
        let broker = try broker()
        for _ in 0..<2 {
            // The second time it is remembered.
            let client = try broker.client()
            #expect(try client.logIn(plain: "alice", "pencil").errorCode == 0)
            #expect(try serves(client))
        }
    }

    @Test func apiVersionsMayBeAskedBefore() throws {
        let client = try broker().client()
        #expect(try client.call(ApiVersionsRequest(), version: 2).errorCode == 0)
        #expect(try client.logIn(.sha256, "alice", "pencil").errorCode == 0)
        #expect(try client.call(ApiVersionsRequest(), version: 2).errorCode == 0)
        #expect(try serves(client))
    }

    @Test func aVersionOfApiVersionsThatIsUnknownChangesNothing() throws {
        let client = try broker().client()
        var frame = WireClient.frame(ApiVersionsRequest(), version: 5, correlationID: 7)
        frame[7] = 99
        try client.send(bytes: frame)
        let reply = try client.receive(ApiVersionsResponse.self, version: 0, correlationID: 7)
        #expect(reply.code == .unsupportedVersion)
        #expect(try client.call(ApiVersionsRequest(), version: 2).errorCode == 0)
        #expect(try client.logIn(.sha256, "alice", "pencil").errorCode == 0)
    }

    @Test func bareTokensFollowTheFirstVersionOfTheHandshake() throws {
        let broker = try broker()
        let plain = try broker.client()
        #expect(try plain.shake("PLAIN", version: 0).errorCode == 0)
        #expect(try plain.exchange(raw: WireClient.plain("alice", "pencil")) == [])
        #expect(try serves(plain))

        let client = try broker.client()
        _ = try client.shake("SCRAM-SHA-256", version: 0)
        let scram = ScramClient(mechanism: .sha256, user: "alice", password: "pencil")
        let final = scram.final(after: try client.exchange(raw: scram.first))
        #expect(try client.exchange(raw: final.message) == final.expected)
        #expect(try serves(client))
    }

    // MARK: Tokens

    private func tokenBroker(_ desk: TokenDesk) throws -> TestBroker {
        try TestBroker { options in
            options.sasl = SaslSettings(mechanisms: [.oauthBearer], failureDelay: .zero, parting: .zero)
            options.tokens = desk
        }
    }

    private static func bearer(_ token: String) -> [UInt8] { Array("n,,\u{1}auth=Bearer \(token)\u{1}\u{1}".utf8) }

    @Test func whoHasATokenGetsInForAsLongAsItLasts() throws {
        let desk = TokenDesk()
        let broker = try tokenBroker(desk)
        for isRemembered in [false, true] {
            let client = try broker.client()
            _ = try client.shake("OAUTHBEARER")
            let reply = try client.authenticate(Self.bearer("good"))
            #expect(reply.errorCode == 0 && reply.authBytes == [])
            #expect((90_000...100_000).contains(reply.sessionLifetimeMs))
            #expect(try serves(client))
            desk.remembers.withLock { $0 = true }
            #expect(desk.checks.withLock { $0 } == 1, "remembered: \(isRemembered)")
        }
    }

    @Test func aRefusedTokenIsToldInTwoRounds() throws {
        let client = try tokenBroker(TokenDesk()).client()
        _ = try client.shake("OAUTHBEARER")
        let challenge = try client.authenticate(Self.bearer("bad"))
        #expect(challenge.errorCode == 0 && challenge.authBytes == Array(SaslSession.invalidToken.utf8))
        let failure = try client.authenticate([1])
        #expect(failure.errorCode == 58 && failure.errorMessage == SaslSession.invalidToken)
        #expect(client.isClosedByBroker())
    }

    /// A failure would be final for the client.
    @Test(arguments: ["unknown", "busy"]) func whereNobodyCanTellTheConnectionEnds(_ token: String) throws {
        let client = try tokenBroker(TokenDesk()).client()
        _ = try client.shake("OAUTHBEARER")
        #expect(throws: (any Error).self) { try client.authenticate(Self.bearer(token)) }
        #expect(client.isClosedByBroker())
    }

    /// Not even as somebody who may do nothing.
    @Test func whoIsInTooManyGroupsIsTurnedAway() throws {
        let client = try tokenBroker(TokenDesk()).client()
        _ = try client.shake("OAUTHBEARER")
        #expect(throws: (any Error).self) { try client.authenticate(Self.bearer("crowd")) }
        #expect(client.isClosedByBroker())
    }

    @Test func theCheckOfAClosedConnectionIsGivenUp() throws {
        let desk = TokenDesk()
        let broker = try tokenBroker(desk)
        let client = try broker.client()
        _ = try client.shake("OAUTHBEARER")
        var request = SaslAuthenticateRequest()
        request.authBytes = Self.bearer("slow")
        try client.send(request)
        while desk.slow.withLock({ $0.isEmpty }) { MonotonicClock.sleep(milliseconds: 1) }
        #expect(desk.slow.withLock { !$0[0].isGivenUp })
        client.reset()
        while desk.slow.withLock({ !$0[0].isGivenUp }) { MonotonicClock.sleep(milliseconds: 1) }
    }

    // MARK: Who does not

    @Test func nobodyCanTellAnUnknownUserFromAWrongPassword() throws {
        let broker = try broker()
        var replies: Set<String> = []
        for (user, password) in [("alice", "pen"), ("nobody", "pencil"), ("nobody", "pen")] {
            let plain = try broker.client()
            let reply = try plain.logIn(plain: user, password)
            replies.insert("PLAIN \(reply.errorCode) \(reply.errorMessage ?? "") \(reply.authBytes)")
            #expect(plain.isClosedByBroker())
            for mechanism in ScramMechanism.allCases {
                let client = try broker.client()
                let reply = try client.logIn(mechanism, user, password)
                replies.insert("\(mechanism.name) \(reply.errorCode) \(reply.errorMessage ?? "") \(reply.authBytes)")
                #expect(client.isClosedByBroker())
            }
        }
        #expect(
            replies.sorted()
                == ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"].map { "\($0) 58 \(SaslSession.failureMessage) []" })
    }

    /// A salt that changed at a restart would tell that nobody is called so.
    @Test func theSaltOfNobodyIsTheSameAfterARestart() throws {
        func salt(_ broker: TestBroker) throws -> Substring {
            let client = try broker.client()
            _ = try client.shake("SCRAM-SHA-256")
            let first = ScramClient(mechanism: .sha256, user: "nobody", password: "").first
            let reply = String(decoding: try client.authenticate(first).authBytes, as: UTF8.self)
            return reply.split(separator: ",")[1]
        }
        let before = try broker()
        let found = try salt(before)
        #expect(try salt(before.restarted()) == found)
        #expect(try salt(broker()) != found)
    }

    @Test func aFailureWithBareTokensIsTheEnd() throws {
        let client = try broker().client()
        _ = try client.shake("PLAIN", version: 0)
        try client.sendRaw(WireClient.plain("alice", "pen"))
        #expect(client.isClosedByBroker())
    }

    @Test func anUnknownMechanismIsToldWhichThereAre() throws {
        let client = try broker([.scramSHA512]).client()
        for mechanism in ["PLAIN"] {
            let reply = try client.shake(mechanism)
            #expect(reply.code == .unsupportedSaslMechanism && reply.mechanisms == ["SCRAM-SHA-512"])
        }
        #expect(client.isClosedByBroker())
    }

    @Test func nothingElseIsServedBefore() throws {
        let broker = try broker()
        for request: any KafkaRequest in [
            MetadataRequest(), ProduceRequest(), FetchRequest(), CreateTopicsRequest(), SaslAuthenticateRequest(),
            DescribeUserScramCredentialsRequest(),
        ] {
            let client = try broker.client()
            try client.send(request)
            #expect(client.isClosedByBroker(), "\(type(of: request))")
        }
    }

    @Test func nothingElseIsServedMeanwhile() throws {
        let broker = try broker()
        let client = try broker.client()
        _ = try client.shake("PLAIN")
        #expect(try client.call(ApiVersionsRequest(), version: 0).code == .illegalSaslState)
        #expect(client.isClosedByBroker())
        let other = try broker.client()
        _ = try other.shake("PLAIN")
        try other.send(MetadataRequest())
        #expect(other.isClosedByBroker())
    }

    @Test func framesAreSmallUntilItIsKnownWhoSendsThem() throws {
        let broker = try broker()
        let client = try broker.client()
        _ = try client.shake("PLAIN")
        // The length alone: it is not waited for what follows.
        try client.send(bytes: [0, 1, 0, 1])
        #expect(client.isClosedByBroker())
        let known = try broker.client()
        #expect(try known.logIn(plain: "alice", "pencil").errorCode == 0)
        try known.send(
            bytes: WireClient.frame(
                MetadataRequest(), version: 9, correlationID: 9, trailing: [UInt8](repeating: 0, count: 70_000)))
        _ = try known.receive(MetadataResponse.self, version: 9, correlationID: 9)
    }

    @Test func whatFollowsAFailureIsNotLookedAt() throws {
        let client = try broker(delay: .milliseconds(50)).client()
        _ = try client.shake("PLAIN")
        var request = SaslAuthenticateRequest()
        request.authBytes = WireClient.plain("alice", "pen")
        let first = try client.send(request)
        request.authBytes = WireClient.plain("alice", "pencil")
        try client.send(request)
        #expect(
            try client.receive(SaslAuthenticateResponse.self, correlationID: first).code == .saslAuthenticationFailed)
        #expect(client.isClosedByBroker())
    }

    /// Ten a second are enough for who has forgotten his password.
    @Test func whoIsWrongTooOftenIsNotLookedAt() throws {
        let broker = try broker()
        #expect(try broker.client().logIn(plain: "alice", "pencil").errorCode == 0)
        let authentication = try #require(broker.authentication)
        for _ in 0..<1_000 { authentication.countFailure(from: NetworkAddress("127.0.0.1")) }
        let scram = try broker.client()
        _ = try scram.shake("SCRAM-SHA-256")
        var request = SaslAuthenticateRequest()
        request.authBytes = ScramClient(mechanism: .sha256, user: "alice", password: "pencil").first
        try scram.send(request)
        #expect(scram.isClosedByBroker())
        let plain = try broker.client()
        _ = try plain.shake("PLAIN")
        request.authBytes = WireClient.plain("alice", "pen")
        try plain.send(request)
        #expect(plain.isClosedByBroker())
        // A password that was right lately costs nothing to look at.
        #expect(try broker.client().logIn(plain: "alice", "pencil").errorCode == 0)
    }

    /// To begin an exchange is the loop's work, whether a wrong proof follows or none.
    @Test func exchangesThatAreLeftUnprovenHaveABound() throws {
        let broker = try TestBroker { options in
            options.sasl = SaslSettings(mechanisms: [.scramSHA256], failureDelay: .zero, parting: .zero)
            // Two, and no more in a day.
            options.exchanges = AttemptLimiter(perSecond: 1e-5, burst: 2.5)
        }
        Self.setPassword(of: "alice", "pencil", [.sha256], on: broker)
        // Who proves himself takes nothing from it.
        for _ in 0..<5 { #expect(try broker.client().logIn(.sha256, "alice", "pencil").errorCode == 0) }
        #expect(try broker.client().logIn(.sha256, "alice", "pen").errorCode == 58)
        let first = ScramClient(mechanism: .sha256, user: "alice", password: "pencil").first
        let left = try broker.client()
        _ = try left.shake("SCRAM-SHA-256")
        #expect(try left.authenticate(first).errorCode == 0)
        let late = try broker.client()
        _ = try late.shake("SCRAM-SHA-256")
        #expect(throws: (any Error).self) { try late.authenticate(first) }
        #expect(late.isClosedByBroker())
    }

    /// kafka-python overlooks a reply that it reads together with the end of its connection.
    @Test func theEndOfARefusalIsTheClientsToBegin() throws {
        let broker = try broker(parting: .seconds(3_600))
        let client = try broker.client()
        #expect(try client.logIn(plain: "alice", "pen").code == .saslAuthenticationFailed)
        let other = try broker.client()
        #expect(try other.shake("GSSAPI").code == .unsupportedSaslMechanism)
        // Nothing is looked at meanwhile, and the connections are there.
        try client.send(MetadataRequest())
        let third = try Self.loggedIn(broker)
        #expect(try serves(third))
        // The third one's end would be counted.
        withExtendedLifetime(third) { #expect(!client.hasInput && broker.connectionCount == 3) }
        client.finishSending()
        other.finishSending()
        #expect(client.isClosedByBroker() && other.isClosedByBroker())
    }

    @Test func theEndOfARefusalComesInTheEnd() throws {
        let client = try broker(parting: .milliseconds(20)).client()
        #expect(try client.logIn(.sha256, "alice", "pen").code == .saslAuthenticationFailed)
        #expect(client.isClosedByBroker())
    }

    private static func loggedIn(_ broker: TestBroker) throws -> WireClient {
        let client = try broker.client()
        #expect(try client.logIn(plain: "alice", "pencil").errorCode == 0)
        return client
    }

    // MARK: Without SASL

    @Test func aListenerThatAsksNobodySaysSo() throws {
        let client = try TestBroker().client()
        #expect(try client.shake("PLAIN").code == .illegalSaslState)
        #expect(try client.authenticate([1]).code == .illegalSaslState)
        #expect(try serves(client))
    }

    // MARK: Afterwards

    @Test func aSecondTimeIsRefusedWhereSessionsHaveNoEnd() throws {
        let client = try broker().client()
        _ = try client.logIn(.sha256, "alice", "pencil")
        #expect(try client.shake("SCRAM-SHA-256").code == .illegalSaslState)
        #expect(try client.authenticate([1]).code == .illegalSaslState)
        #expect(try serves(client))
    }

    @Test func aSessionThatIsOverServesNothing() throws {
        let client = try broker(maxSession: .milliseconds(1)).client()
        #expect(try client.logIn(.sha256, "alice", "pencil").sessionLifetimeMs == 1)
        MonotonicClock.sleep(milliseconds: 5)
        try client.send(MetadataRequest())
        #expect(client.isClosedByBroker())
    }

    @Test func aSessionIsRenewedInTheMiddle() throws {
        let client = try broker(maxSession: .seconds(3_600)).client()
        #expect(try client.logIn(.sha256, "alice", "pencil").sessionLifetimeMs == 3_600_000)
        // At once for the first time, then not sooner than a second after the last.
        #expect(try client.logIn(.sha256, "alice", "pencil").sessionLifetimeMs == 3_600_000)
        #expect(try client.shake("SCRAM-SHA-256").code == .illegalSaslState)
        MonotonicClock.sleep(milliseconds: 1_050)
        #expect(try serves(client))
        #expect(try client.logIn(.sha256, "alice", "pencil").sessionLifetimeMs == 3_600_000)
        #expect(try serves(client))
        MonotonicClock.sleep(milliseconds: 1_050)
        #expect(try client.logIn(.sha256, "alice", "pen").code == .saslAuthenticationFailed)
        #expect(client.isClosedByBroker())
    }

    @Test func aChangedPasswordEndsWhatWasBegunByTheOldOne() throws {
        let broker = try broker(users: ["alice", "bob"])
        let (byScram, byPlain, other) = (try broker.client(), try broker.client(), try broker.client())
        _ = try byScram.logIn(.sha512, "alice", "pencil")
        _ = try byPlain.logIn(plain: "alice", "pencil")
        _ = try other.logIn(.sha256, "bob", "pencil")
        // PLAIN is checked by the first of the two.
        Self.setPassword(of: "alice", "changed", [.sha512], on: broker)
        #expect(byScram.isClosedByBroker())
        #expect(try serves(byPlain))
        let deletion = ScramAlteration.Deletion(user: "alice", mechanism: ScramMechanism.sha256.rawValue)
        _ = broker.broker.alterScramCredentials(deletions: [deletion], upsertions: [])
        #expect(byPlain.isClosedByBroker())
        #expect(try serves(other))
        #expect(try broker.client().logIn(plain: "alice", "pencil").code == .saslAuthenticationFailed)
        #expect(try broker.client().logIn(plain: "alice", "changed").errorCode == 0)
    }

    /// Loops hear of a change a little later than whoever has made it is answered.
    @Test func aChangedPasswordHoldsForTheNextRequestBeforeTheLoopHasHeardOfIt() throws {
        let broker = try broker(users: ["alice", "bob"])
        let (alice, bob) = (try broker.client(), try broker.client())
        _ = try alice.logIn(.sha256, "alice", "pencil")
        _ = try bob.logIn(.sha256, "bob", "pencil")
        broker.broker.changeAccess { before in
            let deletions = ScramMechanism.allCases.map {
                ScramAlteration(
                    deletions: [.init(user: "alice", mechanism: $0.rawValue)], upsertions: [], credentials: before,
                    epoch: 100)
            }
            return ((), before.applying(deletions.flatMap(\.changes), version: before.version + 1))
        }
        try alice.send(MetadataRequest())
        #expect(alice.isClosedByBroker())
        #expect(try serves(bob) && serves(bob))
    }

    /// Over TLS each of them costs a record and a send.
    @Test func aLoopClosesSomeConnectionsATurn() throws {
        let broker = try broker()
        let count = 2 * KafkaLoop.maxClosedATurn + 10
        let clients = try (0..<count).map { _ in
            let client = try broker.client()
            #expect(try client.logIn(plain: "alice", "pencil").errorCode == 0)
            return client
        }
        Self.setPassword(of: "alice", "changed", on: broker)
        for client in clients { #expect(client.isClosedByBroker()) }
        // Of two loops, each with some.
        #expect(broker.closingTurns >= 3)
    }

    /// Its connection is closed; nobody waits for what it has begun.
    @Test func whatIsUnderWayForWhoIsNoUserAnyMoreIsLeftUndone() throws {
        let broker = try broker()
        let authentication = try Authentication(broker.broker)
        let epoch = try #require(broker.broker.access.scramCredential(of: "alice", mechanism: .sha256)).epoch
        let standing = Standing(
            authentication: authentication, identity: SaslIdentity(principal: .user("alice"), epoch: epoch))
        let (core, steps, done) = (broker.broker, Lock<[Int]>([]), Signal())
        let plan = SlicedPlan<Int>(
            count: 3,
            step: { number, _ in
                steps.withLock { $0.append(number) }
                let end = BrokerClock.monotonicMs() + ChangeLimits.sliceMs
                while BrokerClock.monotonicMs() < end { MonotonicClock.sleep(milliseconds: 1) }
                guard number == 1 else { return }
                _ = core.alterScramCredentials(deletions: [.init(user: "alice", mechanism: 1)], upsertions: [])
            }, timedOut: { _, _ in })
        SlicedRun(plan, from: 0, on: broker.broker.admin, for: standing) { _ in done.raise() }.start()
        done.wait()
        #expect(steps.withLock { $0 } == [0, 1])
    }
}

/// Knows tokens by what they say: "good", "bad", "unknown" (nobody can tell), "busy" (too many wait), "slow" (never told) and
/// "crowd" (too many groups).
private final class TokenDesk: TokenAuthority {
    let generation = 0
    let checks = Lock(0)
    let slow = Lock<[PendingCheck]>([])
    let remembers = Lock(false)
    private let identity = TokenIdentity(
        issuer: "issuer", subject: "alice", principal: .user("alice"), groups: [.group("ops")],
        expiry: UnixTime(milliseconds: WallClock.milliseconds + 100_000))

    func remembered(_ token: Secret) -> TokenIdentity? { remembers.withLock { $0 } ? identity : nil }

    func check(
        _ token: Secret, from address: NetworkAddress?, _ done: @escaping @Sendable (TokenVerdict) -> Void
    ) -> PendingCheck? {
        checks.withLock { $0 += 1 }
        let word = token.withBytes { String(decoding: $0, as: UTF8.self) }
        if word == "busy" { return nil }
        if word == "slow" {
            let pending = PendingCheck()
            slow.withLock { $0.append(pending) }
            return pending
        }
        let verdict: TokenVerdict =
            switch word {
            case "good": .accepted(identity)
            case "bad": .rejected(.wrongSignature)
            case "crowd":
                .accepted(
                    TokenIdentity(
                        issuer: "issuer", subject: "alice", principal: .user("alice"),
                        groups: (0...AccessSubject.maxGroups).map { .group("g\($0)") }, expiry: identity.expiry))
            default: .unavailable
            }
        // From another thread, as promised.
        _ = Thread(name: "verdict") { done(verdict) }
        return PendingCheck()
    }
}
