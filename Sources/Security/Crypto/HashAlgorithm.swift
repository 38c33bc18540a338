import COpenSSL

/// The hash functions that the protocols of this module name. SHA-1 serves Twilio's signatures alone.
public enum HashAlgorithm: Sendable, CaseIterable {
    case sha1
    case sha256
    case sha512

    public var byteCount: Int {
        switch self {
        case .sha1: 20
        case .sha256: 32
        case .sha512: 64
        }
    }

    var method: OpaquePointer {
        switch self {
        case .sha1: EVP_sha1()
        case .sha256: EVP_sha256()
        case .sha512: EVP_sha512()
        }
    }

    var name: StaticString {
        switch self {
        case .sha1: "SHA1"
        case .sha256: "SHA256"
        case .sha512: "SHA512"
        }
    }

    public func hash(_ bytes: some Collection<UInt8>) -> [UInt8] {
        withContiguousBytes(bytes) { input in
            digest { output, length in EVP_Digest(input.baseAddress, input.count, output, length, method, nil) == 1 }
        }
    }

    /// HMAC of RFC 2104.
    public func hmac(key: UnsafeRawBufferPointer, _ message: some Collection<UInt8>) -> [UInt8] {
        withContiguousBytes(message) { input in
            digest { output, length in
                HMAC(
                    method, key.baseAddress, Int32(key.count), input.bindMemory(to: UInt8.self).baseAddress,
                    input.count, output, length) != nil
            }
        }
    }

    public func hmac(key: [UInt8], _ message: some Collection<UInt8>) -> [UInt8] {
        key.withUnsafeBytes { hmac(key: $0, message) }
    }

    public func hmac(key: Secret, _ message: some Collection<UInt8>) -> [UInt8] {
        key.withBytes { hmac(key: $0, message) }
    }

    /// PBKDF2 of RFC 8018, as long as the hash. Takes milliseconds: never on an event loop.
    public func pbkdf2(password: Secret, salt: [UInt8], iterations: Int) -> [UInt8] {
        password.withBytes { password in
            salt.withUnsafeBufferPointer { salt in
                [UInt8](unsafeUninitializedCapacity: byteCount) { buffer, count in
                    let done = PKCS5_PBKDF2_HMAC(
                        password.bindMemory(to: CChar.self).baseAddress, Int32(password.count), salt.baseAddress,
                        Int32(salt.count), Int32(iterations), method, Int32(byteCount), buffer.baseAddress)
                    precondition(done == 1, "PBKDF2 with \(salt.count) bytes of salt, \(iterations) iterations failed")
                    count = byteCount
                }
            }
        }
    }

    /// These functions fail only when memory has run out or the library is broken: nothing that a peer can bring about.
    private func digest(
        _ body: (UnsafeMutablePointer<UInt8>?, UnsafeMutablePointer<UInt32>?) -> Bool
    ) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: byteCount) { buffer, count in
            var length = UInt32(byteCount)
            precondition(body(buffer.baseAddress, &length) && length == byteCount, "\(name) failed in libcrypto")
            count = byteCount
        }
    }
}

/// The bytes of an array or a slice of one in place; anything else is copied first.
func withContiguousBytes<Result>(
    _ bytes: some Collection<UInt8>, _ body: (UnsafeRawBufferPointer) -> Result
) -> Result {
    bytes.withContiguousStorageIfAvailable { body(UnsafeRawBufferPointer($0)) }
        ?? Array(bytes).withUnsafeBytes { body($0) }
}
