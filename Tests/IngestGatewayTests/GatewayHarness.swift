import BrokerCore
import BrokerTestKit
import ByteBuffers
import Configuration
import Foundation
import KafkaModel
import LogStorage
import RecordFormat
import Security
import StorageIO
import Telemetry
import Testing
import Transport

@testable import IngestGateway

/// A gateway over a broker on a simulated file system, on a port of its own.
final class GatewayHarness: Sendable {
    let fileSystem: SimulatedFileSystem
    /// The same, as the broker sees it.
    let disk: StallingFileSystem
    let broker: Broker
    let gateway: Gateway
    let group: EventLoopGroup
    let port: UInt16
    private let registry = MetricsRegistry()
    private let publisher: CommitPublisher

    init(
        _ options: GatewayOptions = GatewayOptions(), partitions: Int32 = 1, autoCreate: Bool = true,
        topicDefaults: [String: String] = [:], holdsCommits: Bool = false, maxUncommitted: Int? = nil,
        configuration: GatewayConfiguration = GatewayConfiguration(),
        separatesOperators: Bool = false, audit: AuditLog? = nil,
        listening make: (Gateway) -> ListenerOptions = { $0.listenerOptions(host: "127.0.0.1", port: 0) },
        fileSystem: SimulatedFileSystem = SimulatedFileSystem(),
        access: (inout AccessOptions) -> Void = { _ in },
        queues: (any QueueService)? = nil,
        authentication: (Broker) throws -> GatewayAuthentication? = { _ in nil }
    ) throws {
        let disk = StallingFileSystem(fileSystem)
        var brokerOptions = BrokerOptions()
        brokerOptions.defaultPartitions = partitions
        brokerOptions.autoCreateTopics = autoCreate
        brokerOptions.offsetsPartitions = 1
        brokerOptions.topicDefaults = topicDefaults
        brokerOptions.store.journalFileBytes = 4 << 20
        access(&brokerOptions.access)
        let broker = try Broker(fileSystem: disk, folder: "/data", options: brokerOptions)
        let clock = CommitClock(published: broker.store.durableTicket)
        publisher = CommitPublisher(
            clock: clock, queues: broker.queues, readers: broker.readers, isSilent: holdsCommits)
        broker.store.observe(publisher)
        let gateway = try Gateway(
            broker: broker, options: options, configuration: configuration, loopCount: 1,
            authentication: authentication(broker), separatesOperators: separatesOperators, audit: audit,
            queues: queues, metrics: registry)
        var groupOptions = EventLoopGroup.Options()
        groupOptions.commitClock = clock
        groupOptions.setUp = { gateway.setUp($0) }
        let group = try EventLoopGroup(groupOptions)
        broker.start()
        gateway.load()
        var listening = make(gateway)
        if let maxUncommitted { listening.limits.maxUncommitted = maxUncommitted }
        let listener = try group.listen(listening)
        self.fileSystem = fileSystem
        self.disk = disk
        self.broker = broker
        self.gateway = gateway
        self.group = group
        port = listener.port
    }

    deinit {
        disk.release()
        group.stop(within: .zero)
        try? broker.stop()
    }

    /// Listens once more; gives the port.
    func listen(_ make: (Gateway) -> ListenerOptions) throws -> UInt16 { try group.listen(make(gateway)).port }

    /// From now on no reply hears of its commit.
    func holdCommits() { publisher.isSilent.withLock { $0 = true } }

    func connect() throws -> HTTPClient { try HTTPClient(port: port) }

    /// One request on a connection of its own.
    /// Wrong credentials are not forgotten as time goes by: however slow the machine is, so many lead to a refusal.
    func forgivesNoGuess() { gateway.attempts.withLock { $0 = AttemptLimiter(perSecond: 1e-5) } }

    func call(_ method: String, _ path: String, _ body: String? = nil, fields: [String] = []) throws -> HTTPReply {
        try call(method, path, bytes: body.map { Array($0.utf8) }, fields: fields)
    }

    func call(_ method: String, _ path: String, bytes: [UInt8]?, fields: [String] = []) throws -> HTTPReply {
        let client = try connect()
        try client.send(HTTPClient.request(method, path, bytes, fields: fields))
        return try client.receive(toHead: method == "HEAD")
    }

    func post(_ topic: String, _ body: String, query: String = "", fields: [String] = []) throws -> HTTPReply {
        try call("POST", "/v1/topics/\(topic)/events\(query)", body, fields: fields)
    }

    struct StoredRecord: Equatable {
        var partition: Int32
        var offset: Int64
        var key: String?
        var value: String
        var headers: [String: String]
    }

