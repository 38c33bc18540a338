internal import COpenSSL
internal import Glibc
internal import Security

/// Whom a client of TLS trusts, and what it shows. The files are read anew for each connection.
public struct TLSClientSettings: Sendable, Equatable {
    /// PEM files of a certificate with those that signed it, and of its key, which has no password.
    public struct Identity: Sendable, Equatable {
        public var certificateFile: String
        public var keyFile: String

        public init(certificateFile: String, keyFile: String) {
            (self.certificateFile, self.keyFile) = (certificateFile, keyFile)
        }
    }

    /// A PEM file of certificates, each of which is trusted to sign servers' certificates. The system's are not asked.
    public var authorityFile: String
    /// Nil: it shows none.
    public var identity: Identity?
    /// The name or address that a server's certificate has to be for; nil: the one that is connected to.
    public var serverName: String?

    public init(authorityFile: String) { self.authorityFile = authorityFile }

    static let authorityKey = "ca"
    static let certificateKey = "certificate"
    static let keyKey = "key"
    static let serverNameKey = "server_name"
}

/// Why a client does not go on with its TLS, for people.
public struct TLSClientFailure: Error {
    public let reason: String
}

/// The client's side of the TLS of one connection, between the bytes of who uses it and those of a socket. One thread uses it.
///
/// ```
///   caller ──seal──► libssl ──takeRecords──► socket
///          ◄──open──        ◄─────feed──────
/// ```
/// A server is taken whose certificate one of the trusted has signed, is in its time and is for the host: there is no way to leave any of
/// it out. Bytes are sealed and opened only behind the handshake. After a failure it is of no more use, but for the alert in `takeRecords`.
public final class TLSClientSession {
    private let session: OpaquePointer
    // Both belong to the session.
    private let input: OpaquePointer
    private let output: OpaquePointer

    /// Reads files.
    ///
    /// - Parameter host: a name or an address, without brackets.
    public init(_ settings: TLSClientSettings, host: String) throws(TLSConfigurationError) {
        guard let context = SSL_CTX_new(TLS_client_method()) else { preconditionFailure("libssl has no memory") }
        // Sessions hold it.
        defer { SSL_CTX_free(context) }
        millrace_tls_set_basics(context)
        try TLSContext.setVersions(context, TLS1_2_VERSION, TLS1_3_VERSION)
        TLSContext.setDefaultSuites(context)
        let text = try PEMFile.read(settings.authorityFile, for: TLSClientSettings.authorityKey)
        TLSContext.trust(
            try Certificates.read(text) { problem in
                TLSConfigurationError(
                    key: TLSClientSettings.authorityKey, problem: "\(settings.authorityFile): \(problem)")
            }, in: context)
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nil)
        if let identity = settings.identity { try TLSContext.show(try TLSIdentity.client(identity), in: context) }
        guard let session = SSL_new(context), let input = BIO_new(BIO_s_mem()), let output = BIO_new(BIO_s_mem()) else {
            preconditionFailure("libssl has no memory")
        }
        (self.session, self.input, self.output) = (session, input, output)
        SSL_set_bio(session, input, output)
        SSL_set_connect_state(session)
        try Self.expect(settings.serverName ?? host, session)
        ERR_clear_error()
    }

    deinit { SSL_free(session) }

    /// An address stands in the certificate as one, and nobody asks for it by name.
    private static func expect(_ host: String, _ session: OpaquePointer) throws(TLSConfigurationError) {
        let terms = SSL_get0_param(session)
        if X509_VERIFY_PARAM_set1_ip_asc(terms, host) == 1 { return }
        X509_VERIFY_PARAM_set_hostflags(terms, UInt32(X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS))
        // No name at all would be any name, to libcrypto.
        guard !host.isEmpty, X509_VERIFY_PARAM_set1_host(terms, host, host.utf8.count) == 1,
            millrace_tls_ask_for(session, host) == 1
        else {
            throw TLSConfigurationError(
                key: TLSClientSettings.serverNameKey, problem: "'\(host)' is no name of a server")
        }
    }

    /// Goes on with the handshake. False: the server's next bytes are waited for.
    public func shakeHands() throws(TLSClientFailure) -> Bool {
        OpenSSLErrors.clear()
        let result = SSL_do_handshake(session)
        if result == 1 { return true }
        try check(result)
        return false
    }

    /// Makes records of all bytes.
    public func seal(_ bytes: UnsafeRawBufferPointer) throws(TLSClientFailure) {
        guard let base = bytes.baseAddress, bytes.count > 0 else { return }
        OpenSSLErrors.clear()
        var written = 0
        let result = SSL_write_ex(session, base, bytes.count, &written)
        guard result == 1, written == bytes.count else { throw failure() }
    }

    /// Opens what has come. 0: the server's next bytes are waited for.
    public func open(into buffer: UnsafeMutableRawBufferPointer) throws(TLSClientFailure) -> Int {
        OpenSSLErrors.clear()
        var count = 0
        let result = SSL_read_ex(session, buffer.baseAddress, buffer.count, &count)
        if result == 1 { return count }
        try check(result)
        return 0
    }

    /// Whether bytes are there that were not opened: perhaps not a whole record.
    public var hasInput: Bool { SSL_has_pending(session) == 1 || BIO_ctrl_pending(input) > 0 }

    /// Takes bytes of the socket.
    public func feed(_ bytes: UnsafeRawBufferPointer) {
        let count = BIO_write(input, bytes.baseAddress, Int32(bytes.count))
        precondition(count == bytes.count, "libcrypto has no memory")
    }

    /// The bytes for the socket, each of them once.
    public func takeRecords() -> [UInt8] {
        let waiting = BIO_ctrl_pending(output)
        return [UInt8](unsafeUninitializedCapacity: waiting) { buffer, count in
            count = waiting == 0 ? 0 : Int(BIO_read(output, buffer.baseAddress, Int32(waiting)))
        }
    }

    /// Throws unless more bytes of the server are all that is missing.
    private func check(_ result: Int32) throws(TLSClientFailure) {
        switch SSL_get_error(session, result) {
        case SSL_ERROR_WANT_READ: return
        case SSL_ERROR_ZERO_RETURN: throw TLSClientFailure(reason: "it closed the connection")
        default: throw failure()
        }
    }

    private func failure() -> TLSClientFailure {
        let verdict = SSL_get_verify_result(session)
        if verdict != Int(X509_V_OK), SSL_is_init_finished(session) == 0 {
            ERR_clear_error()
            let why = X509_verify_cert_error_string(verdict).map { String(cString: $0) } ?? "error \(verdict)"
            return TLSClientFailure(reason: "its certificate is not taken: \(why)")
        }
        return TLSClientFailure(reason: "TLS: \(OpenSSLErrors.take())")
    }
}
