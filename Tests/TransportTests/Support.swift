import BrokerTestKit
import ByteBuffers
import Glibc
import Testing

@testable import Transport

/// All suites of the module, one test after the other: each starts loops of its own.
@Suite(.serialized) struct TransportTests {}

func frame(_ body: [UInt8]) -> [UInt8] {
    withUnsafeBytes(of: UInt32(body.count).bigEndian) { Array($0) } + body
}

/// Bytes that differ from place to place and from seed to seed.
func pattern(_ count: Int, seed: Int = 0) -> [UInt8] {
    // By words: tests of megabytes also run without optimisation.
    var words: [UInt64] = []
    words.reserveCapacity(count / 8 + 1)
    var word = UInt64(truncatingIfNeeded: seed &+ 1) &* 0x9e37_79b9_7f4a_7c15
    for _ in 0..<(count / 8 + 1) {
        words.append(word)
        word = word &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    }
    return words.withUnsafeBytes { Array($0[0..<count]) }
}

/// A generator whose seed can be printed and given again.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}

/// Frames of a four-byte length and a body, as Kafka's; what happens with a body is up to the test.
final class FrameHandler: ConnectionHandler {
    let log: ServerLog
    let onFrame: (ByteSlice, Connection) -> Void
    let onTimer: (Int, Connection) -> Void
    let onFinished: (Connection) -> Void

    init(
        _ log: ServerLog, onTimer: @escaping (Int, Connection) -> Void = { _, _ in },
        onFinished: @escaping (Connection) -> Void = { _ in },
        onFrame: @escaping (ByteSlice, Connection) -> Void
    ) {
        self.log = log
        self.onFrame = onFrame
        self.onTimer = onTimer
        self.onFinished = onFinished
    }

    func received(_ input: inout ConnectionInput, on connection: Connection) {
        log.add { $0.calls += 1 }
        while connection.wantsInput {
            guard input.count >= 4 else {
                input.needed = 4
                return
            }
            let length = Int(UInt32(bigEndian: input.readable.loadUnaligned(as: UInt32.self)))
            guard input.count >= 4 + length else {
                input.needed = 4 + length
                return
            }
            input.consume(4)
            let body = input.take(length)
            log.add { $0.frames += 1 }
            onFrame(body, connection)
        }
    }

    func outputDrained(on connection: Connection) { log.add { $0.drained += 1 } }
    func timerFired(_ id: Int, on connection: Connection) { onTimer(id, connection) }
    func peerFinished(on connection: Connection) {
        log.add { $0.finished += 1 }
        onFinished(connection)
    }
    func closed(on connection: Connection, reason: CloseReason) { log.add { $0.closed.append(reason) } }
}

/// Writes the body back in a frame.
func echo(_ body: ByteSlice, _ connection: Connection) {
    connection.write { $0.int32(Int32(body.count)) }
    connection.write(body)
}

/// What a server's handlers have seen, for the test's thread.
final class ServerLog: Sendable {
    struct Entries {
        var calls = 0
        var frames = 0
        var drained = 0
        var finished = 0
        var closed: [CloseReason] = []
        var ids: [ConnectionID] = []
        var numbers: [Int] = []
        var mostPending = 0
    }

    private let entries = Lock(Entries())

    func add(_ change: (inout Entries) -> Void) { entries.withLock { change(&$0) } }
    var now: Entries { entries.withLock { $0 } }
}

/// A group, a listener, and a log; stopped when the test lets it go.
final class Server {
    let group: EventLoopGroup
    let listener: Listener
    let log: ServerLog
    var port: UInt16 { listener.port }

    init(
        host: String = "127.0.0.1", group options: EventLoopGroup.Options = .init(),
        configure: (inout ListenerOptions) -> Void = { _ in },
        onTimer: @escaping @Sendable (Int, Connection) -> Void = { _, _ in },
        onFinished: @escaping @Sendable (Connection) -> Void = { _ in },
        onFrame: @escaping @Sendable (ByteSlice, Connection) -> Void = { echo($0, $1) }
    ) throws {
        let log = ServerLog()
        var listening = ListenerOptions(host: host, port: 0) { _, connection in
            log.add { $0.ids.append(connection.id) }
            return FrameHandler(log, onTimer: onTimer, onFinished: onFinished, onFrame: onFrame)
        }
        configure(&listening)
        self.log = log
        group = try EventLoopGroup(options)
        listener = try group.listen(listening)
    }

