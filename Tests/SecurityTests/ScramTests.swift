import BrokerTestKit
import ByteBuffers
import KafkaModel
import Testing

@testable import Security

@Suite struct ScramTests {
    /// What was found, and what was not, of all that was looked for.
    private final class CountedUsers: ScramCredentialSource {
        private let users: Users
        let looks = Lock((found: 0, missed: 0))

        init(_ users: Users) { self.users = users }

        func scramCredential(of user: ExactString, mechanism: ScramMechanism) -> ScramCredential? {
            let found = users.scramCredential(of: user, mechanism: mechanism)
            looks.withLock { if found == nil { $0.missed += 1 } else { $0.found += 1 } }
            return found
        }

        func scramTwins(mechanism: ScramMechanism) -> ScramTwins? {
            ScramTwins(users: ["twin"], nobodies: ["none"])
        }
    }

    /// Else two thousand tries show by a third of a microsecond whether there is such a user.
    @Test func whoeverIsAskedForOneIsFoundAndOneIsNot() {
        var users = Users()
        for name in ["alice", "twin"] { users.add(name, "pencil") }
        for name in ["alice", "nobody"] {
            let counted = CountedUsers(users)
            var dialog = SaslDialog()
            dialog.environment.credentials = counted
            _ = dialog.shake(.scramSHA256)
            #expect(dialog.token("n,,n=\(name),r=nonce").reply?.error == ErrorCode.none)
            #expect(counted.looks.withLock { $0 == (1, 1) }, "\(name)")
        }
    }

    /// security's vector, and RFC 7677's: "user", "pencil".
    @Test func theKeysOfTheRFCsExampleUser() {
        let credential = ScramCredential(
            password: secret("pencil"), salt: Base64.decode("W22ZaJ0SNY7soEsUEjb6gQ==".utf8)!, iterations: 4_096,
            mechanism: .sha256)
        #expect(Base64.encode(credential.storedKey) == "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=")
        #expect(Base64.encode(credential.serverKey) == "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=")
        #expect(credential.isMade(from: secret("pencil"), mechanism: .sha256))
        #expect(!credential.isMade(from: secret("pencik"), mechanism: .sha256))
    }

    /// What is read from a store is looked at, for each log-in would stop on it.
    @Test func aStoredCredentialIsWhole() {
        func stored(_ salt: Int = 16, _ iterations: Int = 4_096, _ key: Int = 32, _ server: Int = 32)
            -> ScramCredential?
        {
            func zeros(_ count: Int) -> [UInt8] { [UInt8](repeating: 0, count: count) }
            return ScramCredential(
                salt: zeros(salt), iterations: iterations, storedKey: zeros(key), serverKey: zeros(server),
                mechanism: .sha256)
        }
        #expect(stored() != nil && stored(128, 16_384) != nil)
        for bad in [
            stored(0), stored(129), stored(16, 0), stored(16, .max), stored(16, 4_096, 31), stored(16, 4_096, 64),
            stored(16, 4_096, 32, 31), stored(16, 4_096, 32, 64),
        ] {
            #expect(bad == nil)
        }
    }

    @Test func manyUsersNamedTwiceGetOneResultEach() {
        let names = (0..<20_000).map { "u\($0)" }
        let deletions = (names + names).map { ScramAlteration.Deletion(user: $0, mechanism: 1) }
        let alteration = ScramAlteration(deletions: deletions, upsertions: [], credentials: Users(), epoch: 1)
        #expect(alteration.results.count == names.count)
        // As in Kafka, the first error of a user is the one that he is told of.
        #expect(alteration.results.allSatisfy { $0.error == .resourceNotFound })
        var bytes = [UInt8](repeating: 1, count: 32)
        let key = Secret(wiping: &bytes)
        let upsertions = (names + names.prefix(100)).map {
            ScramAlteration.Upsertion(
                user: $0, mechanism: 1, iterations: 4_096, salt: Array("salt".utf8), saltedPassword: key)
        }
        let repeated = ScramAlteration(deletions: [], upsertions: upsertions, credentials: Users(), epoch: 1)
        #expect(repeated.results.prefix(100).allSatisfy { $0.error == .duplicateResource })
        #expect(repeated.results.count == names.count && repeated.changes.count == names.count - 100)
    }