    /// All committed records of a topic, in the order of partitions and offsets; and how many batches they are in. `withoutValue`:
    /// some have no value, which is shown as an empty one.
    func stored(_ topic: String, withoutValue: Bool = false) throws -> (records: [StoredRecord], batches: Int) {
        var found: [StoredRecord] = []
        var batches = 0
        guard let topic = broker.catalog.topic(named: topic) else { return ([], 0) }
        for partition in topic.partitions {
            var next = partition.logStartOffset
            while next < partition.highWatermark {
                let fetched = try partition.read(from: next, maxBytes: 1 << 20).get()
                for slice in fetched.slices {
                    var cursor = RecordBatchCursor(slice.bytes, validator: RecordBatchValidator(origin: .client))
                    var records = RecordIterator()
                    while let batch = try cursor.next() {
                        batches += 1
                        try records.open(batch)
                        while let record = try records.next() {
                            var headers: [String: String] = [:]
                            for header in record.headers {
                                headers[String(decoding: header.key, as: UTF8.self)] = header.value.map {
                                    String(decoding: $0, as: UTF8.self)
                                }
                            }
                            found.append(
                                StoredRecord(
                                    partition: partition.partitionIndex, offset: record.offset.rawValue,
                                    key: record.key.map { String(decoding: $0, as: UTF8.self) },
                                    value: withoutValue && record.value == nil
                                        ? "" : String(decoding: record.value!, as: UTF8.self), headers: headers))
                        }
                        next = batch.lastOffset + 1
                    }
                }
            }
        }
        return (found, batches)
    }

    var pool: ChunkPool { group.pool }

    /// A metric without labels as it stands now.
    func metric(_ name: String) -> Int? {
        var out = ByteWriter()
        registry.render(into: &out)
        let lines = String(decoding: out.bytes, as: UTF8.self).split(separator: "\n")
        return lines.first { $0.hasPrefix(name + " ") }.flatMap { Int($0.dropFirst(name.count + 1)) }
    }

    func values(_ topic: String) throws -> [String] { try stored(topic).records.map(\.value) }
}

extension GatewayConfiguration {
    /// That of a file with this text.
    init(yaml: String, environment: [String: String] = [:], _ options: GatewayOptions = GatewayOptions()) throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "millrace-\(UUID().uuidString).yaml").path
        try yaml.write(toFile: path, atomically: false, encoding: .utf8)
        defer { try? FileManager.default.removeItem(atPath: path) }
        try self.init(try Configuration.load(file: path, environment: environment, flags: []), options)
    }
}

/// Passes commits on to the clock, or, silent, lets every reply wait for ever.
private final class CommitPublisher: CommitObserver {
    private let clock: CommitClock
    private let queues: QueueCoordinator
    private let readers: ReaderCalls
    let isSilent: Lock<Bool>

    init(clock: CommitClock, queues: QueueCoordinator, readers: ReaderCalls, isSilent: Bool) {
        self.clock = clock
        self.queues = queues
        self.readers = readers
        self.isSilent = Lock(isSilent)
    }

    func committed(through ticket: UInt64, woken: [ReadWaiter]) {
        if !isSilent.withLock({ $0 }) { clock.publish(ticket) }
        queues.committed(woken)
        readers.committed(woken)
    }

    func commitFailed(from first: UInt64, through last: UInt64, woken: [ReadWaiter]) {
        clock.fail(from: first, through: last)
    }
}

struct HTTPReply {
    var status: Int
    /// By lower-case name.
    var fields: [String: String]
    var body: [UInt8]

    var text: String { String(decoding: body, as: UTF8.self) }

    var json: [String: Any] {
        (try? JSONSerialization.jsonObject(with: Data(body))) as? [String: Any] ?? [:]
    }

    func string(_ member: String) -> String? { json[member] as? String }
    func number(_ member: String) -> Int? { json[member] as? Int }
    var results: [[String: Any]] { json["results"] as? [[String: Any]] ?? [] }
    var offsets: [Int] { results.compactMap { $0["offset"] as? Int } }
    var statuses: [String] { results.compactMap { $0["status"] as? String } }
}

/// The peer has closed the connection, or says nothing.
struct NoReply: Error {
    var isClosed: Bool
}

/// A blocking client that writes what it is told.
final class HTTPClient {
    private let descriptor: Int32
    private var buffered: [UInt8] = []

    init(port: UInt16) throws {
        descriptor = try Loopback.connect(port: port)
    }

    deinit { close(descriptor) }

    static func request(_ method: String, _ path: String, _ body: [UInt8]?, fields: [String] = []) -> [UInt8] {
        var head = "\(method) \(path) HTTP/1.1\r\nHost: localhost\r\n"
        if let body { head += "Content-Length: \(body.count)\r\n" }
        if body != nil, !fields.contains(where: { $0.lowercased().hasPrefix("content-type:") }) {
            head += "Content-Type: application/json\r\n"
        }
        for field in fields { head += field + "\r\n" }
        return Array((head + "\r\n").utf8) + (body ?? [])
    }

