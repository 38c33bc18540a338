import BrokerTestKit
import ByteBuffers
import COpenSSL
import Glibc
import Security
import Testing

@testable import TLS
@testable import Transport

extension TLSTests {
    /// A peer whose every record is sound, and who sends more of a kind than there is a reason for.
    @Suite struct ExcessTests {
        private let terminator = try! TLSTerminator(.test())

        private func open(_ version: Int32 = TLS1_3_VERSION) -> Pair {
            let pair = Pair(
                terminator, .init(lowest: version, highest: version, suites: "ECDHE-ECDSA-AES128-GCM-SHA256"))
            pair.settle()
            precondition(!pair.server.isOpening)
            pair.deliver()
            _ = pair.client.step()
            pair.wire.state.withLock { $0.receives = 0 }
            return pair
        }

        private func receives(_ pair: Pair) -> Int { pair.wire.state.withLock { $0.receives } }

        private func askForKeys(_ pair: Pair, _ kind: Int32 = SSL_KEY_UPDATE_REQUESTED) {
            SSL_key_update(pair.client.session, kind)
            SSL_do_handshake(pair.client.session)
        }

        @Test func aCallTakesItsShareOfLongRecords() {
            let pair = open()
            pair.client.write(pattern(1_000_000))
            pair.send(pair.client.takeOutput())
            var calls = 0
            var total = 0
            while case .more(let count) = pair.serveOnce() {
                calls += 1
                total += count
                // What the call before had read, and one read more than the allowance.
                #expect(count <= TLSStream.maxCost + 2 * 17_000)
            }
            #expect(calls >= 10)
            #expect(total >= 900_000)
        }

        @Test func aCallTakesFewShortRecords() {
            let pair = open()
            for byte in pattern(5_000) { pair.client.write([byte]) }
            pair.send(pair.client.takeOutput())
            guard case .more(let first) = pair.serveOnce() else {
                Issue.record("all in one call")
                return
            }
            #expect(first <= TLSStream.maxCost / TLSStream.recordCost)
            #expect(receives(pair) <= 2)
            // Nothing is lost by it.
            pair.serve()
            #expect(pair.received == Array(pattern(5_000)[first...]))
        }

        @Test func newKeysInOneReadHaveABound() {
            let pair = open()
            for _ in 0..<500 { askForKeys(pair, SSL_KEY_UPDATE_NOT_REQUESTED) }
            pair.send(pair.client.takeOutput())
            #expect(pair.serveOnce() == .refused)
            #expect(receives(pair) == 1)
            // libssl stopped right there, with hundreds of them in its buffer.
            #expect(pair.server.messageDebt == (TLSStream.maxKeyUpdates + 1) * TLSStream.bytesPerKeyUpdate)
            #expect(pair.server.problem.contains("new keys"))
        }

        @Test func aByteDoesNotMakeUpForNewKeys() {
            let pair = open()
            for _ in 0..<20 {
                for _ in 0..<TLSStream.maxKeyUpdates { askForKeys(pair) }
                pair.client.write([1])
            }
            pair.send(pair.client.takeOutput())
            #expect(pair.serveOnce() == .refused)
            #expect(pair.server.memory <= 4 << 10)
        }

        /// Data makes up for the keys; but their answers are not read.
        @Test func answersThatAreNotReadHaveABound() {
            let before = Pair.pool.outstandingBytes
            let pair = open()
            pair.wire.state.withLock { $0.isBlocked = true }
            #expect(pattern(pair.server.room).withUnsafeBytes { pair.server.seal($0) })
            var updates = 0
            while pair.result == .drained(0) || pair.result == .drained(TLSStream.bytesPerKeyUpdate), updates < 500 {
                askForKeys(pair)
                pair.client.write(pattern(TLSStream.bytesPerKeyUpdate))
                pair.send(pair.client.takeOutput())
                pair.serve()
                updates += 1
            }
            #expect(pair.result == .refused)
            #expect(pair.server.problem.contains("not read"))
            // Some may ask while replies wait, and it all stays within the one chunk.
            #expect(updates > TLSStream.maxKeyUpdates)
            #expect(Pair.pool.outstandingBytes - before == TLSStream.maxUnsent)
        }

