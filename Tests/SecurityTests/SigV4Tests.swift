import KafkaModel
import Security
import Testing

@Suite struct SigV4Tests {
    private let secretKey = secret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
    private let date = "20150830T123600Z"
    private let now = BasicDate.parse("20150830T123600Z")!

    private func request(
        _ method: String = "GET", _ path: String = "/", query: String? = nil, host: String = "example.amazonaws.com",
        headers: [(String, String)] = [], service: String = "service", signature: String,
        signed: String = "host;x-amz-date",
        day: String = "20150830", body: String = ""
    ) -> SigV4Request {
        let credential = "AKIDEXAMPLE/\(day)/us-east-1/\(service)/aws4_request"
        let authorization = "AWS4-HMAC-SHA256 Credential=\(credential), SignedHeaders=\(signed), Signature=\(signature)"
        return SigV4Request(
            method: method, path: path, query: query,
            headers: [("Host", host), ("X-Amz-Date", date), ("Authorization", authorization)] + headers,
            bodyHash: HashAlgorithm.sha256.hash(body.utf8))
    }

    private func verify(
        _ request: SigV4Request, service: String = "service", regions: Set<String>? = nil, hosts: [String] = [],
        at time: UnixTime? = nil
    ) -> Result<SigV4Verifier.Identity, SigV4Verifier.Refusal> {
        var keys = SigningKeyCache()
        let verifier = SigV4Verifier(service: service, regions: regions, hosts: hosts)
        do throws(SigV4Verifier.Refusal) {
            return .success(
                try verifier.verify(request, now: time ?? now, keys: &keys) { key in
                    key == "AKIDEXAMPLE" ? SigV4Verifier.Credential(secret: secretKey, epoch: 1) : nil
                })
        } catch { return .failure(error) }
    }

    private func isGood(_ request: SigV4Request, service: String = "service", hosts: [String] = []) -> Bool {
        if case .success = verify(request, service: service, hosts: hosts) { true } else { false }
    }

    // MARK: AWS's own vectors