    private func user(_ name: String = "alice", mechanism: ScramMechanism = .sha256) -> Users {
        var users = Users()
        users.add(name, "pencil", mechanism)
        return users
    }

    private func saslName(_ mechanism: ScramMechanism) -> SaslMechanism {
        mechanism == .sha256 ? .scramSHA256 : .scramSHA512
    }

    @Test(arguments: ScramMechanism.allCases, [Int16(0), 1]) func aRightPasswordGetsIn(
        _ mechanism: ScramMechanism, _ version: Int16
    ) {
        var dialog = SaslDialog(users: user(mechanism: mechanism))
        let client = ScramClient(mechanism: mechanism, user: "alice", password: "pencil")
        _ = dialog.shake(saslName(mechanism), version: version)
        let serverFirst: [UInt8]
        let last: SaslAction
        if version == 0 {
            guard case .replyRaw(let token) = dialog.send(.rawToken(client.first)) else { return #expect(Bool(false)) }
            serverFirst = token
            let final = client.final(after: serverFirst)
            last = dialog.send(.rawToken(final.message))
            #expect(last == .replyRaw(bytes(final.expected)))
        } else {
            serverFirst = dialog.send(.authenticate(version: 1, token: client.first)).reply?.token ?? []
            let final = client.final(after: serverFirst)
            last = dialog.send(.authenticate(version: 1, token: final.message))
            #expect(last.reply?.token == bytes(final.expected) && last.reply?.error == ErrorCode.none)
        }
        #expect(client.fields(of: serverFirst).nonce.hasPrefix("clientNonce"))
        #expect(client.fields(of: serverFirst).nonce.utf8.count >= "clientNonce".utf8.count + 22)
        #expect(dialog.session.identity == SaslIdentity(principal: .user("alice"), epoch: 1))
    }

    /// The first message of an exchange that has to fail at once.
    @Test(arguments: [
        "p=tls-unique,,n=alice,r=abc", "n,,m=x,n=alice,r=abc", "n,,n=alice,r=abc,m=x", "n,,n=,r=abc", "n,,n=alice,r=",
        "n,,r=abc,n=alice", "n,,n=alice", "n,a=bob,n=alice,r=abc", "n,b=alice,n=alice,r=abc", "n,n=alice,r=abc", "",
        "n,,n=al=ice,r=abc", "n,,n=al=2c,r=abc", "n,,n=alice=,r=abc", "n,,n=alice,r=a c",
        "n,,n=alice,r=abc,tokenauth=true",
        "n,,n=alice,r=abc,", "n,,n=alice,r=abc,=x", "x,,n=alice,r=abc", "n,,n=al\u{0}ice,r=abc", "n,,n=alice,r=\u{e9}",
    ])
    func badFirstMessagesFail(_ message: String) {
        var dialog = SaslDialog(users: user())
        _ = dialog.shake(.scramSHA256)
        #expect(dialog.token(message).failure?.error == .saslAuthenticationFailed)
    }

    @Test func aNameThatIsNoUTF8Fails() {
        var dialog = SaslDialog(users: user())
        _ = dialog.shake(.scramSHA256)
        #expect(
            dialog.send(.authenticate(version: 1, token: bytes("n,,n=") + [0xff, 0xfe] + bytes(",r=abc"))).isFailure)
    }

    @Test func aNonceHasABound() {
        for (length, isGood) in [(256, true), (257, false)] {
            var dialog = SaslDialog(users: user())
            _ = dialog.shake(.scramSHA256)
            #expect(dialog.token("n,,n=alice,r=" + String(repeating: "x", count: length)).isFailure == !isGood)
        }
    }