        /// Records of a hello of four bytes: libssl answers each with a warning of 31, and goes on by itself.
        @Test(arguments: [1, 4_000]) func renegotiationEndsAtTheFirst(hellosInARecord: Int) {
            let pair = open(TLS1_2_VERSION)
            var sealer = RecordSealer(pair.client.session)
            let hellos = [UInt8]((0..<hellosInARecord).flatMap { _ -> [UInt8] in [1, 0, 0, 0] })
            var bytes: [UInt8] = []
            while bytes.count < 100_000 { bytes += sealer.seal(hellos, type: 22) }
            pair.wire.state.withLock { $0.toClient = [] }
            pair.send(bytes)
            #expect(pair.serveOnce() == .refused)
            #expect(pair.server.problem == "renegotiation")
            #expect(receives(pair) == 1)
            pair.flush()
            let answer = pair.wire.state.withLock { $0.toClient }
            #expect(records(answer)?.map { $0.type } == [21])
        }

        /// Shows that the sealer below makes records that are taken.
        @Test func theTestsSealerIsUnderstood() {
            let pair = open(TLS1_2_VERSION)
            var sealer = RecordSealer(pair.client.session)
            pair.send(sealer.seal([1, 2, 3], type: 23) + sealer.seal([4], type: 23))
            pair.serve()
            #expect(pair.received == [1, 2, 3, 4])
        }
    }
}

/// Seals records as a client of TLS 1.2 with ECDHE-ECDSA-AES128-GCM-SHA256 does behind its handshake (RFC 5246, 5288): of any type, which
/// libssl itself does not let anybody send.
private struct RecordSealer {
    private let key: [UInt8]
    private let salt: [UInt8]
    /// The handshake's last message was record 0.
    private var sequence: UInt64 = 1

    init(_ session: OpaquePointer) {
        var secret = [UInt8](repeating: 0, count: 48)
        var client = [UInt8](repeating: 0, count: 32)
        var server = [UInt8](repeating: 0, count: 32)
        SSL_SESSION_get_master_key(SSL_get_session(session), &secret, 48)
        SSL_get_client_random(session, &client, 32)
        SSL_get_server_random(session, &server, 32)
        let seed = Array("key expansion".utf8) + server + client
        let hashKey = Secret(copying: secret[...])
        var (link, block) = (seed, [UInt8]())
        // Two keys of 16 bytes, two salts of 4.
        while block.count < 40 {
            link = HashAlgorithm.sha256.hmac(key: hashKey, link)
            block += HashAlgorithm.sha256.hmac(key: hashKey, link + seed)
        }
        key = Array(block[..<16])
        salt = Array(block[32..<36])
    }

    mutating func seal(_ bytes: [UInt8], type: UInt8) -> [UInt8] {
        let number = withUnsafeBytes(of: sequence.bigEndian) { Array($0) }
        sequence += 1
        let context = EVP_CIPHER_CTX_new()
        defer { EVP_CIPHER_CTX_free(context) }
        EVP_EncryptInit_ex(context, EVP_aes_128_gcm(), nil, key, salt + number)
        var count: Int32 = 0
        let header = number + [type, 3, 3, UInt8(bytes.count >> 8), UInt8(bytes.count & 255)]
        EVP_EncryptUpdate(context, nil, &count, header, Int32(header.count))
        var sealed = [UInt8](repeating: 0, count: bytes.count)
        EVP_EncryptUpdate(context, &sealed, &count, bytes, Int32(bytes.count))
        var tag = [UInt8](repeating: 0, count: 16)
        EVP_EncryptFinal_ex(context, &tag, &count)
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, 16, &tag)
        let length = bytes.count + 24
        return [type, 3, 3, UInt8(length >> 8), UInt8(length & 255)] + number + sealed + tag
    }
}
