import BrokerTestKit
import ByteBuffers
import COpenSSL
import Glibc
import Security

@testable import TLS
@testable import Transport

/// What a client sends to a listener of TLS. The first byte says when:
/// 0: the input is all that comes. 1: it comes behind a handshake of OpenSSL's own client. 2: it edits that client's bytes, each edit
/// three bytes (place, what is added to the byte there). 3: it says what that client does behind its handshake; see `FuzzClient.act`. The
/// second byte is how many bytes one read of the server's gives; its highest bit in mode 3: the client reads nothing.
@Sendable func fuzzTLS(_ bytes: UnsafeRawBufferPointer) {
    var input = Input(bytes)
    let mode = input.byte() % 4
    let pace = input.byte()
    // Records of a whole flight in one read show what a call does with many.
    let wire = FuzzWire(most: mode == 3 ? 32 << 10 : Int(pace) + 1)
    let server = fuzzTerminator.stream(LoopBuffers(pool: fuzzPool), calls: wire.calls)
    var result = StreamResult.drained(0)
    if mode == 0 {
        result = wire.serve(server, Array(input.rest()))
    } else {
        var edits: [(place: Int, value: UInt8)] = []
        while mode == 2, !input.isAtEnd { edits.append((input.uint16(), input.byte())) }
        let client = FuzzClient(version: pace & 1 == 0 ? TLS1_3_VERSION : TLS1_2_VERSION)
        var sent = 0
        for _ in 0..<6 where result == .drained(0) {
            var flight = client.step()
            for edit in edits where edit.place >= sent && edit.place < sent + flight.count {
                flight[edit.place - sent] &+= edit.value
            }
            sent += flight.count
            result = wire.serve(server, flight)
            client.feed(wire.takeOutput())
        }
        insist(mode == 2 || !server.isOpening, "a client of OpenSSL's was not served: \(server.problem)")
        if mode == 1, result == .drained(0) { result = wire.serve(server, Array(input.rest())) }
        if mode == 3, result == .drained(0) {
            wire.isBlocked.withLock { $0 = pace & 0x80 != 0 }
            while !input.isAtEnd, client.unsent < FuzzClient.mostUnsent { client.act(&input) }
            result = wire.serve(server, client.takeOutput())
            wire.isBlocked.withLock { $0 = false }
        }
    }
    insist(ERR_peek_error() == 0, "an error was left for the next connection")
    if result == .refused {
        insist(!server.problem.isEmpty && server.room == 0 && server.hasFailed && !server.isOpening)
        insist(wire.serve(server, [22, 3, 1]) == .refused)
    }
    server.finish()
    while server.hasUnsent { insist(server.flush(to: 0) == .sent) }
    insist(fuzzPool.outstandingBytes == 0, "\(fuzzPool.outstandingBytes) bytes are held for nothing")
}

private let fuzzPool = ChunkPool()

private let fuzzTerminator: TLSTerminator = {
    var settings = TLSSettings(listener: "FUZZ")
    settings.certificateChain = TestCertificates.serverCertificate
    settings.key = Secret(copying: Array(TestCertificates.serverKey.utf8)[...])
    settings.clientAuthentication = .requested
    settings.trustedCertificates = TestCertificates.authority
    settings.plainTextAnswer = Array("no".utf8)
    guard let made = try? TLSTerminator(settings) else { fatalError("the test's certificate is refused") }
    return made
}()

/// Memory in place of a socket.
private final class FuzzWire: Sendable {
    private let toServer = Lock<[UInt8]>([])
    private let toClient = Lock<[UInt8]>([])
    private let most: Int
    let isBlocked = Lock(false)

    init(most: Int) { self.most = most }

