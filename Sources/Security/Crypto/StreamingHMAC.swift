import COpenSSL

/// An HMAC over bytes that arrive in pieces: a request's body while it is read.
public final class StreamingHMAC {
    private let context: OpaquePointer
    private let algorithm: HashAlgorithm

    // SAFETY: an EVP_MAC is immutable and reference-counted once fetched; this one is never freed.
    private nonisolated(unsafe) static let hmac: OpaquePointer = EVP_MAC_fetch(nil, "HMAC", nil)!

    public init(_ algorithm: HashAlgorithm, key: Secret) {
        self.algorithm = algorithm
        context = EVP_MAC_CTX_new(Self.hmac)!
        // SAFETY: OpenSSL reads the name and writes nothing to it.
        let parameters = [
            OSSL_PARAM_construct_utf8_string(
                ParameterName.digest.pointer, UnsafeMutablePointer(mutating: algorithm.name.pointer), 0),
            OSSL_PARAM_construct_end(),
        ]
        let started = key.withBytes {
            EVP_MAC_init(context, $0.bindMemory(to: UInt8.self).baseAddress, $0.count, parameters)
        }
        precondition(started == 1, "HMAC with \(algorithm) did not start")
    }

    deinit { EVP_MAC_CTX_free(context) }

    public func update(_ bytes: UnsafeRawBufferPointer) {
        guard !bytes.isEmpty else { return }
        let done = EVP_MAC_update(context, bytes.bindMemory(to: UInt8.self).baseAddress, bytes.count)
        precondition(done == 1, "HMAC over \(bytes.count) bytes failed")
    }

    public func update(_ bytes: some Collection<UInt8>) { withContiguousBytes(bytes) { update($0) } }

    /// The code over all bytes given. Called once.
    public func finish() -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: algorithm.byteCount) { buffer, count in
            let done = EVP_MAC_final(context, buffer.baseAddress, &count, algorithm.byteCount)
            precondition(done == 1 && count == algorithm.byteCount, "HMAC did not finish")
        }
    }
}
