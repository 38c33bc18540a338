import BrokerTestKit
import ByteBuffers
import Security
import Testing

@Suite struct WebhookTests {
    private let now = UnixTime(seconds: 1_614_265_330)

    private func verify(
        _ scheme: WebhookScheme, _ secrets: [Secret], _ headers: [String: [String]], _ body: String,
        publicKeys: [PublicKey] = [], at time: UnixTime? = nil, pieces: Int = 1
    ) throws(WebhookVerification.Refusal) -> WebhookVerification.Acceptance {
        let verification = try WebhookVerification(
            scheme, keys: try! WebhookVerification.Keys(secrets: secrets, publicKeys: publicKeys), method: "POST",
            path: "/hooks/a"
        ) { headers[$0] ?? [] }
        let bytes = Array(body.utf8)
        for start in stride(from: 0, to: bytes.count, by: max(1, bytes.count / pieces)) {
            let end = min(start + max(1, bytes.count / pieces), bytes.count)
            bytes[start..<end].withUnsafeBytes { verification.update($0) }
        }
        return try bytes.withUnsafeBufferPointer { body throws(WebhookVerification.Refusal) in
            try verification.finish(now: time ?? now, body: UnsafeRawBufferPointer(body))
        }
    }

    private func refusal(
        _ scheme: WebhookScheme, _ secrets: [Secret], _ headers: [String: [String]], _ body: String,
        at time: UnixTime? = nil
    ) -> WebhookVerification.Refusal? {
        do throws(WebhookVerification.Refusal) {
            _ = try verify(scheme, secrets, headers, body, at: time)
            return nil
        } catch { return error }
    }

    // MARK: Published vectors

    private let githubSecret = secret("It's a Secret to Everybody")
    private let githubHeaders = [
        "x-hub-signature-256": ["sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"],
        "x-github-delivery": ["72d3162e-cc78-11e3-81ab-4c9367dc0958"],
    ]

    @Test func githubsVector() throws {
        for pieces in [1, 3, 13] {
            _ = try verify(.github, [githubSecret], githubHeaders, "Hello, World!", pieces: pieces)
        }
    }

