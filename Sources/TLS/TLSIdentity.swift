internal import Glibc
internal import Security

/// A private key, its certificate, and those that signed it: what a listener shows.
struct TLSIdentity {
    let key: PrivateKey
    /// The key's own first; each is signed by the next.
    let chain: [Certificate]
    /// The key of the configuration that it is from, and the file for messages: `PATH: `, or nothing.
    let origin: (key: String, place: String)

    var certificate: Certificate { chain[0] }

    /// More certificates are no chain, and every handshake would send them.
    static let maxChain = 10

    /// Reads all that the settings name; the first is for everybody.
    static func all(of settings: TLSSettings) throws(TLSConfigurationError) -> [TLSIdentity] {
        let hasInline = settings.certificateChain != nil || settings.key != nil
        if settings.keystoreType == .pem, settings.keystorePassword != nil {
            throw TLSConfigurationError(
                key: TLSSettings.storePasswordKey,
                problem: "set, and files in PEM have none; the password of a key is \(TLSSettings.passwordKey)")
        }
        if settings.keystoreType == .pkcs12, hasInline {
            throw TLSConfigurationError(
                key: TLSSettings.storeTypeKey,
                problem: "PKCS12, and \(TLSSettings.chainKey) and \(TLSSettings.keyKey) are PEM; keep one of the two")
        }
        if !settings.keystoreFiles.isEmpty {
            if hasInline {
                throw TLSConfigurationError(
                    key: TLSSettings.locationKey,
                    problem: "set together with \(TLSSettings.chainKey) or \(TLSSettings.keyKey); keep one of the two")
            }
            var identities: [TLSIdentity] = []
            for path in settings.keystoreFiles {
                var text = try PEMFile.read(path, for: TLSSettings.locationKey)
                defer { Secret.wipe(&text) }
                if settings.keystoreType == .pkcs12 {
                    identities.append(try TLSIdentity(pkcs12: text, path, settings))
                    continue
                }
                identities.append(
                    try TLSIdentity(text, path, settings, key: TLSSettings.locationKey, keyKey: TLSSettings.locationKey)
                )
            }
            return identities
        }
        guard let chain = settings.certificateChain, let key = settings.key else {
            let missing = settings.certificateChain == nil ? TLSSettings.chainKey : TLSSettings.keyKey
            throw TLSConfigurationError(
                key: missing,
                problem: hasInline
                    ? "not set, and the other half is: certificate and key belong together"
                    : "listener \(settings.listener) speaks TLS and has no certificate; "
                        + "set \(TLSSettings.locationKey) to a PEM file with a key and its certificates")
        }
        var text = Array(chain.utf8) + [0x0a]
        key.withBytes { text += $0 }
        defer { Secret.wipe(&text) }
        return [try TLSIdentity(text, nil, settings, key: TLSSettings.chainKey, keyKey: TLSSettings.keyKey)]
    }

    /// What a client shows: a certificate with those that signed it, and its key in a file of its own.
    static func client(_ files: TLSClientSettings.Identity) throws(TLSConfigurationError) -> TLSIdentity {
        let certificates = try PEMFile.read(files.certificateFile, for: TLSClientSettings.certificateKey)
        var key = try PEMFile.read(files.keyFile, for: TLSClientSettings.keyKey)
        defer { Secret.wipe(&key) }
        guard !key.contains(Array("ENCRYPTED".utf8)) else {
            throw TLSConfigurationError(
                key: TLSClientSettings.keyKey, problem: "\(files.keyFile): is encrypted; take a key without a password")
        }
        // All of its room at once: an array that grows leaves pieces of a key behind, which nobody wipes.
        var text: [UInt8] = []
        text.reserveCapacity(certificates.count + key.count + 1)
        text += certificates + [0x0a]
        text += key
        defer { Secret.wipe(&text) }
        do throws(TLSConfigurationError) {
            return try TLSIdentity(
                text, nil, TLSSettings(listener: ""), key: TLSClientSettings.certificateKey,
                keyKey: TLSClientSettings.keyKey)
        } catch {
            let path = error.key == TLSClientSettings.keyKey ? files.keyFile : files.certificateFile
            throw TLSConfigurationError(key: error.key, problem: "\(path): \(error.problem)")
        }
    }

