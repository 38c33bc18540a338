public import Security
public import Telemetry

/// When a number of the broker's is worth telling somebody.
public struct AlarmRule: Sendable, Equatable {
    public enum Bound: Sendable, Equatable {
        /// Beyond it something is wrong; the bound itself is fine.
        case above(Double)
        case below(Double)

        func isPassed(by value: Double) -> Bool {
            switch self {
            case .above(let bound): value > bound
            case .below(let bound): value < bound
            }
        }
    }

    /// What a period counts for in which there was nothing to see.
    public enum Missing: String, Sendable, CaseIterable {
        /// For nothing; with all periods without anything the alarm's state is NODATA.
        case unseen = "nodata"
        case fine = "ok"
        case wrong = "alarm"
    }

    public let name: String
    /// A gauge is looked at as it is, of several series that which is furthest out; a counter by its growth, of all series together.
    public var metric: MetricSelector
    /// What the growth of a counter is divided by: the growth of this one. Nil: by the seconds.
    public var share: MetricSelector?
    /// Of a histogram: the percentile (0...100) of what was seen within the period.
    public var percentile: Double = 99
    public var bound: Bound
    /// So many of the last `periods` have to be wrong, 1...`periods`.
    public var wrong = 1
    public var periods = 1
    public var periodMs: Int64 = 60_000
    public var missing = Missing.unseen
    /// Where changes are told beside the log, as records; nil: nowhere.
    public var topic: String?

    /// Where changes are posted; nil: nowhere.
    public var webhook: AlarmWebhook?

    public static let periodLimitsMs: ClosedRange<Int64> = 15_000...86_400_000
    public static let maxPeriods = 100
    /// Of all kinds together.
    public static let maxAlarms = 200

    public init(_ name: String, _ metric: MetricSelector, _ bound: Bound) {
        (self.name, self.metric, self.bound) = (name, metric, bound)
    }
}

/// A receiver of changes over HTTP.
public struct AlarmWebhook: Sendable, Equatable {
    public let url: String
    /// Requests are signed with it. Source: Standard Webhooks.
    public let signingKey: Secret

    public init(url: String, signingKey: Secret) { (self.url, self.signingKey) = (url, signingKey) }
}
