import ByteBuffers
import Foundation
import KafkaClient
import KafkaModel
import KafkaWire
import Synchronization
import Testing

/// A broker on loopback that answers what a test tells it to, and keeps every frame that it was sent.
///
/// The answering closure gets the header and the reader at the body; it returns the answer's bytes behind the length
/// (header included), or nil to close the connection.
final class FakeBroker: @unchecked Sendable {
    // SAFETY: the mutable state is behind `frames`, and the descriptor is set before the thread starts.
    typealias Answer = @Sendable (RequestHeader, inout ByteReader) -> [UInt8]?

    let address: BrokerAddress
    private let listener: Int32
    private let answer: Answer
    let frames = Mutex<[[UInt8]]>([])

    /// Not a broker at all: what it is sent is answered with just these bytes.
    private let raw: [UInt8]?
    /// Of each connection's first so many requests of a kind none is answered before all of them are there.
    private let gathered: (key: APIKey, count: Int)

    init(
        raw: [UInt8]? = nil, gathering gathered: (key: APIKey, count: Int) = (.produce, 0),
        _ answer: @escaping Answer = { _, _ in nil }
    ) throws {
        self.answer = answer
        self.raw = raw
        self.gathered = gathered
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let descriptor = listener
        let isListening = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                bind(descriptor, pointer, length) == 0 && listen(descriptor, 8) == 0
                    && getsockname(descriptor, pointer, &length) == 0
            }
        }
        try #require(isListening)
        self.address = BrokerAddress(host: "127.0.0.1", port: UInt16(bigEndian: address.sin_port))
        Thread.detachNewThread { [self] in
            while true {
                let connection = accept(listener, nil, nil)
                if connection < 0 {
                    // Closed by the thread that uses it: another would get the number while it is still asked for.
                    close(listener)
                    return
                }
                Thread.detachNewThread { [self] in serve(connection) }
            }
        }
    }

    /// Listens no more; `accept` returns with an error.
    func stop() { shutdown(listener, Int32(SHUT_RDWR)) }

    private func serve(_ connection: Int32) {
        defer { close(connection) }
        var held: [[UInt8]] = []
        var missing = gathered.count
        while let prefix = receive(connection, 4) {
            let length = prefix.reduce(0) { $0 << 8 | Int($1) }
            guard let frame = receive(connection, length) else { return }
            frames.withLock { $0.append(frame) }
            if var raw {
                _ = write(connection, &raw, raw.count)
                return
            }
            var isGathered = false
            let reply = frame.withUnsafeBytes { bytes -> [UInt8]? in
                var reader = ByteReader(bytes)
                guard let header = try? RequestHeader(from: &reader) else { return nil }
                isGathered = header.requestAPIKey == gathered.key.rawValue
                return answer(header, &reader)
            }
            guard let reply else { return }
            held.append(reply)
            if isGathered, missing > 0 { missing -= 1 }
            // Before the first of the kind everything is answered at once, and behind the last one again.
            if isGathered, missing > 0 { continue }
            for reply in held { send(reply, on: connection) }
            held = []
        }
    }

    private func send(_ reply: [UInt8], on connection: Int32) {
        // An empty answer is none: what a broker does with acks 0.
        if reply.isEmpty { return }
        let count = UInt32(reply.count).bigEndian
        var whole = withUnsafeBytes(of: count) { Array($0) } + reply
        // In two pieces, so that the client must put them together.
        let half = whole.count / 2
        _ = write(connection, &whole, half)
        whole.removeFirst(half)
        _ = write(connection, &whole, whole.count)
    }

    private func receive(_ connection: Int32, _ count: Int) -> [UInt8]? {
        var bytes: [UInt8] = []
        while bytes.count < count {
            var buffer = [UInt8](repeating: 0, count: count - bytes.count)
            let got = read(connection, &buffer, buffer.count)
            if got <= 0 { return nil }
            bytes += buffer[..<got]
        }
        return bytes
    }

    // MARK: Answers

    /// The bytes of `response` as an answer to `header`.
    static func encode(_ response: some KafkaResponse, to header: RequestHeader, version: Int16? = nil) -> [UInt8] {
        let version = version ?? header.requestAPIVersion
        var writer = ByteWriter()
        var responseHeader = ResponseHeader()
        responseHeader.correlationID = header.correlationID
        let key = APIKey(rawValue: header.requestAPIKey)!
        responseHeader.encode(to: &writer, version: ResponseHeader.version(apiKey: key, apiVersion: version))
        response.encode(to: &writer, version: version)
        return writer.array
    }

    /// An answer to ApiVersions that offers these ranges.
    static func versions(_ ranges: [(APIKey, ClosedRange<Int16>)], to header: RequestHeader) -> [UInt8] {
        var response = ApiVersionsResponse()
        response.apiKeys = ranges.map { key, range in
            var entry = ApiVersionsResponse.ApiVersion()
            entry.apiKey = key.rawValue
            entry.minVersion = range.lowerBound
            entry.maxVersion = range.upperBound
            return entry
        }
        return encode(response, to: header)
    }

    /// Metadata of one topic whose every partition this broker leads.
    func metadata(_ topic: String, id: TopicID = .zero, partitions: Int32, to header: RequestHeader) -> [UInt8] {
        var response = MetadataResponse()
        var broker = MetadataResponse.MetadataResponseBroker()
        broker.nodeID = 1
        broker.host = address.host
        broker.port = Int32(address.port)
        response.brokers = [broker]
        response.controllerID = 1
        var entry = MetadataResponse.MetadataResponseTopic()
        entry.name = topic
        entry.topicID = id
        entry.partitions = (0..<partitions).map { index in
            var partition = MetadataResponse.MetadataResponsePartition()
            partition.partitionIndex = index
            partition.leaderID = 1
            return partition
        }
        response.topics = [entry]
        return Self.encode(response, to: header)
    }
}

/// Calls of a client against the fake, with short waits.
enum Fake {
    static func options() -> ClientOptions {
        var options = ClientOptions()
        options.requestTimeoutMs = 10_000
        options.retryBackoffMs = 1
        return options
    }
}
