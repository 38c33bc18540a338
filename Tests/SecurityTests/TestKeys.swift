import ByteBuffers
import COpenSSL
import Security

/// Key pairs made for a test: the public half in the form of a JWKS, and a way to sign.
enum TestKeys {
    struct Pair: Sendable {
        let jwk: String
        let sign: @Sendable ([UInt8]) -> [UInt8]
        /// As libcrypto makes it, where that is another form: two integers in DER.
        var encoded: (@Sendable ([UInt8]) -> [UInt8])?
        /// By the same RSA key in ways that no algorithm of ours has.
        var otherwise: [String: @Sendable ([UInt8]) -> [UInt8]] = [:]
    }

    /// Never freed: there are a handful.
    private struct Key: @unchecked Sendable {
        // SAFETY: signing does not change the key; each signature has a context of its own.
        let pointer: OpaquePointer
    }

    static func ed25519() -> (publicKey: [UInt8], sign: @Sendable ([UInt8]) -> [UInt8]) {
        let key = generate("ED25519") { _ in }
        var bytes = [UInt8](repeating: 0, count: 32)
        var count = 32
        precondition(EVP_PKEY_get_raw_public_key(key.pointer, &bytes, &count) == 1)
        return (bytes, { sign(key, nil, $0) })
    }

    static func edDSA(id: String?) -> Pair {
        let (publicKey, sign) = ed25519()
        return Pair(
            jwk: #"{"kty":"OKP","crv":"Ed25519","x":"\#(Base64.encodeURL(publicKey))"\#(member("kid", id))}"#,
            sign: sign)
    }

    static func es256(id: String?, extra: String = "") -> Pair {
        let key = generate("EC") { context in
            precondition(EVP_PKEY_CTX_set_group_name(context, "P-256") == 1)
        }
        let (x, y) = (number(key, OSSL_PKEY_PARAM_EC_PUB_X, 32), number(key, OSSL_PKEY_PARAM_EC_PUB_Y, 32))
        let jwk =
            #"{"kty":"EC","crv":"P-256","x":"\#(Base64.encodeURL(x))","y":"\#(Base64.encodeURL(y))"\#(member("kid", id))\#(extra)}"#
        let joined: @Sendable ([UInt8]) -> [UInt8] = { message in
            // DER of two integers, made into 64 bytes.
            let der = sign(key, EVP_sha256(), message)
            var at = 2
            return (0..<2).reduce(into: []) { joined, _ in
                let length = Int(der[at + 1])
                let digits = der[(at + 2)..<(at + 2 + length)].drop { $0 == 0 }
                joined += [UInt8](repeating: 0, count: 32 - digits.count) + digits
                at += 2 + length
            }
        }
        return Pair(jwk: jwk, sign: joined, encoded: { sign(key, EVP_sha256(), $0) })
    }

    static func rs256(id: String?, bits: Int = 2_048, extra: String = "") -> Pair {
        let key = generate("RSA") { context in
            precondition(EVP_PKEY_CTX_set_rsa_keygen_bits(context, Int32(bits)) == 1)
        }
        let (n, e) = (number(key, OSSL_PKEY_PARAM_RSA_N, bits / 8), number(key, OSSL_PKEY_PARAM_RSA_E, 3))
        let jwk =
            #"{"kty":"RSA","n":"\#(Base64.encodeURL(n))","e":"\#(Base64.encodeURL(e))"\#(member("kid", id))\#(extra)}"#
        return Pair(
            jwk: jwk, sign: { sign(key, EVP_sha256(), $0) },
            otherwise: [
                "SHA-1": { sign(key, EVP_sha1(), $0) }, "SHA-512": { sign(key, EVP_sha512(), $0) },
                "PSS": { sign(key, EVP_sha256(), $0, isPSS: true) },
            ])
    }

    private static func member(_ name: String, _ value: String?) -> String {
        value.map { #","\#(name)":"\#($0)""# } ?? ""
    }

    private static func generate(_ type: String, _ configure: (OpaquePointer) -> Void) -> Key {
        let context = EVP_PKEY_CTX_new_from_name(nil, type, nil)!
        defer { EVP_PKEY_CTX_free(context) }
        precondition(EVP_PKEY_keygen_init(context) == 1)
        configure(context)
        var key: OpaquePointer?
        precondition(EVP_PKEY_generate(context, &key) == 1)
        return Key(pointer: key!)
    }

    private static func number(_ key: Key, _ name: String, _ count: Int) -> [UInt8] {
        var value: OpaquePointer?
        precondition(EVP_PKEY_get_bn_param(key.pointer, name, &value) == 1)
        defer { BN_free(value) }
        var bytes = [UInt8](repeating: 0, count: count)
        precondition(BN_bn2binpad(value, &bytes, Int32(count)) == Int32(count))
        return bytes
    }

    private static func sign(
        _ key: Key, _ digest: OpaquePointer?, _ message: [UInt8], isPSS: Bool = false
    ) -> [UInt8] {
        let context = EVP_MD_CTX_new()!
        defer { EVP_MD_CTX_free(context) }
        var settings: OpaquePointer?
        precondition(EVP_DigestSignInit(context, &settings, digest, nil, key.pointer) == 1)
        if isPSS { precondition(EVP_PKEY_CTX_set_rsa_padding(settings, RSA_PKCS1_PSS_PADDING) == 1) }
        var count = 1_024
        var signature = [UInt8](repeating: 0, count: count)
        precondition(EVP_DigestSign(context, &signature, &count, message, message.count) == 1)
        return Array(signature.prefix(count))
    }
}
