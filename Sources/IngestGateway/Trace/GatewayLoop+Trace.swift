import HTTPWire
import Telemetry

/// The trace that the request at hand is part of. The gateway records no spans of its own: it hands on what came, so that who reads a
/// record goes on where its sender was.
extension GatewayLoop {
    /// What the head says; nil: nothing, or what is dropped. Called where there is such a field.
    func receivedTrace() -> TraceParent? {
        var found: TraceParent?
        var isSecond = false
        for index in 0..<head.fieldCount where head.isField(index, named: "traceparent") {
            // Of two nobody knows which one is meant.
            guard !isSecond, let parent = TraceParent(head.fieldValue(index)) else { return nil }
            found = parent
            isSecond = true
        }
        return found
    }

    /// The trace of the request, begun here where none has come and the configuration says so.
    var currentTrace: TraceParent? { trace ?? options.startedTraces.map { startTrace($0) } }

    /// A trace of the request's own, always the same one: the request may be handled in several turns, and by several threads.
    private func startTrace(_ start: GatewayOptions.StartedTraces) -> TraceParent {
        let ids = ShortDigest(of: gateway.traceSalt + requestID)
        // Another word for the parent: the trace would be known by it else.
        let parent = ShortDigest(of: requestID + gateway.traceSalt)
        return TraceParent(
            traceHigh: ids.high | 1, traceLow: ids.low, parentID: parent.high | 1,
            flags: start == .sampled ? TraceParent.sampled : 0)
    }

    /// `tracestate` as it is handed on; nil: there is none, it is dropped, or it has no trace to belong to.
    func traceState() -> String? {
        guard trace != nil else { return nil }
        var state = TraceState()
        for index in 0..<head.fieldCount where head.isField(index, named: "tracestate") {
            guard state.take(head.fieldValue(index)) else {
                metrics.traces(.stateDropped).add()
                return nil
            }
        }
        return state.text
    }

    /// The fields of a log line that name the trace; empty: there is none, or it is not known here whether one came.
    var traceFields: [any CustomStringConvertible] {
        guard hasReadTrace, let trace = currentTrace else { return [] }
        return ["trace_id", trace.traceID, "span_id", trace.spanID]
    }
}
