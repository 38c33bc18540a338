import ByteBuffers
import CommandSyntax
import Glibc

/// `millrace mock-api`.
enum MockAPICommand {
    /// Connections at a time; others wait to be taken.
    private static let maxConnections = 32
    private static let maxHeadBytes = 16 << 10
    private static let silenceSeconds = 60
    private static let lookMs: Int32 = 200

    static func run(_ invocation: Invocation, _ console: Console) throws {
        let api = Lock(
            MockAPI(
                pages: invocation[MockAPIOptions.pages] ?? 7, rows: invocation[MockAPIOptions.rows] ?? 10,
                failures: Int(((invocation[MockAPIOptions.failRate] ?? 0) * 1000).rounded()),
                seed: invocation[MockAPIOptions.seed] ?? 1))
        let (listener, port) = try listen(invocation[MockAPIOptions.port] ?? 3001)
        defer { close(listener) }
        console.interruption.begin()
        console.complain("items are at http://localhost:\(port)/api/items until a signal comes")
        let open = Lock(0)
        while !console.interruption.wasRequested {
            var entry = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
            guard open.withLock({ $0 < maxConnections }) else {
                poll(nil, 0, lookMs)
                continue
            }
            guard poll(&entry, 1, lookMs) > 0 else { continue }
            let connection = accept(listener, nil, nil)
            guard connection >= 0 else { continue }
            open.withLock { $0 += 1 }
            // It ends with its connection, or with the process.
            _ = Thread(name: "mock-api") {
                serve(connection, api)
                close(connection)
                open.withLock { $0 -= 1 }
            }
        }
        throw console.interruption.failure
    }

    private static func listen(_ port: UInt16) throws -> (descriptor: Int32, port: UInt16) {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var one: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, 4)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isListening = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                descriptor >= 0 && bind(descriptor, pointer, length) == 0 && Glibc.listen(descriptor, 16) == 0
                    && getsockname(descriptor, pointer, &length) == 0
            }
        }
        guard isListening else {
            let reason = String(cString: strerror(errno))
            if descriptor >= 0 { close(descriptor) }
            throw CommandFailure("cannot listen at 127.0.0.1:\(port): \(reason)")
        }
        return (descriptor, UInt16(bigEndian: address.sin_port))
    }

    /// Answers the requests of a connection until it ends, or asks for something else than pages.
    private static func serve(_ connection: Int32, _ api: Lock<MockAPI>) {
        var timeout = timeval(tv_sec: silenceSeconds, tv_usec: 0)
        setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        var (bytes, piece) = ([UInt8](), [UInt8](repeating: 0, count: 4096))
        while true {
            while let end = bytes.firstRange(of: Array("\r\n\r\n".utf8)) {
                let head = String(decoding: bytes[..<end.lowerBound], as: UTF8.self)
                bytes.removeSubrange(..<end.upperBound)
                let words = head.prefix { $0 != "\r\n" }.split(separator: " ")
                guard words.count == 3, words[0] == "GET", words[1].hasPrefix("/") else { return }
                if !send(api.withLock { $0.answer(String(words[1])) }.bytes, connection) { return }
            }
            guard bytes.count <= maxHeadBytes else { return }
            let count = recv(connection, &piece, piece.count, 0)
            guard count > 0 else { return }
            bytes += piece[..<count]
        }
    }

    private static func send(_ bytes: [UInt8], _ connection: Int32) -> Bool {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.send(connection, $0.baseAddress! + sent, $0.count - sent, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return false }
            sent += count
        }
        return true
    }
}
