import Synchronization

/// A share of the broker's memory for something that outlives its request, over all loops. What is in it is an
/// estimate, taken and given back by the same reckoning.
final class FetchShare: Sendable {
    let limit: Int
    private let used = Atomic<Int>(0)

    init(limit: Int) { self.limit = limit }

    var bytes: Int { used.load(ordering: .relaxed) }

    /// Takes `bytes` of the share; false, and nothing is taken, when they do not fit.
    func take(_ bytes: Int) -> Bool {
        if bytes == 0 { return true }
        if used.add(bytes, ordering: .relaxed).newValue <= limit { return true }
        used.subtract(bytes, ordering: .relaxed)
        return false
    }

    func give(_ bytes: Int) {
        if bytes > 0 { used.subtract(bytes, ordering: .relaxed) }
    }
}
