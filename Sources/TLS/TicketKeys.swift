internal import ByteBuffers
internal import COpenSSL
internal import Glibc
internal import Security

/// The keys that tickets of resumed sessions are sealed with: made of one secret and the number of a period of twelve hours, so
/// that whoever has the secret has the keys, and none is ever written down.
///
/// A ticket of this period or the next (a clock that goes ahead) is taken, one of the period before is taken and replaced, any other
/// one leads to a full handshake.
final class TicketKeys: Sendable {
    /// Of this process: tickets end with it.
    static let shared = TicketKeys(secret: Secret(copying: Randomness.bytes(32)[...]))

    static let lifetimeSeconds = 12 * 3_600

    private let secret: Secret
    /// Of the period that was last asked for and its neighbours: a hello may hold a thousand tickets' names.
    private let recent = Lock<Recent?>(nil)

    private struct Recent {
        let period: Int
        /// This period's, then the one's before, then the next one's.
        let keys: [Keys]
    }

    init(secret: Secret) { self.secret = secret }

    struct Keys: Sendable {
        let name: [UInt8]
        let cipher: [UInt8]
        let code: [UInt8]
    }

    func keys(period: Int) -> Keys {
        func part(_ use: String) -> [UInt8] {
            HashAlgorithm.sha256.hmac(key: secret, Array("millrace ticket \(use) \(period)".utf8))
        }
        return Keys(name: Array(part("name").prefix(16)), cipher: part("cipher"), code: part("code"))
    }

    /// Which period's keys have this name, near `period`, and whether the ticket should be replaced.
    func find(_ name: UnsafePointer<UInt8>, near period: Int) -> (keys: Keys, isOld: Bool)? {
        let keys = keys(near: period)
        let found = keys.firstIndex { $0.name.elementsEqual(UnsafeBufferPointer(start: name, count: 16)) }
        return found.map { (keys: keys[$0], isOld: $0 == 1) }
    }

    /// Made once a period: each costs nine HMACs.
    private func keys(near period: Int) -> [Keys] {
        recent.withLock { recent in
            if let recent, recent.period == period { return recent.keys }
            let made = [period, period - 1, period + 1].map(keys(period:))
            recent = Recent(period: period, keys: made)
            return made
        }
    }

    /// What libssl calls with each ticket that it makes (1: made) or gets (1: good, 2: good and to be replaced, 0: not ours).
    static let callback:
        @convention(c) (
            OpaquePointer?, UnsafeMutablePointer<UInt8>?, UnsafeMutablePointer<UInt8>?, OpaquePointer?, OpaquePointer?,
            Int32
        ) -> Int32 = { _, name, vector, cipher, code, isMade in
            guard let name, let vector else { return -1 }
            let period = time(nil) / TicketKeys.lifetimeSeconds
            if isMade == 1 {
                let keys = shared.keys(near: period)[0]
                for (index, byte) in keys.name.enumerated() { name[index] = byte }
                guard RAND_bytes(vector, 16) == 1,
                    EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), nil, keys.cipher, vector) == 1
                else { return -1 }
                return setCode(code, keys.code) ? 1 : -1
            }
            guard let found = shared.find(name, near: period) else { return 0 }
            guard setCode(code, found.keys.code),
                EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), nil, found.keys.cipher, vector) == 1
            else { return -1 }
            return found.isOld ? 2 : 1
        }

    private static func setCode(_ context: OpaquePointer?, _ key: [UInt8]) -> Bool {
        let digest: StaticString = "SHA256"
        let (keyName, digestName): (StaticString, StaticString) = ("key", "digest")
        func pointer(_ text: StaticString) -> UnsafeMutablePointer<CChar> {
            // SAFETY: OpenSSL reads names and values and writes nothing to them.
            UnsafeMutableRawPointer(mutating: text.utf8Start).assumingMemoryBound(to: CChar.self)
        }
        var key = key
        return key.withUnsafeMutableBytes { key in
            let parameters = [
                OSSL_PARAM_construct_octet_string(pointer(keyName), key.baseAddress, key.count),
                OSSL_PARAM_construct_utf8_string(pointer(digestName), pointer(digest), 0),
                OSSL_PARAM_construct_end(),
            ]
            return EVP_MAC_CTX_set_params(context, parameters) == 1
        }
    }
}
