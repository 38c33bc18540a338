import BrokerTestKit
import ByteBuffers
import COpenSSL
import KafkaModel
import Security
import Testing

@Suite struct CryptographyTests {
    @Test func hashesAreThoseOfTheStandards() {
        #expect(Hexadecimal.encode(HashAlgorithm.sha1.hash("abc".utf8)) == "a9993e364706816aba3e25717850c26c9cd0d89d")
        #expect(
            Hexadecimal.encode(HashAlgorithm.sha256.hash("abc".utf8))
                == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        #expect(
            Hexadecimal.encode(HashAlgorithm.sha512.hash([]))
                == "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e"
        )
    }

    /// RFC 1321, A.5.
    @Test func md5IsThatOfItsRFC() throws {
        for (text, expected) in [
            ("", "d41d8cd98f00b204e9800998ecf8427e"), ("abc", "900150983cd24fb0d6963f7d28e17f72"),
        ] {
            let digest = try #require(Array(text.utf8).withUnsafeBytes { MD5.hash($0) })
            #expect(Hexadecimal.encode(digest) == expected)
        }
    }

    /// RFC 4231, test case 2.
    @Test func hmacIsThatOfItsRFCWholeAndInPieces() {
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        #expect(
            Hexadecimal.encode(HashAlgorithm.sha256.hmac(key: bytes("Jefe"), "what do ya want for nothing?".utf8))
                == expected)
        let stream = StreamingHMAC(.sha256, key: secret("Jefe"))
        for byte in "what do ya want for nothing?".utf8 { stream.update([byte]) }
        stream.update([])
        #expect(Hexadecimal.encode(stream.finish()) == expected)
    }

    @Test(arguments: HashAlgorithm.allCases) func piecesMakeTheSameCode(_ algorithm: HashAlgorithm) {
        var random = SeededRandom(seed: 1)
        for _ in 0..<50 {
            let key = random.bytes(random.number(in: 1...200))
            let message = random.bytes(random.below(500))
            let stream = StreamingHMAC(algorithm, key: Secret(copying: key[...]))
            let cut = random.number(in: 0...message.count)
            stream.update(message[..<cut])
            stream.update(message[cut...])
            #expect(stream.finish() == algorithm.hmac(key: key, message))
        }
    }

    /// RFC 7914, section 11.
    @Test func pbkdf2IsThatOfItsRFC() {
        let key = HashAlgorithm.sha256.pbkdf2(password: secret("passwd"), salt: bytes("salt"), iterations: 1)
        #expect(Hexadecimal.encode(key) == "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc")
    }

    @Test func secretsShowNothing() {
        let canary = secret("canary-canary")
        struct Holder { let secret: Secret }
        var dumped = ""
        dump(canary, to: &dumped)
        dump(Holder(secret: canary), to: &dumped)
        dump([SaslVerification.token(canary)], to: &dumped)
        for shown in ["\(canary)", String(reflecting: canary), String(describing: Holder(secret: canary)), dumped] {
            #expect(!shown.contains("canary") && !shown.contains("0x"), "\(shown)")
        }
    }

    /// A request or a credential that is printed by mistake, in a log or a crash, gives nothing away.
    @Test func whatCarriesSecretsShowsNothing() {
        let token = bytes("canary")
        let credential = ScramCredential(
            password: secret("canary"), salt: bytes("canary"), iterations: 4_096, mechanism: .sha256)
        var shown = "\(SaslRequest.rawToken(token)) \(credential)"
        for value in [SaslRequest.rawToken(token), SaslRequest.authenticate(version: 1, token: token), credential]
            as [Any]
        {
            dump(value, to: &shown)
            shown += String(describing: value) + String(reflecting: value) + "\([value])"
        }
        for form in [
            "canary", "\(token)".dropLast().dropFirst().description, Hexadecimal.encode(token), Base64.encode(token),
        ] {
            #expect(!shown.contains(form), "\(shown)")
        }
        #expect(!shown.contains(String(credential.storedKey[0]) + ", " + String(credential.storedKey[1])))
    }

    @Test func aSecretTakesItsBytesAndLeavesZeros() {
        var source = bytes("hello")
        let place = source.withUnsafeBytes { $0.baseAddress }
        let taken = Secret(wiping: &source)
        #expect(source == [0, 0, 0, 0, 0])
        // Wiped where they were, and not in a copy.
        #expect(source.withUnsafeBytes { $0.baseAddress } == place)
        #expect(taken.withBytes { Array($0) } == bytes("hello"))
        #expect(taken == secret("hello") && taken != secret("hellO") && taken != secret("hell"))
        #expect(Secret(copying: []).isEmpty && Secret(copying: []) == Secret(copying: []))
    }

    @Test func constantTimeEqualityIsEquality() {
        #expect(ConstantTime.equal([], []) && ConstantTime.equal([1, 2], [1, 2]))
        #expect(
            !ConstantTime.equal([1, 2], [1, 3]) && !ConstantTime.equal([1], [1, 2]) && !ConstantTime.equal([], [1]))
    }

    @Test func randomTextUsesTheWholeAlphabet() {
        let drawn = Randomness.text(4_000, of: bytes("abc"))
        #expect(drawn.count == 4_000 && Set(drawn) == Set(bytes("abc")))
        #expect(Randomness.bytes(32) != Randomness.bytes(32))
    }
}

@Suite struct TextFormTests {
    @Test func hexadecimalReadsBothCases() {
        #expect(Hexadecimal.decode("00fFaB".utf8) == [0, 255, 171] && Hexadecimal.encode([0, 255, 171]) == "00ffab")
        #expect(Hexadecimal.decode("0".utf8) == nil && Hexadecimal.decode("0g".utf8) == nil)
    }

    @Test func namesThatLookAlikeAreNotTheSame() {
        let (one, two) = (ExactString("caf\u{e9}"), ExactString("cafe\u{301}"))
        #expect(one.text == two.text, "Swift's own strings take them for equal")
        #expect(one != two && Set([one, two]).count == 2 && !two.hasPrefix(one))
        #expect(Principal.user(one.text) != Principal.user(two.text))
    }

    @Test func principalsAreCutAtTheFirstColon() {
        #expect(Principal(parsing: "User:CN=a,O=b:c") == Principal(type: "User", name: "CN=a,O=b:c"))
        #expect(Principal(parsing: "User:")?.name == "")
        #expect(Principal(parsing: "alice") == nil && Principal(parsing: ":alice") == nil)
    }

    @Test func timesNeverWrap() {
        #expect(UnixTime(seconds: .max).milliseconds == .max && UnixTime(seconds: .min).milliseconds == .min)
        #expect(UnixTime(milliseconds: .max) + .seconds(1) == UnixTime(milliseconds: .max))
        #expect(UnixTime(milliseconds: -1).seconds == -1 && UnixTime(milliseconds: 1_999).seconds == 1)
        #expect(UnixTime(milliseconds: .min).seconds == -9_223_372_036_854_776)
        #expect(UnixTime(milliseconds: -1_000).seconds == -1 && UnixTime(milliseconds: -1_001).seconds == -2)
        #expect(UnixTime(milliseconds: .min) - .seconds(1) == UnixTime(milliseconds: .min))
        #expect(UnixTime(seconds: 0) - .milliseconds(Int64.min) == UnixTime(milliseconds: .max))
        #expect((UnixTime(seconds: 5) - UnixTime(seconds: 7)) == .seconds(-2))
        #expect(Duration.seconds(Int64.max).milliseconds == .max)
    }
}
