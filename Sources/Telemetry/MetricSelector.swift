/// Which series of a metric somebody means: `millrace_http_requests_total{status="5*"}`. All labels that it names have to be as it says; a
/// value that ends with a star is the beginning of one.
public struct MetricSelector: Hashable, Sendable, CustomStringConvertible {
    public let name: String
    private let labels: [Label]

    private struct Label: Hashable {
        let name: String
        let value: String
        let isBeginning: Bool
    }

    /// Nil: it is not written like that.
    public init?(_ text: String) {
        guard let brace = text.firstIndex(of: "{") else {
            guard MetricsRegistry.isMetricName(text) else { return nil }
            (name, labels) = (text, [])
            return
        }
        let name = String(text[..<brace])
        guard MetricsRegistry.isMetricName(name), var labels = Self.labels(text[text.index(after: brace)...]) else {
            return nil
        }
        labels.sort { $0.name < $1.name }
        guard Set(labels.map(\.name)).count == labels.count else { return nil }
        (self.name, self.labels) = (name, labels)
    }

    /// Reads `a="x",b="y*"}`, with a backslash before a quote or a backslash in a value.
    private static func labels(_ text: Substring) -> [Label]? {
        var (rest, labels) = (text, [Label]())
        while true {
            guard let equals = rest.firstIndex(of: "=") else { return nil }
            let name = String(rest[..<equals])
            rest = rest[rest.index(after: equals)...]
            guard MetricsRegistry.isMetricName(name), rest.popFirst() == "\"" else { return nil }
            var (value, isOpen) = ("", true)
            while isOpen {
                switch rest.popFirst() {
                case nil: return nil
                case "\"": isOpen = false
                case "\\":
                    guard let next = rest.popFirst(), next == "\"" || next == "\\" else { return nil }
                    value.append(next)
                case let letter?: value.append(letter)
                }
            }
            let isBeginning = value.last == "*"
            if isBeginning { value.removeLast() }
            labels.append(Label(name: name, value: value, isBeginning: isBeginning))
            switch rest.popFirst() {
            case ",": continue
            case "}": return rest.isEmpty ? labels : nil
            default: return nil
            }
        }
    }

    /// - Parameter series: labels as a page shows them. A quote within a value has a backslash before it, so what is looked for begins at a
    ///   label alone.
    func matches(_ series: String) -> Bool {
        labels.allSatisfy { label in
            let wanted = "," + MetricsRegistry.labelText([label.name: label.value]).dropLast(label.isBeginning ? 1 : 0)
            return ("," + series).utf8.contains(wanted.utf8)
        }
    }

    public var description: String {
        if labels.isEmpty { return name }
        let texts = labels.map { label in
            MetricsRegistry.labelText([label.name: label.value + (label.isBeginning ? "*" : "")])
        }
        return name + "{" + texts.joined(separator: ",") + "}"
    }
}

/// What the series that a selector names have to say now.
public enum MetricReading: Sendable {
    /// There is none.
    case missing
    /// One number of each; of gauges a sum is seldom what somebody wants to know.
    case gauges([Double])
    /// Of all together, since the start.
    case counter(Double)
    /// The same.
    case histogram(HistogramReading)
}

/// How often values of each size were seen up to now.
public struct HistogramReading: Sendable {
    private var counts: [UInt64]
    private let scale: Double

    init(_ histograms: [Histogram]) {
        counts = Array(repeating: 0, count: Histogram.bucketCount)
        scale = histograms.first?.scale ?? 1
        for histogram in histograms { for (index, count) in histogram.counts.enumerated() { counts[index] += count } }
    }

    /// Returns the least number of the page's unit that a fraction (0...1) of the values seen since `earlier` are below, at most 25 %
    /// too high; nil where none was seen.
    public func quantile(_ fraction: Double, since earlier: HistogramReading) -> Double? {
        let seen = zip(counts, earlier.counts).map { $0 >= $1 ? $0 - $1 : $0 }
        return seen.allSatisfy { $0 == 0 } ? nil : Histogram.quantile(fraction, of: seen) * scale
    }
}
