public import KafkaModel

/// Passwords found right a short while ago, so that a client that connects often does not cost a PBKDF2 each time.
///
/// Neither names nor passwords are in it: the key is an HMAC over both and the credential's epoch, so a changed
/// password misses at once. Failures are not remembered.
public struct PasswordCache: Sendable {
    /// 10,000 entries take about 1 MB. At the bound the oldest goes, and its client pays one PBKDF2 more.
    public static let maxEntries = 10_000
    public static let lifetime = Duration.seconds(300)

    /// What stands for a name, a password and an epoch.
    public struct Entry: Hashable, Sendable {
        fileprivate let digest: [UInt8]
    }

    /// Makes entries, apart from the cache: that takes microseconds, which are too much for a lock that many want.
    public struct Maker: Sendable {
        private let key: Secret

        /// A random key of this process.
        public init(key: Secret) { self.key = key }

        public func entry(user: ExactString, password: Secret, epoch: UInt64) -> Entry {
            let code = StreamingHMAC(.sha256, key: key)
            // The length first: otherwise a piece of the name could move into the password.
            code.update(Array("\(epoch) \(user.text.utf8.count) \(user)".utf8))
            password.withBytes { code.update($0) }
            return Entry(digest: code.finish())
        }
    }

    private var expiries: [Entry: MonotonicTime] = [:]
    /// Entries in the order of their coming; a ring once it is full.
    private var order: [Entry] = []
    private var oldest = 0

    public init() {}

    public func contains(_ entry: Entry, now: MonotonicTime) -> Bool { expiries[entry].map { now < $0 } ?? false }

    public mutating func insert(_ entry: Entry, now: MonotonicTime) {
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
}
