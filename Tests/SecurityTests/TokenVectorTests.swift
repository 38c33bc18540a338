import ByteBuffers
import COpenSSL
import KafkaModel
import Security
import Testing

/// Tokens that are forged, or written as no honest issuer writes them: what others' vectors for JWS and ECDSA try, by keys of this test.
/// All are refused, with the reason that stands there, but for the few that say why not.
@Suite struct TokenVectorTests {
    private static let rsa = TestKeys.rs256(id: "r1")
    private static let ec = TestKeys.es256(id: "e1")
    private static let ed = TestKeys.edDSA(id: "d1")
    private static let stranger = TestKeys.rs256(id: "r1")
    private static let keys = JSONWebKeySet(parsing: #"{"keys":[\#(rsa.jwk),\#(ec.jwk),\#(ed.jwk)]}"#.utf8)!

    private static let claims = #"{"iss":"https://issuer","sub":"alice","aud":"us","exp":2000100,"iat":1999990}"#
    private static let now = UnixTime(seconds: 2_000_000)

    private enum Way: String, CaseIterable {
        case rsa = "RS256"
        case ec = "ES256"
        case ed = "EdDSA"

        var pair: TestKeys.Pair {
            switch self {
            case .rsa: TokenVectorTests.rsa
            case .ec: TokenVectorTests.ec
            case .ed: TokenVectorTests.ed
            }
        }
        var header: String { #"{"alg":"\#(rawValue)","kid":"\#(self == .rsa ? "r1" : self == .ec ? "e1" : "d1")"}"# }
    }

    private static func encode(_ text: String) -> String { Base64.encodeURL(text.utf8) }

    private static func token(_ header: String, _ payload: String, _ sign: ([UInt8]) -> [UInt8]) -> String {
        let signed = encode(header) + "." + encode(payload)
        return signed + "." + Base64.encodeURL(sign(bytes(signed)))
    }

    private static func refusal(
        _ token: some Collection<UInt8>, keys: JSONWebKeySet = keys, at time: UnixTime = now
    ) -> TokenRefusal? {
        let verifier = try! TokenVerifier(issuers: [
            TokenIssuer(
                names: ["https://issuer"], audiences: ["us"], algorithms: Set(SignatureAlgorithm.allCases), keys: keys)
        ])
        do throws(TokenRefusal) {
            _ = try verifier.verify(Array(token), now: time)
            return nil
        } catch {
            return error
        }
    }

    private func expect(
        _ token: String, _ expected: TokenRefusal?, _ name: String, keys: JSONWebKeySet = keys,
        location: SourceLocation = #_sourceLocation
    ) {
        let found = Self.refusal(token.utf8, keys: keys)
        #expect(found == expected, "\(name)", sourceLocation: location)
        #expect(ERR_peek_error() == 0, "\(name) leaves an error", sourceLocation: location)
    }

    // MARK: Signatures

    @Test func whatIsNoSignatureOfThatLengthIsNone() {
        for way in Way.allCases {
            let good = Self.token(way.header, Self.claims, way.pair.sign)
            expect(good, nil, way.rawValue)
            let length = Base64.decodeURL(good.split(separator: ".")[2].utf8)!.count
            let forged: [(String, ([UInt8]) -> [UInt8])] = [
                ("none", { _ in [] }), ("one byte", { _ in [0] }), ("cut by one", { way.pair.sign($0).dropLast() }),
                ("cut in half", { Array(way.pair.sign($0).prefix(length / 2)) }),
                ("without its first", { Array(way.pair.sign($0).dropFirst()) }),
                ("a zero behind", { way.pair.sign($0) + [0] }), ("a zero before", { [0] + way.pair.sign($0) }),
                ("twice", { way.pair.sign($0) + way.pair.sign($0) }),
                ("zeros", { _ in [UInt8](repeating: 0, count: length) }),
                ("one", { _ in [UInt8](repeating: 0, count: length - 1) + [1] }),
                ("ones", { _ in [UInt8](repeating: 0xff, count: length) }),
                ("of another message", { way.pair.sign($0 + [0x20]) }),
                ("of the payload alone", { _ in way.pair.sign(bytes(Self.encode(Self.claims))) }),
                ("of what is encoded", { _ in way.pair.sign(bytes(way.header + "." + Self.claims)) }),
                ("of its hash", { way.pair.sign(HashAlgorithm.sha256.hash($0)) }),
            ]
            for (name, sign) in forged {
                expect(Self.token(way.header, Self.claims, sign), .wrongSignature, "\(way.rawValue): \(name)")
            }
            for other in Way.allCases where other != way {
                expect(
                    Self.token(way.header, Self.claims, other.pair.sign), .wrongSignature,
                    "\(other.rawValue) under \(way.rawValue)")
            }
        }
    }

    /// Both halves of an ES256 signature are at least 1 and below the order of the curve.
    @Test func es256HasNumbersOfTheGroup() throws {
        let order = try #require(
            Hexadecimal.decode("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551".utf8))
        let zero = [UInt8](repeating: 0, count: 32)
        let one: [UInt8] = zero.dropLast() + [1]
        func half(_ index: Int) -> ([UInt8]) -> [UInt8] {
            { Array(Self.ec.sign($0)[(32 * index)..<(32 * index + 32)]) }
        }
        func minus(_ left: [UInt8], _ right: [UInt8]) -> [UInt8] {
            var (borrow, result) = (0, left)
            for index in left.indices.reversed() {
                let difference = Int(left[index]) - Int(right[index]) - borrow
                result[index] = UInt8(difference & 255)
                borrow = difference < 0 ? 1 : 0
            }
            return result
        }
        let above = Array(order.dropLast()) + [order[31] + 1]
        for (name, bad) in [
            ("0", zero), ("n", order), ("n + 1", above), ("2^256 - 1", [UInt8](repeating: 0xff, count: 32)),
        ] {
            for (place, sign) in [
                ("r", { bad + half(1)($0) }), ("s", { half(0)($0) + bad }), ("both", { _ in bad + bad }),
                ("s, r = 1", { _ in one + bad }), ("r, s = 1", { _ in bad + one }),
            ] as [(String, ([UInt8]) -> [UInt8])] {
                expect(Self.token(Way.ec.header, Self.claims, sign), .wrongSignature, "\(name) as \(place)")
            }
        }
        let swapped: ([UInt8]) -> [UInt8] = { message in
            let signature = Self.ec.sign(message)
            return Array(signature[32...] + signature[..<32])
        }
        expect(Self.token(Way.ec.header, Self.claims, swapped), .wrongSignature, "swapped")
        let der = try #require(Self.ec.encoded)
        expect(Self.token(Way.ec.header, Self.claims, der), .wrongSignature, "DER")
        // Whoever has one signature has its twin: a token has more than one text. So it is taken back by its id, not by its text.
        let twin: ([UInt8]) -> [UInt8] = { message in
            let signature = Self.ec.sign(message)
            return Array(signature[..<32]) + minus(order, Array(signature[32...]))
        }
        expect(Self.token(Way.ec.header, Self.claims, twin), nil, "n - s")
    }

    @Test func ed25519HasANumberBelowTheOrder() throws {
        // S + L: the same for who reckons modulo the order.
        let order = try #require(
            Hexadecimal.decode("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010".utf8))
        let raised: ([UInt8]) -> [UInt8] = { message in
            var signature = Self.ed.sign(message)
            var carry = 0
            for index in 0..<32 {
                let sum = Int(signature[32 + index]) + Int(order[index]) + carry
                signature[32 + index] = UInt8(sum & 255)
                carry = sum >> 8
            }
            return signature
        }
        expect(Self.token(Way.ed.header, Self.claims, raised), .wrongSignature, "S + L")
    }