    var calls: SocketCalls {
        SocketCalls(
            receive: { [toServer, most] _, bytes, count in
                toServer.withLock { waiting in
                    let count = min(count, waiting.count, most)
                    if count == 0 { return -Int(EAGAIN) }
                    waiting[..<count].withUnsafeBytes { bytes.copyMemory(from: $0.baseAddress!, byteCount: count) }
                    waiting.removeFirst(count)
                    return count
                }
            },
            send: { [toClient, isBlocked] _, bytes, count in
                if isBlocked.withLock({ $0 }) { return -Int(EAGAIN) }
                toClient.withLock { $0 += UnsafeRawBufferPointer(start: bytes, count: count) }
                return count
            })
    }

    /// Lets the server read `bytes` to their end.
    func serve(_ server: TLSStream, _ bytes: [UInt8]) -> StreamResult {
        toServer.withLock { $0 += bytes }
        return withUnsafeTemporaryAllocation(byteCount: 20_000, alignment: 16) { buffer in
            while true {
                let result = server.receive(into: buffer, from: 0, expectsEnd: false)
                // A read beyond the share, and the records without data that libssl takes in one go.
                insist(server.cost <= TLSStream.maxCost + 40 << 10, "a call cost \(server.cost)")
                insist(server.memory <= TLSStream.maxUnsent, "\(server.memory) bytes wait for the client")
                while server.hasUnsent, server.flush(to: 0) == .sent {}
                switch result {
                case .bytes, .more: continue
                // A short read ends a turn here, too: what is left comes with the next edge.
                case .drained: if toServer.withLock({ $0.isEmpty }) { return .drained(0) }
                default: return result
                }
            }
        }
    }

    func takeOutput() -> [UInt8] {
        toClient.withLock { bytes in
            defer { bytes = [] }
            return bytes
        }
    }
}

/// OpenSSL's client over memory.
private final class FuzzClient {
    private let session: OpaquePointer
    private let input = BIO_new(BIO_s_mem())!
    private let output = BIO_new(BIO_s_mem())!
    // SAFETY: made once, and not changed afterwards.
    private nonisolated(unsafe) static let context = SSL_CTX_new(TLS_client_method())!

    init(version: Int32) {
        session = SSL_new(Self.context)!
        _ = millrace_tls_limit(session, version)
        SSL_set_bio(session, input, output)
        SSL_set_connect_state(session)
    }

    deinit { SSL_free(session) }

    func step() -> [UInt8] {
        ERR_clear_error()
        SSL_do_handshake(session)
        ERR_clear_error()
        return takeOutput()
    }

    /// Does what two bytes say, some times over: new keys, renegotiation, data in records of one size, bytes that are no record.
    func act(_ input: inout Input) {
        let (what, often) = (input.byte(), Int(input.byte()) + 1)
        ERR_clear_error()
        defer { ERR_clear_error() }
        switch what % 5 {
        case 0, 1:
            for _ in 0..<often where SSL_version(session) == TLS1_3_VERSION {
                SSL_key_update(session, what % 5 == 0 ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED)
                SSL_do_handshake(session)
            }
        case 2:
            if SSL_version(session) != TLS1_3_VERSION {
                SSL_renegotiate(session)
                SSL_do_handshake(session)
            }
        case 3:
            let bytes = [UInt8](repeating: what, count: 1 + Int(what) * Int(what) / 8)
            for _ in 0..<often { SSL_write(session, bytes, Int32(bytes.count)) }
        default:
            let bytes = [UInt8](repeating: what, count: often)
            BIO_write(output, bytes, Int32(often))
        }
    }

    /// One act adds up to 2 MiB; many more of them would show the wire's copying alone.
    static let mostUnsent = 512 << 10
    var unsent: Int { BIO_ctrl_pending(output) }

    func takeOutput() -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: BIO_ctrl_pending(output))
        if !bytes.isEmpty { BIO_read(output, &bytes, Int32(bytes.count)) }
        return bytes
    }

    func feed(_ bytes: [UInt8]) { if !bytes.isEmpty { BIO_write(input, bytes, Int32(bytes.count)) } }
}
