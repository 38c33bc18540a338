/// Token buckets of many addresses, as few as are in use: against guessing (ten failures a second, fifty at once),
/// before any PBKDF2 or signature is paid for.
public struct AttemptLimiter: Sendable {
    /// Addresses remembered, 48 bytes each and the table. At the bound a newcomer takes the place of one whose bucket is full, for
    /// whom that changes nothing, or, where none is found soon, of another: an attack from so many addresses is not stopped by
    /// counting it.
    public static let maxAddresses = 65_536

    /// Failures: a person's mistakes stay far below.
    public static let perSecond = 10.0
    public static let burst = 50.0

    private let perSecond: Double
    private let burst: Double
    private var buckets = BoundedTable<NetworkAddress, TokenBucket>(maxCount: maxAddresses)

    /// Both numbers are above zero.
    public init(perSecond: Double = Self.perSecond, burst: Double = Self.burst) {
        (self.perSecond, self.burst) = (perSecond, burst)
    }

    public var count: Int { buckets.count }

    /// Asked before a credential is looked at: how long this address, or its network of IPv6, has to wait, if it has.
    public func wait(for address: NetworkAddress, now: MonotonicTime) -> Duration? {
        guard var bucket = buckets[address.limitKey] else { return nil }
        return bucket.take(1, now: now)
    }

    /// Called for each credential that was wrong.
    public mutating func countFailure(of address: NetworkAddress, now: MonotonicTime) {
        let key = address.limitKey
        guard var bucket = buckets[key] ?? TokenBucket(perSecond: perSecond, burst: burst, now: now) else {
            preconditionFailure("a rate of \(perSecond), \(burst) at once, is none")
        }
        bucket.debit(1, now: now)
        set(bucket, for: key, now)
    }

    private mutating func set(_ bucket: TokenBucket, for key: NetworkAddress, _ now: MonotonicTime) {
        buckets.set(bucket, for: key) { [burst] in $0.available(now: now) >= burst }
    }

    /// Called for what was counted before anybody knew how it would end, and has ended well.
    public mutating func giveBack(to address: NetworkAddress, now: MonotonicTime) {
        guard var bucket = buckets[address.limitKey] else { return }
        bucket.credit(1, now: now)
        set(bucket, for: address.limitKey, now)
    }
}
