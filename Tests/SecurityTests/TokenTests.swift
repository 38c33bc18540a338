import ByteBuffers
import COpenSSL
import KafkaModel
import Security
import Testing

@Suite struct TokenTests {
    private static let rsa = TestKeys.rs256(id: "r1")
    private static let ec = TestKeys.es256(id: "e1")
    private static let ed = TestKeys.edDSA(id: "d1")
    private static let otherRSA = TestKeys.rs256(id: "r1")
    private static let keys = JSONWebKeySet(parsing: #"{"keys":[\#(rsa.jwk),\#(ec.jwk),\#(ed.jwk)]}"#.utf8)!

    private let now = UnixTime(seconds: 2_000_000)
    private let claims = #""iss":"https://issuer","sub":"alice","aud":"us","exp":2000100,"iat":1999990"#

    private func token(
        _ pair: TestKeys.Pair = Self.rsa, header: String = #""alg":"RS256","kid":"r1""#, claims: String? = nil
    ) -> String {
        let signed = Base64.encodeURL("{\(header)}".utf8) + "." + Base64.encodeURL("{\(claims ?? self.claims)}".utf8)
        return signed + "." + Base64.encodeURL(pair.sign(bytes(signed)))
    }

    private func issuer(_ change: (inout TokenIssuer) -> Void = { _ in }) -> TokenIssuer {
        var issuer = TokenIssuer(
            names: ["https://issuer"], audiences: ["us"], algorithms: Set(SignatureAlgorithm.allCases), keys: Self.keys)
        change(&issuer)
        return issuer
    }

    private func result(
        _ token: String, _ issuers: TokenIssuer..., at time: UnixTime? = nil, denied: Set<ExactString> = []
    ) -> Result<TokenIdentity, TokenRefusal> {
        let verifier = try! TokenVerifier(issuers: issuers.isEmpty ? [issuer()] : issuers, denied: denied)
        do throws(TokenRefusal) { return .success(try verifier.verify(token.utf8, now: time ?? now)) } catch {
            return .failure(error)
        }
    }

    @Test func aGoodTokenOfEachAlgorithmIsTaken() throws {
        for (pair, algorithm, id) in [(Self.rsa, "RS256", "r1"), (Self.ec, "ES256", "e1"), (Self.ed, "EdDSA", "d1")] {
            let found = try result(token(pair, header: #""alg":"\#(algorithm)","kid":"\#(id)","typ":"JWT""#)).get()
            #expect(
                found.principal == .user("alice") && found.keyID == ExactString(id)
                    && found.expiry == UnixTime(seconds: 2_000_100))
        }
        #expect(ERR_peek_error() == 0)
    }

    /// RFC 7515, appendices A.2 and A.3, and RFC 8037, A.4: key, text and signature as printed there.
    @Test func theVectorsOfTheRFCs() throws {
        let payload = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
        let ec = try #require(
            PublicKey.p256(
                x: Base64.decodeURL("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU".utf8)!,
                y: Base64.decodeURL("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0".utf8)!))
        let signature = Base64.decodeURL(
            "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q".utf8)!
        #expect(ec.verifies(signature, of: "eyJhbGciOiJFUzI1NiJ9.\(payload)".utf8))
        #expect(!ec.verifies(signature, of: "eyJhbGciOiJFUzI1NiJ9.\(payload)x".utf8))
        let ed = try #require(PublicKey.ed25519(Base64.decodeURL("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo".utf8)!))
        let edSignature = Base64.decodeURL(
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg".utf8)!
        #expect(ed.verifies(edSignature, of: "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc".utf8))
        let rsa = try #require(
            PublicKey.rsa(
                modulus: Base64.decodeURL(
                    "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"
                        .utf8)!,
                exponent: [1, 0, 1]))
        let rsaSignature = Base64.decodeURL(
            "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
                .utf8)!
        #expect(rsa.verifies(rsaSignature, of: "eyJhbGciOiJSUzI1NiJ9.\(payload)".utf8))
    }

    // MARK: RFC 8725's list

    @Test(arguments: ["none", "None", "NONE", "nOnE", "HS256", "HS512", "RS512", "PS256", "ES384", "rs256", ""])
    func otherAlgorithmsAreRefused(_ algorithm: String) {
        #expect(result(token(header: #""alg":"\#(algorithm)","kid":"r1""#)) == .failure(.algorithm))
        let parts = token(header: #""alg":"\#(algorithm)","kid":"r1""#).split(separator: ".")
        #expect(result("\(parts[0]).\(parts[1]).") == .failure(.algorithm))
    }

    @Test func anHMACUnderThePublicKeyIsRefused() {
        let signed = Base64.encodeURL(#"{"alg":"HS256","kid":"r1"}"#.utf8) + "." + Base64.encodeURL("{\(claims)}".utf8)
        for key in [bytes(Self.rsa.jwk), bytes("r1")] {
            let forged = signed + "." + Base64.encodeURL(HashAlgorithm.sha256.hmac(key: key, signed.utf8))
            #expect(result(forged) == .failure(.algorithm))
        }
    }

    @Test func aKeyServesItsOwnAlgorithmOnly() {
        #expect(result(token(Self.rsa, header: #""alg":"ES256","kid":"r1""#)) == .failure(.unknownKey))
        #expect(result(token(Self.rsa, header: #""alg":"ES256","kid":"e1""#)) == .failure(.wrongSignature))
        #expect(result(token(Self.ec, header: #""alg":"RS256","kid":"r1""#)) == .failure(.wrongSignature))
        #expect(result(token(), issuer { $0.algorithms = [.es256] }) == .failure(.algorithm))
    }

    @Test func keyIdsAreNamesAndNothingElse() {
        for id in ["../../etc/passwd", "r1' OR '1'='1", "R1", "https://evil/keys"] {
            let found = result(token(header: #""alg":"RS256","kid":"\#(id)""#))
            #expect(found == .failure(.unknownKey) || found == .failure(.malformed), "\(id)")
        }
        for id in [#""""#, #""r1\u0000""#, "1", "null", #"["r1"]"#, #""\#(String(repeating: "k", count: 129))""#] {
            #expect(result(token(header: #""alg":"RS256","kid":\#(id)"#)) == .failure(.malformed), "\(id)")
        }
        // Without an id, one key of the algorithm is not ambiguous; two are.
        #expect((try? result(token(header: #""alg":"RS256""#)).get()) != nil)
        let renamed = Self.otherRSA.jwk.replacing("\"r1\"", with: "\"r2\"")
        let two = JSONWebKeySet(
            parsing: #"{"keys":[\#(Self.rsa.jwk),\#(renamed)]}"#.utf8)!
        #expect(result(token(header: #""alg":"RS256""#), issuer { $0.keys = two }) == .failure(.unknownKey))
    }

    @Test func keysInTheHeaderAreNotLookedAt() {
        let own = #""jwk":\#(Self.otherRSA.jwk),"jku":"https://evil","x5u":"https://evil","x5c":["AAAA"]"#
        #expect(result(token(Self.otherRSA, header: #""alg":"RS256","kid":"r1",\#(own)"#)) == .failure(.wrongSignature))
        #expect((try? result(token(header: #""alg":"RS256","kid":"r1",\#(own)"#)).get()) != nil)
    }

    @Test func criticalExtensionsAreRefused() {
        for member in [#""crit":["exp"]"#, #""crit":[]"#, #""crit":null"#, #""b64":false"#] {
            #expect(result(token(header: #""alg":"RS256","kid":"r1",\#(member)"#)) == .failure(.critical))
        }
    }

    @Test func theKeyOfAnotherIssuerIsNoKey() {
        let others = JSONWebKeySet(parsing: #"{"keys":[\#(Self.otherRSA.jwk)]}"#.utf8)!
        let other = issuer {
            $0.names = ["https://other"]; $0.keys = others; $0.namePrefix = "other/"
        }
        #expect(result(token(Self.otherRSA), issuer { $0.namePrefix = "us/" }, other) == .failure(.wrongSignature))
        #expect(result(token(claims: claims.replacing("issuer", with: "nobody"))) == .failure(.unknownIssuer))
        #expect(
            result(token(claims: claims.replacing("https://issuer", with: "https://issuer/")))
                == .failure(.unknownIssuer))
    }

    @Test func theTypeIsTheRoutes() {
        let typed = issuer { $0.types = ["at+jwt"] }
        #expect((try? result(token(header: #""alg":"RS256","kid":"r1","typ":"AT+jwt""#), typed).get()) != nil)
        for header in [#""alg":"RS256","kid":"r1""#, #""alg":"RS256","kid":"r1","typ":"JWT""#] {
            #expect(result(token(header: header), typed) == .failure(.type))
        }
    }

    // MARK: Bytes

    @Test func everyChangedCharacterIsRefused() {
        for pair in [(Self.ec, "ES256", "e1"), (Self.ed, "EdDSA", "d1")] {
            let good = Array(token(pair.0, header: #""alg":"\#(pair.1)","kid":"\#(pair.2)""#).utf8)
            for index in good.indices {
                var bad = good
                bad[index] = bad[index] == UInt8(ascii: "A") ? UInt8(ascii: "B") : UInt8(ascii: "A")
                if case .success = result(text(bad)) { Issue.record("character \(index)") }
            }
            for cut in 0..<good.count {
                if case .success = result(text(good[..<cut])) { Issue.record("cut at \(cut)") }
            }
        }
    }

    @Test func aTokenHasThreePartsInOneWriting() {
        let good = token()
        for bad in [
            good + ".", "." + good, good + "=", good.replacing(".", with: ".."), good + "\n", "Bearer " + good, "",
            "..", "a.b.c",
            good.replacing("-", with: "+").replacing("_", with: "/") + "==",
        ] {
            #expect(result(bad) == .failure(.malformed), "\(bad)")
        }
        let long = token(claims: claims + #","x":"\#(String(repeating: "x", count: 8_192))""#)
        #expect(result(long) == .failure(.tooLong))
    }

    @Test func doubledMembersAreRefused() {
        #expect(result(token(claims: claims + #","sub":"root""#)) == .failure(.malformed))
        #expect(result(token(claims: claims + #","s\u0075b":"root""#)) == .failure(.malformed))
        #expect(result(token(header: #""alg":"none","alg":"RS256","kid":"r1""#)) == .failure(.malformed))
    }

    // MARK: Claims

    @Test func timesHaveASecondsEdge() {
        let exact = issuer { $0.skew = .zero }
        func at(
            _ claims: String, _ seconds: Int64, _ issuer: TokenIssuer, isBare: Bool = false
        ) -> TokenRefusal? {
            if case .failure(let refusal) = result(
                token(
                    claims: #""iss":"https://issuer","sub":"a","aud":"us",\#(claims)"#
                        + (claims.contains("iat") || isBare ? "" : #","iat":1"#)), issuer,
                at: UnixTime(seconds: seconds))
            {
                refusal
            } else {
                nil
            }
        }
        #expect(at(#""exp":1000"#, 999, exact) == nil && at(#""exp":1000"#, 1_000, exact) == .expired)
        #expect(at(#""exp":1000.5"#, 1_000, exact) == nil && at(#""exp":1e3"#, 1_000, exact) == .expired)
        #expect(at(#""exp":1000"#, 1_029, issuer()) == nil && at(#""exp":1000"#, 1_030, issuer()) == .expired)
        #expect(
            at(#""exp":9000,"nbf":1000"#, 1_000, exact) == nil && at(#""exp":9000,"nbf":1000"#, 999, exact) == .notYet)
        #expect(
            at(#""exp":9000,"nbf":1000"#, 970, issuer()) == nil
                && at(#""exp":9000,"nbf":1000"#, 969, issuer()) == .notYet)
        #expect(
            at(#""exp":9000,"iat":1000"#, 1_000, exact) == nil
                && at(#""exp":9000,"iat":1000"#, 999, exact) == .issuedLater)
        #expect(at(#""iat":1"#, 999, exact) == .noExpiry)
        #expect(at(#""exp":1000"#, 999, exact, isBare: true) == .noIssueTime)
        for bad in [
            #""exp":"9000""#, #""exp":null"#, #""exp":true"#, #""exp":9000,"nbf":"1""#, #""exp":9000,"iat":[]"#,
        ] {
            #expect(at(bad, 999, exact) == .malformed, "\(bad)")
        }
        #expect(at(#""exp":1e300"#, 999, exact) == nil && at(#""exp":-1e300"#, 999, exact) == .expired)
    }

    @Test func audiencesAreAStringOrAList() {
        func with(_ aud: String) -> Result<TokenIdentity, TokenRefusal> {
            result(token(claims: #""iss":"https://issuer","sub":"a","exp":2000100,"iat":1999990\#(aud)"#))
        }
        for good in [#","aud":"us""#, #","aud":["other","us"]"#] { #expect((try? with(good).get()) != nil) }
        for (bad, refusal) in [
            ("", .audience), (#","aud":"other""#, .audience), (#","aud":[]"#, .audience), (#","aud":"US""#, .audience),
            (#","aud":["us",1]"#, .malformed), (#","aud":{"us":1}"#, .malformed), (#","client_id":"us""#, .audience),
        ] as [(String, TokenRefusal)] { #expect(with(bad) == .failure(refusal), "\(bad)") }
    }

    @Test func cognitosTokensAreOfTwoUses() {
        func cognito(_ use: TokenIssuer.Use) -> TokenIssuer {
            .cognito(region: "eu-west-1", pool: "p_1", clients: ["app"], use: use, keys: Self.keys)
        }
        let name = "https://cognito-idp.eu-west-1.amazonaws.com/p_1"
        func with(_ members: String, _ use: TokenIssuer.Use) -> Result<TokenIdentity, TokenRefusal> {
            result(token(claims: #""iss":"\#(name)","sub":"a","exp":2000100,"iat":1999990,\#(members)"#), cognito(use))
        }
        let access = #""token_use":"access","client_id":"app","scope":"a/read b","cognito:groups":["ops","dev"]"#
        let identity = #""token_use":"id","aud":"app""#
        let found = try? with(access, .access).get()
        #expect(found?.scopes == [.scope("a/read"), .scope("b")] && found?.groups == [.group("ops"), .group("dev")])
        #expect((try? with(identity, .id).get()) != nil)
        #expect(with(access, .id) == .failure(.use) && with(identity, .access) == .failure(.use))
        #expect(with(#""client_id":"app""#, .access) == .failure(.use))
        #expect(with(#""token_use":"access","client_id":"other""#, .access) == .failure(.audience))
        #expect(with(#""token_use":"id","client_id":"app""#, .id) == .failure(.audience))
        // Who names an audience means that one: a token for another API of the same client is none of ours.
        #expect(with(#""token_use":"access","aud":"https://other","client_id":"app""#, .access) == .failure(.audience))
        #expect((try? with(#""token_use":"access","aud":"app","client_id":"x""#, .access).get()) != nil)
        #expect(with(access.replacing("\"dev\"", with: "1"), .access) == .failure(.groups))
        let many = (0...AccessSubject.maxGroups).map { "\"g\($0)\"" }.joined(separator: ",")
        #expect(
            with(#""token_use":"access","client_id":"app","cognito:groups":[\#(many)]"#, .access) == .failure(.groups))
    }

    @Test func googlesTokensHaveTwoNamesAndAParty() {
        let google = TokenIssuer.google(clients: ["app"], keys: Self.keys)
        func with(_ members: String) -> Result<TokenIdentity, TokenRefusal> {
            result(token(claims: #""sub":"123","exp":2000100,"iat":1999990,\#(members)"#), google)
        }
        for name in ["https://accounts.google.com", "accounts.google.com"] {
            #expect((try? with(#""iss":"\#(name)","aud":"app""#).get())?.subject == "123")
        }
        let base = #""iss":"accounts.google.com","aud""#
        #expect((try? with(base + #":["app","x"],"azp":"app""#).get()) != nil)
        #expect(with(base + #":["app","x"]"#) == .failure(.authorizedParty))
        #expect(with(base + #":"app","azp":"x""#) == .failure(.authorizedParty))
        #expect((try? with(base + #":"app","email":"a@b","email_verified":true"#).get())?.email == "a@b")
        for unverified in ["", #","email_verified":false"#, #","email_verified":"true""#] {
            let found = try? with(base + #":"app","email":"a@b"\#(unverified)"#).get()
            #expect(found != nil && found?.email == nil)
        }
    }

    @Test func subjectsAndScopesHaveTheirForm() {
        func with(_ members: String) -> Result<TokenIdentity, TokenRefusal> {
            result(token(claims: #""iss":"https://issuer","aud":"us","exp":2000100,"iat":1999990,\#(members)"#))
        }
        for bad in [#""sub":"""#, #""sub":1"#, #""x":1"#] { #expect(with(bad) == .failure(.subject)) }
        #expect((try? with(#""sub":"a","scope":["r","w"]"#).get())?.scopes == [.scope("r"), .scope("w")])
        let many = (0...TokenVerifier.maxScopes).map { "s\($0)" }
        #expect(with(#""sub":"a","scope":"\#(many.joined(separator: " "))""#) == .failure(.scopes))
        #expect(
            (try? with(#""sub":"a","scope":"\#(many.dropLast().joined(separator: " "))""#).get())?.scopes.count == 64)
        for bad in [#"["r","r"]"#, #"["r",""]"#, #"["r",1]"#, "1", #""r r""#] {
            #expect(with(#""sub":"a","scope":\#(bad)"#) == .failure(.scopes), "\(bad)")
        }
    }

    @Test func tokensThatWereTakenBackAreRefused() {
        let taken = token(claims: claims + #","jti":"j1""#)
        #expect((try? result(taken).get())?.tokenID == "j1")
        #expect(result(taken, denied: ["j1"]) == .failure(.denied))
    }

    // MARK: Names

    /// Whoever issues a token chooses its subject: it is nobody of another issuer's.
    @Test func eachIssuerHasItsOwnNames() throws {
        let partner = issuer {
            $0.names = ["https://partner"]
            $0.namePrefix = "partner/"
            $0.groupsClaim = "groups"
        }
        let company = issuer { $0.namePrefix = "company/" }
        let root = token(
            claims: #""iss":"https://partner","sub":"root","aud":"us","exp":2000100,"iat":1,"groups":["admins"]"#)
        let found = try result(root, company, partner).get()
        #expect(found.principal == .user("partner/root") && found.groups == [.group("partner/admins")])
        for prefixes in [(nil, nil), (nil, "a"), ("a", ""), ("a", "a"), ("a", "ab")] as [(String?, String?)] {
            let (one, two) = (
                issuer { $0.namePrefix = prefixes.0 },
                issuer {
                    $0.names = ["x"]; $0.namePrefix = prefixes.1
                }
            )
            #expect(throws: SecurityConfigurationError.self) { try TokenVerifier(issuers: [one, two]) }
        }
        #expect(throws: SecurityConfigurationError.self) {
            try TokenVerifier(issuers: [company, issuer { $0.namePrefix = "x" }])
        }
    }

    @Test func anAddressIsASubjectOnceItWasVerified() throws {
        let byEmail = issuer { $0.subjectClaim = "email" }
        let verified = token(claims: claims + #","email":"a@b","email_verified":true"#)
        #expect(try result(verified, byEmail).get().principal == .user("a@b"))
        for unverified in ["", #","email_verified":false"#, #","email_verified":"true""#] {
            #expect(result(token(claims: claims + #","email":"a@b"\#(unverified)"#), byEmail) == .failure(.subject))
        }
    }

    // MARK: Keys

    @Test func keySetsKeepWhatCanBeUsed() throws {
        let small = TestKeys.rs256(id: "small", bits: 1_024)
        func set(_ keys: String...) -> [String?]? {
            JSONWebKeySet(parsing: #"{"keys":[\#(keys.joined(separator: ","))]}"#.utf8)?.keys.map { $0.id?.text }
        }
        #expect(set(Self.rsa.jwk, small.jwk, Self.ec.jwk) == ["r1", "e1"])
        func extended(_ members: String) -> String { String(Self.ec.jwk.dropLast()) + ",\(members)}" }
        for good in [#""use":"sig""#, #""alg":"ES256""#, #""key_ops":["verify"]"#, #""x5t":"abc""#] {
            #expect(set(extended(good)) == ["e1"])
        }
        for bad in [#""use":"enc""#, #""alg":"RS256""#, #""alg":"HS256""#, #""key_ops":["sign"]"#, #""d":"AAAA""#] {
            #expect(set(extended(bad)) == [], "\(bad)")
        }
        let bad = [
            #"{"kty":"oct","k":"AAAA"}"#, #"{"kty":"EC","crv":"P-384","x":"AA","y":"AA"}"#,
            #"{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}"#,
            #"{"kty":"OKP","crv":"X25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#, "1", "{}",
            #"{"kty":"RSA","n":"AQAB","e":"AQAB"}"#,
            Self.rsa.jwk.replacing("AQAB", with: "Aw"), Self.rsa.jwk.replacing(#""kid":"r1""#, with: #""kid":1"#),
            #"{"kty":"EC","crv":"P-256","x":"\#(String(repeating: "A", count: 43))","y":"\#(String(repeating: "A", count: 43))"}"#,
        ]
        for entry in bad { #expect(set(entry) == [], "\(entry)") }
        for document in ["", "[]", "{}", #"{"keys":{}}"#, #"{"keys":[],"keys":[]}"#] {
            #expect(JSONWebKeySet(parsing: document.utf8) == nil)
        }
        #expect(ERR_peek_error() == 0)
    }

    @Test func keySetsHaveABound() {
        let many = Array(repeating: Self.ed.jwk, count: JSONWebKeySet.maxKeys + 1).joined(separator: ",")
        #expect(JSONWebKeySet(parsing: #"{"keys":[\#(many)]}"#.utf8)?.keys.count == JSONWebKeySet.maxKeys)
    }

    @Test func es256IsExactly64Bytes() {
        let message = bytes("m")
        let key = Self.keys.key(id: "e1", algorithm: .es256)!
        let good = Self.ec.sign(message)
        #expect(key.verifies(good, of: message))
        for bad in [
            [], good + [0], Array(good.dropLast()), [UInt8](repeating: 0, count: 64),
            [UInt8](repeating: 0xff, count: 64),
            Array(good[32...] + good[..<32]),
        ] { #expect(!key.verifies(bad, of: message)) }
        // Each with a leading zero byte now and then: the encoding has to stay right.
        for index in 0..<300 {
            let message = bytes("message \(index)")
            #expect(key.verifies(Self.ec.sign(message), of: message))
        }
    }

    // MARK: The cache

    @Test func aTokenIsCheckedOnceUntilItEnds() throws {
        var cache = TokenCache(try TokenVerifier(issuers: [issuer()]))
        let good = token()
        // Within the skew as well.
        for time in [now, now, UnixTime(seconds: 2_000_129)] { _ = try cache.identity(of: good.utf8, now: time) }
        #expect(cache.count == 1)
        #expect(throws: TokenRefusal.expired) { try cache.identity(of: good.utf8, now: UnixTime(seconds: 2_000_130)) }
        #expect(cache.count == 0)
        _ = try cache.identity(of: good.utf8, now: now)
        #expect(throws: TokenRefusal.wrongSignature) { try cache.identity(of: token(Self.otherRSA).utf8, now: now) }
        // The issuer's keys are gone: what was good is not looked up any more.
        cache.verifier = try TokenVerifier(issuers: [issuer { $0.keys = JSONWebKeySet(keys: []) }])
        #expect(throws: TokenRefusal.unknownKey) { try cache.identity(of: good.utf8, now: now) }
        #expect(cache.count == 0)
    }

    /// Routes have verifiers of their own: what one takes another refuses.
    @Test func aCacheKnowsWhatItsOwnVerifierTook() throws {
        var ours = TokenCache(try TokenVerifier(issuers: [issuer()]))
        var others = TokenCache(try TokenVerifier(issuers: [issuer { $0.audiences = ["them"] }]))
        let good = token()
        _ = try ours.identity(of: good.utf8, now: now)
        #expect(throws: TokenRefusal.audience) { try others.identity(of: good.utf8, now: now) }
        ours.verifier = others.verifier
        #expect(throws: TokenRefusal.audience) { try ours.identity(of: good.utf8, now: now) }
    }

    @Test func bareTokensAreThreePartsAndNothingElse() {
        #expect(TokenVerifier.isBareToken("a.b-_9.C".utf8))
        for other in ["", "a.b", "a.b.c.d", "a..c", "Bearer a.b.c", "a.b.c ", "a.b.c=", ".b.c"] {
            #expect(!TokenVerifier.isBareToken(other.utf8), "\(other)")
        }
    }
}

@Suite struct StrictJSONTests {
    @Test func valuesAreRead() {
        let json = StrictJSON(
            parsing: #" {"a" : [1, -0.5e+3, true, false, null, "x\n\u00e9\ud83d\ude00\/"], "b":{}, "":""} "#.utf8)
        #expect(
            json?["a"]
                == .array([
                    .number("1"), .number("-0.5e+3"), .bool(true), .bool(false), .null, .string("x\n\u{e9}\u{1f600}/"),
                ]))
        #expect(json?["b"] == .object([:]) && json?[""]?.text == "" && json?["c"] == nil)
        #expect(
            StrictJSON.number("1.0015").time == UnixTime(milliseconds: 1_001) && StrictJSON.number("1e999").time == nil)
    }

    @Test(arguments: [
        "", " ", "{", "}", "[", "[1,]", "{,}", #"{"a"}"#, #"{"a":}"#, #"{"a":1,}"#, "{a:1}", "'a'", "01", "-", "1.",
        ".5", "1e", "+1", "NaN",
        "tru", "nul", "true false", "\"", "\"\n\"", #""\x""#, #""\u12""#, #""\u12g4""#, #""\ud800""#,
        #""\ud800\u0041""#, #""\udc00""#,
        #"{"a":1,"a":2}"#, #"{"a":1,"\u0061":2}"#, "[1 2]", "\u{feff}1", "1,2", "//", "\"\u{7}\"",
    ])
    func whatIsNoneIsRefused(_ text: String) { #expect(StrictJSON(parsing: text.utf8) == nil) }

    @Test func bytesHaveToBeUTF8AndBounded() {
        #expect(
            StrictJSON(parsing: [0x22, 0xff, 0x22]) == nil
                && StrictJSON(parsing: [0x22, 0xed, 0xa0, 0x80, 0x22]) == nil)
        func nested(_ depth: Int) -> String {
            String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        }
        #expect(StrictJSON(parsing: nested(16).utf8) != nil && StrictJSON(parsing: nested(17).utf8) == nil)
        let long = [UInt8](repeating: 0x20, count: StrictJSON.maxBytes)
        #expect(StrictJSON(parsing: [0x31] + long.dropLast()) != nil && StrictJSON(parsing: [0x31] + long) == nil)
        // Two writings of one letter are two members.
        #expect(StrictJSON(parsing: #"{"\u00e9":1,"e\u0301":2}"#.utf8) != nil)
    }
}

/// As these two have to be configured.
extension TokenIssuer {
    /// A user pool of Cognito. Its access tokens have `client_id` and no `aud`.
    fileprivate static func cognito(
        region: String, pool: String, clients: Set<ExactString>, use: Use = .access, keys: JSONWebKeySet
    ) -> TokenIssuer {
        TokenIssuer(
            names: [ExactString("https://cognito-idp.\(region).amazonaws.com/\(pool)")], audiences: clients, keys: keys,
            use: use, groupsClaim: "cognito:groups")
    }

    fileprivate static func google(clients: Set<ExactString>, keys: JSONWebKeySet) -> TokenIssuer {
        TokenIssuer(
            names: ["https://accounts.google.com", "accounts.google.com"], audiences: clients, keys: keys,
            checksAuthorizedParty: true)
    }
}
