/// A moment, given by the caller with each event: nothing here reads a clock.
public protocol Moment: Hashable, Comparable, Sendable {
    var milliseconds: Int64 { get }
    init(milliseconds: Int64)
}

/// By a clock that nobody sets: for deadlines, waits, rates and what is remembered for a while. Set back by an hour, the
/// wall clock would lock everybody out for that hour. Milliseconds since some moment before the process started.
public struct MonotonicTime: Moment {
    public let milliseconds: Int64
    public init(milliseconds: Int64) { self.milliseconds = milliseconds }
}

/// By the wall clock: for what others wrote down, as a token's end. Milliseconds since 1970.
public struct UnixTime: Moment {
    public let milliseconds: Int64
    public init(milliseconds: Int64) { self.milliseconds = milliseconds }
}

extension Moment {
    /// What is too far away for milliseconds counts as the farthest.
    public init(seconds: Int64) {
        let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000)
        self.init(milliseconds: overflow ? (seconds > 0 ? .max : .min) : product)
    }

    /// Whole seconds, rounded down.
    public var seconds: Int64 { milliseconds / 1_000 - (milliseconds % 1_000 < 0 ? 1 : 0) }

    public static func < (one: Self, other: Self) -> Bool { one.milliseconds < other.milliseconds }

    public static func + (time: Self, duration: Duration) -> Self {
        let (sum, overflow) = time.milliseconds.addingReportingOverflow(duration.milliseconds)
        return Self(milliseconds: overflow ? (duration.milliseconds > 0 ? .max : .min) : sum)
    }

    public static func - (time: Self, duration: Duration) -> Self {
        let (difference, overflow) = time.milliseconds.subtractingReportingOverflow(duration.milliseconds)
        return Self(milliseconds: overflow ? (duration.milliseconds > 0 ? .min : .max) : difference)
    }

    /// From `other` to this one; negative if this one is earlier.
    public static func - (time: Self, other: Self) -> Duration {
        let (difference, overflow) = time.milliseconds.subtractingReportingOverflow(other.milliseconds)
        return .milliseconds(overflow ? (time > other ? .max : .min) : difference)
    }
}

extension Duration {
    /// Whole milliseconds; what is too long for them counts as the longest.
    public var milliseconds: Int64 {
        let (whole, overflow) = components.seconds.multipliedReportingOverflow(by: 1_000)
        let (sum, overflowToo) = whole.addingReportingOverflow(components.attoseconds / 1_000_000_000_000_000)
        return overflow || overflowToo ? (components.seconds > 0 ? .max : .min) : sum
    }
}
