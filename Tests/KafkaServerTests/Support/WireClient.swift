import BrokerTestKit
import ByteBuffers
import Glibc
import KafkaModel
import KafkaWire

/// A synchronous client over one socket: frames out, frames in, the codec's structs in between. Every wait ends in an
/// error after a time that only a broken broker needs.
final class WireClient {
    enum Failure: Error, CustomStringConvertible {
        case closed
        case silent
        case system(String, Int32)
        case correlation(expected: Int32, found: Int32)

        var description: String {
            switch self {
            case .closed: "the broker closed the connection"
            case .silent: "the broker does not answer"
            case .system(let call, let errno): "\(call) failed with errno \(errno)"
            case .correlation(let expected, let found): "reply \(found) came where \(expected) was due"
            }
        }
    }

    /// Keeps the broker alive.
    let broker: TestBroker
    private let socket: Int32
    private var isOpen = true
    private var nextCorrelation: Int32 = 1
    private static let patienceSeconds = 60

    init(_ broker: TestBroker) throws {
        self.broker = broker
        do throws(Loopback.Refused) {
            socket = try Loopback.connect(port: broker.port, patience: Self.patienceSeconds)
        } catch { throw Failure.system("connect", error.errno) }
    }

    deinit { close() }

    func close() {
        if isOpen { Glibc.close(socket) }
        isOpen = false
    }

    /// Closes as a process does that died with unread input: by a reset, which the broker learns of at once.
    func reset() {
        var linger = linger(l_onoff: 1, l_linger: 0)
        setsockopt(socket, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<Glibc.linger>.size))
        close()
    }

    /// Sends no more, but reads on.
    func finishSending() { shutdown(socket, Int32(SHUT_WR)) }

    // MARK: Bytes

    func send(bytes: [UInt8]) throws {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes { raw in
                Glibc.send(socket, raw.baseAddress! + sent, raw.count - sent, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else {
                throw errno == EPIPE || errno == ECONNRESET ? Failure.closed : .system("send", errno)
            }
            sent += count
        }
    }

    private func receive(_ wanted: Int) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: wanted)
        var have = 0
        while have < wanted {
            let count = bytes.withUnsafeMutableBytes { recv(socket, $0.baseAddress! + have, wanted - have, 0) }
            if count == 0 || count < 0 && errno == ECONNRESET { throw Failure.closed }
            if count < 0 { throw errno == EAGAIN ? Failure.silent : .system("recv", errno) }
            have += count
        }
        return bytes
    }

    /// The next reply without its length.
    func receiveFrame() throws -> [UInt8] {
        let length = try receive(4).withUnsafeBytes { Int32(bigEndian: $0.loadUnaligned(as: Int32.self)) }
        return try receive(Int(length))
    }

    /// Whether the broker ends the connection without a further reply.
    func isClosedByBroker() -> Bool {
        do {
            _ = try receive(1)
            return false
        } catch Failure.closed {
            return true
        } catch {
            return false
        }
    }

    /// Bytes have come that nobody has read yet; does not wait.
    var hasInput: Bool {
        var byte: UInt8 = 0
        return recv(socket, &byte, 1, Int32(MSG_PEEK) | Int32(MSG_DONTWAIT)) > 0
    }

    // MARK: Messages

    /// A whole frame, its length included.
    static func frame<Request: KafkaRequest>(
        _ request: Request, version: Int16, correlationID: Int32, clientID: String = "test", trailing: [UInt8] = []
    ) -> [UInt8] {
        var writer = ByteWriter()
        writer.int32(0)
        var header = RequestHeader()
        header.requestAPIKey = Request.apiKey.rawValue
        header.requestAPIVersion = version
        header.correlationID = correlationID
        header.clientID = clientID
        header.encode(to: &writer)
        request.encode(to: &writer, version: version)
        writer.bytes(trailing)
        writer.overwrite(Int32(writer.count - 4), at: 0)
        return writer.array
    }

    /// Sends a request and gives its correlation id.
    @discardableResult
    func send<Request: KafkaRequest>(_ request: Request, version: Int16? = nil) throws -> Int32 {
        let correlationID = takeCorrelationID()
        try send(
            bytes: Self.frame(
                request, version: version ?? Request.versions.upperBound, correlationID: correlationID))
        return correlationID
    }

    func takeCorrelationID() -> Int32 {
        defer { nextCorrelation += 1 }
        return nextCorrelation
    }

    /// The reply to the request with this correlation id, which must be the next one.
    func receive<Response: KafkaResponse>(
        _ type: Response.Type, version: Int16? = nil, correlationID: Int32
    ) throws -> Response {
        let version = version ?? Response.versions.upperBound
        let frame = try receiveFrame()
        return try frame.withUnsafeBytes { raw in
            var reader = ByteReader(raw)
            let found = try reader.int32()
            guard found == correlationID else { throw Failure.correlation(expected: correlationID, found: found) }
            if ResponseHeader.version(apiKey: Response.apiKey, apiVersion: version) >= 1 {
                guard try reader.unsignedVarint() == 0 else {
                    throw DecodeError.invalid("tags in a response header", position: reader.position)
                }
            }
            return try Response(
                whole: UnsafeRawBufferPointer(rebasing: raw[reader.position...]), version: version)
        }
    }

    func call<Request: KafkaRequest>(_ request: Request, version: Int16? = nil) throws -> Request.Response {
        let correlationID = try send(request, version: version)
        return try receive(Request.Response.self, version: version, correlationID: correlationID)
    }
}