    /// Names with what must be escaped, with blanks, with several scripts; passwords are taken as they are.
    @Test(arguments: ["a,b", "a=b", "=2C", "Zo\u{eb}", "\u{4e2d}\u{6587} user", "a b"])
    func namesAreEscapedPasswordsAreNot(_ name: String) {
        var users = Users()
        users.add(name, "p=2C,\u{e9} =")
        var dialog = SaslDialog(users: users)
        let client = ScramClient(mechanism: .sha256, user: name, password: "p=2C,\u{e9} =", header: "y,,")
        _ = dialog.shake(.scramSHA256)
        let first = dialog.send(.authenticate(version: 1, token: client.first)).reply!.token
        _ = dialog.send(.authenticate(version: 1, token: client.final(after: first).message))
        #expect(dialog.session.identity?.principal == .user(name))
    }

    @Test func extensionsAreSignedAsTheyCame() {
        var dialog = SaslDialog(users: user())
        let client = ScramClient(
            mechanism: .sha256, user: "alice", password: "pencil", header: "n,a=alice,",
            extensions: ",x=1,tokenauth=false")
        _ = dialog.shake(.scramSHA256)
        let first = dialog.send(.authenticate(version: 1, token: client.first)).reply!.token
        _ = dialog.send(.authenticate(version: 1, token: client.final(after: first).message))
        #expect(dialog.session.identity?.principal == .user("alice"))
    }

    /// As librdkafka before 2.6.1 sends it, which Kafka 3.9 takes.
    @Test(arguments: [("clientNonce", true), ("clientNonc", false), ("clientNonceclientNonce", false), ("x", false)])
    func theClientsNonceMayComeTwice(_ repeated: String, _ isTaken: Bool) {
        var dialog = SaslDialog(users: user())
        var client = ScramClient(mechanism: .sha256, user: "alice", password: "pencil")
        client.repeated = repeated
        _ = dialog.shake(.scramSHA256)
        let first = dialog.send(.authenticate(version: 1, token: client.first)).reply!.token
        let (message, expected) = client.final(after: first)
        let reply = dialog.send(.authenticate(version: 1, token: message)).reply
        #expect((reply?.token == bytes(expected)) == isTaken)
        #expect((dialog.session.identity != nil) == isTaken)
    }