    @Test func theSigningKeyIsThatOfTheDocumentation() {
        let key = SigningKeyCache.derive(secretKey, day: "20150830", region: "us-east-1", service: "iam")
        #expect(
            key.withBytes { Hexadecimal.encode($0) }
                == "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9")
    }

    private let vanilla = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"

    @Test func theDocumentedRequestsAreTaken() throws {
        let listUsers = request(
            query: "Action=ListUsers&Version=2010-05-08", host: "iam.amazonaws.com",
            headers: [("content-type", "application/x-www-form-urlencoded; charset=utf-8")], service: "iam",
            signature: "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
            signed: "content-type;host;x-amz-date")
        let found = try verify(listUsers, service: "iam", regions: ["us-east-1"]).get()
        #expect(found.accessKey == "AKIDEXAMPLE" && found.region == "us-east-1")
        #expect(isGood(request(signature: vanilla)))
        #expect(
            isGood(
                request(
                    query: "Param2=value2&Param1=value1",
                    signature: "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500")))
        #expect(isGood(request("POST", signature: "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b")))
        #expect(isGood(request("GET", "", signature: vanilla)))
        // AWS signs these as "/", and whoever routes by the path as it came would serve another than was signed. No SDK
        // sends them, nor bytes outside of ASCII.
        for path in ["/./", "//", "/example/..", "/a/b/../..", "/.", "x", "/\u{1234}"] {
            #expect(verify(request("GET", path, signature: vanilla)) == .failure(.malformed), "\(path)")
        }
    }

    // MARK: Signed here, by another road than the verifier's

    private func sign(
        _ method: String, _ canonicalPath: String, _ canonicalQuery: String, _ canonicalHeaders: String,
        _ signed: String, body: String = "",
        day: String = "20150830", service: String = "sqs"
    ) -> String {
        let canonical =
            "\(method)\n\(canonicalPath)\n\(canonicalQuery)\n\(canonicalHeaders)\n\(signed)\n\(Hexadecimal.encode(HashAlgorithm.sha256.hash(body.utf8)))"
        let toSign =
            "AWS4-HMAC-SHA256\n\(date)\n\(day)/us-east-1/\(service)/aws4_request\n\(Hexadecimal.encode(HashAlgorithm.sha256.hash(canonical.utf8)))"
        let key = SigningKeyCache.derive(secretKey, day: day, region: "us-east-1", service: service)
        return Hexadecimal.encode(HashAlgorithm.sha256.hmac(key: key, toSign.utf8))
    }

    @Test func pathsAreEncodedOnceMore() {
        for (raw, canonical) in [
            ("/a%20b/c", "/a%2520b/c"), ("/a b", "/a%20b"), ("/a+b=c&d", "/a%2Bb%3Dc%26d"), ("/x/", "/x/"),
            ("/x/y/z/", "/x/y/z/"), ("/%2e%2e/b", "/%252e%252e/b"),
            ("/-_.~", "/-_.~"), ("/%7E", "/%257E"),
        ] {
            let signature = sign("POST", canonical, "", "host:h\nx-amz-date:\(date)\n", "host;x-amz-date")
            #expect(
                isGood(request("POST", raw, host: "h", service: "sqs", signature: signature), service: "sqs"), "\(raw)")
        }
    }

    @Test func queriesAreDecodedAndEncodedInOneWay() {
        for (raw, canonical) in [
            ("b=2&a=1&a=0", "a=0&a=1&b=2"), ("a", "a="), ("a=b=c", "a=b%3Dc"), ("a=%7e%2f+", "a=~%2F%2B"),
            ("a=%", "a=%25"), ("A=1&a=2", "A=1&a=2"),
            ("a=%C3%A9", "a=%C3%A9"), ("a=1&&b=2", "a=1&b=2"), ("a-b=1&a=2", "a=2&a-b=1"),
        ] {
            let signature = sign("GET", "/", canonical, "host:h\nx-amz-date:\(date)\n", "host;x-amz-date")
            #expect(
                isGood(request(query: raw, host: "h", service: "sqs", signature: signature), service: "sqs"), "\(raw)")
        }
    }

    /// A mark joins the "&" before it into one character, but not into one byte: who splits bytes reads two fields.
    @Test func oneSignatureIsOfOneReading() {
        let signature = sign(
            "GET", "/", "MessageBody=1%26%CC%81Admin%3D1", "host:h\nx-amz-date:\(date)\n", "host;x-amz-date")
        func arrived(_ query: String) -> SigV4Request {
            request(query: query, host: "h", service: "sqs", signature: signature)
        }
        #expect(isGood(arrived("MessageBody=1%26%CC%81Admin%3D1"), service: "sqs"))
        #expect(verify(arrived("MessageBody=1&\u{301}Admin=1"), service: "sqs") == .failure(.malformed))
        // U+212A is equal to "K", and its lower case is "k".
        let header = request(headers: [("x-amz-\u{212a}", "v")], signature: vanilla)
        #expect(verify(header) == .failure(.malformed))
        #expect(verify(request("GE\u{301}T", signature: vanilla)) == .failure(.malformed))
    }

    @Test func headersAreTrimmedAndJoined() {
        let signature = sign(
            "GET", "/", "", "host:h\nmy-header:a b,c\nx-amz-date:\(date)\n", "host;my-header;x-amz-date")
        let good = request(
            host: "h", headers: [("My-Header", "  a   b "), ("my-header", "c")], service: "sqs", signature: signature,
            signed: "host;my-header;x-amz-date")
        #expect(isGood(good, service: "sqs"))
    }

    @Test func hostsAreTriedWithTheirPortsAndAsConfigured() {
        func signed(for host: String) -> String {
            sign("GET", "/", "", "host:\(host)\nx-amz-date:\(date)\n", "host;x-amz-date")
        }
        func good(_ arrived: String, _ signedHost: String, _ hosts: [String] = []) -> Bool {
            isGood(
                request(host: arrived, service: "sqs", signature: signed(for: signedHost)), service: "sqs", hosts: hosts
            )
        }
        #expect(
            good("h", "h:443") && good("h", "h:80") && good("h:443", "h") && good("h:80", "h")
                && good("[::1]", "[::1]:80"))
        #expect(!good("h", "h:81") && !good("h:81", "h") && !good("h", "other") && good("h", "other", ["other"]))
    }

    @Test func everyChangedByteIsRefused() {
        let body = #"{"QueueName":"orders"}"#
        let headers =
            "content-type:application/x-amz-json-1.0\nhost:h\nx-amz-date:\(date)\nx-amz-target:AmazonSQS.CreateQueue\n"
        let names = "content-type;host;x-amz-date;x-amz-target"
        let signature = sign("POST", "/", "a=1", headers, names, body: body)
        func arrived(
            method: String = "POST", path: String = "/", query: String = "a=1",
            type: String = "application/x-amz-json-1.0",
            target: String = "AmazonSQS.CreateQueue", body: String = body, signature: String = signature
        ) -> SigV4Request {
            request(
                method, path, query: query, host: "h", headers: [("Content-Type", type), ("X-Amz-Target", target)],
                service: "sqs",
                signature: signature, signed: names, body: body)
        }
        #expect(isGood(arrived(), service: "sqs"))
        func mutations(_ text: String) -> [String] {
            text.utf8.indices.map { index in
                var bytes = Array(text.utf8)
                bytes[text.utf8.distance(from: text.startIndex, to: index)] ^= 1
                return String(decoding: bytes, as: UTF8.self)
            }
        }
        for bad in mutations("POST").map({ arrived(method: $0) })
            + mutations("AmazonSQS.CreateQueue").map({ arrived(target: $0) })
            + mutations(body).map({ arrived(body: $0) }) + mutations("a=1").map({ arrived(query: $0) })
            + mutations("application/x-amz-json-1.0").map({ arrived(type: $0) }) + [arrived(path: "/x")]
        {
            #expect(!isGood(bad, service: "sqs"))
        }
        for index in 0..<64 {
            var bad = Array(signature.utf8)
            bad[index] = bad[index] == UInt8(ascii: "0") ? UInt8(ascii: "1") : UInt8(ascii: "0")
            #expect(verify(arrived(signature: text(bad)), service: "sqs") == .failure(.wrongSignature))
        }
    }

    // MARK: Refusals

    @Test func headersThatAreNoAuthorization() {
        #expect(
            verify(SigV4Request(method: "GET", path: "/", query: nil, headers: [("host", "h")], bodyHash: []))
                == .failure(.missing))
        for bad in [
            request(signature: "abc"), request(signature: vanilla.uppercased()),
            request(signature: vanilla, signed: "x-amz-date"),
            request(signature: vanilla, signed: "host"), request(signature: vanilla, signed: "x-amz-date;host"),
            request(signature: vanilla, signed: "host;host;x-amz-date"),
            request(signature: vanilla, signed: "Host;x-amz-date"),
            request(signature: vanilla, signed: "host;missing;x-amz-date"), request(signature: vanilla, signed: ""),
            request(headers: [("x-amz-target", "x")], signature: vanilla),
            request(headers: [("host", "h")], signature: vanilla),
            request(headers: [("x-amz-date", date)], signature: vanilla),
            request(headers: [("authorization", "x")], signature: vanilla),
            request(query: "X-Amz-Signature=\(vanilla)", signature: vanilla),
            request(service: "iam", signature: vanilla),
            request(signature: vanilla, day: "20150829"), request(signature: vanilla, day: "2015083"),
            request(signature: vanilla + ", X=1"),
            request(signature: vanilla + ", Signature=\(vanilla)"),
            request(signature: vanilla + String(repeating: " ", count: 5_000)),
        ] { #expect(verify(bad) == .failure(.malformed), "\(bad.headers)") }
        #expect(verify(request(signature: vanilla), regions: ["eu-west-1"]) == .failure(.malformed))
    }

    @Test func unknownKeysAndSessionTokensAreRefused() {
        var keys = SigningKeyCache()
        #expect(throws: SigV4Verifier.Refusal.unknownKey) {
            try SigV4Verifier(service: "service").verify(request(signature: vanilla), now: now, keys: &keys) { _ in nil
            }
        }
        let token = request(
            headers: [("x-amz-security-token", "t")], signature: vanilla, signed: "host;x-amz-date;x-amz-security-token"
        )
        #expect(verify(token) == .failure(.unknownKey))
    }

    @Test func aHashThatIsNamedIsOurs() {
        let hash = Hexadecimal.encode(HashAlgorithm.sha256.hash([]))
        for (named, isRight) in [
            (hash, true), ("UNSIGNED-PAYLOAD", false), ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", false),
            (hash.uppercased(), false),
        ] {
            let names = "host;x-amz-content-sha256;x-amz-date"
            let signature = sign("GET", "/", "", "host:h\nx-amz-content-sha256:\(named)\nx-amz-date:\(date)\n", names)
            let arrived = request(
                host: "h", headers: [("x-amz-content-sha256", named)], service: "sqs", signature: signature,
                signed: names)
            #expect(isGood(arrived, service: "sqs") == isRight, "\(named)")
        }
    }

    @Test func skewIsToldInAWSsWords() {
        let arrived = request(
            host: "h", service: "sqs",
            signature: sign("GET", "/", "", "host:h\nx-amz-date:\(date)\n", "host;x-amz-date"))
        #expect((try? verify(arrived, service: "sqs", at: now + .seconds(900)).get()) != nil)
        #expect((try? verify(arrived, service: "sqs", at: now - .seconds(900)).get()) != nil)
        #expect(
            verify(arrived, service: "sqs", at: now + .seconds(901))
                == .failure(
                    .skewed(
                        "Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z (20150830T125101Z - 15 min.)"
                    )))
        #expect(
            verify(arrived, service: "sqs", at: now - .seconds(901))
                == .failure(
                    .skewed(
                        "Signature not yet current: 20150830T123600Z is still later than 20150830T123559Z (20150830T122059Z + 15 min.)"
                    )))
        #expect(verify(request(signature: vanilla), at: now + .seconds(301)) != verify(request(signature: vanilla)))
    }

    @Test func signingKeysAreDerivedOnce() throws {
        var keys = SigningKeyCache()
        let verifier = SigV4Verifier(service: "service")
        for epoch: UInt64 in [1, 1, 2] {
            _ = try verifier.verify(request(signature: vanilla), now: now, keys: &keys) { _ in
                SigV4Verifier.Credential(secret: secretKey, epoch: epoch)
            }
        }
        #expect(keys.count == 2)
        // A secret that changed is not served by the old key.
        #expect(throws: SigV4Verifier.Refusal.wrongSignature) {
            try verifier.verify(request(signature: vanilla), now: now, keys: &keys) { _ in
                SigV4Verifier.Credential(secret: secret("other"), epoch: 3)
            }
        }
        for epoch in 10..<UInt64(SigningKeyCache.maxKeys + 20) {
            _ = try verifier.verify(request(signature: vanilla), now: now, keys: &keys) { _ in
                SigV4Verifier.Credential(secret: secretKey, epoch: epoch)
            }
        }
        #expect(keys.count <= SigningKeyCache.maxKeys)
    }

    /// A key's id is no secret: who knows it alone fills no cache.
    @Test func aWrongSignatureKeepsNoKey() throws {
        var keys = SigningKeyCache()
        let verifier = SigV4Verifier(service: "service")
        let wrong = String(repeating: "0", count: 64)
        #expect(throws: SigV4Verifier.Refusal.wrongSignature) {
            try verifier.verify(request(signature: wrong), now: now, keys: &keys) { _ in
                SigV4Verifier.Credential(secret: secretKey, epoch: 1)
            }
        }
        #expect(keys.count == 0)
        for region in [String(repeating: "r", count: 65), "US-EAST-1", "us_east", "us east"] {
            let credential = "AKIDEXAMPLE/20150830/\(region)/service/aws4_request"
            let line = "AWS4-HMAC-SHA256 Credential=\(credential), SignedHeaders=host;x-amz-date, Signature=\(vanilla)"
            let arrived = SigV4Request(
                method: "GET", path: "/", query: nil,
                headers: [("host", "h"), ("x-amz-date", date), ("authorization", line)], bodyHash: [])
            #expect(verify(arrived) == .failure(.malformed), "\(region)")
        }
    }

    @Test func refusalsHaveTheirCodes() {
        let refusals: [SigV4Verifier.Refusal] = [.missing, .malformed, .unknownKey, .wrongSignature, .skewed("x")]
        #expect(refusals.map { SigV4Dialect.sqs.status(of: $0) } == [403, 400, 403, 403, 403])
        #expect(refusals.map { SigV4Dialect.kinesis.status(of: $0) } == [400, 400, 400, 400, 400])
        #expect(
            refusals.map { SigV4Dialect.sqs.code(of: $0) }
                == [
                    "MissingAuthenticationToken", "IncompleteSignature", "InvalidClientTokenId",
                    "SignatureDoesNotMatch", "SignatureDoesNotMatch",
                ])
        #expect(
            refusals.map { SigV4Dialect.kinesis.code(of: $0) } == [
                "MissingAuthenticationTokenException", "IncompleteSignatureException", "UnrecognizedClientException",
                "InvalidSignatureException",
                "InvalidSignatureException",
            ])
        #expect(SigV4Dialect.sqs.accessRefusal(isVisible: true) == (403, "AccessDenied"))
        #expect(SigV4Dialect.sqs.accessRefusal(isVisible: false).code == "QueueDoesNotExist")
        #expect(SigV4Dialect.kinesis.accessRefusal(isVisible: false) == (400, "AccessDeniedException"))
    }

    // MARK: Dates

    @Test func datesAreDaysThatExist() {
        for (text, seconds) in [
            ("19700101T000000Z", 0), ("20150830T123600Z", 1_440_938_160), ("20000229T235959Z", 951_868_799),
            ("21000301T000000Z", 4_107_542_400),
            ("19691231T235959Z", -1), ("00010101T000000Z", -62_135_596_800),
        ] as [(String, Int64)] {
            #expect(BasicDate.parse(text) == UnixTime(seconds: seconds))
            #expect(BasicDate.text(UnixTime(seconds: seconds)) == text)
        }
        for bad in [
            "", "20150830", "20150229T000000Z", "20151301T000000Z", "20150100T000000Z", "20150101T240000Z",
            "20150101T006000Z",
            "20150101T000060Z", "20150101 000000Z", "20150101T000000z", "2015010１T00000Z", "+0150101T000000Z",
        ] { #expect(BasicDate.parse(bad) == nil, "\(bad)") }
    }
}
