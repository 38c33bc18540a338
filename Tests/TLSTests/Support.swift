import BrokerTestKit
import ByteBuffers
import COpenSSL
import Glibc
import Security
import Testing

@testable import TLS
@testable import Transport

/// All suites of the module, one test after the other: some count the process's memory.
@Suite(.serialized) struct TLSTests {}

/// What lies between a client and a server, in memory.
final class MemoryWire: Sendable {
    struct State {
        var toServer: [UInt8] = []
        var toClient: [UInt8] = []
        /// The client sends no more.
        var isFinished = false
        /// Bytes that one call of the server's gives or takes.
        var most = Int.max
        /// The server's output finds no room.
        var isBlocked = false
        var receives = 0
        var sends = 0
    }

    let state = Lock(State())

    var calls: SocketCalls {
        SocketCalls(
            receive: { [state] _, bytes, count in
                state.withLock { state in
                    state.receives += 1
                    if state.toServer.isEmpty { return state.isFinished ? 0 : -Int(EAGAIN) }
                    let count = min(count, state.toServer.count, state.most)
                    state.toServer[..<count].withUnsafeBytes {
                        bytes.copyMemory(from: $0.baseAddress!, byteCount: count)
                    }
                    state.toServer.removeFirst(count)
                    return count
                }
            },
            send: { [state] _, bytes, count in
                state.withLock { state in
                    state.sends += 1
                    if state.isBlocked { return -Int(EAGAIN) }
                    let count = min(count, state.most)
                    state.toClient += UnsafeRawBufferPointer(start: bytes, count: count)
                    return count
                }
            })
    }
}

/// OpenSSL's own client over memory.
final class MemoryClient {
    struct Options {
        var lowest = TLS1_2_VERSION
        var highest = TLS1_3_VERSION
        var suites: String?
        var name: String?
        var protocols: [String] = []
        var certificate: String?
        var key: String?
        var session: OpaquePointer?
    }

    let session: OpaquePointer
    private let context: OpaquePointer
    private let input = BIO_new(BIO_s_mem())!
    private let output = BIO_new(BIO_s_mem())!
    private(set) var received: [UInt8] = []
    private(set) var hasEnded = false
    /// OpenSSL's words for what went wrong.
    private(set) var failure: String?

    init(_ options: Options = Options()) {
        context = SSL_CTX_new(TLS_client_method())!
        SSL_CTX_set_security_level(context, 0)
        _ = millrace_tls_set_versions(context, options.lowest, options.highest)
        if let suites = options.suites { SSL_CTX_set_cipher_list(context, suites) }
        if let certificate = options.certificate, let key = options.key {
            let chain = try! PEMBlock.all(in: Array(certificate.utf8)).map { Certificate.read($0)! }
            let privateKey = PrivateKey.read(
                try! PEMBlock.all(in: Array(key.utf8))[0], password: UnsafeRawBufferPointer(start: nil, count: 0))!
            SSL_CTX_use_certificate(context, chain[0].pointer)
            SSL_CTX_use_PrivateKey(context, privateKey.pointer)
            for signer in chain.dropFirst() { _ = millrace_tls_add_chain(context, signer.pointer) }
        }
        session = SSL_new(context)!
        SSL_set_bio(session, input, output)
        SSL_set_connect_state(session)
        if let name = options.name { _ = millrace_tls_ask_for(session, name) }
        let protocols = options.protocols.flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) }
        if !protocols.isEmpty { SSL_set_alpn_protos(session, protocols, UInt32(protocols.count)) }
        if let former = options.session { SSL_set_session(session, former) }
    }

    deinit {
        SSL_free(session)
        SSL_CTX_free(context)
    }

    /// Goes on as far as it can, and returns what it has to send.
    func step() -> [UInt8] {
        ERR_clear_error()
        var buffer = [UInt8](repeating: 0, count: 20_000)
        while failure == nil, !hasEnded {
            var count = 0
            let result = SSL_read_ex(session, &buffer, buffer.count, &count)
            if result == 1 {
                received += buffer[..<count]
                continue
            }
            switch SSL_get_error(session, result) {
            case SSL_ERROR_WANT_READ: return takeOutput()
            case SSL_ERROR_ZERO_RETURN: hasEnded = true
            default: failure = OpenSSLErrors.take()
            }
        }
        return takeOutput()
    }

    func feed(_ bytes: [UInt8]) { if !bytes.isEmpty { BIO_write(input, bytes, Int32(bytes.count)) } }

    func write(_ bytes: [UInt8]) {
        ERR_clear_error()
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeBytes {
                SSL_write(session, $0.baseAddress! + done, Int32(min(16_000, bytes.count - done)))
            }
            precondition(count > 0, "the client cannot write: \(OpenSSLErrors.take())")
            done += Int(count)
        }
    }

    func takeOutput() -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: BIO_ctrl_pending(output))
        if !bytes.isEmpty { BIO_read(output, &bytes, Int32(bytes.count)) }
        return bytes
    }

    var certificateName: String? { SSL_get0_peer_certificate(session).map(Self.name) }

    /// Of all that the server has shown.
    var chainNames: [String] {
        let chain = SSL_get_peer_cert_chain(session)
        return (0..<millrace_certificate_count(chain)).map { Self.name(millrace_certificate(chain, $0)) }
    }

    private static func name(_ certificate: OpaquePointer) -> String {
        var text = [CChar](repeating: 0, count: 200)
        X509_NAME_oneline(X509_get_subject_name(certificate), &text, 200)
        return text.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    }

    var chosenProtocol: String? {
        var name: UnsafePointer<UInt8>?
        var count: UInt32 = 0
        SSL_get0_alpn_selected(session, &name, &count)
        return name.map { String(decoding: UnsafeBufferPointer(start: $0, count: Int(count)), as: UTF8.self) }
    }
}