    /// A server of which only the answer matters.
    convenience init(
        group options: EventLoopGroup.Options = .init(), _ onFrame: @escaping @Sendable (ByteSlice, Connection) -> Void
    ) throws {
        try self.init(group: options, onFrame: onFrame)
    }

    deinit { group.stop(within: .zero) }

    var counters: TransportCounters { group.counters }

    /// Runs `body` on a loop's thread and gives its result.
    func onLoop<Result: Sendable>(_ index: Int = 0, _ body: @escaping @Sendable (EventLoop) -> Result) -> Result {
        let result = Lock<Result?>(nil)
        let done = Signal()
        group.loops[index].submit { loop in
            let value = body(loop)
            result.withLock { $0 = value }
            done.raise()
        }
        done.wait()
        return result.withLock { $0! }
    }

    /// Runs `body` with the first connection that was accepted.
    func onConnection<Result: Sendable>(
        _ index: Int = 0, _ body: @escaping @Sendable (Connection) -> Result
    ) -> Result? {
        guard eventually({ log.now.ids.count > index }) else { return nil }
        let id = log.now.ids[index]
        return onLoop(Int(id.loop)) { loop in loop.connection(id).map(body) }
    }
}

/// A blocking socket on loopback. Nothing blocks for longer than 20 seconds.
final class Client: Sendable {
    let fd: Int32

    init(port: UInt16, ipv6: Bool = false, receiveBuffer: Int32? = nil) throws {
        fd = socket(ipv6 ? AF_INET6 : AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var limit = timeval(tv_sec: 20, tv_usec: 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var on: Int32 = 1
        setsockopt(fd, Int32(IPPROTO_TCP), TCP_NODELAY, &on, 4)
        if var receiveBuffer { setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receiveBuffer, 4) }
        let result: Int32
        if ipv6 {
            var address = sockaddr_in6()
            address.sin6_family = sa_family_t(AF_INET6)
            address.sin6_port = port.bigEndian
            address.sin6_addr = in6addr_loopback
            result = withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    connect(fd, $0, socklen_t(MemoryLayout<sockaddr_in6>.size))
                }
            }
        } else {
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = port.bigEndian
            address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
            result = withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    connect(fd, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
        }
        struct Refused: Error { let errno: Int32 }
        if result != 0 { throw Refused(errno: errno) }
    }

    deinit { close(fd) }

    func send(_ bytes: [UInt8]) {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.send(fd, $0.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL))
            }
            if count <= 0 { return }
            sent += count
        }
    }

    /// Sends as much as the socket takes without waiting; answers how much that was.
    func sendWhatFits(_ bytes: [UInt8]) -> Int {
        bytes.withUnsafeBytes {
            Glibc.send(fd, $0.baseAddress!, bytes.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
        }
    }

    /// Exactly `count` bytes, or what came before the end.
    func receive(_ count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var got = 0
        while got < count {
            let now = bytes.withUnsafeMutableBytes { recv(fd, $0.baseAddress! + got, count - got, 0) }
            if now <= 0 { break }
            got += now
        }
        return Array(bytes[0..<got])
    }

    func receiveFrame() -> [UInt8]? {
        let head = receive(4)
        guard head.count == 4 else { return nil }
        let length = head.reduce(0) { $0 << 8 | Int($1) }
        let body = receive(length)
        return body.count == length ? body : nil
    }

    /// What is there now.
    func receiveAvailable() -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 65536)
        let got = bytes.withUnsafeMutableBytes { recv(fd, $0.baseAddress!, $0.count, Int32(MSG_DONTWAIT)) }
        return Array(bytes[0..<max(0, got)])
    }

    enum End { case orderly, reset, bytes, none }

    /// Waits for the end of the server's output.
    func receiveEnd() -> End {
        var byte: UInt8 = 0
        let got = recv(fd, &byte, 1, 0)
        if got == 0 { return .orderly }
        if got > 0 { return .bytes }
        return errno == ECONNRESET ? .reset : .none
    }

    func finishSending() { shutdown(fd, Int32(SHUT_WR)) }

    /// The next close sends a reset.
    func resetOnClose() {
        var linger = linger(l_onoff: 1, l_linger: 0)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<linger>.size))
    }
}