    @Test(arguments: ScramMechanism.allCases, ["alice", "a,b", "a=b", "=2C", "Zo\u{eb}"])
    func ourOwnClientGetsIn(_ mechanism: ScramMechanism, _ name: String) throws {
        var users = Users()
        users.add(name, "pencil, = \u{eb}", mechanism)
        var dialog = SaslDialog(users: users)
        _ = dialog.shake(saslName(mechanism))
        var login = ScramLogin(mechanism, user: name)
        let first = dialog.send(.authenticate(version: 1, token: login.first)).reply
        let answer = login.answer(try #require(first).token, password: secret("pencil, = \u{eb}"))
        let final = try #require(answer)
        let reply = dialog.send(.authenticate(version: 1, token: final)).reply
        let last = try #require(reply).token
        #expect(login.isProven(by: last) && dialog.session.identity?.principal == .user(name))
        #expect(!login.isProven(by: Array(last.dropLast())) && !login.isProven(by: []))
    }

    @Test(arguments: [
        "", "r=abc,s=c2FsdA==,i=4096", "r=nonce,s=c2FsdA==,i=4096", "r=nonceX,s=,i=4096", "r=nonceX,s=c2FsdA==,i=4095",
        "r=nonceX,s=c2FsdA==,i=1000001", "r=nonceX,s=c2FsdA==,i=", "r=nonceX,s=c2FsdA==", "r=nonceX,s=!,i=4096",
        "e=other-error",
    ])
    func ourOwnClientAnswersNoOther(_ serverFirst: String) {
        var login = ScramLogin(.sha256, user: "alice", nonce: bytes("nonce"))
        #expect(login.answer(bytes(serverFirst), password: secret("pencil")) == nil)
        #expect(!login.isProven(by: []))
    }

    /// Every byte of the last message, changed in every bit, fails; so does each byte cut off.
    @Test(arguments: ScramMechanism.allCases) func everyMutatedByteOfTheProofFails(_ mechanism: ScramMechanism) {
        var dialog = SaslDialog(users: user(mechanism: mechanism))
        let client = ScramClient(mechanism: mechanism, user: "alice", password: "pencil")
        _ = dialog.shake(saslName(mechanism))
        let first = dialog.send(.authenticate(version: 1, token: client.first)).reply!.token
        let good = client.final(after: first).message
        for index in good.indices {
            for bit in 0..<8 {
                var bad = good
                bad[index] ^= 1 << UInt8(bit)
                var copy = dialog
                #expect(copy.send(.authenticate(version: 1, token: bad)).isFailure, "byte \(index), bit \(bit)")
                #expect(copy.session.identity == nil)
            }
            var copy = dialog
            #expect(copy.send(.authenticate(version: 1, token: Array(good[..<index]))).isFailure)
        }
        #expect(dialog.send(.authenticate(version: 1, token: good)).reply?.error == ErrorCode.none)
    }

    /// Every byte of the first message, changed after it was signed: the proof no longer fits.
    @Test func everyMutatedByteOfTheFirstMessageFails() {
        let client = ScramClient(mechanism: .sha256, user: "alice", password: "pencil")
        let original = client.first
        for index in original.indices {
            var dialog = SaslDialog(users: user())
            var bad = original
            bad[index] ^= 1
            _ = dialog.shake(.scramSHA256)
            guard let first = dialog.send(.authenticate(version: 1, token: bad)).reply?.token else { continue }
            let last = dialog.send(.authenticate(version: 1, token: client.final(after: first).message))
            #expect(last.isFailure, "byte \(index)")
        }
    }

    @Test func theBindingMustRepeatTheHeader() {
        var dialog = SaslDialog(users: user())
        let client = ScramClient(mechanism: .sha256, user: "alice", password: "pencil")
        _ = dialog.shake(.scramSHA256)
        let first = dialog.send(.authenticate(version: 1, token: client.first)).reply!.token
        let other = client.final(after: first, binding: Base64.encode("y,,".utf8)).message
        #expect(dialog.send(.authenticate(version: 1, token: other)).isFailure)
    }

    // MARK: Enumeration

    private func serverFirst(_ name: String, users: Users) -> (nonce: String, salt: [UInt8], iterations: Int) {
        var dialog = SaslDialog(users: users)
        let client = ScramClient(mechanism: .sha256, user: name, password: "x")
        _ = dialog.shake(.scramSHA256)
        let reply = dialog.send(.authenticate(version: 1, token: client.first)).reply!
        return client.fields(of: reply.token)
    }

    @Test func anUnknownUserLooksLikeAKnownOneUntilTheEnd() {
        let (known, unknown) = (serverFirst("alice", users: user()), serverFirst("nobody", users: user()))
        #expect(known.nonce == unknown.nonce && known.iterations == unknown.iterations)
        // Stable over tries and nodes, and another for another name.
        #expect(unknown.salt == serverFirst("nobody", users: Users()).salt)
        #expect(unknown.salt != serverFirst("nobody2", users: user()).salt)
        let digits = Set("0123456789abcdefghijklmnopqrstuvwxyz".utf8)
        for index in 0..<200 {
            let salt = serverFirst("nobody\(index)", users: Users()).salt
            #expect((24...26).contains(salt.count) && salt.allSatisfy(digits.contains), "\(text(salt))")
        }

        // What is made for a new user looks like a decoy's, and is another each time.
        let made = Set((0..<200).map { _ in ScramDecoys.newSalt() })
        #expect(made.count == 200)
        #expect(made.allSatisfy { (22...26).contains($0.count) && $0.allSatisfy(digits.contains) })

        // The same failure for both, whatever the password.
        func failure(_ name: String) -> SaslAction {
            var dialog = SaslDialog(users: user())
            let client = ScramClient(mechanism: .sha256, user: name, password: "wrong")
            _ = dialog.shake(.scramSHA256)
            let first = dialog.send(.authenticate(version: 1, token: client.first)).reply!.token
            return dialog.send(.authenticate(version: 1, token: client.final(after: first).message))
        }
        #expect(failure("alice") == failure("nobody") && failure("alice").isFailure)
    }

    @Test func aUserOfTheOtherMechanismIsUnknownToThisOne() {
        let users = user(mechanism: .sha512)
        #expect(serverFirst("alice", users: users).salt == serverFirst("alice", users: Users()).salt)
    }

    // MARK: KIP-554

    private func salted(_ mechanism: ScramMechanism = .sha256, _ password: String = "new") -> Secret {
        var key = mechanism.algorithm.pbkdf2(password: secret(password), salt: bytes("pepper"), iterations: 4_096)
        return Secret(wiping: &key)
    }

    private func upsertion(
        _ user: String, _ mechanism: Int8 = 1, iterations: Int32 = 4_096, salt: String = "pepper", key: Secret? = nil
    ) -> ScramAlteration.Upsertion {
        ScramAlteration.Upsertion(
            user: user, mechanism: mechanism, iterations: iterations, salt: bytes(salt), saltedPassword: key ?? salted()
        )
    }

    @Test func anUpsertedUserLogsInByHisPassword() throws {
        let alteration = ScramAlteration(deletions: [], upsertions: [upsertion("bob")], credentials: Users(), epoch: 9)
        let change = try #require(alteration.changes.first)
        #expect(alteration.results.map(\.error) == [.none] && change.user == "bob")
        #expect(try #require(change.credential).isMade(from: secret("new"), mechanism: .sha256))
        #expect(change.credential?.epoch == 9)
    }

    @Test func eachUserGetsOneResult() {
        let mutations = [
            upsertion("zero", iterations: 4_095), upsertion("many", iterations: 16_385),
            upsertion("most", iterations: 16_384),
            upsertion(""), upsertion("what", 3), upsertion("long", salt: String(repeating: "s", count: 129)),
            upsertion("bare", salt: ""), upsertion("short", key: secret("short")), upsertion("twice"),
            upsertion("twice", 2, key: salted(.sha512)), upsertion("alice"),
        ]
        let deletions = [
            ScramAlteration.Deletion(user: "alice", mechanism: 1), .init(user: "gone", mechanism: 1),
            .init(user: "carol", mechanism: 0),
        ]
        let alteration = ScramAlteration(deletions: deletions, upsertions: mutations, credentials: user(), epoch: 2)
        let expected: [(String, ErrorCode)] = [
            ("alice", .duplicateResource), ("gone", .resourceNotFound), ("carol", .unsupportedSaslMechanism),
            ("zero", .unacceptableCredential), ("many", .unacceptableCredential), ("most", .none),
            ("", .unacceptableCredential), ("what", .unsupportedSaslMechanism), ("long", .unacceptableCredential),
            ("bare", .unacceptableCredential), ("short", .unacceptableCredential), ("twice", .duplicateResource),
        ]
        #expect(alteration.results.map(\.user.text) == expected.map(\.0))
        #expect(alteration.results.map(\.error) == expected.map(\.1))
        #expect(alteration.changes.map(\.user.text) == ["most"])
    }

    @Test func refusalsAreInKafkasWords() {
        let alteration = ScramAlteration(
            deletions: [.init(user: "gone", mechanism: 1)],
            upsertions: [
                upsertion(""), upsertion("zero", iterations: 1), upsertion("many", iterations: .max),
                upsertion("what", 3),
                upsertion(String(repeating: "u", count: 1_025)),
            ], credentials: user(), epoch: 2)
        #expect(
            alteration.results.map { $0.refusal?.message } == [
                "Attempt to delete a user credential that does not exist", "Username must not be empty",
                "Too few iterations", "Too many iterations", "Unknown SCRAM mechanism",
                "A username has at most 1024 bytes",
            ])
    }

