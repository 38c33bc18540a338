import COpenSSL

/// Signature algorithms of JSON Web Tokens that are accepted. A key belongs to one of them.
public enum SignatureAlgorithm: String, Sendable, CaseIterable {
    case rs256 = "RS256"
    case es256 = "ES256"
    case edDSA = "EdDSA"
}

/// A public key that checks signatures of one algorithm.
public final class PublicKey: @unchecked Sendable {
    /// Smaller moduli are broken, larger ones make a check slow for whoever sends us a token.
    public static let minModulusBits = 2_048
    public static let maxModulusBits = 8_192
    static let minExponent: UInt64 = 65_537

    public let algorithm: SignatureAlgorithm
    // SAFETY: an EVP_PKEY is not changed after it is made, its reference count is atomic, and each check has a context
    // of its own.
    private let key: OpaquePointer

    private init(_ key: OpaquePointer, _ algorithm: SignatureAlgorithm) {
        self.key = key
        self.algorithm = algorithm
    }

    deinit { EVP_PKEY_free(key) }

    /// Modulus and exponent, most significant byte first. Nil when either is out of bounds.
    public static func rsa(modulus: [UInt8], exponent: [UInt8]) -> PublicKey? {
        let modulus = modulus.drop { $0 == 0 }
        let exponent = exponent.drop { $0 == 0 }
        let bits = modulus.count * 8 - (modulus.first?.leadingZeroBitCount ?? 0)
        guard (minModulusBits...maxModulusBits).contains(bits), exponent.count <= 8, modulus.last! & 1 == 1,
            exponent.reduce(0, { UInt64($0) << 8 | UInt64($1) }) >= minExponent, exponent.last! & 1 == 1
        else { return nil }
        // The builder refers to them until the key is made.
        let numbers = [modulus, exponent].map { BN_bin2bn(Array($0), Int32($0.count), nil) }
        defer { for number in numbers { BN_free(number) } }
        return make("RSA", .rs256) { builder in
            OSSL_PARAM_BLD_push_BN(builder, ParameterName.modulus.pointer, numbers[0]) == 1
                && OSSL_PARAM_BLD_push_BN(builder, ParameterName.exponent.pointer, numbers[1]) == 1
        }
    }

    /// A point of P-256, 32 bytes each. Nil when it is not on the curve.
    public static func p256(x: [UInt8], y: [UInt8]) -> PublicKey? {
        guard x.count == 32, y.count == 32 else { return nil }
        let point = [4] + x + y
        let curve: StaticString = "P-256"
        return point.withUnsafeBytes { point in
            make("EC", .es256) { builder in
                OSSL_PARAM_BLD_push_utf8_string(builder, ParameterName.group.pointer, curve.pointer, 0) == 1
                    && OSSL_PARAM_BLD_push_octet_string(
                        builder, ParameterName.point.pointer, point.baseAddress, point.count) == 1
            }
        }
    }

    /// 32 bytes.
    public static func ed25519(_ bytes: [UInt8]) -> PublicKey? {
        guard bytes.count == 32, let key = EVP_PKEY_new_raw_public_key_ex(nil, "ED25519", nil, bytes, 32) else {
            ERR_clear_error()
            return nil
        }
        return PublicKey(key, .edDSA)
    }

    /// ES256 signatures are `r || s`, 64 bytes, as in JSON Web Tokens. Leaves nothing in OpenSSL's error queue.
    public func verifies(_ signature: [UInt8], of message: some Collection<UInt8>) -> Bool {
        defer { ERR_clear_error() }
        guard algorithm == .es256 else { return verifies(encoded: signature, of: message) }
        guard var encoded = Self.encode(signature) else { return false }
        defer { Secret.wipe(&encoded) }
        return verifies(encoded: encoded, of: message)
    }

    private func verifies(encoded signature: [UInt8], of message: some Collection<UInt8>) -> Bool {
        guard let context = EVP_MD_CTX_new() else { return false }
        defer { EVP_MD_CTX_free(context) }
        let digest = algorithm == .edDSA ? nil : EVP_sha256()
        guard EVP_DigestVerifyInit(context, nil, digest, nil, key) == 1 else { return false }
        return withContiguousBytes(message) { message in
            EVP_DigestVerify(
                context, signature, signature.count, message.bindMemory(to: UInt8.self).baseAddress, message.count) == 1
        }
    }

    /// Two integers in DER, from 64 bytes.
    private static func encode(_ signature: [UInt8]) -> [UInt8]? {
        guard signature.count == 64 else { return nil }
        var encoded: [UInt8] = []
        // So that it does not move, and leave what is there behind.
        encoded.reserveCapacity(2 + 2 * (2 + 1 + 32))
        encoded += [0x30, 0]
        for half in [signature[..<32], signature[32...]] {
            let digits = half.drop { $0 == 0 }
            let isPositive = digits.first.map { $0 < 0x80 } ?? false
            encoded += [0x02, UInt8(digits.count + (isPositive ? 0 : 1))]
            if !isPositive { encoded.append(0) }
            encoded += digits
        }
        encoded[1] = UInt8(encoded.count - 2)
        return encoded
    }

    private static func make(
        _ type: String, _ algorithm: SignatureAlgorithm, _ fill: (OpaquePointer) -> Bool
    ) -> PublicKey? {
        defer { ERR_clear_error() }
        guard let builder = OSSL_PARAM_BLD_new() else { return nil }
        defer { OSSL_PARAM_BLD_free(builder) }
        guard fill(builder), let parameters = OSSL_PARAM_BLD_to_param(builder) else { return nil }
        defer { OSSL_PARAM_free(parameters) }
        guard let context = EVP_PKEY_CTX_new_from_name(nil, type, nil) else { return nil }
        defer { EVP_PKEY_CTX_free(context) }
        var key: OpaquePointer?
        guard EVP_PKEY_fromdata_init(context) == 1,
            EVP_PKEY_fromdata(context, &key, Int32(millrace_public_key_selection), parameters) == 1, let key
        else { return nil }
        return PublicKey(key, algorithm)
    }
}
