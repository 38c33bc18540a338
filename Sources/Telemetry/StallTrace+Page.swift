public import ByteBuffers

extension StallTrace {
    /// Shows how often each stage has stalled on the metrics page.
    public static func show(in registry: MetricsRegistry) {
        for stage in Stall.Stage.allCases {
            registry.total(
                "millrace_stalls_total", help: "What took 5 ms or longer, by stage; `millrace trace` has the newest.",
                labels: ["stage": stage.name]
            ) { Double(shared.total(of: stage).count) }
        }
    }

    /// Writes what is known as one JSON object: `now_ms` since 1970, what counts as slow, counts by stage of those stages that
    /// have stalled, and the newest stalls, oldest first.
    public func writeJSON(into page: inout ByteWriter) {
        let now = WallClock.milliseconds
        let clockOffset = now * 1_000_000 - MonotonicClock.nanoseconds
        page.utf8(
            "{\"now_ms\":\(now),\"slow_us\":\(Self.slowNanoseconds / 1000),\"dropped\":\(droppedCount),\"stages\":[")
        var isFirst = true
        for stage in Stall.Stage.allCases {
            let (count, sum, longest) = total(of: stage)
            if count == 0 { continue }
            if !isFirst { page.utf8(",") }
            isFirst = false
            page.utf8("{\"stage\":\"\(stage.name)\",\"count\":\(count),\"total_us\":\(sum / 1000)")
            page.utf8(",\"longest_us\":\(longest / 1000)}")
        }
        page.utf8("],\"stalls\":[")
        for (place, stall) in stalls.enumerated() {
            if place > 0 { page.utf8(",") }
            stall.writeJSON(into: &page, clockOffset: clockOffset)
        }
        page.utf8("]}")
    }
}

extension Stall {
    /// `clockOffset`: nanoseconds from the monotonic clock's start to that of the time of day.
    fileprivate func writeJSON(into page: inout ByteWriter, clockOffset: Int64) {
        page.utf8("{\"number\":\(number),\"stage\":\"\(stage.name)\",\"at_us\":\((began + clockOffset) / 1000)")
        page.utf8(",\"us\":\(nanoseconds / 1000),\"bytes\":\(bytes),\"count\":\(count),\"thread\":\"")
        Self.escape(thread, into: &page)
        page.utf8("\",\"subject\":\"")
        Self.escape(subject, into: &page)
        page.utf8("\"}")
    }

    private static func escape(_ text: String, into page: inout ByteWriter) {
        var text = text
        text.withUTF8 { bytes in JSONEscape.forEachPiece(of: UnsafeRawBufferPointer(bytes)) { page.bytes($0) } }
    }
}
