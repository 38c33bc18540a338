@testable import BrokerCore
import BrokerTestKit
import ByteBuffers
import Glibc
import KafkaModel
import KafkaWire
import Security
import Testing

@testable import KafkaServer

/// What a client has shown who it is by does not stay in the memory of the process, freed or not. The whole process is looked through,
/// so the test keeps its own copies in places that it knows, and wipes what it sends.
@Suite struct SecretsInMemoryTests {
    /// Random, so that nobody else has it.
    private final class Canary {
        /// The text, its base64 behind none, one and two other bytes, without the characters that others have a part in, and what it
        /// is the base64 of.
        let forms: [UnsafeMutableRawBufferPointer]

        /// A length of whole groups of four characters.
        init(count: Int = 32) {
            let letters = Array("abcdefghijklmnopqrstuvwxyz0123456789".utf8)
            var random = SystemRandomNumberGenerator()
            let text = Self.allocate(count)
            for index in text.indices { text[index] = letters.randomElement(using: &random)! }
            let symbols = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
            forms =
                [text]
                + (0..<3).map { shift in
                    // Groups of three bytes that are wholly the text's.
                    let first = (3 - shift) % 3
                    let groups = (count - first) / 3
                    let encoded = Self.allocate(4 * groups)
                    for group in 0..<groups {
                        let bytes = (0..<3).reduce(0) { $0 << 8 | Int(text[first + 3 * group + $1]) }
                        for place in 0..<4 { encoded[4 * group + place] = symbols[bytes >> (18 - 6 * place) & 63] }
                    }
                    return encoded
                } + [Self.decoded(text, symbols)]
        }

        private static func decoded(
            _ text: UnsafeMutableRawBufferPointer, _ symbols: [UInt8]
        ) -> UnsafeMutableRawBufferPointer {
            let bytes = allocate(text.count / 4 * 3)
            for group in 0..<text.count / 4 {
                let bits = (0..<4).reduce(0) { $0 << 6 | symbols.firstIndex(of: text[4 * group + $1])! }
                for place in 0..<3 { bytes[3 * group + place] = UInt8(bits >> (16 - 8 * place) & 255) }
            }
            return bytes
        }

        var text: UnsafeRawBufferPointer { UnsafeRawBufferPointer(forms[0]) }

        private static func allocate(_ count: Int) -> UnsafeMutableRawBufferPointer {
            .allocate(byteCount: count, alignment: 1)
        }

        deinit {
            for form in forms {
                Secret.wipe(form)
                form.deallocate()
            }
        }

        private typealias Find =
            @convention(c) (UnsafeRawPointer, Int, UnsafeRawPointer, Int) -> UnsafeMutableRawPointer?
        /// `memmem`, which the C library's headers show to GNU sources alone.
        private static let find = unsafeBitCast(dlsym(nil, "memmem")!, to: Find.self)

