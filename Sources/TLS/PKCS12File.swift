internal import COpenSSL
internal import Security

/// Key and certificates of a PKCS#12 file (RFC 7292), as keytool and `openssl pkcs12` write it.
struct PKCS12File {
    struct Failure: Error {
        let problem: String
    }

    /// Nil: there is none in it.
    let key: PrivateKey?
    /// The key's own first, if there is a key; then the others, as they stand in the file.
    let certificates: [Certificate]

    /// The first bytes of a key store in Java's old form.
    private static let oldMagic: [UInt8] = [0xfe, 0xed, 0xfe, 0xed]

    /// Takes some milliseconds: the password is hashed thousands of times. Leaves nothing in OpenSSL's error queue.
    init(_ bytes: [UInt8], password: Secret?, passwordKey: String) throws(Failure) {
        defer { ERR_clear_error() }
        guard !bytes.starts(with: Self.oldMagic) else {
            throw Failure(
                problem:
                    "a key store in Java's old form (JKS); keytool -importkeystore -deststoretype PKCS12 makes it anew")
        }
        let file = bytes.withUnsafeBufferPointer { bytes -> OpaquePointer? in
            var cursor = bytes.baseAddress
            return d2i_PKCS12(nil, &cursor, bytes.count)
        }
        guard let file else { throw Failure(problem: "not a PKCS#12 file") }
        defer { PKCS12_free(file) }
        var (key, own, others): (OpaquePointer?, OpaquePointer?, OpaquePointer?) = (nil, nil, nil)
        let isRead = Self.withText(of: password) { PKCS12_parse(file, $0, &key, &own, &others) } == 1
        guard isRead else { throw Failure(problem: Self.problem(hasPassword: password != nil, passwordKey)) }
        defer { millrace_free_certificates(others) }
        self.key = key.map(PrivateKey.init)
        var found = own.map { [Certificate($0)] } ?? []
        for index in 0..<max(0, millrace_certificate_count(others)) {
            guard let certificate = millrace_certificate(others, index) else { continue }
            X509_up_ref(certificate)
            found.append(Certificate(certificate))
        }
        certificates = found
    }

    /// The key's certificate, then those that signed it, in whatever order they stand in the file: keytool's is none.
    var chain: [Certificate] {
        guard var last = certificates.first else { return [] }
        var chain = [last]
        var rest = certificates.dropFirst()
        while let next = rest.firstIndex(where: { last.isIssued(by: $0) }) {
            last = rest.remove(at: next)
            chain.append(last)
        }
        return chain
    }

    private static func problem(hasPassword: Bool, _ passwordKey: String) -> String {
        let code = ERR_peek_error()
        if millrace_is_wrong_password(code) == 1 {
            return hasPassword ? "does not open with \(passwordKey)" : "is encrypted; set \(passwordKey)"
        }
        return "\(OpenSSLErrors.take()); OpenSSL 3 knows no RC2, by which old tools encrypt: "
            + "keytool -importkeystore or openssl pkcs12 -export makes the file anew"
    }

    /// The password as C has it, wiped afterwards.
    private static func withText<Result>(of password: Secret?, _ body: (UnsafePointer<CChar>?) -> Result) -> Result {
        guard let password else { return body(nil) }
        var text: [UInt8] = []
        text.reserveCapacity(password.count + 1)
        password.withBytes { text += $0 }
        text.append(0)
        defer { Secret.wipe(&text) }
        return text.withUnsafeBytes { body($0.baseAddress!.assumingMemoryBound(to: CChar.self)) }
    }
}
