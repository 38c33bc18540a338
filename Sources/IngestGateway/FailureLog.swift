import HTTPWire
import Telemetry

/// Which failed requests are logged: each by its id, but so few a second that a peer who makes many fail does not fill the
/// disk with lines. One for each event loop.
struct FailureLog {
    /// Lines a second; what is above is counted, and told with the next line.
    static let maxLines = 10

    private var second: Int64 = 0
    private var lines = 0
    private(set) var suppressed = 0

    /// Whether one may be logged now; the result is how many were not since the last one that was.
    mutating func admit(atMs wallClockMs: Int64) -> Int? {
        let now = wallClockMs / 1000
        if now != second { (second, lines) = (now, 0) }
        guard lines < Self.maxLines else {
            suppressed += 1
            return nil
        }
        lines += 1
        defer { suppressed = 0 }
        return suppressed
    }
}

extension GatewayLoop {
    /// Logs the reply at hand, which is a 5xx: whoever reports its request id finds it here.
    func logFailure() {
        guard let suppressed = failures.admit(atMs: wallClockMs) else { return }
        // The id is harmless, and everything else is a word of ours.
        Log.warning(
            "HTTP request failed",
            [
                "request_id", String(decoding: requestID, as: UTF8.self), "route", routeLabel, "status", reply.status,
                "code", reply.code, "not_logged_before", suppressed,
            ] + traceFields)
    }
}
