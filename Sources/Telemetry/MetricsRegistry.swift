public import ByteBuffers

/// The metrics of one page, in the order in which their names were first registered. Each broker has one: several in a
/// process show their own numbers.
///
/// Registering takes a lock and is for start-up and rare events (a topic is created); using a metric takes none. The
/// same name and labels give the same object again; of two readings the first stays.
///
/// Limit: `maxSeries` label combinations in all. Past it a caller gets a working metric that no page shows, and
/// `millrace_telemetry_series_refused_total` counts it: an attacker who can invent label values costs nothing.
public final class MetricsRegistry: Sendable {
    public static let maxSeries = 8192
    /// What every name begins with: a page of several programs must show whose a number is.
    public static let prefix = "millrace_"

    /// Label names and values of one series, in the order in which they are printed.
    public typealias Labels = KeyValuePairs<String, String>

    enum Metric: Sendable {
        case counter(Counter)
        case gauge(Gauge)
        case histogram(Histogram)
        case reading(@Sendable () -> Double)
    }

    struct Series: Sendable {
        let labels: String
        let metric: Metric
    }

    struct Family: Sendable {
        let name: String
        let help: String
        let kind: String
        var series: [Series] = []
        /// Of series that come and go.
        var listed: ListedGauge?
    }

    struct State: Sendable {
        var families: [Family] = []
        var indexes: [String: Int] = [:]
        var known: [String: Metric] = [:]
    }

    private let state = Lock(State())
    private let refused = Counter()

    public init() {}

    /// Returns the counter of that name (`..._total`) and those labels.
    public func counter(_ name: String, help: String = "", labels: Labels = [:]) -> Counter {
        let metric = register(name, help, "counter", labels) { .counter(Counter()) }
        guard case .counter(let counter) = metric else { preconditionFailure("\(name) is registered as another kind") }
        return counter
    }

    public func gauge(_ name: String, help: String = "", labels: Labels = [:]) -> Gauge {
        let metric = register(name, help, "gauge", labels) { .gauge(Gauge()) }
        guard case .gauge(let gauge) = metric else { preconditionFailure("\(name) is registered as another kind") }
        return gauge
    }

    /// Shows a gauge whose value is asked for when a page is made. `read` must be quick; it may be called from any
    /// thread.
    public func reading(
        _ name: String, help: String = "", labels: Labels = [:], read: @escaping @Sendable () -> Double
    ) {
        _ = register(name, help, "gauge", labels) { .reading(read) }
    }

    /// Does the same for a number that only grows (`..._total`).
    public func total(
        _ name: String, help: String = "", labels: Labels = [:], read: @escaping @Sendable () -> Double
    ) {
        _ = register(name, help, "counter", labels) { .reading(read) }
    }

    /// Shows a counter that was made before there was a page.
    public func show(_ counter: Counter, as name: String, help: String = "", labels: Labels = [:]) {
        _ = register(name, help, "counter", labels) { .counter(counter) }
    }

    /// Shows the name and help of counters whose labels are not known yet, so that the page lists them from the start.
    public func announceCounter(_ name: String, help: String) {
        state.withLock { state in _ = Self.family(name, help, "counter", &state) }
    }

    /// Shows gauges that come and go: those that whoever looks at what they tell of has set last, who bounds their number.
    public func list(_ name: String, help: String) -> ListedGauge {
        state.withLock { state in
            let index = Self.family(name, help, "gauge", &state)
            let listed = state.families[index].listed ?? ListedGauge(name)
            state.families[index].listed = listed
            return listed
        }
    }

    /// Returns what the series of a selector have to say now. Readings are taken outside the lock.
    public func read(_ selector: MetricSelector) -> MetricReading {
        let found = state.withLock { state in state.indexes[selector.name].map { state.families[$0] } }
        guard let family = found else { return .missing }
        let metrics = family.series.filter { selector.matches($0.labels) }.map(\.metric)
        let histograms = metrics.compactMap { if case .histogram(let histogram) = $0 { histogram } else { nil } }
        if !histograms.isEmpty { return .histogram(HistogramReading(histograms)) }
        let listed = (family.listed?.series ?? []).filter { selector.matches($0.labels) }
        let numbers = metrics.compactMap(Self.number) + listed.map(\.value)
        if numbers.isEmpty { return .missing }
        return family.kind == "counter" ? .counter(numbers.reduce(0, +)) : .gauges(numbers)
    }

    private static func number(_ metric: Metric) -> Double? {
        switch metric {
        case .counter(let counter): Double(counter.value)
        case .gauge(let gauge): Double(gauge.value)
        case .reading(let read): read()
        case .histogram: nil
        }
    }

