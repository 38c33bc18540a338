import BrokerTestKit
import Foundation
import Testing

/// A blocking client of HTTP/2 that writes what it is told, and opens windows only when it is told so.
final class HTTP2Client {
    private let descriptor: Int32
    private let reader = HTTP2FrameReader()
    private(set) var replies: [UInt32: HTTPReply] = [:]
    private(set) var finished: [UInt32] = []
    private(set) var resets: [UInt32: UInt32] = [:]
    /// Last streams that GOAWAY frames have named, and their codes.
    private(set) var ends: [(last: UInt32, code: UInt32)] = []
    private(set) var interim: [Int] = []
    private(set) var isClosed = false
    private var next: UInt32 = 1
    /// Whether windows are opened as far as bodies come.
    var opensWindows = true

    init(port: UInt16, settings: [(id: UInt16, value: UInt32)] = [], opens: Bool = true) throws {
        descriptor = try Loopback.connect(port: port)
        if opens { send(HTTP2Frame.opening(settings) + HTTP2Frame.settingsTaken.bytes) }
    }

    deinit { close(descriptor) }

    func send(_ bytes: [UInt8]) {
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            if count <= 0 { return }
            sent += count
        }
    }

    func send(_ frames: HTTP2Frame...) { send(frames.flatMap(\.bytes)) }

    /// Sends a request; gives its stream. `ends` false: more of its body follows.
    @discardableResult
    func request(
        _ method: String, _ path: String, _ body: [UInt8]? = nil, _ fields: [(String, String)] = [], ends: Bool = true
    ) -> UInt32 {
        let stream = next
        next += 2
        var all = HTTP2Frame.fields(method, path, fields)
        if body != nil, !fields.contains(where: { $0.0 == "content-type" }) {
            all.append(("content-type", "application/json"))
        }
        send(HTTP2Frame.headers(stream, all, ends: body == nil && ends))
        if let body { self.body(stream, body, ends: ends) }
        return stream
    }

    /// Sends a body as it fits into frames.
    func body(_ stream: UInt32, _ bytes: [UInt8], ends: Bool = true) {
        let size = 16 << 10
        if bytes.count <= size { return send(HTTP2Frame.body(stream, bytes, ends: ends)) }
        for start in stride(from: 0, to: bytes.count, by: size) {
            let end = min(start + size, bytes.count)
            send(HTTP2Frame.body(stream, Array(bytes[start..<end]), ends: ends && end == bytes.count))
            // Whoever does not read blocks the other in the end.
            while readMore(waits: false) {}
        }
    }

    /// Reads frames until that holds, or the connection is closed.
    func read(until isEnough: () -> Bool) {
        while !isEnough(), readMore() {}
    }

    @discardableResult
    private func readMore(waits: Bool = true) -> Bool {
        var piece = [UInt8](repeating: 0, count: 64 << 10)
        let count = recv(descriptor, &piece, piece.count, waits ? 0 : Int32(MSG_DONTWAIT))
        if count <= 0 {
            if count == 0 || errno != EAGAIN { isClosed = true }
            return false
        }
        reader.take(piece[..<count])
        while let frame = reader.next() { take(frame) }
        return true
    }

    private func take(_ frame: HTTP2Frame) {
        switch frame.kind {
        case .headers:
            let fields = reader.fields(of: frame.payload)
            let status = Int(fields.first { $0.name == ":status" }?.value ?? "") ?? 0
            if status < 200 { return interim.append(status) }
            var reply = HTTPReply(status: status, fields: [:], body: [])
            for field in fields where field.name != ":status" {
                reply.fields[field.name] = reply.fields[field.name].map { "\($0), \(field.value)" } ?? field.value
            }
            replies[frame.stream] = reply
        case .body:
            replies[frame.stream]?.body += frame.payload
            if opensWindows, !frame.payload.isEmpty {
                send(
                    HTTP2Frame.windowUpdate(0, UInt32(frame.payload.count)),
                    HTTP2Frame.windowUpdate(frame.stream, UInt32(frame.payload.count)))
            }
        case .reset: resets[frame.stream] = frame.number(at: 0)
        case .goAway: ends.append((frame.number(at: 0), frame.number(at: 4)))
        default: return
        }
        let carries = frame.kind == .headers || frame.kind == .body
        if carries, frame.flags & HTTP2Frame.Flag.endStream != 0 { finished.append(frame.stream) }
    }

    /// The reply of a stream, once it is whole.
    func reply(_ stream: UInt32) throws -> HTTPReply {
        read { finished.contains(stream) }
        guard finished.contains(stream), let reply = replies[stream] else { throw NoReply(isClosed: isClosed) }
        return reply
    }

    /// What has come of a reply's body so far.
    func part(_ stream: UInt32) -> [UInt8] { replies[stream]?.body ?? [] }

    /// A request and its reply.
    func call(
        _ method: String, _ path: String, _ body: String? = nil, _ fields: [(String, String)] = []
    ) throws -> HTTPReply {
        try reply(request(method, path, body.map { Array($0.utf8) }, fields))
    }

    /// Reads until the other side has closed.
    func readToTheEnd() { read { false } }

    /// Takes what is there.
    func readWhatIsThere() { while readMore(waits: false) {} }
}
