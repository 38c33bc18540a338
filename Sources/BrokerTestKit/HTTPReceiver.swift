import ByteBuffers
import Glibc

/// A server of HTTP on the loopback that answers as a test says, over connections that are kept.
public final class HTTPReceiver: Sendable {
    public struct Request: Sendable {
        /// All lines before the body.
        public let head: String
        public let body: [UInt8]

        /// The value of a field, by its name in small letters; nil: it has none.
        public func field(_ name: String) -> String? {
            for line in head.split(separator: "\r\n") {
                let parts = line.split(separator: ":", maxSplits: 1)
                if parts.count == 2, parts[0].lowercased() == name { return String(parts[1].drop { $0 == " " }) }
            }
            return nil
        }
    }

    /// A whole answer.
    public static func answer(_ status: String, _ body: String = "", fields: String = "") -> String {
        "HTTP/1.1 \(status)\r\nContent-Length: \(body.utf8.count)\r\n\(fields)\r\n\(body)"
    }

    public let port: UInt16
    private let listener: Int32
    private let state = Lock(State())
    private let threads = Lock<[Thread]>([])

    private struct State {
        var requests: [Request] = []
        var connections: [Int32] = []
        var isStopped = false
    }

    public var requests: [Request] { state.withLock { $0.requests } }
    public var connectionCount: Int { state.withLock { $0.connections.count } }
    public var url: String { "http://127.0.0.1:\(port)/batch" }

    /// - Parameter answer: the bytes of an answer; nil: the connection is closed instead. It may wait.
    public init(_ answer: @escaping @Sendable (Request) -> String?) throws {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                bind(listener, pointer, length) == 0 && listen(listener, 16) == 0
                    && getsockname(listener, pointer, &length) == 0
            }
        }
        guard listener >= 0, isBound else { throw Loopback.Refused(errno: errno) }
        self.listener = listener
        port = UInt16(bigEndian: address.sin_port)
        let accepting = Thread(name: "http-receiver") { [state, threads] in
            while true {
                let connection = accept(listener, nil, nil)
                guard connection >= 0 else { return }
                let isStopped = state.withLock { state in
                    if !state.isStopped { state.connections.append(connection) }
                    return state.isStopped
                }
                if isStopped {
                    close(connection)
                    return
                }
                let serving = Thread(name: "http-serve") { Self.serve(connection, state, answer) }
                threads.withLock { $0.append(serving) }
            }
        }
        threads.withLock { $0.append(accepting) }
    }

    private static func serve(
        _ connection: Int32, _ state: Lock<State>, _ answer: @Sendable (Request) -> String?
    ) {
        while let request = read(connection) {
            state.withLock { $0.requests.append(request) }
            guard let text = answer(request) else { break }
            var rest = Array(text.utf8)[...]
            while !rest.isEmpty {
                let sent = rest.withUnsafeBytes { send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
                if sent <= 0 { break }
                rest = rest.dropFirst(sent)
            }
        }
        shutdown(connection, Int32(SHUT_RDWR))
    }

    /// Nil: the connection has ended.
    private static func read(_ connection: Int32) -> Request? {
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 64 << 10)
        var head: String?
        var wanted = Int.max
        while bytes.count < wanted {
            let count = recv(connection, &piece, piece.count, 0)
            if count <= 0 { return nil }
            bytes += piece[..<count]
            guard head == nil else { continue }
            let text = String(decoding: bytes, as: UTF8.self)
            guard let end = text.firstRange(of: "\r\n\r\n") else { continue }
            let found = String(text[..<end.lowerBound])
            head = found
            let length = Request(head: found, body: []).field("content-length").flatMap { Int($0) } ?? 0
            wanted = found.utf8.count + 4 + length
        }
        guard let head else { return nil }
        return Request(head: head, body: Array(bytes[(head.utf8.count + 4)...]))
    }

    /// Ends connections, and waits for its threads: answers that wait have to end before.
    public func stop() {
        let connections = state.withLock { state in
            state.isStopped = true
            return state.connections
        }
        shutdown(listener, Int32(SHUT_RDWR))
        for connection in connections { shutdown(connection, Int32(SHUT_RDWR)) }
        for thread in threads.withLock({ $0 }) { thread.join() }
        for connection in connections { close(connection) }
        close(listener)
    }
}