    @Test func onlyNewUsersNeedRoom() {
        let upsertions = [upsertion("alice"), upsertion("bob"), upsertion("carol")]
        for room in [AccessRoom(entries: 1), AccessRoom(entries: 9, bytes: 3)] {
            let alteration = ScramAlteration(
                deletions: [], upsertions: upsertions, credentials: user(), epoch: 2, room: room)
            #expect(alteration.results.map(\.error) == [.none, .none, .policyViolation])
            #expect(alteration.changes.map(\.user.text) == ["alice", "bob"])
        }
    }

    @Test func aDeletionRemovesOneMechanism() {
        let deletion = ScramAlteration.Deletion(user: "alice", mechanism: 1)
        let alteration = ScramAlteration(deletions: [deletion], upsertions: [], credentials: user(), epoch: 2)
        #expect(alteration.changes.count == 1 && alteration.changes[0].credential == nil)
    }

    @Test func descriptionsTellMechanismAndIterationsOnly() {
        let all: [ExactString] = ["alice"]
        for asked in [nil, []] as [[String]?] {
            let found = ScramAlteration.describe(asked, all: all, credentials: user())
            #expect(found.map(\.user) == all && found[0].credentials.map(\.iterations) == [4_096])
        }
        let found = ScramAlteration.describe(["bob", "alice", "bob"], all: all, credentials: user())
        #expect(found.map(\.user.text) == ["bob", "alice"] && found.map(\.error) == [.duplicateResource, .none])
        #expect(ScramAlteration.describe(["x"], all: all, credentials: user())[0].error == .resourceNotFound)
    }

