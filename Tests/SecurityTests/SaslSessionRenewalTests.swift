import ByteBuffers
import KafkaModel
import Security
import Testing

/// OAUTHBEARER's second round, and KIP-368.
@Suite struct SaslSessionRenewalTests {
    private func bearer(_ token: String = "a.b-_.c") -> String { "n,,\u{1}auth=Bearer \(token)\u{1}\u{1}" }

    @Test func aTokenIsVerifiedByAWorker() {
        for message in [
            bearer(), "n,a=alice,\u{1}auth=bEARER   a.b-_.c\u{1}traceId=1 2\u{1}\u{1}",
            "y,,\u{1}host=h\u{1}auth=Bearer a.b-_.c\u{1}\u{1}",
        ] {
            var dialog = SaslDialog()
            _ = dialog.shake(.oauthBearer)
            #expect(dialog.token(message) == .verify(.token(secret("a.b-_.c"))))
            let found = SaslIdentity(principal: .user("alice"), expiry: dialog.wall + .seconds(60))
            #expect(
                dialog.session.finish(.accepted(found), now: dialog.now, wall: dialog.wall).reply?.sessionLifetimeMs
                    == 60_000)
            #expect(dialog.session.identity == found)
        }
    }

    @Test(arguments: [
        "", "n,,", "n,,\u{1}\u{1}", "n,,\u{1}host=a\u{1}\u{1}", "n,,\u{1}auth=Basic abc\u{1}\u{1}",
        "n,,\u{1}auth=Bearer \u{1}\u{1}",
        "n,,\u{1}auth=Bearer\u{1}\u{1}", "n,,\u{1}auth=Bearerabc\u{1}\u{1}", "n,,\u{1}auth=Bearer a b\u{1}\u{1}",
        "n,,\u{1}auth=Bearer a\u{1}", "n,,auth=Bearer a\u{1}\u{1}", "n,,\u{1}auth=Bearer a\u{1}k1=v\u{1}\u{1}",
        "n,,\u{1}auth=Bearer a\u{1}k=\u{1}\u{1}", "n,,\u{1}auth=Bearer a\u{1}=v\u{1}\u{1}",
        "n,,\u{1}auth=Bearer a\u{1}\u{1}\u{1}",
        "n,,\u{1}auth=Bearer a\u{1}auth=Bearer b\u{1}\u{1}", "p=x,,\u{1}auth=Bearer a\u{1}\u{1}",
        "n,a=,\u{1}auth=Bearer a\u{1}\u{1}",
        "n,,\u{1}auth=Bearer a=\u{1}\u{1}", "n,,\u{1}auth=Bearer a\u{1}k=\u{7f}\u{1}\u{1}",
        "n,,\u{1}auth=Bearer a\u{1}k=\u{e9}\u{1}\u{1}",
    ])
    func theGrammarIsExact(_ message: String) {
        var dialog = SaslDialog()
        _ = dialog.shake(.oauthBearer)
        #expect(dialog.token(message).failure?.error == .saslAuthenticationFailed, "\(message.debugDescription)")
    }

    @Test func extensionsHaveABound() {
        for (count, isGood) in [(32, true), (33, false)] {
            var dialog = SaslDialog()
            _ = dialog.shake(.oauthBearer)
            let names = (0..<count).map { "k" + String(repeating: "x", count: $0) }
            let pairs = names.map { "\($0)=v\u{1}" }.joined()
            #expect(dialog.token("n,,\u{1}\(pairs)auth=Bearer a\u{1}\u{1}").isFailure == !isGood)
        }
    }

    @Test func aBadTokenIsToldInTwoRounds() {
        for version: Int16 in [0, 1] {
            var dialog = SaslDialog()
            _ = dialog.shake(.oauthBearer, version: version)
            func send(_ token: String) -> SaslAction {
                version == 0 ? dialog.send(.rawToken(bytes(token))) : dialog.token(token)
            }
            _ = send(bearer())
            let challenge = dialog.session.finish(.rejected, now: dialog.now, wall: dialog.wall)
            let json = #"{"status":"invalid_token"}"#
            if version == 0 {
                #expect(challenge == .replyRaw(bytes(json)))
            } else {
                #expect(challenge.reply?.error == ErrorCode.none && challenge.reply?.token == bytes(json))
                #expect(challenge.reply?.sessionLifetimeMs == 0)
            }
            #expect(dialog.session.deadline == dialog.now + .seconds(10) && dialog.session.identity == nil)
            // A new token is not looked at.
            var other = dialog
            let second = version == 0 ? other.send(.rawToken(bytes(bearer()))) : other.token(bearer())
            #expect(second.isFailure)
            var late = dialog
            #expect(late.session.deadlinePassed() == .close(.challengeUnanswered))
            let last = send("\u{1}")
            #expect(last.isFailure && (version == 0 || last.failure?.message == json))
            #expect(version == 0 || last.failure?.error == .saslAuthenticationFailed)
        }
    }

    @Test func theAuthorizationIdMustBeTheTokensUser() {
        var dialog = SaslDialog()
        _ = dialog.shake(.oauthBearer)
        _ = dialog.token("n,a=bob,\u{1}auth=Bearer a\u{1}\u{1}")
        #expect(
            dialog.session.finish(
                .accepted(SaslIdentity(principal: .user("alice"))), now: dialog.now, wall: dialog.wall
            ).isFailure)
    }

    @Test func aTokenAboutToEndIsRefused() {
        for (seconds, isGood) in [(5, true), (4, false), (0, false), (-10, false)] {
            var dialog = SaslDialog()
            _ = dialog.shake(.oauthBearer)
            _ = dialog.token(bearer())
            let found = SaslIdentity(principal: .user("a"), expiry: dialog.wall + .seconds(seconds))
            _ = dialog.session.finish(.accepted(found), now: dialog.now, wall: dialog.wall)
            #expect((dialog.session.identity != nil) == isGood, "\(seconds) s left")
        }
    }

    /// The same subject as over HTTP: a DENY for a group holds on this listener as well.
    @Test func aTokensGroupsAndScopesReachTheSubject() throws {
        let pair = TestKeys.edDSA(id: "d")
        let keys = try #require(JSONWebKeySet(parsing: #"{"keys":[\#(pair.jwk)]}"#.utf8))
        let verifier = try TokenVerifier(issuers: [
            TokenIssuer(names: ["i"], audiences: ["a"], algorithms: [.edDSA], keys: keys, groupsClaim: "groups")
        ])
        var dialog = SaslDialog(maxSession: .seconds(100))
        // A renewal replaces them.
        for groups in [["contractors"], []] {
            let names = groups.map { "\"\($0)\"" }.joined()
            let claims =
                #"{"iss":"i","sub":"alice","aud":"a","exp":1800000000,"iat":1,"jti":"j","scope":"w","groups":[\#(names)]}"#
            let signed =
                Base64.encodeURL(#"{"alg":"EdDSA","kid":"d"}"#.utf8) + "." + Base64.encodeURL(claims.utf8)
            let token = signed + "." + Base64.encodeURL(pair.sign(bytes(signed)))
            let found = try verifier.verify(token.utf8, now: dialog.wall)
            _ = dialog.shake(.oauthBearer)
            _ = dialog.token(bearer(token))
            _ = dialog.session.finish(
                SaslVerdict(.accepted(found)), now: dialog.now, wall: dialog.wall)
            let identity = try #require(dialog.session.identity)
            let subject = try #require(identity.subject(at: NetworkAddress("::1")!))
            #expect(subject.groups == groups.map(Principal.group) + [.scope("w")] && subject.scopes == nil)
            #expect(identity.token?.tokenID == "j" && identity.token?.keyID == "d")
            dialog.now = dialog.now + .seconds(2)
        }
    }

    /// With fewer of his groups he would step past a DENY.
    @Test func whoIsInTooManyGroupsIsNotLetIn() {
        for (count, isIn) in [(AccessSubject.maxGroups, true), (AccessSubject.maxGroups + 1, false)] {
            var dialog = SaslDialog()
            _ = dialog.shake(.oauthBearer)
            _ = dialog.token(bearer())
            let groups = (0..<count).map { Principal.group("g\($0)") }
            let found = SaslIdentity(principal: .user("a"), groups: groups)
            let action = dialog.session.finish(.accepted(found), now: dialog.now, wall: dialog.wall)
            #expect((dialog.session.identity != nil) == isIn && (action == .close(.tooManyGroups)) == !isIn)
            #expect(dialog.session.isAuthenticated == isIn)
        }
    }

    @Test func aTokenWithoutAnEndToSpeakOfIsToldAYear() {
        var dialog = SaslDialog()
        let last = dialog.logInByPlain(expiry: UnixTime(milliseconds: .max))
        #expect(last.reply?.sessionLifetimeMs == Int64(31_536_000_000))
    }

    // MARK: Session lifetime

    @Test func theLifetimeIsTheShorterOfTheTwo() {
        for (maxSession, expiry, expected) in [
            (Duration.zero, nil, 0), (.seconds(100), nil, 100_000), (.zero, 50, 50_000), (.seconds(100), 50, 50_000),
            (.seconds(20), 50, 20_000),
        ] as [(Duration, Int?, Int64)] {
            var dialog = SaslDialog(maxSession: maxSession)
            let end = expiry.map { dialog.wall + .seconds($0) }
            #expect(dialog.logInByPlain(expiry: end).reply?.sessionLifetimeMs == expected)
        }
    }

    @Test func anExpiredSessionServesNothing() {
        for request in [SaslRequest.other, .apiVersions(.none), .authenticate(version: 1, token: [])] {
            var dialog = SaslDialog(maxSession: .seconds(10))
            _ = dialog.logInByPlain(version: 0)
            dialog.now = dialog.now + .milliseconds(9_999)
            #expect(dialog.send(.other) == .serve)
            dialog.now = dialog.now + .milliseconds(1)
            #expect(dialog.send(request) == .close(.sessionExpired))
        }
    }

    @Test func aHandshakeRenewsASessionThatHasAnEnd() {
        var dialog = SaslDialog(maxSession: .seconds(10))
        _ = dialog.logInByPlain()
        // The first one comes when it likes: clients whose sessions last a second take a refusal for final.
        #expect(dialog.logInByPlain().reply?.sessionLifetimeMs == 10_000)
        // Too soon.
        dialog.now = dialog.now + .milliseconds(999)
        #expect(dialog.shake(.plain) == .refuse(.illegalSaslState, close: false))
        #expect(dialog.send(.other) == .serve)
        dialog.now = dialog.now + .milliseconds(1)
        // Raw tokens renew nothing.
        #expect(dialog.shake(.plain, version: 0) == .refuse(.illegalSaslState, close: false))
        // Late, but nothing was asked in between.
        dialog.now = dialog.now + .seconds(60)
        #expect(dialog.logInByPlain().reply?.sessionLifetimeMs == 10_000)
        #expect(dialog.session.sessionEnd == dialog.now + .seconds(10) && dialog.send(.other) == .serve)
    }

    @Test func aRenewalIsABarrierWithADeadline() {
        var dialog = SaslDialog(maxSession: .seconds(10))
        _ = dialog.logInByPlain()
        dialog.now = dialog.now + .seconds(5)
        _ = dialog.shake(.plain)
        #expect(dialog.session.isExchanging && dialog.session.deadline == dialog.now + .seconds(30))
        #expect(dialog.session.frameLimit == SaslSession.maxFrameBytes)
        #expect(dialog.send(.other) == .refuse(.illegalSaslState, close: true))
    }

    @Test func whoRenewsIsWhoBegan() {
        var dialog = SaslDialog(maxSession: .seconds(10))
        _ = dialog.logInByPlain("alice")
        dialog.now = dialog.now + .seconds(5)
        #expect(dialog.logInByPlain("bob").isFailure)
    }

    @Test func aSessionIsRenewedByItsOwnMechanism() {
        var users = Users()
        users.add("alice", "pw")
        var dialog = SaslDialog(users: users, maxSession: .seconds(10))
        _ = dialog.logInByPlain("alice")
        dialog.now = dialog.now + .seconds(5)
        #expect(
            dialog.shake(.scramSHA256)
                == .replyHandshake(.none, mechanisms: SaslMechanism.allCases.map(\.rawValue), close: false))
        let client = ScramClient(mechanism: .sha256, user: "alice", password: "pw")
        #expect(dialog.send(.authenticate(version: 1, token: client.first)).isFailure)
    }
}
