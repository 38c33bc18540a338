public import Synchronization

/// A number that only grows, from any thread. An increment is one relaxed atomic addition.
public final class Counter: Sendable {
    @usableFromInline let total = Atomic<UInt64>(0)

    /// A counter that no page shows; `MetricsRegistry.counter` makes the ones that are shown.
    public init() {}

    @inlinable
    public func add(_ count: Int = 1) {
        total.wrappingAdd(UInt64(truncatingIfNeeded: count), ordering: .relaxed)
    }

    public var value: UInt64 { total.load(ordering: .relaxed) }
}

/// A number that goes up and down, from any thread.
public final class Gauge: Sendable {
    @usableFromInline let current = Atomic<Int64>(0)

    public init() {}

    @inlinable
    public func set(_ value: Int) { current.store(Int64(value), ordering: .relaxed) }

    @inlinable
    public func add(_ count: Int = 1) { current.wrappingAdd(Int64(count), ordering: .relaxed) }

    public var value: Int64 { current.load(ordering: .relaxed) }
}
