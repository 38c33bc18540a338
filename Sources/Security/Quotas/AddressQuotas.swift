/// How many connections an address may open in a second: `connection_creation_rate` of AlterClientQuotas. Source:
/// KIP-612.
public struct AddressQuotas: Sendable {
    /// One row for each address that has a limit of its own; past it AlterClientQuotas is refused.
    public static let maxAddresses = 100_000
    public static let key = "connection_creation_rate"

    private var limits: [NetworkAddress: Double] = [:]
    /// For all others; nil for no limit.
    public var byDefault: Double?

    public init() {}

    public var addresses: [NetworkAddress: Double] { limits }

    /// Nil removes. False when there is no room for another address.
    @discardableResult
    public mutating func set(_ limit: Double?, for address: NetworkAddress) -> Bool {
        guard limits[address] != nil || limit == nil || limits.count < Self.maxAddresses else { return false }
        limits[address] = limit
        return true
    }

    public func limit(for address: NetworkAddress) -> Double? { limits[address] ?? byDefault }
}

/// Token buckets of many addresses, as few as are in use: against guessing (ten failures a second, fifty at once),
/// before any PBKDF2 or signature is paid for.
public struct AttemptLimiter: Sendable {
    /// Addresses remembered, 32 bytes each and the table. At the bound those whose buckets are full are forgotten,
    /// which changes nothing for them; if none is, all are: an attack from so many addresses is not stopped by counting
    /// it.
    public static let maxAddresses = 65_536

    private let perSecond: Double
    private let burst: Double
    private var buckets: [NetworkAddress: TokenBucket] = [:]

    public init(perSecond: Double = 10, burst: Double = 50) {
        self.perSecond = perSecond
        self.burst = burst
    }

    public var count: Int { buckets.count }

    /// Asked before a credential is looked at: how long this address, or its network of IPv6, has to wait, if it has.
    public func wait(for address: NetworkAddress, now: UnixTime) -> Duration? {
        guard var bucket = buckets[address.limitKey] else { return nil }
        return bucket.take(1, now: now)
    }

    /// Called for each credential that was wrong.
    public mutating func countFailure(of address: NetworkAddress, now: UnixTime) {
        let key = address.limitKey
        if buckets[key] == nil, buckets.count >= Self.maxAddresses {
            buckets = buckets.filter { $0.value.available(now: now) < burst }
            if buckets.count >= Self.maxAddresses { buckets.removeAll() }
        }
        buckets[key, default: TokenBucket(perSecond: perSecond, burst: burst, now: now)].debit(1, now: now)
    }
}
