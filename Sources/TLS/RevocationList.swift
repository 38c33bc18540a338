internal import COpenSSL

/// A revocation list (RFC 5280) that was read from PEM.
final class RevocationList: @unchecked Sendable {
    // SAFETY: an X509_CRL is not changed after it was read; the order of its entries OpenSSL makes under its own lock.
    let pointer: OpaquePointer

    private init(_ pointer: OpaquePointer) { self.pointer = pointer }

    deinit { X509_CRL_free(pointer) }

    /// Seconds since 1970 at which its next one is overdue; one that does not say has no end.
    var endsAt: Int64 { X509_CRL_get0_nextUpdate(pointer).map { Certificate.seconds($0) } ?? .max }

    /// All that the settings name; empty: no certificate is looked up.
    static func all(of settings: TLSSettings) throws(TLSConfigurationError) -> [RevocationList] {
        guard let path = settings.revocationFile, settings.clientAuthentication != .none else { return [] }
        func failure(_ problem: String) -> TLSConfigurationError {
            TLSConfigurationError(key: TLSSettings.revocationKey, problem: "\(path): \(problem)")
        }
        let text = try PEMFile.read(path, for: TLSSettings.revocationKey)
        let blocks: [PEMBlock]
        do throws(PEMBlock.Failure) { blocks = try PEMBlock.all(in: text) } catch { throw failure(error.problem) }
        var lists: [RevocationList] = []
        for block in blocks where block.isRevocationList {
            guard let list = read(block) else { throw failure("line \(block.line): not a revocation list") }
            lists.append(list)
        }
        if lists.isEmpty { throw failure("no revocation list in it (BEGIN X509 CRL)") }
        return lists
    }

    /// Leaves nothing in OpenSSL's error queue.
    private static func read(_ block: PEMBlock) -> RevocationList? {
        defer { ERR_clear_error() }
        guard let list = withMemoryBIO(block.text, { PEM_read_bio_X509_CRL($0, nil, nil, nil) }) else { return nil }
        // OpenSSL sorts a list's entries at the first look, under a lock: that is here, and not on a loop which others wait for.
        let serial = ASN1_INTEGER_new()
        defer { ASN1_INTEGER_free(serial) }
        var entry: OpaquePointer?
        _ = X509_CRL_get0_by_serial(list, &entry, serial)
        return RevocationList(list)
    }

    /// Whether its authority has taken `certificate` back.
    private func names(_ certificate: OpaquePointer) -> Bool {
        guard X509_NAME_cmp(X509_CRL_get_issuer(pointer), X509_get_issuer_name(certificate)) == 0 else { return false }
        var entry: OpaquePointer?
        // 2: an entry that takes an earlier one back.
        return X509_CRL_get0_by_cert(pointer, &entry, certificate) == 1
    }

    /// Whether one of the certificates that a handshake has accepted is on one of the lists by now: of several of one authority, on any,
    /// where a handshake goes by the newest. A file has one for each. The last, which is trusted by itself,
    /// is not asked about: nobody but its owner could revoke it.
    static func revoke(_ session: OpaquePointer, by lists: [RevocationList]) -> Bool {
        let count = millrace_tls_verified_count(session)
        return (0..<max(0, count - 1)).contains { index in
            guard let certificate = millrace_tls_verified(session, index) else { return false }
            return lists.contains { $0.names(certificate) }
        }
    }

    // MARK: In a handshake

    /// What OpenSSL finds is what counts, but for two things: a trusted certificate is not looked up itself, for an authority that is
    /// an intermediate one may be trusted without the one above it; and a list that is outdated may be taken.
    static let strict: SSL_verify_cb = { isFine, check in
        isFine == 1 || isOfTheTrusted(check) ? accept(check) : 0
    }
    static let lenient: SSL_verify_cb = { isFine, check in
        let isOutdated = X509_STORE_CTX_get_error(check) == X509_V_ERR_CRL_HAS_EXPIRED
        return isFine == 1 || isOutdated || isOfTheTrusted(check) ? accept(check) : 0
    }

    private static func accept(_ check: OpaquePointer?) -> Int32 {
        X509_STORE_CTX_set_error(check, X509_V_OK)
        return 1
    }

    private static func isOfTheTrusted(_ check: OpaquePointer?) -> Bool {
        switch X509_STORE_CTX_get_error(check) {
        case X509_V_ERR_UNABLE_TO_GET_CRL, X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER, X509_V_ERR_CRL_HAS_EXPIRED,
            X509_V_ERR_CRL_NOT_YET_VALID, X509_V_ERR_CRL_SIGNATURE_FAILURE, X509_V_ERR_CERT_REVOKED:
            millrace_tls_signers_left(check) == 0
        default: false
        }
    }
}
