import ByteBuffers
import KafkaModel
import Security
import Testing

@Suite struct GatewayKeyChangeTests {
    private let now = UnixTime(seconds: 1_000_000)
    private let made = GatewayKeyText.make()
    private let box = SecretBox(key: Secret(copying: [UInt8](repeating: 9, count: 32)[...]))!

    private func change(
        _ action: GatewayKeyChange.Action, id: String? = nil, _ set: (inout GatewayKeyChange) -> Void = { _ in }
    ) -> GatewayKeyChange {
        var change = GatewayKeyChange(id: id ?? made.key.id.text, action: action.rawValue)
        (change.owner, change.hash) = ("User:alice", made.key.hash)
        change.previousEnds = now + .seconds(60)
        set(&change)
        return change
    }

    private func apply(_ change: GatewayKeyChange, _ existing: GatewayKeyRecord? = nil) -> Result<
        GatewayKeyRecord?, AccessRefusal
    > {
        do throws(AccessRefusal) { return .success(try change.applied(to: existing, now: now, box: box)) } catch {
            return .failure(error)
        }
    }

    private func error(_ change: GatewayKeyChange, _ existing: GatewayKeyRecord? = nil) -> ErrorCode? {
        if case .failure(let refusal) = apply(change, existing) { refusal.error } else { nil }
    }

    @Test func aKeyIsCreatedRotatedAndRevoked() throws {
        let created = try #require(
            try apply(
                change(.create) {
                    $0.expiry = now + .seconds(100)
                    $0.scopes = [.init(resource: 2, name: "orders", pattern: 3, operation: 4)]
                }
            ).get())
        #expect(created.owner == .user("alice") && created.created == now && created.secrets.count == 1)
        #expect(created.scopes == [AccessScope(ResourcePattern(.topic, "orders"), .write)])
        #expect(GatewayKeyCheck.run(made.text.withBytes { Array($0) }, now: now) { _ in created } == .accepted(created))

