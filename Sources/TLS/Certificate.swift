internal import COpenSSL

/// A certificate that was read from PEM.
final class Certificate: @unchecked Sendable {
    // SAFETY: an X509 is not changed after it was read; what OpenSSL caches in it is under its own lock.
    let pointer: OpaquePointer

    /// Takes the reference over.
    init(_ pointer: OpaquePointer) { self.pointer = pointer }

    deinit { X509_free(pointer) }

    /// Nil: not a certificate. Leaves nothing in OpenSSL's error queue.
    static func read(_ block: PEMBlock) -> Certificate? {
        defer { ERR_clear_error() }
        return withMemoryBIO(block.text) { PEM_read_bio_X509($0, nil, nil, nil) }.map(Certificate.init)
    }

    /// Whether it is the certificate of a name of the peer's choice: exact, or by one label of a wildcard, in any case.
    func isFor(_ host: UnsafePointer<CChar>, _ count: Int) -> Bool {
        X509_check_host(pointer, host, count, UInt32(X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS), nil) == 1
    }

    /// Whether it is good for an address of whatever machine, so that clients which were told one can check it.
    var namesAddress: Bool {
        defer { ERR_clear_error() }
        return millrace_tls_names_address(pointer) == 1
    }

    /// Whether `issuer` has signed it, by the names in both.
    func isIssued(by issuer: Certificate) -> Bool { X509_check_issued(issuer.pointer, pointer) == X509_V_OK }

    func belongs(to key: PrivateKey) -> Bool {
        defer { ERR_clear_error() }
        return X509_check_private_key(pointer, key.pointer) == 1
    }

    /// Seconds since 1970 before which nobody takes it.
    var beginsAt: Int64 { Self.seconds(X509_get0_notBefore(pointer)) }

    /// Seconds since 1970 after which nobody takes it.
    var endsAt: Int64 { Self.seconds(X509_get0_notAfter(pointer)) }

    static func seconds(_ time: UnsafePointer<ASN1_TIME>?) -> Int64 {
        var (days, seconds): (Int32, Int32) = (0, 0)
        guard let epoch = ASN1_TIME_set(nil, 0) else { return .max }
        defer { ASN1_STRING_free(epoch) }
        guard ASN1_TIME_diff(&days, &seconds, epoch, time) == 1 else { return .max }
        return Int64(days) * 86_400 + Int64(seconds)
    }

    struct Names {
        /// In DER.
        let owner: [UInt8]
        /// Each in DER.
        let alternatives: Set<[UInt8]>
    }

    /// Whose it is, and for which hosts and addresses.
    var names: Names {
        defer { ERR_clear_error() }
        let owner = Self.bytes { i2d_X509_NAME(X509_get_subject_name(pointer), $0) }
        let others = millrace_tls_alternative_names(pointer)
        defer { millrace_tls_free_names(others) }
        let alternatives = (0..<max(0, millrace_tls_name_count(others))).map { index in
            Self.bytes { millrace_tls_name_der(others, index, $0) }
        }
        return Names(owner: owner, alternatives: Set(alternatives))
    }

    /// What one of OpenSSL's writers gives: asked for the length first, as all of them are.
    private static func bytes(
        _ write: (UnsafeMutablePointer<UnsafeMutablePointer<UInt8>?>?) -> Int32
    ) -> [UInt8] {
        let count = write(nil)
        guard count > 0 else { return [] }
        return [UInt8](unsafeUninitializedCapacity: Int(count)) { buffer, filled in
            var cursor = buffer.baseAddress
            filled = Int(write(&cursor))
        }
    }

    /// SHA-256 over all of it.
    var fingerprint: [UInt8] {
        [UInt8](unsafeUninitializedCapacity: 32) { buffer, count in
            var length: UInt32 = 32
            let done = X509_digest(pointer, EVP_sha256(), buffer.baseAddress, &length)
            precondition(done == 1 && length == 32, "SHA-256 failed in libcrypto")
            count = 32
        }
    }
}

/// A private key that was read from PEM.
final class PrivateKey: @unchecked Sendable {
    // SAFETY: an EVP_PKEY is not changed after it was read, and its reference count is atomic.
    let pointer: OpaquePointer

    /// Takes the reference over.
    init(_ pointer: OpaquePointer) { self.pointer = pointer }

    deinit { EVP_PKEY_free(pointer) }

    /// PKCS#8, plain or encrypted, PKCS#1 or SEC 1. Nil: not a key, or not its password. Leaves nothing in OpenSSL's error queue.
    static func read(_ block: PEMBlock, password: UnsafeRawBufferPointer) -> PrivateKey? {
        defer { ERR_clear_error() }
        return withUnsafePointer(to: password) { password in
            withMemoryBIO(block.text) { bio in
                PEM_read_bio_PrivateKey(
                    bio, nil,
                    { buffer, size, _, argument in
                        let password = argument!.load(as: UnsafeRawBufferPointer.self)
                        guard let buffer, password.count > 0, password.count <= Int(size) else { return -1 }
                        UnsafeMutableRawPointer(buffer).copyMemory(
                            from: password.baseAddress!, byteCount: password.count)
                        return Int32(password.count)
                    }, UnsafeMutableRawPointer(mutating: password))
            }
        }.map(PrivateKey.init)
    }
}

func withMemoryBIO<Result>(_ bytes: [UInt8], _ body: (OpaquePointer) -> Result?) -> Result? {
    bytes.withUnsafeBytes { bytes in
        guard let bio = BIO_new_mem_buf(bytes.baseAddress, Int32(bytes.count)) else { return nil }
        defer { BIO_free(bio) }
        return body(bio)
    }
}