/// A client and a server that talk over memory.
final class Pair {
    let wire = MemoryWire()
    let client: MemoryClient
    let server: TLSStream
    private(set) var received: [UInt8] = []
    /// What the server's last look came to.
    private(set) var result = StreamResult.drained(0)

    static let pool = ChunkPool()

    init(_ terminator: TLSTerminator, _ options: MemoryClient.Options = .init(), sharing buffers: LoopBuffers? = nil) {
        client = MemoryClient(options)
        server = terminator.stream(buffers ?? LoopBuffers(pool: Self.pool), calls: wire.calls)
    }

    /// Lets the server read what is there, by a buffer of `room` bytes.
    func serve(room: Int = 32 << 10) {
        // As the transport is told of the end by epoll.
        let expectsEnd = wire.state.withLock { $0.isFinished }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: room, alignment: 16)
        defer { buffer.deallocate() }
        while true {
            result = server.receive(into: buffer, from: 7, expectsEnd: expectsEnd)
            switch result {
            case .bytes(let count), .more(let count): received += buffer[..<count]
            case .drained(let count):
                received += buffer[..<count]
                flush()
                return
            default:
                flush()
                return
            }
        }
    }

    /// One call of the server's, with as much room as it could wish for.
    func serveOnce(room: Int = 4 << 20) -> StreamResult {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: room, alignment: 16)
        defer { buffer.deallocate() }
        return server.receive(into: buffer, from: 7, expectsEnd: false)
    }

    /// The server's session.
    var session: OpaquePointer? { server.session }

    func flush() {
        while server.hasUnsent, server.flush(to: 7) == .sent {}
    }

    func send(_ bytes: [UInt8]) { wire.state.withLock { $0.toServer += bytes } }

    /// Gives the client what the server sent.
    func deliver() {
        client.feed(
            wire.state.withLock { state in
                defer { state.toClient = [] }
                return state.toClient
            })
    }

    /// Both go on until neither has anything to say. `through` carries the client's bytes.
    func settle(_ through: ((Pair, [UInt8]) -> Void)? = nil) {
        for _ in 0..<20 {
            let bytes = client.step()
            if bytes.isEmpty { return }
            if let through { through(self, bytes) } else { send(bytes) }
            serve()
            deliver()
        }
    }

    func write(_ bytes: [UInt8]) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = min(server.room, rest.count)
            guard count > 0 else { return }
            let isSealed = rest[..<(rest.startIndex + count)].withUnsafeBytes { server.seal($0) }
            guard isSealed else { return }
            rest = rest.dropFirst(count)
            flush()
        }
    }
}

extension TLSSettings {
    /// The server of `TestCertificates`.
    static func test(_ change: (inout TLSSettings) -> Void = { _ in }) -> TLSSettings {
        var settings = TLSSettings(listener: "TEST")
        settings.certificateChain = TestCertificates.serverCertificate
        settings.key = Secret(copying: Array(TestCertificates.serverKey.utf8)[...])
        change(&settings)
        return settings
    }
}

func pattern(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) } }

/// The records of a stream: type and length of each body; nil when it does not end with one.
func records(_ bytes: [UInt8]) -> [(type: UInt8, count: Int)]? {
    var found: [(UInt8, Int)] = []
    var at = 0
    while at < bytes.count {
        guard at + 5 <= bytes.count else { return nil }
        let count = Int(bytes[at + 3]) << 8 | Int(bytes[at + 4])
        found.append((bytes[at], count))
        at += 5 + count
    }
    return at == bytes.count ? found : nil
}
