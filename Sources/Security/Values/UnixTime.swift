/// A moment, given by the caller with each event: nothing here reads a clock. Milliseconds since 1970.
public struct UnixTime: Hashable, Comparable, Sendable {
    public var milliseconds: Int64

    public init(milliseconds: Int64) { self.milliseconds = milliseconds }

    /// What is too far away for milliseconds counts as the farthest.
    public init(seconds: Int64) {
        let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000)
        milliseconds = overflow ? (seconds > 0 ? .max : .min) : product
    }

    /// Whole seconds, rounded down.
    public var seconds: Int64 { milliseconds >= 0 ? milliseconds / 1_000 : (milliseconds - 999) / 1_000 }

    public static func < (one: UnixTime, other: UnixTime) -> Bool { one.milliseconds < other.milliseconds }

    public static func + (time: UnixTime, duration: Duration) -> UnixTime {
        let (sum, overflow) = time.milliseconds.addingReportingOverflow(duration.milliseconds)
        return UnixTime(milliseconds: overflow ? (duration.milliseconds > 0 ? .max : .min) : sum)
    }

    public static func - (time: UnixTime, duration: Duration) -> UnixTime {
        let (difference, overflow) = time.milliseconds.subtractingReportingOverflow(duration.milliseconds)
        return UnixTime(milliseconds: overflow ? (duration.milliseconds > 0 ? .min : .max) : difference)
    }

    /// From `other` to this one; negative if this one is earlier.
    public static func - (time: UnixTime, other: UnixTime) -> Duration {
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