    @Test func rs256IsSHA256InPKCS1() throws {
        for (name, sign) in Self.rsa.otherwise.sorted(by: { $0.key < $1.key }) {
            expect(Self.token(Way.rsa.header, Self.claims, sign), .wrongSignature, name)
        }
        #expect(Self.rsa.otherwise.count == 3)
        // The modulus itself, which is zero to who reckons modulo it.
        let entry = try #require(StrictJSON(parsing: Self.rsa.jwk.utf8)?["n"]?.text)
        let modulus = try #require(Base64.decodeURL(entry.utf8))
        expect(Self.token(Way.rsa.header, Self.claims) { _ in modulus }, .wrongSignature, "n")
    }

    // MARK: Algorithms

    /// What is public must never be taken for the secret of an HMAC.
    @Test func noPublicKeyIsASecret() throws {
        let x = try #require(StrictJSON(parsing: Self.ed.jwk.utf8)?["x"]?.text)
        let n = try #require(StrictJSON(parsing: Self.rsa.jwk.utf8)?["n"]?.text)
        let raw = try #require(Base64.decodeURL(x.utf8))
        let info = try #require(Hexadecimal.decode("302a300506032b6570032100".utf8)) + raw
        let pem = "-----BEGIN PUBLIC KEY-----\n\(Base64.encode(info))\n-----END PUBLIC KEY-----\n"
        let secrets = [
            bytes(Self.rsa.jwk), bytes(Self.ec.jwk), bytes(Self.ed.jwk), bytes(n), Base64.decodeURL(n.utf8)!, bytes(x),
            raw,
            info, bytes(pem), bytes(String(pem.dropLast())), [],
        ]
        for (index, key) in secrets.enumerated() {
            for (name, algorithm) in [("HS256", HashAlgorithm.sha256), ("HS512", .sha512)] {
                for way in Way.allCases {
                    let header = way.header.replacing(way.rawValue, with: name)
                    let sign: ([UInt8]) -> [UInt8] = { algorithm.hmac(key: key, $0) }
                    expect(Self.token(header, Self.claims, sign), .algorithm, "\(name) by secret \(index)")
                    expect(
                        Self.token(way.header, Self.claims, sign), .wrongSignature, "\(way.rawValue), secret \(index)")
                }
            }
        }
    }

