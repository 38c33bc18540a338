import ByteBuffers
import KafkaModel
import Security
import Testing

/// The table of security's 2.1, state by state.
@Suite struct SaslSessionTests {
    @Test func apiVersionsIsServedOnceItWasGood() {
        var dialog = SaslDialog()
        // An unknown version, a bad software name: asked again.
        for error in [ErrorCode.unsupportedVersion, .invalidRequest, .unsupportedVersion] {
            #expect(dialog.send(.apiVersions(error)) == .serve)
        }
        #expect(dialog.send(.apiVersions(.none)) == .serve)
        #expect(dialog.send(.apiVersions(.none)) == .close(.apiVersionsTwice))
    }

    @Test(arguments: [false, true]) func onlyAHandshakeMayFollow(_ afterVersions: Bool) {
        for request in [SaslRequest.other, .authenticate(version: 1, token: [])] {
            var dialog = SaslDialog()
            if afterVersions { _ = dialog.send(.apiVersions(.none)) }
            #expect(dialog.send(request) == .close(.requestBeforeAuthentication))
            #expect(dialog.session.deadline == nil)
        }
        for version: Int16 in [-1, 2] {
            var dialog = SaslDialog()
            if afterVersions { _ = dialog.send(.apiVersions(.none)) }
            #expect(dialog.send(.handshake(version: version, mechanism: "PLAIN")) == .close(.unsupportedVersion))
        }
    }

