import COpenSSL

/// MD5, as a checksum that a protocol asks for: SDKs of SQS compare the one of a message. It protects nothing.
public enum MD5 {
    // SAFETY: an EVP_MD is immutable and reference-counted once fetched; this one is never freed.
    private nonisolated(unsafe) static let method: OpaquePointer? = EVP_MD_fetch(nil, "MD5", "-fips")

    /// 16 bytes. Nil: this machine's OpenSSL has no MD5, as where its policy allows approved functions alone.
    public static func hash(_ bytes: UnsafeRawBufferPointer) -> [UInt8]? {
        guard let method else { return nil }
        let length = 16
        let digest = [UInt8](unsafeUninitializedCapacity: length) { buffer, count in
            var written = UInt32(length)
            let done = EVP_Digest(bytes.baseAddress, bytes.count, buffer.baseAddress, &written, method, nil)
            count = done == 1 && written == length ? length : 0
        }
        return digest.count == length ? digest : nil
    }
}
