import ByteBuffers
import KafkaModel
import Security
import Testing

@Suite struct GatewayKeyTests {
    private let now = UnixTime(seconds: 1_000_000)
    private let made = GatewayKeyText.make()

    private func string(_ secret: Secret) -> String { secret.withBytes { String(decoding: $0, as: UTF8.self) } }

    private func check(_ text: String, _ records: [GatewayKeyRecord], at time: UnixTime? = nil)
        -> GatewayKeyCheck.Outcome
    {
        GatewayKeyCheck.run(text.utf8, now: time ?? now) { id in records.first { $0.id == id } }
    }

    @Test func keysHaveTheirForm() throws {
        let pattern = try Regex("^gk_[a-z0-9]{12}_[0-9A-Za-z]{43}[0-9A-Za-z]{6}$")
        for _ in 0..<200 {
            let (key, text) = GatewayKeyText.make()
            #expect(string(text).wholeMatch(of: pattern) != nil && text.count == GatewayKeyText.length)
            #expect(GatewayKeyText(string(text).utf8)?.hash == key.hash)
        }
        #expect(GatewayKeyText.make().key.hash != GatewayKeyText.make().key.hash)
    }

    /// Each single character changed, dropped or doubled is found without looking anything up.
    @Test func typingErrorsAreFound() {
        let good = Array(string(made.text).utf8)
        for index in good.indices {
            for other in "aZ0_9 -".utf8 where other != good[index] {
                var bad = good
                bad[index] = other
                #expect(GatewayKeyText(bad) == nil)
            }
            #expect(GatewayKeyText(good[..<index] + good[(index + 1)...]) == nil)
            #expect(GatewayKeyText(good[...index] + good[index...]) == nil)
        }
        #expect(GatewayKeyText([]) == nil && check("gk_x", []) == .rejected(.malformed))
    }

    @Test func aKeyIsAcceptedUntilItEnds() {
        var record = GatewayKeyRecord(made.key, owner: .user("alice"), created: now, expiry: now + .seconds(10))
        let text = string(made.text)
        #expect(check(text, [record]) == .accepted(record))
        #expect(check(text, []) == .rejected(.unknown))
        #expect(check(text, [record], at: now + .milliseconds(9_999)) == .accepted(record))
        #expect(check(text, [record], at: now + .seconds(10)) == .rejected(.expired))
        record.isDisabled = true
        #expect(check(text, [record]) == .rejected(.disabled))
        let sameID = GatewayKeyText.make(id: made.key.id)!
        #expect(check(string(sameID.text), [record]) == .rejected(.wrongSecret))
    }

    @Test func twoSecretsLiveWhileOneIsReplaced() throws {
        var record = GatewayKeyRecord(made.key, owner: .user("alice"), created: now)
        let second = GatewayKeyText.make(id: made.key.id)!
        try record.rotate(to: second.key, now: now, previousEnds: now + .seconds(60))
        for text in [string(made.text), string(second.text)] { #expect(check(text, [record]) == .accepted(record)) }
        let third = GatewayKeyText.make(id: made.key.id)!
        #expect(throws: GatewayKeyRecord.RotationError.twoAreLive) {
            try record.rotate(to: third.key, now: now + .seconds(59), previousEnds: now + .seconds(99))
        }
        #expect(throws: GatewayKeyRecord.RotationError.otherKey) {
            try record.rotate(to: GatewayKeyText.make().key, now: now, previousEnds: now)
        }
        let later = now + .seconds(60)
        #expect(check(string(made.text), [record], at: later) == .rejected(.secretEnded))
        #expect(check(string(second.text), [record], at: later) == .accepted(record))
        try record.rotate(to: third.key, now: later, previousEnds: later + .seconds(60))
        #expect(record.secrets.count == 2 && check(string(made.text), [record], at: later) == .rejected(.wrongSecret))
        record.revokePrevious()
        #expect(check(string(second.text), [record], at: later) == .rejected(.wrongSecret))
        #expect(check(string(third.text), [record], at: later) == .accepted(record))
    }

    @Test func anIdOfAStoreIsOne() {
        for bad in ["", "short", "ABCDEFGHIJKL", "abcdefghijk_", "abcdefghijklm"] as [ExactString] {
            #expect(GatewayKeyText.make(id: bad) == nil)
        }
    }

    @Test func theLastUseIsWrittenSeldom() {
        var record = GatewayKeyRecord(made.key, owner: .user("alice"), created: now)
        #expect(record.updateLastUse(now: now) && !record.updateLastUse(now: now + .seconds(599)))
        #expect(record.updateLastUse(now: now + .seconds(600)) && record.lastUse == now + .seconds(600))
    }

    @Test func publishableKeysWriteAndNothingElse() {
        let topic = ResourcePattern(.topic, "events.", .prefixed)
        func scopes(_ scopes: [AccessScope]?) -> [AccessScope]? {
            GatewayKeyRecord(made.key, owner: .user("a"), created: now, scopes: scopes, isPublishable: true)
                .scopes
        }
        #expect(scopes(nil) == [AccessScope(ResourcePattern(.topic, "*"), .write)])
        #expect(scopes([AccessScope(topic, .all), AccessScope(topic, .read)]) == [AccessScope(topic, .write)])
        #expect(scopes([AccessScope(ResourcePattern(.group, "g"), .all)]) == [])
        #expect(GatewayKeyRecord(made.key, owner: .user("a"), created: now).scopes == nil)
    }
}