    /// A user whose credential shows something that no decoy shows would exist for everybody to see.
    @Test func decoysLookLikeTheCredentialsThatThereAre() throws {
        func credential(_ salt: Int, _ iterations: Int) throws -> ScramCredential {
            let keys = [UInt8](repeating: 1, count: 32)
            return try #require(
                ScramCredential(
                    salt: [UInt8](repeating: 255, count: salt), iterations: iterations, storedKey: keys,
                    serverKey: keys,
                    mechanism: .sha256))
        }
        func looks(_ forms: ScramForms) -> [String] {
            (0..<1_000).map { number in
                let decoy = testDecoys.credential(of: ExactString("user-\(number)"), mechanism: .sha256, like: forms)
                let isText = ScramForm(of: decoy) == ScramForm.usual
                return "\(decoy.iterations) \(isText ? "text" : "\(decoy.salt.count)")"
            }
        }
        #expect(Set(looks(.none)) == ["4096 text"])
        let many = try [credential(64, 8_192), credential(64, 8_192), credential(64, 8_192), credential(100, 4_096)]
        #expect(Set(looks(ScramForms(many[..<3]))) == ["8192 64"])
        let mixed = looks(ScramForms(many))
        let counts = mixed.reduce(into: [String: Int]()) { $0[$1, default: 0] += 1 }
        #expect(counts.count == 2 && (700...800).contains(counts["8192 64"] ?? 0), "\(counts)")
        // The same on each try, and for nearly all names when there is one user more.
        #expect(looks(ScramForms(many)) == mixed)
        let more = try looks(ScramForms(many + [credential(64, 8_192)]))
        #expect(zip(mixed, more).filter { $0 != $1 }.count < 100)
        // No two salts are one.
        let salts = Set(
            (0..<100).map {
                testDecoys.credential(of: ExactString("user-\($0)"), mechanism: .sha256, like: ScramForms(many)).salt
            })
        #expect(salts.count == 100)
    }
}