        let second = try #require(GatewayKeyText.make(id: made.key.id))
        let rotated = try #require(try apply(change(.rotate) { $0.hash = second.key.hash }, created).get())
        #expect(rotated.secrets.count == 2 && rotated.created == now)
        #expect(error(change(.rotate), rotated) == .policyViolation)
        let ended = try #require(try apply(change(.revokePrevious), rotated).get())
        #expect(ended.secrets.map(\.hash) == [second.key.hash])
        #expect(try apply(change(.revoke), ended).get() == nil)
    }

    @Test func whatCannotBeIsRefused() {
        let record = GatewayKeyRecord(made.key, owner: .user("alice"), created: now)
        #expect(error(change(.create), record) == .duplicateResource)
        for action in [GatewayKeyChange.Action.rotate, .revokePrevious, .revoke] {
            #expect(error(change(action)) == .resourceNotFound)
        }
        #expect(error(GatewayKeyChange(id: made.key.id.text, action: 9)) == .invalidRequest)
        for id in ["", "short", "ABCDEFGHIJKL", "abcdefghijk_", "abcdefghijklm"] {
            #expect(error(change(.create, id: id)) == .unacceptableCredential, "\(id)")
        }
        for owner in ["", "alice", ":alice", "User:", "User:" + String(repeating: "x", count: 2_048)] {
            #expect(error(change(.create) { $0.owner = owner }) == .unacceptableCredential, "\(owner)")
        }
        for hash in [[], [UInt8](repeating: 1, count: 31)] {
            #expect(error(change(.create) { $0.hash = hash }) == .unacceptableCredential)
            #expect(error(change(.rotate) { $0.hash = hash }, record) == .unacceptableCredential)
        }
        #expect(error(change(.create) { $0.expiry = now }) == .unacceptableCredential)
        #expect(error(change(.rotate) { $0.previousEnds = now - .seconds(61) }, record) == .unacceptableCredential)
        typealias Scope = GatewayKeyChange.Scope
        for scope in [
            Scope(resource: 1, name: "a", pattern: 3, operation: 4),
            Scope(resource: 99, name: "a", pattern: 3, operation: 4),
            Scope(resource: 2, name: "", pattern: 3, operation: 4),
            Scope(resource: 2, name: "a", pattern: 1, operation: 4),
            Scope(resource: 2, name: "a", pattern: 3, operation: 1),
            Scope(resource: 2, name: String(repeating: "x", count: 2_049), pattern: 3, operation: 4),
        ] { #expect(error(change(.create) { $0.scopes = [scope] }) == .unacceptableCredential) }
        let good = Scope(resource: 2, name: "a", pattern: 4, operation: 3)
        #expect(error(change(.create) { $0.scopes = .init(repeating: good, count: 64) }) == nil)
        #expect(error(change(.create) { $0.scopes = .init(repeating: good, count: 65) }) == .unacceptableCredential)
    }

    @Test func aSigningSecretIsKeptSealed() throws {
        let signing = SigningKey.make(for: made.key.id)
        #expect(signing.secret.count == 40 && SigningKey.id(ofName: signing.name) == made.key.id)
        let record = try #require(try apply(change(.create) { $0.signingSecret = signing.secret }).get())
        let sealed = try #require(record.signingSecret)
        signing.secret.withBytes { plain in
            #expect(!String(decoding: sealed, as: UTF8.self).contains(String(decoding: plain, as: UTF8.self)))
        }
        #expect(box.open(sealed, for: record.id.text.utf8) == signing.secret)
        for count in [0, 31, 129] {
            let secret = Secret(copying: [UInt8](repeating: 65, count: count)[...])
            #expect(error(change(.create) { $0.signingSecret = secret }) == .unacceptableCredential)
        }
    }

    @Test(arguments: [
        "", "GK", "gkabcdefghijkl", "GKabcdefghijkl", "GKABCDEFGHIJKLM", "AKABCDEFGHIJKL", "GKABCDEFGHIJK_",
    ])
    func whatIsNoNameOfASigningKey(_ name: String) { #expect(SigningKey.id(ofName: name) == nil) }
}

@Suite struct SecretBoxTests {
    private let box = SecretBox(key: Secret(copying: [UInt8](repeating: 1, count: 32)[...]))!

    @Test func whatIsSealedOpensForItsOwnerAlone() {
        for count in [0, 1, 16, 40, 1_000] {
            let secret = Secret(copying: [UInt8](repeating: 7, count: count)[...])
            let sealed = box.seal(secret, for: "a".utf8)
            #expect(sealed.count == 29 + count && box.open(sealed, for: "a".utf8) == secret)
            #expect(box.open(sealed, for: "b".utf8) == nil && box.open(sealed, for: "".utf8) == nil)
            let other = SecretBox(key: Secret(copying: [UInt8](repeating: 2, count: 32)[...]))!
            #expect(other.open(sealed, for: "a".utf8) == nil)
            for index in sealed.indices.prefix(60) {
                var bad = sealed
                bad[index] ^= 1
                #expect(box.open(bad, for: "a".utf8) == nil, "byte \(index)")
                #expect(box.open(Array(sealed[..<index]), for: "a".utf8) == nil)
            }
        }
        #expect(SecretBox(key: Secret(copying: [UInt8](repeating: 1, count: 31)[...])) == nil)
    }

    /// No nonce twice.
    @Test func theSameSecretIsSealedOtherwiseEachTime() {
        let secret = Secret(copying: [1, 2, 3])
        let sealed = (0..<100).map { _ in box.seal(secret, for: "a".utf8) }
        #expect(Set(sealed).count == 100 && Set(sealed.map { $0[1...12] }).count == 100)
    }

    /// AES-256-GCM, test case 14 of its specification: a key and a nonce of zeros.
    @Test func theCipherIsTheStandards() {
        let zeros = SecretBox(key: Secret(copying: [UInt8](repeating: 0, count: 32)[...]))!
        let sealed = Hexadecimal.decode(
            "01000000000000000000000000cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919".utf8)!
        #expect(zeros.open(sealed, for: [UInt8]()) == Secret(copying: [UInt8](repeating: 0, count: 16)[...]))
    }
}