@Suite struct BasicCredentialTests {
    @Test func theFirstColonCuts() {
        // RFC 7617's two examples, and a password with colons.
        for (text, user, password) in [
            ("QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Aladdin", "open sesame"), ("dGVzdDoxMjPCow==", "test", "123\u{a3}"),
            (Base64.encode("a:b:c".utf8), "a", "b:c"),
        ] {
            let found = BasicCredential(text.utf8)
            #expect(found?.user == ExactString(user) && found?.password == secret(password))
        }
        for bad in ["a", ":b", "a:", "", "a:b\n", "a\u{0}:b", "a:b\u{7f}"] {
            #expect(BasicCredential(Base64.encode(bad.utf8).utf8) == nil)
        }
        for bad in [[0x61, 0x3a, 0xff], [0xff, 0x3a, 0x61]] as [[UInt8]] {
            #expect(BasicCredential(Base64.encode(bad).utf8) == nil)
        }
        #expect(BasicCredential("QWxhZGRpbjpvcGVuIHNlc2FtZQ".utf8) == nil)
    }
}

@Suite struct ProxyHeaderTests {
    private let signature: [UInt8] = [0x0d, 0x0a, 0x0d, 0x0a, 0, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]
    private let addresses: [UInt8] = [10, 1, 2, 3, 10, 0, 0, 1, 0x30, 0x39, 0x23, 0x84]

    private func header(_ versionAndCommand: UInt8, _ family: UInt8, _ payload: [UInt8], length: Int? = nil) -> [UInt8]
    {
        let length = length ?? payload.count
        return signature + [versionAndCommand, family, UInt8(length >> 8), UInt8(length & 255)] + payload
    }

    @Test func theSourceIsTheClient() {
        let v4 = header(0x21, 0x11, addresses)
        #expect(ProxyHeader.parse(v4) == .complete(length: 28, source: NetworkAddress("10.1.2.3")))
        // What follows belongs to the connection.
        #expect(ProxyHeader.parse(v4 + [1, 2, 3]) == .complete(length: 28, source: NetworkAddress("10.1.2.3")))
        let v6 = [UInt8](repeating: 0, count: 15) + [1] + [UInt8](repeating: 0, count: 20)
        #expect(ProxyHeader.parse(header(0x21, 0x21, v6)) == .complete(length: 52, source: NetworkAddress("::1")))
    }

    @Test func theSocketsAddressStaysWhereThereIsNoOther() {
        #expect(ProxyHeader.parse(header(0x20, 0x00, [])) == .complete(length: 16, source: nil))
        #expect(ProxyHeader.parse(header(0x20, 0x11, addresses)) == .complete(length: 28, source: nil))
        #expect(ProxyHeader.parse(header(0x21, 0x00, [])) == .complete(length: 16, source: nil))
        // Whatever the family of nobody's connection is, and whatever follows of a family that the proxy does not know.
        #expect(ProxyHeader.parse(header(0x20, 0x45, [1, 2, 3])) == .complete(length: 19, source: nil))
        #expect(ProxyHeader.parse(header(0x21, 0x00, addresses)) == .complete(length: 28, source: nil))
        let unix = header(0x21, 0x31, [UInt8](repeating: 0, count: 216))
        #expect(ProxyHeader.parse(unix) == .complete(length: 232, source: nil))
    }