        /// Places in memory that hold one of its forms, besides its own.
        func places() -> [String] {
            let maps = Self.maps.split(separator: "\n").filter { $0.contains(" rw") }
            let memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC)
            defer { close(memory) }
            // Pieces overlap by more than a form is long.
            let (piece, overlap) = (1 << 20, 64)
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: piece, alignment: 4_096)
            defer {
                Secret.wipe(buffer)
                buffer.deallocate()
            }
            let own = (forms + [buffer]).map {
                UInt(bitPattern: $0.baseAddress!)..<UInt(bitPattern: $0.baseAddress! + $0.count)
            }
            var found: [String] = []
            for line in maps {
                let bounds = line.prefix { $0 != " " }.split(separator: "-").compactMap { UInt($0, radix: 16) }
                var at = bounds[0]
                while at < bounds[1] {
                    let count = pread(memory, buffer.baseAddress!, min(piece, Int(bounds[1] - at)), off_t(at))
                    // Unmapped meanwhile, by somebody else.
                    guard count > 0 else { break }
                    for (number, form) in forms.enumerated() {
                        var from = 0
                        while from < count,
                            let hit = Self.find(buffer.baseAddress! + from, count - from, form.baseAddress!, form.count)
                        {
                            let offset = UnsafeRawPointer(hit) - UnsafeRawPointer(buffer.baseAddress!)
                            let address = at + UInt(offset)
                            if !own.contains(where: { $0.contains(address) }) {
                                found.append("form \(number) at \(String(address, radix: 16)): \(line)")
                            }
                            from = offset + 1
                        }
                    }
                    at += UInt(count > overlap && at + UInt(count) < bounds[1] ? count - overlap : count)
                }
            }
            return found
        }

        private static var maps: String {
            let file = open("/proc/self/maps", O_RDONLY | O_CLOEXEC)
            defer { close(file) }
            var text: [UInt8] = []
            var piece = [UInt8](repeating: 0, count: 1 << 16)
            while true {
                let count = piece.withUnsafeMutableBytes { read(file, $0.baseAddress!, $0.count) }
                guard count > 0 else { return String(decoding: text, as: UTF8.self) }
                text += piece[..<count]
            }
        }

        /// A worker may hold the last reference for a moment longer than the reply takes.
        func isForgotten() -> Bool {
            for _ in 0..<100 {
                if places().isEmpty { return true }
                MonotonicClock.sleep(milliseconds: 20)
            }
            for place in Set(places()) { Issue.record("\(place)") }
            return false
        }
    }

    /// A connection that wipes what it has sent.
    private final class Line {
        private let socket: Int32

        init(_ broker: TestBroker) throws { socket = try Loopback.connect(port: broker.port) }
        deinit { close(socket) }

        /// Sends a frame of these bytes, a secret in their middle, and reads its reply.
        @discardableResult
        func send(_ head: [UInt8], _ secret: UnsafeRawBufferPointer, _ tail: [UInt8] = []) -> [UInt8] {
            let count = head.count + secret.count + tail.count
            let frame = UnsafeMutableRawBufferPointer.allocate(byteCount: 4 + count, alignment: 1)
            defer {
                Secret.wipe(frame)
                frame.deallocate()
            }
            frame.storeBytes(of: Int32(count).bigEndian, as: Int32.self)
            for (at, bytes) in [(4, head), (4 + head.count + secret.count, tail)] {
                for (index, byte) in bytes.enumerated() { frame[at + index] = byte }
            }
            for (index, byte) in secret.enumerated() { frame[4 + head.count + index] = byte }
            #expect(Glibc.send(socket, frame.baseAddress!, frame.count, Int32(MSG_NOSIGNAL)) == frame.count)
            return receive()
        }

        private func receive() -> [UInt8] {
            func read(_ count: Int) -> [UInt8] {
                var bytes = [UInt8](repeating: 0, count: count)
                var have = 0
                while have < count {
                    let got = bytes.withUnsafeMutableBytes { recv(socket, $0.baseAddress! + have, count - have, 0) }
                    if got <= 0 { return [] }
                    have += got
                }
                return bytes
            }
            let length = read(4).reduce(0) { $0 << 8 | Int($1) }
            return read(length)
        }

        private static var nothing: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: nil, count: 0) }

        func shake(_ mechanism: String, version: Int16) {
            var request = SaslHandshakeRequest()
            request.mechanism = mechanism
            let frame = WireClient.frame(request, version: version, correlationID: 1)
            #expect(send(Array(frame[4...]), Self.nothing).isEmpty == false)
        }

        /// A token of SaslAuthenticate 0: a header of version 1, then the bytes behind their length.
        func authenticate(_ before: [UInt8], _ secret: UnsafeRawBufferPointer, _ after: [UInt8]) -> Int16 {
            let length = before.count + secret.count + after.count
            let header: [UInt8] = [0, 36, 0, 0, 0, 0, 0, 2, 0xff, 0xff]
            let count = (0..<4).map { UInt8(length >> (24 - 8 * $0) & 255) }
            let reply = send(header + count + before, secret, after)
            return reply.count < 6 ? -1 : Int16(reply[4]) << 8 | Int16(reply[5])
        }
    }

    private func broker(_ canary: Canary? = nil, tokens: (any TokenAuthority)? = nil) throws -> TestBroker {
        let broker = try TestBroker { options in
            options.sasl = SaslSettings(
                mechanisms: tokens == nil ? [.plain] : [.oauthBearer], failureDelay: .zero, parting: .zero)
            options.tokens = tokens
        }
        guard let canary else { return broker }
        let salt = ScramDecoys.newSalt()
        var salted = HashAlgorithm.sha256.pbkdf2(
            password: Secret(copying: canary.text), salt: salt, iterations: 4_096)
        _ = broker.broker.alterScramCredentials(
            deletions: [],
            upsertions: [
                .init(
                    user: "alice", mechanism: 1, iterations: 4_096, salt: salt, saltedPassword: Secret(wiping: &salted))
            ])
        return broker
    }

    private static let alice = Array("\0alice\0".utf8)

    /// What is not forgotten is found, in either form.
    @Test func theSearchFindsWhatIsThere() {
        let canary = Canary()
        #expect(canary.isForgotten())
        for form in canary.forms {
            let kept = Array(form)
            #expect(withExtendedLifetime(kept) { !canary.places().isEmpty })
            Secret.wipe(shared: kept)
        }
        #expect(canary.isForgotten())
    }

    @Test(arguments: [true, false]) func aPasswordOfPlainIsForgotten(_ isRight: Bool) throws {
        let canary = Canary()
        let broker = try broker(isRight ? canary : Canary())
        // The second time it is remembered, without being kept.
        for _ in 0..<2 {
            let line = try Line(broker)
            line.shake("PLAIN", version: 1)
            #expect(line.authenticate(Self.alice, canary.text, []) == (isRight ? 0 : 58))
        }
        #expect(canary.isForgotten())
    }

    @Test func aBareTokenIsForgotten() throws {
        let canary = Canary()
        let broker = try broker(canary)
        let line = try Line(broker)
        line.shake("PLAIN", version: 0)
        #expect(line.send(Self.alice, canary.text) == [])
        #expect(canary.isForgotten())
    }

    @Test func aTokenIsForgotten() throws {
        for isGood in [true, false] {
            let canary = Canary()
            let broker = try broker(tokens: Desk(isGood: isGood))
            let line = try Line(broker)
            line.shake("OAUTHBEARER", version: 1)
            let head = Array("n,,\u{1}auth=Bearer eyJhbGciOiJFZERTQSJ9.eyJpc3MiOiJpIn0.".utf8)
            #expect(line.authenticate(head, canary.text, [1, 1]) == 0)
            #expect(canary.isForgotten())
        }
    }

    /// A message that is none is looked at no further, and forgotten all the same.
    @Test func whatIsNoMessageIsForgotten() throws {
        let canary = Canary()
        let broker = try broker()
        let line = try Line(broker)
        line.shake("PLAIN", version: 1)
        #expect(line.authenticate([0], canary.text, [0]) == 58)
        #expect(canary.isForgotten())
    }

    /// Whoever has the salted password logs in by it.
    @Test func theSaltedPasswordOfANewCredentialIsForgotten() throws {
        let canary = Canary()
        let broker = try TestBroker()
        let line = try Line(broker)
        var request = AlterUserScramCredentialsRequest()
        var upsertion = AlterUserScramCredentialsRequest.ScramCredentialUpsertion()
        (upsertion.name, upsertion.mechanism, upsertion.iterations) = ("carol", 1, 4_096)
        upsertion.salt = [1, 2, 3]
        upsertion.saltedPassword = [UInt8](repeating: 0xa5, count: 32)
        request.upsertions = [upsertion]
        let frame = WireClient.frame(request, version: 0, correlationID: 3)
        let at = try #require(frame.indices.first { frame[$0...].starts(with: upsertion.saltedPassword) })
        #expect(!line.send(Array(frame[4..<at]), canary.text, Array(frame[(at + 32)...])).isEmpty)
        #expect(broker.broker.access.scramCredential(of: "carol", mechanism: .sha256) != nil)
        #expect(canary.isForgotten())
    }
}