    @Test func handshakesTellTheEnabledMechanisms() {
        for version: Int16 in [0, 1] {
            var dialog = SaslDialog([.scramSHA512, .plain])
            let names = ["SCRAM-SHA-512", "PLAIN"]
            #expect(dialog.shake(.plain, version: version) == .replyHandshake(.none, mechanisms: names, close: false))
            #expect(dialog.session.expectsRawToken == (version == 0))
            for unknown in ["GSSAPI", "plain", "", "SCRAM-SHA-256"] {
                var dialog = SaslDialog([.scramSHA512, .plain])
                #expect(
                    dialog.send(.handshake(version: version, mechanism: unknown))
                        == .replyHandshake(.unsupportedSaslMechanism, mechanisms: names, close: true))
            }
        }
    }

    @Test func anotherAPIInAnExchangeIsAnIllegalState() {
        for request in [SaslRequest.other, .apiVersions(.none), .handshake(version: 1, mechanism: "PLAIN")] {
            var dialog = SaslDialog()
            _ = dialog.shake(.plain)
            #expect(dialog.send(request) == .refuse(.illegalSaslState, close: true))
        }
        for version: Int16 in [-1, 3] {
            var dialog = SaslDialog()
            _ = dialog.shake(.plain)
            #expect(dialog.send(.authenticate(version: version, token: [])) == .close(.unsupportedVersion))
        }
    }

    @Test func whoIsAuthenticatedIsServed() {
        var dialog = SaslDialog()
        #expect(dialog.session.frameLimit == 65_536)
        let last = dialog.logInByPlain()
        #expect(last.reply?.error == ErrorCode.none && last.reply?.token == [] && last.reply?.sessionLifetimeMs == 0)
        #expect(dialog.session.frameLimit == nil && dialog.session.deadline == nil && !dialog.session.isExchanging)
        #expect(dialog.send(.other) == .serve && dialog.send(.apiVersions(.none)) == .serve)
        // Without an end there is nothing to renew.
        dialog.now = dialog.now + .seconds(60)
        #expect(dialog.shake(.plain) == .refuse(.illegalSaslState, close: false))
        #expect(dialog.token("x") == .refuse(.illegalSaslState, close: false))
        #expect(dialog.send(.other) == .serve)
    }

    // MARK: PLAIN

    @Test func plainAsksAWorker() {
        var dialog = SaslDialog()
        _ = dialog.shake(.plain)
        #expect(dialog.token("\0alice\0s3cret") == .verify(.password(user: "alice", secret("s3cret"))))
        #expect(dialog.session.isExchanging && dialog.session.identity == nil)
    }

    @Test(arguments: [
        "", "alice", "\0alice", "\0\0pw", "\0alice\0", "bob\0alice\0pw", "\0alice\0pw\0", "\0alice\0p\0w",
        "alice\0pw", "\0\0",
    ])
    func plainHasThreeFieldsAndNoMore(_ message: String) {
        var dialog = SaslDialog()
        _ = dialog.shake(.plain)
        #expect(dialog.token(message).failure?.message == SaslSession.failureMessage)
    }

    /// Longer ones than a user can be made with would only take memory while they wait for a worker.
    @Test(arguments: [(1_024, 1_024, true), (1_025, 8, false), (8, 1_025, false)])
    func plainIsShort(_ name: Int, _ password: Int, _ isLookedAt: Bool) {
        var dialog = SaslDialog()
        _ = dialog.shake(.plain)
        let action = dialog.token(
            "\0" + String(repeating: "n", count: name) + "\0" + String(repeating: "p", count: password))
        #expect(action.isFailure == !isLookedAt)
    }

    @Test func plainIsUTF8() {
        for bad in [[0, 0xff, 0, 0x70], [0, 0x61, 0, 0xc3], [0, 0x61, 0, 0xed, 0xa0, 0x80]] as [[UInt8]] {
            var dialog = SaslDialog()
            _ = dialog.shake(.plain)
            #expect(dialog.send(.authenticate(version: 1, token: bad)).isFailure)
        }
        var dialog = SaslDialog()
        _ = dialog.shake(.plain)
        // sarama sends the name as the authorization id, too.
        #expect(
            dialog.token("Zo\u{eb}\0Zo\u{eb}\0\u{1f511}") == .verify(.password(user: "Zo\u{eb}", secret("\u{1f511}"))))
    }

    @Test func rawPlainEndsWithAnEmptyFrame() {
        var dialog = SaslDialog()
        #expect(dialog.logInByPlain(version: 0) == .replyRaw([]))
        #expect(!dialog.session.expectsRawToken && dialog.send(.other) == .serve)
    }

    @Test func failuresAreDelayedAlikeAndFinal() {
        var dialog = SaslDialog()
        _ = dialog.shake(.plain)
        _ = dialog.token("\0alice\0wrong")
        let failure = dialog.session.finish(.rejected, now: dialog.now, wall: dialog.wall)
        guard case .fail(let reply, let time) = failure else { return #expect(Bool(false), "\(failure)") }
        #expect(
            time == dialog.now + .milliseconds(100) && reply?.error == .saslAuthenticationFailed && reply?.token == [])
        #expect(dialog.session.deadline == nil && dialog.session.identity == nil)

        var raw = SaslDialog()
        _ = raw.shake(.plain, version: 0)
        _ = raw.send(.rawToken(bytes("\0alice\0wrong")))
        #expect(
            raw.session.finish(.rejected, now: raw.now, wall: raw.wall) == .fail(nil, at: raw.now + .milliseconds(100)))
    }

    /// A check that took longer than the delay, or waited for longer, ends with a later whole one.
    @Test(arguments: [(100, 100), (101, 200), (250, 300), (300, 300)] as [(Int64, Int64)])
    func aLateVerdictIsToldAtAWholeDelay(took: Int64, told: Int64) {
        var dialog = SaslDialog()
        _ = dialog.shake(.plain)
        _ = dialog.token("\0alice\0wrong")
        let came = dialog.now
        let failure = dialog.session.finish(.rejected, now: came + .milliseconds(took), wall: dialog.wall)
        guard case .fail(_, let time) = failure else { return #expect(Bool(false), "\(failure)") }
        #expect(time == came + .milliseconds(told))
    }

    /// However long the worker took: the reply's time tells nothing of the user.
    @Test func theDelayCountsFromTheToken() {
        var times: Set<MonotonicTime> = []
        for work in [0, 3, 40] {
            var dialog = SaslDialog()
            _ = dialog.shake(.plain)
            dialog.now = dialog.now + .seconds(1)
            _ = dialog.token("\0alice\0wrong")
            dialog.now = dialog.now + .milliseconds(work)
            guard case .fail(_, let time) = dialog.session.finish(.rejected, now: dialog.now, wall: dialog.wall) else {
                return #expect(Bool(false))
            }
            times.insert(time)
        }
        #expect(times == [MonotonicTime(seconds: 1_001) + .milliseconds(100)])
    }

    /// What a client sends too early never stops the process, nor does it cut the delay short.
    @Test func framesThatComeTooEarlyEndTheSession() {
        for version: Int16 in [0, 1] {
            func early(_ dialog: inout SaslDialog) -> SaslAction {
                dialog.send(version == 0 ? .rawToken([1]) : .authenticate(version: 1, token: [1]))
            }
            var dialog = SaslDialog()
            _ = dialog.shake(.plain, version: version)
            #expect(!dialog.session.expectsNothing)
            let token = bytes("\0alice\0pw")
            _ = dialog.send(version == 0 ? .rawToken(token) : .authenticate(version: 1, token: token))
            #expect(dialog.session.expectsNothing)
            var failed = dialog
            for request in [SaslRequest.other, .apiVersions(.none), .handshake(version: 1, mechanism: "PLAIN")] {
                var other = dialog
                #expect(other.send(request) == .close(.unexpectedFrame))
            }
            #expect(early(&dialog) == .close(.unexpectedFrame))
            #expect(
                dialog.session.finish(
                    .accepted(SaslIdentity(principal: .user("alice"))), now: dialog.now, wall: dialog.wall)
                    == .drop)
            #expect(dialog.session.identity == nil)

            #expect(failed.session.finish(.rejected, now: failed.now, wall: failed.wall).isFailure)
            #expect(failed.session.expectsNothing)
            for request in [
                SaslRequest.other, .rawToken([]), .authenticate(version: 1, token: []), .apiVersions(.none),
            ] {
                #expect(failed.send(request) == .drop)
            }
        }
        // Parsed as what they were not.
        var raw = SaslDialog()
        _ = raw.shake(.plain, version: 0)
        #expect(raw.send(.other) == .close(.unexpectedFrame))
        var framed = SaslDialog()
        _ = framed.shake(.plain)
        #expect(framed.send(.rawToken([])) == .close(.unexpectedFrame))
        var authenticated = SaslDialog()
        _ = authenticated.logInByPlain()
        #expect(authenticated.send(.rawToken([])) == .close(.unexpectedFrame))
    }

    @Test func aLongTokenIsNotTakenApart() {
        var dialog = SaslDialog()
        _ = dialog.shake(.plain)
        // Good but for its length.
        let token = bytes("\0alice\0") + [UInt8](repeating: 0x70, count: SaslSession.maxFrameBytes)
        #expect(dialog.send(.authenticate(version: 1, token: token)).isFailure)
    }

    @Test func whatNobodyCouldTellClosesWithoutAReply() {
        var dialog = SaslDialog()
        _ = dialog.shake(.plain)
        _ = dialog.token("\0alice\0pw")
        #expect(dialog.session.finish(.unavailable, now: dialog.now, wall: dialog.wall) == .close(.verifierUnavailable))
    }

    @Test func theWorkersCheckTellsNoUserFromAWrongPassword() {
        var users = Users()
        users.add("alice", "pw", .sha512, epoch: 3)
        func check(_ user: ExactString, _ password: String) -> SaslVerdict {
            PasswordCheck.run(user: user, password: secret(password), credentials: users, decoys: testDecoys)
        }
        #expect(check("alice", "pw") == .accepted(SaslIdentity(principal: .user("alice"), epoch: 3)))
        #expect(check("alice", "PW") == .rejected && check("nobody", "pw") == .rejected)
    }

    /// What is done for one and not for the other can be measured.
    @Test func knownAndUnknownUsersCostADecoyEach() {
        let made = Lock<[ExactString]>([])
        let decoys = makeDecoys { user in made.withLock { $0.append(user) } }
        var users = Users()
        users.add("alice", "pw")
        for user: ExactString in ["alice", "nobody"] {
            _ = PasswordCheck.run(user: user, password: secret("px"), credentials: users, decoys: decoys)
            #expect(made.withLock { $0 } == [user])
            var dialog = SaslDialog(users: users)
            dialog.environment.decoys = decoys
            _ = dialog.shake(.scramSHA256)
            let client = ScramClient(mechanism: .sha256, user: user.text, password: "px")
            _ = dialog.send(.authenticate(version: 2, token: client.first))
            #expect(made.withLock { $0 } == [user, user])
            made.withLock { $0 = [] }
        }
    }

    @Test func rightPasswordsAreRememberedForAWhile() {
        var cache = PasswordCache()
        let maker = PasswordCache.Maker(key: secret("a key of this process"))
        func entry(_ user: ExactString, _ password: String, _ epoch: UInt64) -> PasswordCache.Entry {
            maker.entry(user: user, password: secret(password), epoch: epoch)
        }
        let now = MonotonicTime(seconds: 100)
        #expect(!cache.contains(entry("alice", "pw", 1), now: now))
        cache.insert(entry("alice", "pw", 1), now: now)
        cache.insert(entry("alice", "pw", 1), now: now)
        #expect(cache.count == 1 && cache.contains(entry("alice", "pw", 1), now: now))
        for (user, password, epoch) in [("alice", "pw", 2), ("alice", "px", 1), ("alic", "epw", 1), ("bob", "pw", 1)]
            as [(ExactString, String, UInt64)]
        {
            #expect(!cache.contains(entry(user, password, epoch), now: now))
        }
        #expect(!cache.contains(entry("alice", "pw", 1), now: now + .seconds(300)))
        for index in 0..<PasswordCache.maxEntries {
            cache.insert(entry(ExactString("user\(index)"), "pw", 1), now: now)
        }
        #expect(cache.count == PasswordCache.maxEntries)
        #expect(!cache.contains(entry("alice", "pw", 1), now: now))
        #expect(cache.contains(entry("user0", "pw", 1), now: now))
    }

    // MARK: Deadlines

    @Test func anExchangeHasToEnd() {
        var dialog = SaslDialog()
        #expect(dialog.session.deadline == dialog.now + .seconds(30))
        _ = dialog.shake(.plain)
        _ = dialog.token("\0alice\0pw")
        #expect(dialog.session.deadlinePassed() == .close(.deadlinePassed))
        // The worker's answer comes late, and finds nobody.
        #expect(dialog.session.finish(.rejected, now: dialog.now, wall: dialog.wall) == .drop)
    }
}