    /// `path`: where the text is from, for messages; nil: it is the value of `key` and `keyKey` itself.
    private init(
        _ text: [UInt8], _ path: String?, _ settings: TLSSettings, key certificateKey: String, keyKey: String
    ) throws(TLSConfigurationError) {
        let place = path.map { "\($0): " } ?? ""
        func failure(_ key: String, _ problem: String) -> TLSConfigurationError {
            TLSConfigurationError(key: key, problem: place + problem)
        }
        origin = (certificateKey, place)
        var blocks: [PEMBlock]
        do throws(PEMBlock.Failure) { blocks = try PEMBlock.all(in: text) } catch {
            throw failure(certificateKey, error.problem)
        }
        defer { for index in blocks.indices where blocks[index].isKey { blocks[index].wipe() } }
        // Places, not blocks: a second reference to a key's text would make `wipe` clear a copy.
        let keys = blocks.indices.filter { blocks[$0].isKey }
        guard keys.count == 1 else {
            throw failure(keyKey, keys.isEmpty ? "no private key in it" : "\(keys.count) private keys in it; keep one")
        }
        let line = path == nil ? "" : "line \(blocks[keys[0]].line): "
        key = try Self.key(blocks[keys[0]], settings, { failure(keyKey, line + $0) })
        chain = try Certificates.read(blocks) { failure(certificateKey, $0) }
        guard chain.count <= Self.maxChain else {
            throw failure(certificateKey, "\(chain.count) certificates in it, more than \(Self.maxChain)")
        }
        guard chain[0].belongs(to: key) else {
            let owner = chain.firstIndex { $0.belongs(to: key) }
            throw failure(
                certificateKey,
                owner.map { "the key is that of certificate \($0 + 1); put that one first, then those that signed it" }
                    ?? "the key is not that of the first certificate, nor of another one")
        }
        for index in 1..<max(1, chain.count) where !chain[index - 1].isIssued(by: chain[index]) {
            throw failure(
                certificateKey,
                "certificate \(index + 1) is not the one that signed certificate \(index); put them in order, the key's own first"
            )
        }
    }

    private init(
        pkcs12 bytes: [UInt8], _ path: String, _ settings: TLSSettings
    ) throws(TLSConfigurationError) {
        let place = "\(path): "
        func failure(_ problem: String) -> TLSConfigurationError {
            TLSConfigurationError(key: TLSSettings.locationKey, problem: place + problem)
        }
        let file: PKCS12File
        do throws(PKCS12File.Failure) {
            file = try PKCS12File(
                bytes, password: settings.keystorePassword, passwordKey: TLSSettings.storePasswordKey)
        } catch { throw failure(error.problem) }
        guard let key = file.key else { throw failure("no private key in it") }
        let chain = file.chain
        guard let own = chain.first, own.belongs(to: key) else { throw failure("no certificate of its key in it") }
        guard chain.count <= Self.maxChain else {
            throw failure("\(chain.count) certificates in it, more than \(Self.maxChain)")
        }
        (self.key, self.chain, origin) = (key, chain, (TLSSettings.locationKey, place))
    }

    private static func key(
        _ block: PEMBlock, _ settings: TLSSettings, _ failure: (String) -> TLSConfigurationError
    ) throws(TLSConfigurationError) -> PrivateKey {
        if block.isEncrypted, settings.keyPassword == nil {
            throw failure("the private key is encrypted; set \(TLSSettings.passwordKey)")
        }
        let none = Secret(copying: [])
        let key = (settings.keyPassword ?? none).withBytes { PrivateKey.read(block, password: $0) }
        guard let key else {
            throw failure(
                block.isEncrypted
                    ? "the private key does not open with \(TLSSettings.passwordKey)"
                    : "not a private key: \(block.label)")
        }
        return key
    }
}

/// Certificates of a text, with words for what is wrong.
enum Certificates {
    static func read(
        _ blocks: [PEMBlock], _ failure: (String) -> TLSConfigurationError
    ) throws(TLSConfigurationError) -> [Certificate] {
        var found: [Certificate] = []
        for block in blocks where block.isCertificate {
            guard let certificate = Certificate.read(block) else {
                throw failure("line \(block.line): not a certificate")
            }
            found.append(certificate)
        }
        if found.isEmpty { throw failure("no certificate in it") }
        return found
    }