    private let standardSecret = WebhookScheme.standardKey(secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))!
    private let standardHeaders = [
        "webhook-id": ["msg_p5jXN8AQM9LWM0D4loKWxJek"], "webhook-timestamp": ["1614265330"],
        "webhook-signature": ["v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="],
    ]

    @Test func standardWebhooksVector() throws {
        _ = try verify(.standard, [standardSecret], standardHeaders, #"{"test": 2432232314}"#, pieces: 4)
    }

    /// Every byte of header and body, changed, is refused.
    @Test func everyChangedByteIsRefused() {
        let body = Array(#"{"test": 2432232314}"#.utf8)
        for index in body.indices {
            var bad = body
            bad[index] ^= 1
            #expect(refusal(.standard, [standardSecret], standardHeaders, text(bad)) == .wrongSignature)
        }
        for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
            let value = Array(standardHeaders[name]![0].utf8)
            for index in value.indices {
                var bad = value
                bad[index] ^= 1
                var headers = standardHeaders
                headers[name] = [text(bad)]
                #expect(refusal(.standard, [standardSecret], headers, text(body)) != nil, "\(name) \(index)")
            }
        }
    }

    // MARK: The table

    private func sign(_ key: String, _ message: String) -> [UInt8] {
        HashAlgorithm.sha256.hmac(key: bytes(key), message.utf8)
    }

    @Test func stripesHeaderHoldsTimeAndSignatures() throws {
        let body = #"{"id":"evt_1"}"#
        let good = Hexadecimal.encode(sign("whsec", "1614265330." + body))
        let zeros = String(repeating: "0", count: 64)
        for header in [
            "t=1614265330,v1=\(good)", "t=1614265330,v1=\(zeros),v1=\(good),v0=abc", "v1=\(good), t=1614265330",
        ] {
            _ = try verify(.stripe, [secret("whsec")], ["stripe-signature": [header]], body)
        }
        for (header, expected) in [
            ("v1=\(good)", .malformedHeader), ("t=1614265331,v1=\(good)", .wrongSignature),
            ("t=1614265330", .wrongSignature),
            ("t=1614265330,t=1614265330,v1=\(good)", .malformedHeader), ("t=1614265330,v1=xyz", .malformedHeader),
            ("t=1614265330,v0=\(good)", .wrongSignature), ("t=+1614265330,v1=\(good)", .malformedHeader),
            ("t", .malformedHeader),
            ("t=1614265330" + String(repeating: ",v1=\(good)", count: 9), .malformedHeader), ("", .missingHeader),
        ] as [(String, WebhookVerification.Refusal)] {
            #expect(refusal(.stripe, [secret("whsec")], ["stripe-signature": [header]], body) == expected, "\(header)")
        }
    }

    @Test func shopifySendsBase64() throws {
        let headers = ["x-shopify-hmac-sha256": [Base64.encode(sign("shop", "{}"))], "x-shopify-webhook-id": ["w1"]]
        _ = try verify(.shopify, [secret("shop")], headers, "{}")
        #expect(refusal(.shopify, [secret("shop")], headers, "{ }") == .wrongSignature)
    }

    @Test func slackSignsVersionTimeAndBody() throws {
        let signature = "v0=" + Hexadecimal.encode(sign("slack", "v0:1614265330:payload=1"))
        let headers = ["x-slack-signature": [signature], "x-slack-request-timestamp": ["1614265330"]]
        _ = try verify(.slack, [secret("slack")], headers, "payload=1")
        #expect(refusal(.slack, [secret("slack")], ["x-slack-signature": [signature]], "payload=1") == .missingHeader)
    }

    /// The example of Slack's documentation, as it stands there.
    @Test func slacksOwnExampleIsTaken() throws {
        let body =
            "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar"
            + "&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com"
            + "%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121."
            + "803a0bc887a14d10d2c447fce8b6703c"
        let headers = [
            "x-slack-signature": ["v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"],
            "x-slack-request-timestamp": ["1531420618"],
        ]
        let key = [secret("8f742231b10e8888abcd99yyyzzz85a5")]
        _ = try verify(.slack, key, headers, body, at: UnixTime(seconds: 1_531_420_618))
        #expect(refusal(.slack, key, headers, body) == .tooOld)
    }

    @Test func timesAreCheckedBothWays() {
        let body = #"{"test": 2432232314}"#
        for (seconds, expected) in [(300, nil), (-300, nil), (301, .tooOld), (-301, .inTheFuture)]
            as [(Int, WebhookVerification.Refusal?)]
        {
            #expect(
                refusal(.standard, [standardSecret], standardHeaders, body, at: now + .seconds(seconds)) == expected)
        }
        // A wrong signature says nothing of its time.
        #expect(refusal(.standard, [secret("x")], standardHeaders, body, at: now + .seconds(900)) == .wrongSignature)
        for bad in ["1614265330.0", " 1614265330", "-1", "0x10", "16142653300000", ""] {
            var headers = standardHeaders
            headers["webhook-timestamp"] = [bad]
            #expect(
                [.malformedHeader, .missingHeader].contains(refusal(.standard, [standardSecret], headers, body)),
                "\(bad)")
        }
    }

    @Test func twoSecretsHoldWhileOneIsReplaced() throws {
        let others = [secret("old"), githubSecret]
        _ = try verify(.github, others, githubHeaders, "Hello, World!")
        _ = try verify(.github, others.reversed(), githubHeaders, "Hello, World!")
        #expect(refusal(.github, [secret("old"), secret("older")], githubHeaders, "Hello, World!") == .wrongSignature)
    }

    @Test func doubledHeadersAndContentCodingsAreRefused() {
        for name in githubHeaders.keys {
            var headers = githubHeaders
            headers[name]! += headers[name]!
            #expect(refusal(.github, [githubSecret], headers, "Hello, World!") == .repeatedHeader)
            headers[name] = nil
            #expect(refusal(.github, [githubSecret], headers, "Hello, World!") == .missingHeader)
        }
        let encoded = githubHeaders.merging(["content-encoding": ["gzip"]]) { $1 }
        #expect(refusal(.github, [githubSecret], encoded, "Hello, World!") == .contentEncoded)
        #expect(
            WebhookVerification.Refusal.contentEncoded.status == 415 && WebhookVerification.Refusal.tooOld.status == 401
        )
        var short = githubHeaders
        short["x-hub-signature-256"] = ["sha256=7571"]
        #expect(refusal(.github, [githubSecret], short, "Hello, World!") == .wrongSignature)
        short["x-hub-signature-256"] = ["sha1=7571"]
        #expect(refusal(.github, [githubSecret], short, "Hello, World!") == .malformedHeader)
    }

    @Test func genericSendersAreConfigured() throws {
        let scheme = try WebhookScheme.generic(
            signature: "X-Sig", timestamp: "X-Time", id: "X-Id", algorithm: .sha512, prefix: "sig=", encoding: .base64,
            template: "{method} {path}\n{ts}/{id}/{body}!")
        let code = HashAlgorithm.sha512.hmac(key: bytes("k"), "POST /hooks/a\n1614265330/i1/body!".utf8)
        let headers = ["x-sig": ["sig=" + Base64.encode(code)], "x-time": ["1614265330"], "x-id": ["i1"]]
        _ = try verify(scheme, [secret("k")], headers, "body")
        #expect(refusal(scheme, [secret("k")], headers, "bodY") == .wrongSignature)
        for (template, timestamp, id) in [
            ("{body}", nil, nil), ("{ts}", "t", nil), ("{body}.{body}.{ts}", "t", nil), ("{body}", "t", nil),
            ("{ts}.{body}", nil, "i"),
            ("{ts}.{body}{what}", "t", nil), ("{ts}.{body", "t", nil),
        ] as [(String, String?, String?)] {
            #expect(throws: SecurityConfigurationError.self, "\(template)") {
                try WebhookScheme.generic(
                    signature: "s", timestamp: timestamp, id: id, algorithm: .sha256, prefix: "", encoding: .hex,
                    template: template)
            }
        }
        #expect(throws: SecurityConfigurationError.self) {
            try WebhookScheme.generic(
                signature: "s", timestamp: "t", id: nil, algorithm: .sha1, prefix: "", encoding: .hex,
                template: "{ts}.{body}")
        }
    }

    /// Else a byte moves from one piece to the next under the same signature.
    @Test func piecesAreToldApart() throws {
        for (template, isGood) in [
            ("{ts}{body}", false), ("{ts}x{body}", false), ("{ts}-{body}", false), ("{ts}_{body}", false),
            ("{ts}.{body}", true), ("{body}.{ts}", true), ("v1:{ts}\n{body}", true), ("{body}{ts}", false),
        ] {
            let scheme = try? WebhookScheme.generic(
                signature: "s", timestamp: "t", id: nil, algorithm: .sha256, prefix: "", encoding: .hex,
                template: template)
            #expect((scheme != nil) == isGood, "\(template)")
        }
        let scheme = try WebhookScheme.generic(
            signature: "s", timestamp: nil, id: "i", algorithm: .sha256, prefix: "", encoding: .hex,
            template: "{id}.{body}")
        let signature = Hexadecimal.encode(sign("k", "a.b.c"))
        func refusal(_ id: String, _ body: String) -> WebhookVerification.Refusal? {
            self.refusal(scheme, [secret("k")], ["s": [signature], "i": [id]], body)
        }
        #expect(refusal("a", "b.c") == nil && refusal("a.b", "c") == .malformedHeader)
        #expect(refusal(String(repeating: "a", count: 257), "b") == .malformedHeader)
    }

    /// Where the id is not signed, or there is none, this tells a repeat.
    @Test func aRepeatHasTheSameDigest() throws {
        let first = try verify(.github, [githubSecret], githubHeaders, "Hello, World!")
        let again = githubHeaders.merging(["x-github-delivery": ["another"]]) { $1 }
        let repeated = try verify(.github, [githubSecret], again, "Hello, World!")
        #expect(first.digest == repeated.digest && first.digest.count == 32)
        let other = Hexadecimal.encode(HashAlgorithm.sha256.hmac(key: bytes("k"), "x".utf8))
        let different = try verify(
            .github, [secret("k")], githubHeaders.merging(["x-hub-signature-256": ["sha256=\(other)"]]) { $1 }, "x")
        #expect(different.digest != first.digest)
    }

    /// While secrets rotate a sender signs with both; who repeats its request may leave one signature out.
    @Test func aRepeatWithFewerSignaturesHasTheSameDigest() throws {
        let secrets = [secret("new"), secret("old")]
        let time = now.milliseconds / 1_000
        let signatures = ["new", "old"].map { key in
            Hexadecimal.encode(HashAlgorithm.sha256.hmac(key: bytes(key), "\(time).{}".utf8))
        }
        let digests = try [signatures, [signatures[0]], [signatures[1]], signatures.reversed()].map { signatures in
            let header = (["t=\(time)"] + signatures.map { "v1=\($0)" }).joined(separator: ",")
            return try verify(.stripe, secrets, ["stripe-signature": [header]], "{}").digest
        }
        #expect(Set(digests).count == 1)
    }

    /// Nothing that could be right: found out before the body is read.
    @Test func signaturesOfAWrongLengthAreRefusedAtOnce() throws {
        let (publicKey, _) = TestKeys.ed25519()
        let keys = try WebhookVerification.Keys(secrets: [], publicKeys: [PublicKey.ed25519(publicKey)!])
        func start(_ signatures: String) -> WebhookVerification.Refusal? {
            do throws(WebhookVerification.Refusal) {
                _ = try WebhookVerification(.standard, keys: keys, method: "POST", path: "/") { name in
                    switch name {
                    case "webhook-id": ["m1"]
                    case "webhook-timestamp": ["1614265330"]
                    case "webhook-signature": [signatures]
                    default: []
                    }
                }
                return nil
            } catch { return error }
        }
        let whole = Base64.encode([UInt8](repeating: 1, count: 64))
        #expect(start("v1a,AAAA") == .wrongSignature && start("v1,AAAA") == .wrongSignature)
        #expect(start("v1a,\(whole) v1a,\(whole)") == nil)
        #expect(start("v1a,\(whole) v1a,\(whole) v1a,\(whole)") == .malformedHeader)
        #expect(start("v1a,\(whole)\u{301}") == .malformedHeader)
    }

    @Test func standardWebhooksTakeEd25519() throws {
        let (publicKey, sign) = TestKeys.ed25519()
        let key = try #require(WebhookScheme.standardPublicKey("whpk_" + Base64.encode(publicKey)))
        let signature = Base64.encode(sign(bytes("m1.1614265330.body")))
        let headers = [
            "webhook-id": ["m1"], "webhook-timestamp": ["1614265330"], "webhook-signature": ["v1a,\(signature) v2,x"],
        ]
        _ = try verify(.standard, [], headers, "body", publicKeys: [key], pieces: 2)
        #expect(throws: WebhookVerification.Refusal.wrongSignature) {
            try verify(.standard, [], headers, "bodY", publicKeys: [key])
        }
        #expect(throws: WebhookVerification.Refusal.wrongSignature) {
            try verify(.standard, [standardSecret], headers, "body")
        }
        #expect(
            ["MfKQ", "whsec_", "whsec_MfKQ9", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"].allSatisfy {
                WebhookScheme.standardKey(secret($0)) == nil
            })
        #expect(WebhookScheme.standardPublicKey("whpk_AAAA") == nil)
    }

    /// Each signature of Ed25519 is a pass over the whole body, on an event loop.
    @Test func bodiesUnderEd25519HaveABound() throws {
        let (publicKey, sign) = TestKeys.ed25519()
        let key = try #require(PublicKey.ed25519(publicKey))
        for (size, expected) in [
            (WebhookVerification.maxEdBodyBytes, nil), (WebhookVerification.maxEdBodyBytes + 1, .tooLong),
        ] as [(Int, WebhookVerification.Refusal?)] {
            let body = String(repeating: "a", count: size)
            let headers = [
                "webhook-id": ["m1"], "webhook-timestamp": ["1614265330"],
                "webhook-signature": ["v1a,\(Base64.encode(sign(bytes("m1.1614265330.\(body)"))))"],
            ]
            do throws(WebhookVerification.Refusal) {
                _ = try verify(.standard, [], headers, body, publicKeys: [key])
                #expect(expected == nil)
            } catch { #expect(error == expected) }
        }
        // An HMAC runs along: its bodies have no bound of their own.
        let keys = try WebhookVerification.Keys(secrets: [standardSecret], publicKeys: [key])
        let check = try WebhookVerification(.standard, keys: keys, method: "POST", path: "/") { standardHeaders[$0] ?? [] }
        #expect(check.maxBodyBytes == nil)
    }

    /// A time may lie in the future by as much as in the past.
    @Test func aRepeatIsRememberedForAsLongAsItsTimeIsTaken() {
        #expect(WebhookScheme.github.memory == nil && WebhookScheme.slack.memory == .seconds(600))
        #expect(WebhookScheme.stripe.tolerating(.seconds(60)).memory == .seconds(120))
    }

    @Test func aSenderHasAKeyAndNotTooMany() {
        let key = PublicKey.ed25519(TestKeys.ed25519().publicKey)!
        let curve = PublicKey.p256(
            x: Base64.decodeURL("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU".utf8)!,
            y: Base64.decodeURL("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0".utf8)!)!
        let bad: [([Secret], [PublicKey])] = [
            ([], []), ([secret("")], []), ([secret("a"), secret("b"), secret("c")], []), ([], [key, key, key]),
            ([], [curve]),
        ]
        for (secrets, keys) in bad {
            #expect(throws: SecurityConfigurationError.self) {
                try WebhookVerification.Keys(secrets: secrets, publicKeys: keys)
            }
        }
    }

    // MARK: Twilio

    private let twilioURL = "https://mycompany.com/myapp.php?foo=1&bar=2"
    private let twilioForm =
        "CallSid=CA1234567890ABCDE&Caller=%2B12349013030&Digits=1234&From=%2B12349013030&To=%2B18005551212"
    private let twilioSignature = "0/KCTR6DLpKmkAf8muzZqo1nDgQ="

    private func twilio(_ signature: String, _ url: String, _ form: String, _ key: String = "12345") -> Bool {
        TwilioSignature.isRight(signature, url: url, body: .form(bytes(form)), secrets: [secret("other"), secret(key)])
    }

    @Test func twiliosVector() {
        #expect(twilio(twilioSignature, twilioURL, twilioForm))
        let reordered = twilioForm.split(separator: "&").reversed().joined(separator: "&")
        #expect(
            twilio(twilioSignature, twilioURL, reordered)
                && twilio(twilioSignature, twilioURL, reordered + "&Digits=1234"))
        #expect(
            !twilio(twilioSignature, twilioURL, twilioForm + "&x=1")
                && !twilio(twilioSignature, twilioURL, "Digits=%zz"))
        #expect(!twilio(twilioSignature, twilioURL, twilioForm, "12346") && !twilio("AAAA", twilioURL, twilioForm))
        #expect(!twilio(twilioSignature, "https://mycompany.com/myapp.php?foo=1", twilioForm))
    }

    @Test func twiliosDefaultPortIsTriedBothWays() {
        #expect(twilio(twilioSignature, "https://mycompany.com:443/myapp.php?foo=1&bar=2", twilioForm))
        #expect(!twilio(twilioSignature, "https://mycompany.com:444/myapp.php?foo=1&bar=2", twilioForm))
        let code = HashAlgorithm.sha1.hmac(key: bytes("k"), "http://a.b:80/x".utf8)
        #expect(twilio(Base64.encode(code), "http://a.b/x", "", "k"))
    }

    @Test func otherBodiesOfTwilioAreCoveredByTheirSum() {
        let body = bytes(#"{"a":1}"#)
        let sum = Hexadecimal.encode(HashAlgorithm.sha256.hash(body))
        let url = "https://a.b/x?bodySHA256=\(sum)"
        let code = Base64.encode(HashAlgorithm.sha256.hmac(key: bytes("k"), url.utf8))
        func isRight(_ url: String, _ body: [UInt8]) -> Bool {
            TwilioSignature.isRight(code, url: url, body: .other(body), secrets: [secret("k")], algorithm: .sha256)
        }
        // Whoever sends it chooses the content type: a form is covered by the sum as well.
        for form in ["", "=&=", "a=b"] {
            #expect(
                !TwilioSignature.isRight(
                    code, url: url, body: .form(bytes(form)), secrets: [secret("k")], algorithm: .sha256))
        }
        #expect(isRight(url, body) && !isRight(url, body + [0]) && !isRight("https://a.b/x", body))
    }

    @Test func twiliosFormsAndSecretsHaveABound() {
        let url = "https://a.b/x"
        func isRight(_ form: String, _ key: String = "k") -> Bool {
            // Empty fields are signed by nothing.
            let code = Base64.encode(HashAlgorithm.sha1.hmac(key: bytes(key), url.utf8))
            return twilio(code, url, form, key)
        }
        #expect(isRight("") && isRight(String(repeating: "&", count: TwilioSignature.maxFormBytes)))
        #expect(!isRight(String(repeating: "&", count: TwilioSignature.maxFormBytes + 1)))
        #expect(!isRight("", ""))
    }
}