    @Test func theAlgorithmIsOneOfThree() {
        for name in [
            #""none""#, #""NONE""#, #""nOnE""#, #""none ""#, #""""#, #""RS256 ""#, #"" RS256""#, #""rs256""#,
            #""Rs256""#,
            #""RS256\u0000""#, #""ＲＳ256""#, #""RSA256""#, #""RS1""#, #""RS384""#, #""PS256""#, #""ES256K""#,
            #""ES512""#,
            #""Ed25519""#, #""eddsa""#, #""A128KW""#, #""dir""#, #""RS256,none""#, "null", "256", "true", #"["RS256"]"#,
            #"{"alg":"RS256"}"#,
        ] {
            let header = #"{"alg":\#(name),"kid":"r1"}"#
            expect(Self.token(header, Self.claims, Self.rsa.sign), .algorithm, name)
            expect(Self.token(header, Self.claims) { _ in [] }, .algorithm, "\(name), unsigned")
        }
        expect(Self.token(#"{"kid":"r1"}"#, Self.claims, Self.rsa.sign), .algorithm, "none named")
        expect(Self.token(#"{"ALG":"RS256","kid":"r1"}"#, Self.claims, Self.rsa.sign), .algorithm, "ALG")
        // Escaped, it is the same name.
        expect(Self.token(#"{"\u0061lg":"RS25\u0036","kid":"r1"}"#, Self.claims, Self.rsa.sign), nil, "escaped")
    }

    /// RFC 7797's unencoded payload, and whatever else has to be understood.
    @Test func whatHasToBeUnderstoodIsNot() {
        for members in [
            #""crit":["b64"],"b64":false"#, #""b64":false"#, #""b64":true"#, #""crit":["alg"]"#, #""crit":[]"#,
            #""crit":"exp""#, #""crit":null"#, #""crit":["http://example.com/x"],"http://example.com/x":1"#,
        ] {
            let header = #"{"alg":"RS256","kid":"r1",\#(members)}"#
            expect(Self.token(header, Self.claims, Self.rsa.sign), .critical, members)
            let signed = Self.encode(header) + "." + Self.claims
            let bare = signed + "." + Base64.encodeURL(Self.rsa.sign(bytes(signed)))
            expect(bare, .malformed, "\(members), payload as it is")
        }
    }

    // MARK: Keys

    @Test func keysAreFoundByTheirOwnNamesAlone() {
        for id in [
            "r2", "R1", "r1 ", " r1", "r1/", "./r1", "../r1", "/dev/null", "../../../../etc/passwd", "r1%00", "r1;e1",
            "*",
            "https://issuer/keys#r1", "' OR 1=1 --", "$(id)", "r\u{200b}1", "\u{ff52}1", "e1", "d1",
        ] {
            let found = Self.refusal(Self.token(#"{"alg":"RS256","kid":"\#(id)"}"#, Self.claims, Self.rsa.sign).utf8)
            #expect(found == .unknownKey || found == .malformed, "\(id): \(String(describing: found))")
        }
        for id in ["null", "1", "[\"r1\"]", "{}", "true", "\"\"", #""r1\n""#, #""\u00001""#] {
            expect(Self.token(#"{"alg":"RS256","kid":\#(id)}"#, Self.claims, Self.rsa.sign), .malformed, id)
        }
        expect(Self.token(#"{"alg":"RS256","kid":"r2","kid":"r1"}"#, Self.claims, Self.rsa.sign), .malformed, "twice")
        // One key of the algorithm needs no name.
        expect(Self.token(#"{"alg":"RS256"}"#, Self.claims, Self.rsa.sign), nil, "no name")
        expect(Self.token(#"{"alg":"RS256"}"#, Self.claims, Self.stranger.sign), .wrongSignature, "no name, no key")
    }

    /// Of two keys of one name and algorithm the first is it: the other's tokens are refused, and no guessing begins.
    @Test func aNameHasOneKey() {
        let both = JSONWebKeySet(parsing: #"{"keys":[\#(Self.rsa.jwk),\#(Self.stranger.jwk)]}"#.utf8)!
        expect(Self.token(Way.rsa.header, Self.claims, Self.rsa.sign), nil, "the first", keys: both)
        expect(Self.token(Way.rsa.header, Self.claims, Self.stranger.sign), .wrongSignature, "the second", keys: both)
        expect(Self.token(#"{"alg":"RS256"}"#, Self.claims, Self.rsa.sign), .unknownKey, "either", keys: both)
        // Of two algorithms it is the one that is meant.
        let renamed = Self.ec.jwk.replacing("\"e1\"", with: "\"r1\"")
        let mixed = JSONWebKeySet(parsing: #"{"keys":[\#(renamed),\#(Self.rsa.jwk)]}"#.utf8)!
        expect(Self.token(Way.rsa.header, Self.claims, Self.rsa.sign), nil, "RSA", keys: mixed)
        expect(
            Self.token(#"{"alg":"ES256","kid":"r1"}"#, Self.claims, Self.ec.sign), nil, "EC of the same name",
            keys: mixed)
    }

    @Test func aKeyThatATokenBringsIsNone() {
        let jwk = Self.stranger.jwk
        for member in [
            #""jwk":\#(jwk)"#, #""jku":"https://evil.example/keys""#, #""x5u":"https://evil.example/c.pem""#,
            #""x5c":["MIIB"]"#, #""x5t":"AAAA""#, #""jwk":{"kty":"oct","k":""}"#,
        ] {
            let header = #"{"alg":"RS256","kid":"r1",\#(member)}"#
            expect(Self.token(header, Self.claims, Self.stranger.sign), .wrongSignature, member)
            expect(Self.token(header, Self.claims, Self.rsa.sign), nil, "\(member), and the issuer's own key")
        }
    }

    // MARK: Writing

    @Test func otherFormsOfTokensAreNone() {
        let good = Self.token(Way.rsa.header, Self.claims, Self.rsa.sign)
        let parts = good.split(separator: ".").map(String.init)
        let nested = Self.token(#"{"alg":"RS256","kid":"r1","cty":"JWT"}"#, good, Self.rsa.sign)
        for (name, bad) in [
            ("a token in a token", nested),
            ("as a string in it", Self.token(Way.rsa.header, "\"\(good)\"", Self.rsa.sign)),
            ("an array", Self.token(Way.rsa.header, "[\(Self.claims)]", Self.rsa.sign)),
            ("encrypted", parts[0] + "..." + parts[2] + "." + parts[2]),
            ("five parts", "\(good).\(parts[1]).\(parts[2])"),
            ("two parts", "\(parts[0]).\(parts[1])"), ("one", parts[0]), ("detached", "\(parts[0])..\(parts[2])"),
            ("JSON", #"{"payload":"\#(parts[1])","protected":"\#(parts[0])","signature":"\#(parts[2])"}"#),
            (
                "JSON of several",
                #"{"payload":"\#(parts[1])","signatures":[{"protected":"\#(parts[0])","signature":"\#(parts[2])"}]}"#
            ),
            ("no header", ".\(parts[1]).\(parts[2])"), ("nothing", ""), ("dots", ".."),
            ("blank before", " \(good)"), ("blank behind", "\(good) "), ("line end", "\(good)\n"),
            ("NUL", "\(good)\u{0}"),
            ("padded", "\(parts[0])=.\(parts[1]).\(parts[2])"), ("signature padded", "\(good)=="),
            ("broken line", "\(parts[0]).\(parts[1].prefix(20))\n\(parts[1].dropFirst(20)).\(parts[2])"),
            ("another alphabet", good.replacing("-", with: "+").replacing("_", with: "/") + "+"),
            ("wide dot", good.replacing(".", with: "\u{ff0e}")), ("percent", good.replacing(".", with: "%2E")),
        ] { expect(bad, .malformed, name) }
    }

    @Test func emptyObjectsAreNoToken() {
        expect("e30.e30.", .algorithm, "unsigned")
        expect("e30.e30.AAAA", .algorithm, "signed")
    }

    /// Bits that nobody reads would be a second text of the same bytes.
    @Test func trailingBitsAreZero() {
        for way in Way.allCases {
            let good = Self.token(way.header, Self.claims, way.pair.sign)
            let letters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)
            let last = letters.firstIndex(of: good.utf8.last!)!
            for change in 1..<4 {
                let bad = Array(good.utf8.dropLast()) + [letters[last ^ change]]
                #expect(Self.refusal(bad) == .malformed || Self.refusal(bad) == .wrongSignature, "\(way) \(change)")
            }
        }
    }

    @Test func claimsAreReadInOneWay() {
        for (name, payload, expected) in [
            ("twice", #"{"iss":"https://issuer","sub":"a","sub":"b","aud":"us","exp":2000100,"iat":1}"#, .malformed),
            (
                "twice, escaped",
                #"{"iss":"https://issuer","sub":"a","\u0073ub":"b","aud":"us","exp":2000100,"iat":1}"#, .malformed
            ),
            ("exp twice", #"{"iss":"https://issuer","sub":"a","aud":"us","exp":1,"exp":2000100,"iat":1}"#, .malformed),
            (
                "twice deep inside",
                #"{"iss":"https://issuer","sub":"a","aud":"us","exp":2000100,"iat":1,"x":{"y":1,"y":2}}"#, .malformed
            ),
            ("a mark of byte order", "\u{feff}\(Self.claims)", .malformed),
            ("two objects", Self.claims + Self.claims, .malformed),
            ("a comment", String(Self.claims.dropLast()) + "/**/}", .malformed),
            ("a comma too many", String(Self.claims.dropLast()) + ",}", .malformed),
            ("half a pair", Self.claims.replacing("alice", with: #"\ud800"#), .malformed),
            ("a line end in a name", Self.claims.replacing("alice", with: "a\nb"), .malformed),
            (
                "a name decomposed", Self.claims.replacing("https://issuer", with: "https://issue\u{0072}\u{0301}"),
                .unknownIssuer
            ),
            ("a name in capitals", Self.claims.replacing("https://issuer", with: "HTTPS://issuer"), .unknownIssuer),
            (
                "a name with NUL", Self.claims.replacing("https://issuer", with: #"https://issuer\u0000"#),
                .unknownIssuer
            ),
            (
                "a list of names", Self.claims.replacing(#""https://issuer""#, with: #"["https://issuer"]"#),
                .unknownIssuer
            ),
            ("keys in capitals", Self.claims.replacing("iss", with: "ISS"), .unknownIssuer),
            ("no claims", "{}", .unknownIssuer),
            ("an audience with a blank", Self.claims.replacing(#""us""#, with: #""us ""#), .audience),
            ("an audience with NUL", Self.claims.replacing(#""us""#, with: #""us\u0000x""#), .audience),
            ("nobody", Self.claims.replacing("alice", with: ""), .subject),
            ("a number", Self.claims.replacing(#""alice""#, with: "1"), .subject),
        ] as [(String, String, TokenRefusal)] {
            expect(Self.token(Way.rsa.header, payload, Self.rsa.sign), expected, name)
        }
        let overlong = bytes(Self.claims).map { $0 == UInt8(ascii: "l") ? 0xc0 : $0 }
        let signed = Self.encode(Way.rsa.header) + "." + Base64.encodeURL(overlong)
        expect(signed + "." + Base64.encodeURL(Self.rsa.sign(bytes(signed))), .malformed, "no UTF-8")
    }

    // MARK: Time

    @Test func timesOfAnySizeAreTimes() throws {
        func with(_ exp: String, more: String = #""iat":1"#) -> String {
            Self.token(
                Way.ed.header, #"{"iss":"https://issuer","sub":"a","aud":"us","exp":\#(exp),\#(more)}"#, Self.ed.sign)
        }
        for (exp, expected) in [
            ("2000100", nil), ("2000100.999", nil), ("2.0001e6", nil), ("20001E2", nil), ("9007199254740993", nil),
            ("9223372036854775807", nil), ("9223372036854775808", nil), ("99999999999999999999999999", nil),
            ("1e308", nil),
            ("0", .expired), ("-0", .expired), ("-1", .expired), ("-1e308", .expired),
            ("-9223372036854775809", .expired),
            ("1e-400", .expired), ("1e309", .malformed), ("-1e309", .malformed), ("1e99999999999", .malformed),
            ("02000100", .malformed), ("+2000100", .malformed), ("0x1E84E4", .malformed), ("2000100.", .malformed),
            (".2e7", .malformed), ("Infinity", .malformed), ("NaN", .malformed), (#""2000100""#, .malformed),
            ("null", .malformed), ("[2000100]", .malformed), (#"{"$date":2000100}"#, .malformed), ("true", .malformed),
        ] as [(String, TokenRefusal?)] { expect(with(exp), expected, exp) }
        for (more, expected) in [
            (#""iat":1e308"#, .issuedLater), (#""iat":-1e308"#, nil), (#""iat":1,"nbf":1e308"#, .notYet),
            (#""iat":1,"nbf":-1e308"#, nil), (#""iat":9223372036854775807"#, .issuedLater),
        ] as [(String, TokenRefusal?)] { expect(with("2000100", more: more), expected, more) }
        // Long ends reach the cache and the session, and overflow in neither.
        for exp in ["1e308", "9223372036854775807"] {
            var cache = TokenCache(
                try TokenVerifier(issuers: [
                    TokenIssuer(
                        names: ["https://issuer"], audiences: ["us"], algorithms: [.edDSA], keys: Self.keys,
                        skew: .seconds(600))
                ]))
            let identity = try cache.identity(of: with(exp).utf8, now: Self.now)
            #expect(identity.expiry == UnixTime(milliseconds: .max))
            #expect(
                cache.remembered(TokenCache.digest(with(exp).utf8), now: UnixTime(milliseconds: .max - 1)) == identity)
            var dialog = SaslDialog([.oauthBearer])
            _ = dialog.shake(.oauthBearer)
            _ = dialog.token("n,,\u{1}auth=Bearer \(with(exp))\u{1}\u{1}")
            let action = dialog.session.finish(.accepted(SaslIdentity(identity)), now: dialog.now, wall: dialog.wall)
            #expect(action.reply?.sessionLifetimeMs == SaslSession.maxToldLifetime.milliseconds)
        }
    }
}
