/// How many connections an address may open in a second: `connection_creation_rate` of AlterClientQuotas. Source:
/// KIP-612.
public struct AddressQuotas: Sendable {
    /// One row for each address that has a limit of its own; past it AlterClientQuotas is refused.
    public static let maxAddresses = 100_000
    public static let key = "connection_creation_rate"

    private var limits: [NetworkAddress: Double] = [:]
    /// For all others; nil for no limit.
    public private(set) var byDefault: Double?

    public init() {}

    public var addresses: [NetworkAddress: Double] { limits }

    /// Nil removes, and no address means the default. What is returned is why nothing was done.
    @discardableResult
    public mutating func set(_ limit: Double?, for address: NetworkAddress?) -> QuotaRefusal? {
        if let limit, let refusal = QuotaRefusal(of: limit, most: Double(Int32.max)) { return refusal }
        guard let address else {
            byDefault = limit
            return nil
        }
        guard limits[address] != nil || limit == nil || limits.count < Self.maxAddresses else { return .full }
        limits[address] = limit
        return nil
    }

    public func limit(for address: NetworkAddress) -> Double? { limits[address] ?? byDefault }
}

/// How many connections each address has opened lately. Source: KIP-612.
public struct AddressMeters: Sendable {
    /// Addresses that are counted for themselves, about 600 bytes each. At the bound the idle ones are forgotten; those that
    /// come then are counted together.
    public static let maxAddresses = 20_000

    private let windows: QuotaWindows
    private var meters = BoundedMeters<NetworkAddress?, QuotaWindow>(maxCount: maxAddresses)

    public init(windows: QuotaWindows = QuotaWindows()) { self.windows = windows }

    public var count: Int { meters.count }

    /// Counts a connection; what is returned is how long one that may not come is kept waiting for its end, and then it is not
    /// counted.
    public mutating func admit(_ address: NetworkAddress, limit: Double, now: MonotonicTime) -> Duration? {
        let place = meters.hasRoom(for: address, now: now) ? address : nil
        return meters.change(place, now: now, make: QuotaWindow(windows)) { [length = windows.length] window in
            window.record(1, now: now)
            guard let wait = window.throttle(limit: limit, now: now, most: length) else { return nil }
            window.record(-1, now: now)
            return wait
        }
    }
}

/// Token buckets of many addresses, as few as are in use: against guessing (ten failures a second, fifty at once),
/// before any PBKDF2 or signature is paid for.
public struct AttemptLimiter: Sendable {
    /// Addresses remembered, 48 bytes each and the table. At the bound those whose buckets are full are forgotten,
    /// which changes nothing for them; if that leaves more than half, all are: an attack from so many addresses is not stopped by
    /// counting it, and to look through all of them for each new one would cost more than what is counted.
    public static let maxAddresses = 65_536

    /// Failures: a person's mistakes stay far below.
    public static let perSecond = 10.0
    public static let burst = 50.0

    private let perSecond: Double
    private let burst: Double
    private var buckets: [NetworkAddress: TokenBucket] = [:]

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
        if buckets[key] == nil, buckets.count >= Self.maxAddresses {
            buckets = buckets.filter { $0.value.available(now: now) < burst }
            if buckets.count > Self.maxAddresses / 2 { buckets.removeAll() }
        }
        var bucket = buckets[key] ?? TokenBucket(perSecond: perSecond, burst: burst, now: now)
        bucket?.debit(1, now: now)
        buckets[key] = bucket
    }

    /// Called for what was counted before anybody knew how it would end, and has ended well.
    public mutating func giveBack(to address: NetworkAddress, now: MonotonicTime) {
        buckets[address.limitKey]?.credit(1, now: now)
    }
}
