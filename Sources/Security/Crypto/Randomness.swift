import COpenSSL

/// Random bytes for nonces, salts and keys.
public enum Randomness {
    /// Stops the process if the system has none to give: nothing here is safe without it.
    public static func bytes(_ count: Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            precondition(RAND_bytes(buffer.baseAddress, Int32(count)) == 1, "libcrypto has no randomness")
            initialized = count
        }
    }

    /// `count` characters of `alphabet`, each equally likely. The alphabet has at most 256 characters.
    public static func text(_ count: Int, of alphabet: [UInt8]) -> [UInt8] {
        let fair = 256 - 256 % alphabet.count
        var text: [UInt8] = []
        while text.count < count {
            for byte in bytes(count - text.count) where Int(byte) < fair {
                text.append(alphabet[Int(byte) % alphabet.count])
            }
        }
        return text
    }
}