    @Test func everyPrefixIsIncomplete() {
        let whole = header(0x21, 0x11, addresses + [4, 0, 1, 0])
        for cut in 0..<whole.count { #expect(ProxyHeader.parse(whole[..<cut]) == .incomplete, "\(cut)") }
        #expect(ProxyHeader.deadline(acceptedAt: MonotonicTime(seconds: 10)) == MonotonicTime(seconds: 13))
    }

    @Test func whatIsNoHeaderIsFoundAtOnce() {
        #expect(ProxyHeader.parse("PROXY TCP4 1.2.3.4".utf8) == .failure(.noSignature))
        #expect(ProxyHeader.parse("G".utf8) == .failure(.noSignature))
        for index in signature.indices {
            var bad = header(0x21, 0x11, addresses)
            bad[index] ^= 1
            #expect(ProxyHeader.parse(bad) == .failure(.noSignature))
        }
        #expect(ProxyHeader.parse(header(0x11, 0x11, addresses)) == .failure(.version))
        #expect(ProxyHeader.parse(header(0x22, 0x11, addresses)) == .failure(.command))
        #expect(ProxyHeader.parse(header(0x21, 0x41, addresses)) == .failure(.family))
        // A datagram is no connection, and an address without a protocol is not known to be one's.
        for family: UInt8 in [0x10, 0x12, 0x13, 0x20, 0x22, 0x30, 0x01, 0x02] {
            #expect(ProxyHeader.parse(header(0x21, family, addresses)) == .failure(.family))
        }
        #expect(ProxyHeader.parse(header(0x21, 0x11, Array(addresses.dropLast()))) == .failure(.tooShort))
        #expect(ProxyHeader.parse(header(0x21, 0x11, [], length: 2_049)) == .failure(.tooLong))
        #expect(ProxyHeader.parse(header(0x21, 0x11, [], length: 2_048)) == .incomplete)
    }

    /// CRC-32C, bit by bit, written apart.
    private func crc(_ bytes: [UInt8]) -> UInt32 {
        var sum: UInt32 = 0xffff_ffff
        for byte in bytes {
            for bit in 0..<8 {
                let feedback = (sum ^ UInt32(byte >> UInt8(bit))) & 1
                sum >>= 1
                if feedback == 1 { sum ^= 0x82f6_3b78 }
            }
        }
        return ~sum
    }

    @Test func checksumsAndLengthsAreChecked() {
        #expect(crc(Array("123456789".utf8)) == 0xe306_9283)
        var good = header(0x21, 0x11, addresses + [0x03, 0, 4, 0, 0, 0, 0, 0x04, 0, 2, 9, 9])
        let sum = crc(good)
        for (index, shift) in [24, 16, 8, 0].enumerated() { good[31 + index] = UInt8(sum >> UInt32(shift) & 255) }
        #expect(ProxyHeader.parse(good) == .complete(length: good.count, source: NetworkAddress("10.1.2.3")))
        for index in 16..<good.count {
            var bad = good
            bad[index] ^= 1
            if case .complete = ProxyHeader.parse(bad) { #expect(index == 28 || index == 35, "byte \(index)") }
        }
        for bad in [[0x03, 0, 3, 0, 0, 0], [0x04, 0, 2, 9], [0x04, 0], [0x04]] as [[UInt8]] {
            #expect(ProxyHeader.parse(header(0x21, 0x11, addresses + bad)) == .failure(.badTLV))
        }
    }
}

@Suite struct ForwardedAddressTests {
    private let trusted = [NetworkRange("10.0.0.0/8")!, NetworkRange("fd00::/8")!]

    private func client(
        _ lines: String..., socket: String = "10.0.0.1", by header: ForwardedAddress.Header = .xForwardedFor
    ) -> String {
        ForwardedAddress(header, trusted: trusted).client(socket: NetworkAddress(socket)!, lines: lines)?.description
            ?? "unreadable"
    }

    @Test func nobodyIsTrustedByDefault() {
        let none = ForwardedAddress(trusted: [])
        #expect(none.client(socket: NetworkAddress("10.0.0.1")!, lines: ["1.2.3.4"])?.description == "10.0.0.1")
        #expect(ForwardedAddress(trusted: trusted).client(socket: NetworkAddress("10.0.0.1")!, lines: []) != nil)
        #expect(client("1.2.3.4", socket: "9.9.9.9") == "9.9.9.9")
    }

    @Test func theWalkGoesFromTheRight() {
        #expect(client("1.2.3.4") == "1.2.3.4" && client("6.6.6.6, 1.2.3.4") == "1.2.3.4")
        #expect(client("6.6.6.6, 1.2.3.4, 10.1.1.1,10.2.2.2") == "1.2.3.4")
        #expect(client("6.6.6.6", "1.2.3.4,10.1.1.1") == "1.2.3.4")
        #expect(client("10.3.3.3, 10.1.1.1") == "10.3.3.3")
        #expect(
            client("[2001:db8::1]:443, fd00::5") == "2001:db8:0:0:0:0:0:1"
                && client("2001:db8::1") == "2001:db8:0:0:0:0:0:1")
        #expect(
            client("1.2.3.4:56789") == "1.2.3.4" && client("::ffff:10.1.1.1", socket: "::ffff:10.0.0.1") == "10.1.1.1")
        // What cannot be read is nobody: not the proxy, whose rights and limits are its own.
        for bad in [
            "", "unknown", "1.2.3.4, ", "1.2.3.4,x", "1.2.3.4:x", "1.2.3.4:", "1.2.3.4:1234567", "[1.2.3.4]", "[::1",
            "::1]:80", "'1.2.3.4'",
        ] {
            #expect(client(bad) == "unreadable", "\(bad)")
        }
        #expect(client("1.2.3.4, x, 10.1.1.1") == "unreadable" && client("x, 1.2.3.4, 10.1.1.1") == "1.2.3.4")
        #expect(
            client(String(repeating: "1.2.3.4,", count: 5) + String(repeating: "10.1.1.1,", count: 40) + "10.2.2.2")
                == "unreadable")
    }

    /// What the client writes changes nothing of what the proxy adds behind it.
    @Test func aClientCannotSpoilTheProxysElement() {
        for evil in ["for=\"", "for=\"\\", "x\u{600}", "\u{600}", "\u{110bd}", "for=\u{600}", "\\", "\"\\\"", ""] {
            let line = "\(evil), for=1.2.3.4"
            #expect(
                client(line, by: .forwarded) == "1.2.3.4" && client(evil, "for=1.2.3.4", by: .forwarded) == "1.2.3.4")
            #expect(client("\(evil),1.2.3.4") == "1.2.3.4" && client("\(evil), 1.2.3.4") == "1.2.3.4")
            #expect(client(evil, "1.2.3.4") == "1.2.3.4")
        }
        #expect(client("6.6.6.6, \u{600}, 10.1.1.1") == "unreadable")
    }

    @Test func forwardedIsReadByItsGrammar() {
        func forwarded(_ lines: String) -> String { client(lines, by: .forwarded) }
        #expect(
            forwarded("for=1.2.3.4") == "1.2.3.4"
                && forwarded("For=\"1.2.3.4:80\";proto=https;by=10.0.0.1") == "1.2.3.4")
        #expect(forwarded("for=6.6.6.6, for=1.2.3.4;host=\"a,b;c\", for=10.1.1.1") == "1.2.3.4")
        #expect(forwarded("for=\"[2001:db8::1]:4711\"") == "2001:db8:0:0:0:0:0:1")
        #expect(forwarded("proto=http; for=\"[2001:db8::1]\"") == "2001:db8:0:0:0:0:0:1")
        for bad in [
            "for=unknown", "for=_hidden", "for=\"_x:1\"", "by=1.2.3.4", "for=1.2.3.4;for=5.6.7.8", "for=\"1.2.3.4",
            "for", "",
            "for=\"1.2\\.3.4\"", "for=\"1.2.3.4\"x", "for=1.2.3.4\"",
        ] {
            #expect(forwarded(bad) == "unreadable", "\(bad)")
        }
    }
}
