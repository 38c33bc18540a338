import BrokerTestKit
import Glibc

/// A client of a server in this process, by bytes.
struct FuzzSocket {
    private let descriptor: Int32

    init(port: UInt16) {
        guard let connected = try? Loopback.connect(port: port) else { fatalError("cannot connect to port \(port)") }
        descriptor = connected
        // A closed socket leaves no port waiting behind: there are thousands of them a minute.
        var now = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &now, socklen_t(MemoryLayout<linger>.size))
        // Whoever does not read what it is answered is not read any more.
        var limit = timeval(tv_sec: 2, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    func send(_ bytes: UnsafeRawBufferPointer) {
        var sent = 0
        while sent < bytes.count {
            let count = Glibc.send(
                descriptor, bytes.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL))
            if count < 0, errno == EINTR { continue }
            // The server may close at any byte.
            if count <= 0 { return }
            sent += count
        }
    }

    func finish() { shutdown(descriptor, Int32(SHUT_WR)) }

    func drain(milliseconds: Int32) { _ = receive(atLeast: .max, milliseconds: milliseconds) }

    /// Reads until there are so many bytes, the server closes, or nothing comes for so long.
    func receive(
        atLeast wanted: Int, milliseconds: Int32, _ take: (UnsafeRawBufferPointer) -> Void = { _ in }
    ) -> Int {
        var received = 0
        return withUnsafeTemporaryAllocation(byteCount: 1 << 16, alignment: 1) { buffer in
            while received < wanted {
                var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
                let ready = poll(&entry, 1, milliseconds)
                if ready < 0, errno == EINTR { continue }
                guard ready > 0 else { break }
                let count = recv(descriptor, buffer.baseAddress, buffer.count, 0)
                if count < 0, errno == EINTR { continue }
                if count <= 0 { break }
                take(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<count]))
                received += count
            }
            return received
        }
    }

    func close() { Glibc.close(descriptor) }
}
