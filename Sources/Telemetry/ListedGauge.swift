import ByteBuffers

/// The series of one gauge, of which some come and others go. Their text is made when they are set, so a page of thousands costs a copy.
public final class ListedGauge: Sendable {
    private struct Shown {
        var series: [(labels: String, value: Double)] = []
        var lines: [UInt8] = []
    }

    private let name: String
    private let shown = Lock(Shown())

    init(_ name: String) { self.name = name }

    /// Shows these in the place of those before.
    public func set(_ series: [(labels: MetricsRegistry.Labels, value: Double)]) {
        var next = Shown()
        var lines = ByteWriter(capacity: 64 * series.count)
        for (labels, value) in series {
            let labels = MetricsRegistry.labelText(labels)
            next.series.append((labels, value))
            lines.utf8("\(name){\(labels)} \(MetricsRegistry.text(value))\n")
        }
        next.lines = lines.array
        shown.withLock { $0 = next }
    }

    var series: [(labels: String, value: Double)] { shown.withLock { $0.series } }

    /// As they stand on a page.
    var lines: [UInt8] { shown.withLock { $0.lines } }
}