    /// What cannot be sent any more is lost: the peer has already said why.
    func send(_ bytes: [UInt8]) throws { _ = try sendAll(bytes) }

    /// False: the connection was reset.
    func sendAll(_ bytes: [UInt8]) throws -> Bool {
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            if count <= 0 { return false }
            sent += count
        }
        return true
    }

    func send(_ text: String) throws { try send(Array(text.utf8)) }

    private func more() throws {
        var piece = [UInt8](repeating: 0, count: 64 << 10)
        let count = recv(descriptor, &piece, piece.count, 0)
        guard count > 0 else { throw NoReply(isClosed: count == 0 || errno == ECONNRESET) }
        buffered += piece[..<count]
    }

    func receive(toHead: Bool = false) throws -> HTTPReply {
        var end: Int?
        while end == nil {
            end = buffered.firstRange(of: Array("\r\n\r\n".utf8))?.lowerBound
            if end == nil { try more() }
        }
        let lines = String(decoding: buffered[..<end!], as: UTF8.self).components(separatedBy: "\r\n")
        buffered.removeFirst(end! + 4)
        var reply = HTTPReply(status: Int(lines[0].split(separator: " ")[1])!, fields: [:], body: [])
        for line in lines.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1)
            let name = parts[0].lowercased()
            let value = parts[1].trimmingCharacters(in: .whitespaces)
            // A challenge each, for clients that read no lists of them (RFC 9110, 11.6.1).
            if name == "www-authenticate", let known = reply.fields[name] {
                reply.fields[name] = "\(known), \(value)"
                continue
            }
            #expect(reply.fields[name] == nil, "\(name) stands twice")
            reply.fields[name] = value
        }
        guard !toHead, reply.status >= 200, reply.status != 204 else { return reply }
        if reply.fields["transfer-encoding"] == "chunked" {
            reply.body = try receiveChunks()
            return reply
        }
        if reply.fields["content-length"] == nil, reply.fields["connection"] == "close" {
            while (try? more()) != nil {}
            reply.body = buffered
            buffered = []
            return reply
        }
        let length = try #require(reply.fields["content-length"].flatMap { Int($0) })
        while buffered.count < length { try more() }
        reply.body = Array(buffered[..<length])
        buffered.removeFirst(length)
        return reply
    }

    private func receiveChunks() throws -> [UInt8] {
        var body: [UInt8] = []
        var at = 0
        while true {
            var lineEnd: Int?
            while lineEnd == nil {
                lineEnd = buffered[at...].firstIndex(of: 0x0a)
                if lineEnd == nil { try more() }
            }
            let size = try #require(Int(String(decoding: buffered[at..<lineEnd! - 1], as: UTF8.self), radix: 16))
            at = lineEnd! + 1
            while buffered.count < at + size + 2 { try more() }
            body += buffered[at..<at + size]
            #expect(Array(buffered[at + size..<at + size + 2]) == [0x0d, 0x0a])
            at += size + 2
            if at > 1 << 20 || size == 0 {
                buffered.removeFirst(at)
                at = 0
            }
            if size == 0 { return body }
        }
    }

    /// The next chunk of a reply without an end, whose head was read.
    func receiveChunk() throws -> String {
        var lineEnd: Int?
        while lineEnd == nil {
            lineEnd = buffered.firstIndex(of: 0x0a)
            if lineEnd == nil { try more() }
        }
        let size = try #require(Int(String(decoding: buffered[..<(lineEnd! - 1)], as: UTF8.self), radix: 16))
        let end = lineEnd! + 1 + size
        while buffered.count < end + 2 { try more() }
        defer { buffered.removeFirst(end + 2) }
        return String(decoding: buffered[(lineEnd! + 1)..<end], as: UTF8.self)
    }

    /// Has its end be a reset, not an orderly one.
    func resetsAtItsEnd() {
        var value = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &value, socklen_t(MemoryLayout<linger>.size))
    }

    /// Nothing has arrived, and the connection is open.
    var hasNothingToRead: Bool {
        var byte: UInt8 = 0
        return buffered.isEmpty
            && recv(descriptor, &byte, 1, Int32(MSG_DONTWAIT | MSG_PEEK)) < 0 && errno == EAGAIN
    }

    /// The peer ends the connection without another byte.
    func isClosed() -> Bool {
        guard buffered.isEmpty else { return false }
        do {
            try more()
            return false
        } catch {
            return (error as? NoReply)?.isClosed ?? false
        }
    }
}
