internal import COpenSSL
internal import Glibc
internal import Security

/// All that the handshakes of a listener need, ready and unchangeable. Connections keep the one they began with; a reload makes
/// another.
public final class TLSContext: @unchecked Sendable {
    // SAFETY: nothing of it is changed after `init`; an SSL_CTX that nobody configures any more may be used by all threads.
    let settings: TLSSettings
    let mapping: PrincipalMapping
    private let identities: [TLSIdentity]
    /// Of those who sign clients' certificates; empty: nobody is looked up.
    let revocationLists: [RevocationList]
    /// One for each identity.
    private var contexts: [OpaquePointer] = []
    /// ALPN's form of our names: a length before each.
    private let protocolNames: [UInt8]

    /// Certificates of a peer that is not authenticated yet, in bytes; OpenSSL's own limit is 100 KiB.
    static let maxPeerChainBytes = 32 << 10
    /// Signatures between a client's certificate and one that is trusted.
    static let maxPeerChainDepth: Int32 = 5

    /// Reads files, and takes some milliseconds: not on an event loop.
    public init(_ settings: TLSSettings) throws(TLSConfigurationError) {
        self.settings = settings
        identities = try TLSIdentity.all(of: settings)
        do throws(SecurityConfigurationError) { mapping = try PrincipalMapping(parsing: settings.principalRules) } catch
        {
            throw TLSConfigurationError(key: error.key, problem: "has '\(error.value)': expected \(error.expected)")
        }
        revocationLists = try RevocationList.all(of: settings)
        protocolNames = settings.applicationProtocols.flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) }
        let trusted = try Certificates.trusted(by: settings)
        if settings.clientAuthentication != .none, trusted.isEmpty {
            throw TLSConfigurationError(
                key: TLSSettings.trustLocationKey,
                problem: "not set, and listener \(settings.listener) asks its clients for certificates; "
                    + "name a PEM file with the certificates that sign theirs")
        }
        for identity in identities { contexts.append(try makeContext(identity, trusted)) }
    }

    deinit { for context in contexts { SSL_CTX_free(context) } }

    /// Seconds since 1970 at which the first of its certificates ends, those that signed others among them.
    var endsAt: Int64 { identities.flatMap(\.chain).map(\.endsAt).min()! }

    /// Seconds since 1970 at which the first of the revocation lists is overdue; from then on its authority's clients are refused, unless
    /// `takesOutdatedLists`. `.max`: none of them ends, or there is none.
    var listsEndAt: Int64 { revocationLists.map(\.endsAt).min() ?? .max }

    /// Owner and names of each certificate that clients are shown, for whoever pins them.
    var shownNames: [Certificate.Names] { identities.map(\.certificate.names) }

    /// Why clients would refuse one of its certificates at `now`, or be refused for a list that is overdue; nil: none for its time.
    func untimely(at now: Int64) -> TLSConfigurationError? {
        for identity in identities {
            for (index, certificate) in identity.chain.enumerated() {
                let problem =
                    if certificate.endsAt <= now {
                        "has ended"
                    } else if certificate.beginsAt > now {
                        "is not valid yet"
                    } else {
                        ""
                    }
                if problem.isEmpty { continue }
                return TLSConfigurationError(
                    key: identity.origin.key,
                    problem: "\(identity.origin.place)certificate \(index + 1) \(problem); take one of today")
            }
        }
        if !settings.takesOutdatedLists, listsEndAt <= now, let path = settings.revocationFile {
            return TLSConfigurationError(
                key: TLSSettings.revocationKey, problem: "\(path): the next list is overdue; take one of today")
        }
        return nil
    }

    /// Whether the certificate for who asks for no name is good for an address.
    var namesAddress: Bool { identities[0].certificate.namesAddress }

    func makeSession() -> OpaquePointer? { SSL_new(contexts[0]) }

    private func makeContext(
        _ identity: TLSIdentity, _ trusted: [Certificate]
    ) throws(TLSConfigurationError) -> OpaquePointer {
        guard let context = SSL_CTX_new(TLS_server_method()) else { preconditionFailure("libssl has no memory") }
        var isComplete = false
        defer { if !isComplete { SSL_CTX_free(context) } }
        millrace_tls_set_basics(context)
        millrace_tls_set_max_chain(context, Self.maxPeerChainBytes)
        try setVersions(context)
        try setSuites(context)
        try Self.show(identity, in: context)
        setClientAuthentication(context, trusted)
        setTickets(context, trusted)
        setCallbacks(context)
        isComplete = true
        return context
    }

    /// Shows peers the certificate and those that signed it.
    static func show(_ identity: TLSIdentity, in context: OpaquePointer) throws(TLSConfigurationError) {
        guard SSL_CTX_use_certificate(context, identity.certificate.pointer) == 1,
            SSL_CTX_use_PrivateKey(context, identity.key.pointer) == 1
        else {
            throw refusal(of: 0, in: identity)
        }
        for index in identity.chain.indices.dropFirst()
        where millrace_tls_add_chain(context, identity.chain[index].pointer) != 1 {
            throw refusal(of: index, in: identity)
        }
    }

    /// OpenSSL takes no certificate below its level of security (a key of RSA-1024, a signature by SHA-1), wherever it stands.
    private static func refusal(of index: Int, in identity: TLSIdentity) -> TLSConfigurationError {
        let reason = OpenSSLErrors.take()
        return TLSConfigurationError(
            key: identity.origin.key,
            problem: "\(identity.origin.place)certificate \(index + 1) is refused: \(reason)")
    }

    private func setVersions(_ context: OpaquePointer) throws(TLSConfigurationError) {
        let numbers = ["TLSv1.2": TLS1_2_VERSION, "TLSv1.3": TLS1_3_VERSION]
        let versions = settings.versions.compactMap { numbers[$0] }
        guard let lowest = versions.min(), let highest = versions.max(), versions.count == settings.versions.count
        else {
            throw TLSConfigurationError(key: "ssl.enabled.protocols", problem: "must be TLSv1.2, TLSv1.3 or both")
        }
        try Self.setVersions(context, lowest, highest)
    }

    static func setVersions(
        _ context: OpaquePointer, _ lowest: Int32, _ highest: Int32
    ) throws(TLSConfigurationError) {
        precondition(millrace_tls_set_versions(context, lowest, highest) == 1, "libssl knows no TLS 1.2 or 1.3")
        // They are ours, but a provider that the machine's administrator has chosen (FIPS) may know fewer.
        guard millrace_tls_set_groups(context, TLSSettings.groups) == 1 else {
            throw TLSConfigurationError(
                key: "ssl.enabled.protocols",
                problem: "this OpenSSL does not know all of \(TLSSettings.groups): \(OpenSSLErrors.take())")
        }
    }

    private func setSuites(_ context: OpaquePointer) throws(TLSConfigurationError) {
        guard !settings.cipherSuites.isEmpty else { return Self.setDefaultSuites(context) }
        // TLS 1.3's have a list of their own, and IANA's names in both worlds.
        var (modern, older): ([String], [String]) = ([], [])
        for name in settings.cipherSuites {
            let own = String(cString: OPENSSL_cipher_name(name))
            let wanted = own == "(NONE)" ? name : own
            let isKnown = SSL_CTX_set_ciphersuites(context, wanted) == 1
            if isKnown, wanted.hasPrefix("TLS_") {
                modern.append(wanted)
            } else if Self.takesAlone(wanted, context) {
                older.append(wanted)
            } else {
                ERR_clear_error()
                throw TLSConfigurationError(key: "ssl.cipher.suites", problem: "\(name) is not known to this OpenSSL")
            }
        }
        ERR_clear_error()
        precondition(SSL_CTX_set_ciphersuites(context, modern.joined(separator: ":")) == 1, "libssl refuses \(modern)")
        if older.isEmpty {
            guard settings.versions == ["TLSv1.3"] else {
                throw TLSConfigurationError(
                    key: "ssl.cipher.suites",
                    problem: "none of TLS 1.2; add one, or set ssl.enabled.protocols=TLSv1.3")
            }
        } else {
            precondition(SSL_CTX_set_cipher_list(context, older.joined(separator: ":")) == 1, "libssl refuses \(older)")
        }
        if modern.isEmpty, settings.versions.contains("TLSv1.3") {
            throw TLSConfigurationError(
                key: "ssl.cipher.suites", problem: "none of TLS 1.3; add one, or set ssl.enabled.protocols=TLSv1.2")
        }
    }

    static func setDefaultSuites(_ context: OpaquePointer) {
        precondition(SSL_CTX_set_cipher_list(context, TLSSettings.defaultSuites) == 1, "libssl knows no suite of ours")
        precondition(
            SSL_CTX_set_ciphersuites(context, TLSSettings.defaultModernSuites) == 1, "libssl knows no suite of 1.3")
    }

    /// Whether it is the name of one suite of TLS 1.2 or older: words such as ALL and HIGH stand for many.
    private static func takesAlone(_ name: String, _ context: OpaquePointer) -> Bool {
        guard SSL_CTX_set_cipher_list(context, name) == 1 else { return false }
        let found = SSL_CTX_get_ciphers(context)
        return (0..<millrace_tls_suite_count(found)).contains {
            millrace_tls_suite_name(found, $0).map { String(cString: $0) == name } ?? false
        }
    }

    private func setClientAuthentication(_ context: OpaquePointer, _ trusted: [Certificate]) {
        guard settings.clientAuthentication != .none else { return }
        Self.trust(trusted, in: context)
        for certificate in trusted { SSL_CTX_add_client_CA(context, certificate.pointer) }
        ERR_clear_error()
        var mode = SSL_VERIFY_PEER
        if settings.clientAuthentication == .required { mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT }
        var verdict: SSL_verify_cb?
        if !revocationLists.isEmpty {
            let store = SSL_CTX_get_cert_store(context)
            for list in revocationLists { X509_STORE_add_crl(store, list.pointer) }
            ERR_clear_error()
            // The whole chain, not the client's own certificate alone.
            X509_VERIFY_PARAM_set_flags(
                SSL_CTX_get0_param(context), UInt(X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL))
            verdict = settings.takesOutdatedLists ? RevocationList.lenient : RevocationList.strict
        }
        SSL_CTX_set_verify(context, mode, verdict)
    }

    /// Takes peers' certificates that one of these has signed, or that are one of these.
    static func trust(_ certificates: [Certificate], in context: OpaquePointer) {
        let store = SSL_CTX_get_cert_store(context)
        for certificate in certificates { X509_STORE_add_cert(store, certificate.pointer) }
        ERR_clear_error()
        // Each of them is an anchor, as in Java's trust stores: also an intermediate authority, whose root is not there.
        X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context), UInt(X509_V_FLAG_PARTIAL_CHAIN))
        SSL_CTX_set_verify_depth(context, maxPeerChainDepth)
        millrace_tls_set_max_chain(context, maxPeerChainBytes)
    }

    private func setTickets(_ context: OpaquePointer, _ trusted: [Certificate]) {
        // Whoever changes what is asked of clients makes the tickets worthless that were given before.
        let terms =
            Array("\(settings.listener) \(settings.clientAuthentication.rawValue)".utf8)
            + trusted.flatMap(\.fingerprint)
        let identifier = HashAlgorithm.sha256.hash(terms)
        let isSet = SSL_CTX_set_session_id_context(context, identifier, UInt32(identifier.count))
        precondition(isSet == 1, "libssl takes no session context of \(identifier.count) bytes")
        if settings.issuesTickets, settings.clientAuthentication == .none {
            SSL_CTX_set_num_tickets(context, 1)
            SSL_CTX_set_tlsext_ticket_key_evp_cb(context, TicketKeys.callback)
            SSL_CTX_set_timeout(context, TicketKeys.lifetimeSeconds)
        } else {
            millrace_tls_refuse_tickets(context)
        }
    }

    private func setCallbacks(_ context: OpaquePointer) {
        let argument = Unmanaged.passUnretained(self).toOpaque()
        SSL_CTX_set_msg_callback(context, TLSStream.messageCallback)
        if identities.count > 1 { millrace_tls_set_name_callback(context, Self.nameCallback, argument) }
        if !protocolNames.isEmpty { SSL_CTX_set_alpn_select_cb(context, Self.protocolCallback, argument) }
    }

    /// Chooses the certificate of the name that the client asks for; without one that fits, it gets the first, and no alert: clients
    /// connect by address.
    private static let nameCallback: millrace_name_callback = { session, _, argument in
        let context = Unmanaged<TLSContext>.fromOpaque(argument!).takeUnretainedValue()
        guard let name = SSL_get_servername(session, TLSEXT_NAMETYPE_host_name) else { return SSL_TLSEXT_ERR_NOACK }
        let count = Int(strlen(name))
        guard let index = context.identities.firstIndex(where: { $0.certificate.isFor(name, count) }) else {
            return SSL_TLSEXT_ERR_NOACK
        }
        SSL_set_SSL_CTX(session, context.contexts[index])
        return SSL_TLSEXT_ERR_OK
    }

    /// Chooses the first of our names that the client has too; none: a fatal alert (RFC 7301).
    private static let protocolCallback: SSL_CTX_alpn_select_cb_func = {
        _, chosen, chosenCount, offered, count, argument in
        let context = Unmanaged<TLSContext>.fromOpaque(argument!).takeUnretainedValue()
        return context.protocolNames.withUnsafeBufferPointer { own in
            var found: UnsafeMutablePointer<UInt8>?
            let result = SSL_select_next_proto(
                &found, chosenCount, own.baseAddress, UInt32(own.count), offered, count)
            // It points into our array, which lives as long as the context.
            chosen!.pointee = UnsafePointer(found)
            return result == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL
        }
    }
}

/// The thread's queue of OpenSSL's errors. It is empty between any two calls of ours: what one connection leaves there, the next
/// would take for its own.
enum OpenSSLErrors {
    /// An empty queue. Asked first: clearing what is empty took a fortieth of the broker's time with a client of short records.
    static func clear() { if ERR_peek_error() != 0 { ERR_clear_error() } }

    /// The first reason, in OpenSSL's words, and an empty queue.
    static func take() -> String {
        let code = ERR_get_error()
        ERR_clear_error()
        guard code != 0, let reason = ERR_reason_error_string(code) else { return "no reason given" }
        return String(cString: reason)
    }
}
