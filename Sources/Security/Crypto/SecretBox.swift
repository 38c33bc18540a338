import COpenSSL

/// Secrets that have to be kept as they are, for HMAC needs them: sealed by AES-256-GCM, so that who reads the store alone has
/// nothing.
///
/// ```
/// sealed   form u8 (1) | nonce, 12 bytes | ciphertext | tag, 16 bytes
/// ```
/// Nonces are random: fewer than 2^32 of one key are safe, and a broker has fewer credentials. What a secret belongs to is
/// authenticated with it, so that it cannot be put in another's place.
public struct SecretBox: Sendable {
    public static let keyBytes = 32
    static let nonceBytes = 12
    static let tagBytes = 16
    private static let form: UInt8 = 1

    private let key: Secret

    /// Nil when the key has another length.
    public init?(key: Secret) {
        guard key.count == Self.keyBytes else { return nil }
        self.key = key
    }

    /// - Parameter owner: what the secret belongs to.
    public func seal(_ secret: Secret, for owner: some Collection<UInt8>) -> [UInt8] {
        let nonce = Randomness.bytes(Self.nonceBytes)
        var text = [UInt8](repeating: 0, count: secret.count)
        var tag = [UInt8](repeating: 0, count: Self.tagBytes)
        let isDone = withCipher(nonce, isSealing: true, owner) { context in
            var length: Int32 = 0
            let isWritten = secret.withBytes { bytes in
                EVP_EncryptUpdate(
                    context, &text, &length, bytes.bindMemory(to: UInt8.self).baseAddress, Int32(bytes.count)) == 1
            }
            return isWritten && EVP_EncryptFinal_ex(context, nil, &length) == 1
                && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, Int32(Self.tagBytes), &tag) == 1
        }
        precondition(isDone, "AES-256-GCM failed in libcrypto")
        return [Self.form] + nonce + text + tag
    }

    /// Nil for what this key has not sealed for that owner.
    public func open(_ sealed: [UInt8], for owner: some Collection<UInt8>) -> Secret? {
        guard sealed.first == Self.form, sealed.count >= 1 + Self.nonceBytes + Self.tagBytes else { return nil }
        let nonce = Array(sealed[1...Self.nonceBytes])
        let text = Array(sealed[(1 + Self.nonceBytes)..<(sealed.count - Self.tagBytes)])
        var tag = Array(sealed.suffix(Self.tagBytes))
        var plain = [UInt8](repeating: 0, count: text.count)
        let isDone = withCipher(nonce, isSealing: false, owner) { context in
            var length: Int32 = 0
            return EVP_DecryptUpdate(context, &plain, &length, text, Int32(text.count)) == 1
                && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, Int32(Self.tagBytes), &tag) == 1
                && EVP_DecryptFinal_ex(context, nil, &length) == 1
        }
        defer { Secret.wipe(&plain) }
        return isDone ? Secret(copying: plain[...]) : nil
    }

    private func withCipher(
        _ nonce: [UInt8], isSealing: Bool, _ owner: some Collection<UInt8>, _ body: (OpaquePointer) -> Bool
    ) -> Bool {
        defer { ERR_clear_error() }
        guard let context = EVP_CIPHER_CTX_new() else { return false }
        defer { EVP_CIPHER_CTX_free(context) }
        let begins = key.withBytes { key in
            EVP_CipherInit_ex(
                context, EVP_aes_256_gcm(), nil, key.bindMemory(to: UInt8.self).baseAddress, nonce, isSealing ? 1 : 0)
                == 1
        }
        guard begins else { return false }
        var length: Int32 = 0
        let owner = Array(owner)
        return EVP_CipherUpdate(context, nil, &length, owner, Int32(owner.count)) == 1 && body(context)
    }
}