/// Verifies as the real one does, by a key that nobody has signed with; or takes everything.
private final class Desk: TokenAuthority {
    let generation = 0
    private let isGood: Bool
    private let verifier: TokenVerifier

    init(isGood: Bool) {
        self.isGood = isGood
        // Of RFC 8037.
        let key = #"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#
        let keys = JSONWebKeySet(parsing: #"{"keys":[\#(key)]}"#.utf8)!
        verifier = try! TokenVerifier(issuers: [
            TokenIssuer(names: ["i"], audiences: ["a"], algorithms: [.edDSA], keys: keys)
        ])
    }

    func remembered(_ token: Secret) -> TokenIdentity? { nil }

    func check(
        _ token: Secret, from address: NetworkAddress?, _ done: @escaping @Sendable (TokenVerdict) -> Void
    ) -> PendingCheck? {
        _ = Thread(name: "verdict") { [self] in
            _ = token.withBytes { bytes in try? verifier.verify(bytes, now: UnixTime(seconds: 1)) }
            done(
                isGood
                    ? .accepted(
                        TokenIdentity(
                            issuer: "i", subject: "alice", principal: .user("alice"),
                            expiry: UnixTime(milliseconds: WallClock.milliseconds + 100_000)))
                    : .rejected(.wrongSignature))
        }
        return PendingCheck()
    }
}
