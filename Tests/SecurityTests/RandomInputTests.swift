import BrokerTestKit
import ByteBuffers
import COpenSSL
import KafkaModel
import Security
import Testing

/// Made-up bytes, and good ones with some changed: whatever reads bytes of others refuses them or takes them, and never
/// traps. Seeds are printed when one fails.
@Suite struct RandomInputTests {
    private static let ed = TestKeys.edDSA(id: "d")
    private static let token: [UInt8] = {
        let signed =
            Base64.encodeURL(#"{"alg":"EdDSA","kid":"d"}"#.utf8) + "."
            + Base64.encodeURL(#"{"iss":"i","sub":"s","aud":["a"],"exp":2e9,"iat":1,"scope":"x y"}"#.utf8)
        return bytes(signed + "." + Base64.encodeURL(ed.sign(bytes(signed))))
    }()

    /// Well formed, and wrong.
    private static let signed = bytes(
        "AWS4-HMAC-SHA256 Credential=AK/20150830/r/s/aws4_request, SignedHeaders=host;x-amz-date, Signature="
            + String(repeating: "0", count: 64))

    /// Some bytes replaced, removed, doubled, or all of them made up.
    private func mutated(_ seed: [UInt8], _ random: inout SeededRandom) -> [UInt8] {
        if random.chance(0.1) { return random.bytes(random.below(80)) }
        var bytes = seed
        for _ in 0...random.below(4) where !bytes.isEmpty {
            let at = random.below(bytes.count)
            switch random.below(4) {
            case 0: bytes[at] = UInt8(random.below(256))
            case 1: bytes[at] ^= 1 << UInt8(random.below(8))
            case 2: bytes.remove(at: at)
            default: bytes.insert(contentsOf: bytes[at...].prefix(random.below(9)), at: at)
            }
        }
        return bytes
    }

    @Test(arguments: testSeeds(20)) func sessionsEndOrGoOn(_ seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var users = Users()
        users.add("alice", "pw")
        let seeds = [
            "n,,n=alice,r=abc", "c=biws,r=abc,p=AAAA", "\0alice\0pw", "n,a=x,\u{1}auth=Bearer a.b.c\u{1}k=v\u{1}\u{1}",
            "\u{1}", "",
        ].map(bytes)
        for _ in 0..<100 {
            var dialog = SaslDialog(users: users, maxSession: random.chance(0.5) ? .seconds(10) : .zero)
            steps: for _ in 0..<8 {
                dialog.now = dialog.now + .milliseconds(Int64(random.below(4_000)))
                let token = mutated(random.pick(seeds), &random)
                let name = random.chance(0.9) ? random.pick(SaslMechanism.allCases).rawValue : "GSSAPI"
                let request: SaslRequest =
                    dialog.session.expectsRawToken
                    ? .rawToken(token)
                    : random.pick([
                        .authenticate(version: Int16(random.number(in: -1...3)), token: token),
                        .authenticate(version: 1, token: token), .other,
                        .handshake(version: Int16(random.number(in: 0...2)), mechanism: name),
                        .handshake(version: 1, mechanism: name),
                        .apiVersions(random.pick([.none, .unsupportedVersion])),
                    ])
                let wasAuthenticated = dialog.session.identity != nil
                var action = dialog.send(request)
                if case .verify = action {
                    // The next frame was sent without waiting, and read as it should not be.
                    if random.chance(0.3) { action = dialog.send(random.pick([request, .rawToken(token), .other])) }
                }
                if dialog.session.expectsNothing, case .verify = action {
                    let identity = SaslIdentity(principal: .user(random.pick(["alice", "bob"])))
                    action = dialog.session.finish(
                        random.pick([.accepted(identity), .rejected, .unavailable]), now: dialog.now, wall: dialog.wall)
                }
                switch action {
                case .serve:
                    let isVersions = if case .apiVersions = request { true } else { false }
                    #expect(wasAuthenticated || isVersions, "served \(request) before authentication")
                case .close, .fail, .refuse(_, close: true), .replyHandshake(_, _, close: true):
                    #expect(dialog.session.expectsNothing && dialog.send(request) == .drop)
                    break steps
                case .drop: Issue.record("dropped before the end")
                case .verify: Issue.record("a verification after a verdict")
                default: continue
                }
            }
        }
    }

    @Test(arguments: testSeeds(20)) func tokensAreTakenWholeOrNotAtAll(_ seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let keys = JSONWebKeySet(parsing: #"{"keys":[\#(Self.ed.jwk)]}"#.utf8)!
        let verifier = try! TokenVerifier(issuers: [
            TokenIssuer(names: ["i"], audiences: ["a"], algorithms: [.edDSA], keys: keys)
        ])
        let now = UnixTime(seconds: 1_000_000)
        #expect((try? verifier.verify(Self.token, now: now))?.scopes == [.scope("x"), .scope("y")])
        for _ in 0..<300 {
            let bad = mutated(Self.token, &random)
            guard bad != Self.token else { continue }
            #expect((try? verifier.verify(bad, now: now)) == nil, "\(text(bad))")
            _ = JSONWebKeySet(parsing: mutated(bytes(#"{"keys":[\#(Self.ed.jwk)]}"#), &random))
        }
        #expect(ERR_peek_error() == 0)
    }

    @Test(arguments: testSeeds(20)) func readersRefuseWhatTheyCannotRead(_ seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let proxy = Hexadecimal.decode(
            "0d0a0d0a000d0a515549540a2111001b0a0102030a000001303923840300040000000004000103030000".utf8)!
        let name = Hexadecimal.decode(javaNames[0].der.utf8)!
        let headers = [
            "t=1614265330,v1=00ff", "v1,AAAA v1a,BBBB", "sha256=00ff", "v0=", "for=\"[::1]:80\";by=x, for=10.0.0.1",
            "1.2.3.4, [::1]:5",
            "AWS4-HMAC-SHA256 Credential=AK/20150830/r/s/aws4_request, SignedHeaders=host;x-amz-date, Signature=00",
            "RULE:^CN=(.*?),(a|b)+[^x-z]{1,3}$/$1-$2/L,DEFAULT",
        ].map(bytes)
        let trusted = [NetworkRange("0.0.0.0/0")!]
        let webhookKeys = try! WebhookVerification.Keys(secrets: [secret("k")])
        for _ in 0..<200 {
            _ = ProxyHeader.parse(mutated(proxy, &random))
            _ = DistinguishedName.text(ofName: mutated(name, &random))
            _ = DistinguishedName.text(ofSubjectOf: mutated(name, &random))
            let header = String(decoding: mutated(random.pick(headers), &random), as: UTF8.self)
            for scheme in [WebhookScheme.stripe, .standard, .github, .slack] {
                let check = try? WebhookVerification(scheme, keys: webhookKeys, method: "POST", path: "/") {
                    asked in
                    asked == "content-encoding" ? [] : asked.hasSuffix("timestamp") ? ["1"] : [header]
                }
                #expect((try? check?.finish(now: UnixTime(seconds: 1), body: UnsafeRawBufferPointer(start: nil, count: 0))) == nil)
            }
            for kind in [ForwardedAddress.Header.forwarded, .xForwardedFor] {
                _ = ForwardedAddress(kind, trusted: trusted).client(socket: NetworkAddress("1.1.1.1")!, lines: [header])
            }
            var keys = SigningKeyCache()
            // A good one with some changed, so that what is signed is made as well.
            let authorization = random.chance(0.5) ? text(mutated(Self.signed, &random)) : text(Self.signed)
            let (path, query) = (text(mutated(bytes("/a%20b/c"), &random)), text(mutated(bytes("b=2&a=%7e1"), &random)))
            let request = SigV4Request(
                method: "GET", path: path, query: query,
                headers: [("authorization", authorization), ("host", "h"), ("x-amz-date", "20150830T000000Z")],
                bodyHash: [])
            let now = UnixTime(seconds: 1_440_892_800)
            let found = try? SigV4Verifier(service: "s").verify(request, now: now, keys: &keys) { _ in
                SigV4Verifier.Credential(secret: secret("s"), epoch: 1)
            }
            #expect(found == nil && keys.count == 0)
            _ = try? PrincipalMapping(parsing: header).name(for: "CN=duke,abbaq")
            _ = NetworkAddress(header)
            _ = GatewayKeyText(header.utf8)
        }
        #expect(ERR_peek_error() == 0)
    }
}
