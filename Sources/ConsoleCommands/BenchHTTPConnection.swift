import Glibc
import KafkaClient

/// One keep-alive connection to a gateway, of `bench ingest` and `trace`: a request out, its answer in. Used by one thread.
final class BenchHTTPConnection {
    private let descriptor: Int32
    private let address: BrokerAddress
    private var buffer = [UInt8](repeating: 0, count: 64 << 10)
    private var filled = 0
    /// The answer said that it is the last one.
    private(set) var isClosed = false
    /// The body of the last answer that was to be kept.
    private(set) var body: [UInt8] = []

    init(_ address: BrokerAddress, timeoutSeconds: Int) throws(ClientError) {
        self.address = address
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let resolved = getaddrinfo(address.host, String(address.port), &hints, &list)
        guard resolved == 0 else { throw .unreachable(address, reason: String(cString: gai_strerror(resolved))) }
        defer { freeaddrinfo(list) }
        var reason = "no address"
        var next = list
        while let candidate = next?.pointee {
            next = candidate.ai_next
            let kind = candidate.ai_socktype | Int32(SOCK_CLOEXEC.rawValue)
            let descriptor = socket(candidate.ai_family, kind, candidate.ai_protocol)
            guard descriptor >= 0 else { continue }
            var timeout = timeval(tv_sec: timeoutSeconds, tv_usec: 0)
            setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
            setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
            var one: Int32 = 1
            setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, 4)
            if connect(descriptor, candidate.ai_addr, candidate.ai_addrlen) == 0 {
                self.descriptor = descriptor
                return
            }
            reason = String(cString: strerror(errno))
            close(descriptor)
        }
        throw .unreachable(address, reason: reason)
    }

    deinit { close(descriptor) }

    /// Sends a whole request and reads its whole answer; the status.
    func exchange(_ request: [UInt8], keepsBody: Bool = false) throws(ClientError) -> Int {
        var sent = 0
        while sent < request.count {
            let count = request.withUnsafeBytes {
                send(descriptor, $0.baseAddress! + sent, $0.count - sent, Int32(MSG_NOSIGNAL))
            }
            if count < 0, errno == EINTR { continue }
            if count < 0 { throw lost() }
            sent += count
        }
        filled = 0
        var end: Int?
        while end == nil {
            guard filled < buffer.count else { throw .invalidAnswer("the head of an HTTP answer is too long") }
            let from = max(0, filled - 3)
            filled += try receive(into: filled)
            end = headEnd(from: from)
        }
        let lines = String(decoding: buffer[..<end!], as: UTF8.self).split(separator: "\r\n")
        let words = lines.first?.split(separator: " ") ?? []
        guard words.count >= 2, words[0].hasPrefix("HTTP/1."), let status = Int(words[1]) else {
            throw .invalidAnswer("not an HTTP answer: \(lines.first ?? "")")
        }
        var length: Int?
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: ":") else { continue }
            let value = line[line.index(after: colon)...].drop { $0 == " " }
            switch line[..<colon].lowercased() {
            case "content-length": length = Int(value)
            case "connection": isClosed = value.lowercased() == "close"
            default: break
            }
        }
        guard let length = length ?? (status == 204 ? 0 : nil), length >= 0 else {
            throw .invalidAnswer("an HTTP answer without Content-Length")
        }
        var got = filled - end!
        if keepsBody { body = Array(buffer[end!..<filled]) }
        while got < length {
            let count = try receive(into: 0)
            if keepsBody { body += buffer[..<count] }
            got += count
        }
        return status
    }

    /// Behind the empty line that ends the head.
    private func headEnd(from start: Int) -> Int? {
        var index = start
        while index + 4 <= filled {
            if buffer[index] == 13, buffer[index + 1] == 10, buffer[index + 2] == 13, buffer[index + 3] == 10 {
                return index + 4
            }
            index += 1
        }
        return nil
    }

    private func receive(into place: Int) throws(ClientError) -> Int {
        while true {
            let count = buffer.withUnsafeMutableBytes { recv(descriptor, $0.baseAddress! + place, $0.count - place, 0) }
            if count > 0 { return count }
            if count == 0 { throw .unreachable(address, reason: "it closed the connection") }
            if errno != EINTR { throw lost() }
        }
    }

    private func lost() -> ClientError {
        let number = errno
        if number == EAGAIN { return .timedOut("\(address) is silent") }
        return .unreachable(address, reason: String(cString: strerror(number)))
    }
}
