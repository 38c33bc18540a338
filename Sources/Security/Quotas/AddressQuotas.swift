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
