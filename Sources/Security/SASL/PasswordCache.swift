public import KafkaModel

/// Passwords found right a short while ago, so that a client that connects often does not cost a PBKDF2 each time.
///
/// Neither names nor passwords are in it: the key is an HMAC over both and the credential's epoch, so a changed
/// password misses at once. Failures are not remembered.
public struct PasswordCache: Sendable {
    /// 10,000 entries take about 1 MB. At the bound the oldest goes, and its client pays one PBKDF2 more.
    public static let maxEntries = 10_000
    public static let lifetime = Duration.seconds(300)

    private let key: Secret
    private var expiries: [[UInt8]: MonotonicTime] = [:]
    /// Keys in the order of their coming; a ring once it is full.
    private var order: [[UInt8]] = []
    private var oldest = 0

    /// A random key of this process.
    public init(key: Secret) { self.key = key }

    public func contains(user: ExactString, password: Secret, epoch: UInt64, now: MonotonicTime) -> Bool {
        expiries[digest(user, password, epoch)].map { now < $0 } ?? false
    }

    public mutating func insert(user: ExactString, password: Secret, epoch: UInt64, now: MonotonicTime) {
        let entry = digest(user, password, epoch)
        guard expiries.updateValue(now + Self.lifetime, forKey: entry) == nil else { return }
        if order.count < Self.maxEntries {
            order.append(entry)
        } else {
            expiries[order[oldest]] = nil
            order[oldest] = entry
            oldest = (oldest + 1) % Self.maxEntries
        }
    }

    public var count: Int { expiries.count }

    private func digest(_ user: ExactString, _ password: Secret, _ epoch: UInt64) -> [UInt8] {
        let code = StreamingHMAC(.sha256, key: key)
        // The length first: otherwise a piece of the name could move into the password.
        code.update(Array("\(epoch) \(user.text.utf8.count) \(user)".utf8))
        password.withBytes { code.update($0) }
        return code.finish()
    }
}