    /// Returns a histogram; `scale` turns an observed unit into the unit of the page (1e-9: nanoseconds to seconds).
    public func histogram(_ name: String, help: String = "", labels: Labels = [:], scale: Double = 1e-9) -> Histogram {
        let metric = register(name, help, "histogram", labels) { .histogram(Histogram(scale: scale)) }
        guard case .histogram(let histogram) = metric else {
            preconditionFailure("\(name) is registered as another kind")
        }
        return histogram
    }

    private func register(
        _ name: String, _ help: String, _ kind: String, _ labels: Labels, _ make: () -> Metric
    ) -> Metric {
        precondition(
            name.hasPrefix(Self.prefix) && Self.isMetricName(name),
            "\(name) is not a metric's name: \(Self.prefix)... of letters, digits and _")
        let text = Self.labelText(labels)
        let identity = "\(kind) \(name){\(text)}"
        return state.withLock { state in
            if let known = state.known[identity] { return known }
            let metric = make()
            guard state.known.count < Self.maxSeries else {
                refused.add()
                return metric
            }
            let index = Self.family(name, help, kind, &state)
            state.families[index].series.append(Series(labels: text, metric: metric))
            state.known[identity] = metric
            return metric
        }
    }

    /// Returns the place of the family with that name, which is made if it is not there.
    private static func family(_ name: String, _ help: String, _ kind: String, _ state: inout State) -> Int {
        if let index = state.indexes[name] {
            precondition(state.families[index].kind == kind, "\(name) is registered as another kind")
            return index
        }
        state.indexes[name] = state.families.count
        state.families.append(Family(name: name, help: help, kind: kind))
        return state.families.count - 1
    }

    static func isMetricName(_ name: String) -> Bool {
        guard let first = name.utf8.first, !(UInt8(ascii: "0")...UInt8(ascii: "9")).contains(first) else {
            return false
        }
        return name.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: ":"):
                true
            default: false
            }
        }
    }

    /// `a="x",b="y"` with backslash, quote and newline escaped, as the text format asks.
    static func labelText(_ labels: Labels) -> String {
        var text = ""
        for (name, value) in labels {
            if !text.isEmpty { text += "," }
            text += name + "=\""
            for scalar in value.unicodeScalars {
                switch scalar {
                case "\\": text += "\\\\"
                case "\"": text += "\\\""
                case "\n": text += "\\n"
                default: text.unicodeScalars.append(scalar)
                }
            }
            text += "\""
        }
        return text
    }

    // MARK: The page

    /// Writes the page in Prometheus' text format 0.0.4. Readings are taken outside the lock.
    public func render(into page: inout ByteWriter) {
        for family in state.withLock({ $0.families }) {
            if !family.help.isEmpty { page.utf8("# HELP \(family.name) \(family.help)\n") }
            page.utf8("# TYPE \(family.name) \(family.kind)\n")
            for series in family.series { Self.render(family.name, series, into: &page) }
            if let listed = family.listed { page.bytes(listed.lines) }
        }
        let name = "millrace_telemetry_series_refused_total"
        page.utf8("# HELP \(name) Series that were not shown because there were \(Self.maxSeries) already.\n")
        page.utf8("# TYPE \(name) counter\n\(name) \(refused.value)\n")
    }

    /// The `Content-Type` of the page.
    public static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    /// The text format's own word for what is infinite.
    static func text(_ value: Double) -> String { value == .infinity ? "+Inf" : "\(value)" }

    private static func render(_ name: String, _ series: Series, into page: inout ByteWriter) {
        let braces = series.labels.isEmpty ? "" : "{\(series.labels)}"
        switch series.metric {
        case .counter(let counter): page.utf8("\(name)\(braces) \(counter.value)\n")
        case .gauge(let gauge): page.utf8("\(name)\(braces) \(gauge.value)\n")
        case .reading(let read): page.utf8("\(name)\(braces) \(text(read()))\n")
        case .histogram(let histogram):
            let lead = series.labels.isEmpty ? "" : series.labels + ","
            let (steps, count) = histogram.cumulative()
            for step in steps { page.utf8("\(name)_bucket{\(lead)le=\"\(step.upperBound)\"} \(step.count)\n") }
            page.utf8("\(name)_bucket{\(lead)le=\"+Inf\"} \(count)\n")
            page.utf8("\(name)_sum\(braces) \(Double(histogram.total) * histogram.scale)\n")
            page.utf8("\(name)_count\(braces) \(count)\n")
        }
    }
}