    /// Those that sign clients' certificates; empty: the settings name none.
    static func trusted(by settings: TLSSettings) throws(TLSConfigurationError) -> [Certificate] {
        if settings.truststoreType == .pem, settings.truststorePassword != nil {
            throw TLSConfigurationError(
                key: TLSSettings.trustPasswordKey, problem: "set, and certificates in PEM have none; remove it")
        }
        if settings.truststoreType == .pkcs12, settings.trustedCertificates != nil {
            throw TLSConfigurationError(
                key: TLSSettings.trustTypeKey,
                problem: "PKCS12, and \(TLSSettings.trustKey) is PEM; keep one of the two")
        }
        if let path = settings.truststoreFile {
            if settings.trustedCertificates != nil {
                throw TLSConfigurationError(
                    key: TLSSettings.trustLocationKey,
                    problem: "set together with \(TLSSettings.trustKey); keep one of the two")
            }
            var text = try PEMFile.read(path, for: TLSSettings.trustLocationKey)
            defer { Secret.wipe(&text) }
            if settings.truststoreType == .pkcs12 { return try trusted(pkcs12: text, path, settings) }
            return try read(text) {
                TLSConfigurationError(key: TLSSettings.trustLocationKey, problem: "\(path): \($0)")
            }
        }
        guard let text = settings.trustedCertificates else { return [] }
        return try read(Array(text.utf8)) { TLSConfigurationError(key: TLSSettings.trustKey, problem: $0) }
    }

    private static func trusted(
        pkcs12 bytes: [UInt8], _ path: String, _ settings: TLSSettings
    ) throws(TLSConfigurationError) -> [Certificate] {
        func failure(_ problem: String) -> TLSConfigurationError {
            TLSConfigurationError(key: TLSSettings.trustLocationKey, problem: "\(path): \(problem)")
        }
        let file: PKCS12File
        do throws(PKCS12File.Failure) {
            file = try PKCS12File(
                bytes, password: settings.truststorePassword, passwordKey: TLSSettings.trustPasswordKey)
        } catch { throw failure(error.problem) }
        guard file.key == nil else { throw failure("a private key in it; leave the certificates alone in it") }
        guard !file.certificates.isEmpty else { throw failure("no certificate in it") }
        return file.certificates
    }

    /// The certificates of a text that has no key.
    static func read(
        _ text: [UInt8], _ failure: (String) -> TLSConfigurationError
    ) throws(TLSConfigurationError) -> [Certificate] {
        var blocks: [PEMBlock]
        do throws(PEMBlock.Failure) { blocks = try PEMBlock.all(in: text) } catch { throw failure(error.problem) }
        defer { for index in blocks.indices where blocks[index].isKey { blocks[index].wipe() } }
        // The authority's own bundle, most likely: its key does not belong here, nor onto this machine.
        if let index = blocks.firstIndex(where: \.isKey) {
            throw failure("line \(blocks[index].line): a private key in it; leave the certificates alone in it")
        }
        return try read(blocks, failure)
    }
}

/// Reads a file whole.
enum PEMFile {
    static func read(_ path: String, for key: String) throws(TLSConfigurationError) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw TLSConfigurationError(key: key, problem: "\(path): \(String(cString: strerror(errno)))")
        }
        defer { close(descriptor) }
        // One byte more than may be, so that a longer one is seen.
        var text = [UInt8](repeating: 0, count: PEMBlock.maxBytes + 1)
        var count = 0
        while count < text.count {
            let got = text.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress! + count, $0.count - count) }
            if got < 0, errno == EINTR { continue }
            if got < 0 {
                throw TLSConfigurationError(key: key, problem: "\(path): \(String(cString: strerror(errno)))")
            }
            if got == 0 { break }
            count += got
        }
        text.removeLast(text.count - count)
        return text
    }

    /// What changes when somebody puts another file in its place, writes into it, or lets us read it; nil: it is not there.
    struct Stamp: Equatable {
        let device: UInt64
        let inode: UInt64
        let size: Int64
        /// Of the content, and of owner and mode.
        let modified: Time
        let changed: Time

        struct Time: Equatable {
            let seconds: Int
            let nanoseconds: Int

            init(_ time: timespec) { (seconds, nanoseconds) = (time.tv_sec, time.tv_nsec) }
        }
    }

    static func stamp(_ path: String) -> Stamp? {
        var found = Glibc.stat()
        guard stat(path, &found) == 0 else { return nil }
        return Stamp(
            device: UInt64(found.st_dev), inode: UInt64(found.st_ino), size: Int64(found.st_size),
            modified: Stamp.Time(found.st_mtim), changed: Stamp.Time(found.st_ctim))
    }
}
