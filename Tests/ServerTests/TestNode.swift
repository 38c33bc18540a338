import BrokerTestKit
import ByteBuffers
import Configuration
import Foundation
import Glibc
import KafkaClient
import RecordFormat
import StorageIO
import Testing

@testable import Server

extension Node {
    /// Longer than a disk that everybody uses takes for a sync.
    private static let patienceMs: Int64 = 300_000

    var cluster: Cluster {
        var options = ClientOptions()
        options.requestTimeoutMs = Self.patienceMs
        return Cluster(
            bootstrap: [BrokerAddress(host: kafkaAddress.host, port: kafkaAddress.port)], options: options)
    }

    /// Writes records without keys to partition 0; the topic is made if it is missing.
    func produce(_ topic: String, _ values: [String]) throws {
        var options = Producer.Options()
        options.deliveryTimeoutMs = Self.patienceMs
        let producer = try Producer(cluster, options: options)
        for value in values {
            try producer.send(
                topic: topic, partition: 0, key: nil, value: Array(value.utf8), headers: EncodedRecordHeaders(),
                timestampMs: WallClock.milliseconds)
        }
        try producer.flush()
        #expect(producer.acknowledgedRecords == values.count)
    }

    /// The first `count` values of partition 0.
    func consume(_ topic: String, _ count: Int) throws -> [String] {
        let reader = RecordReader(cluster, from: [PartitionName(topic, 0): 0])
        var values: [String] = []
        while values.count < count {
            try reader.poll(maxWaitMs: 1_000) { _, record in
                values.append(String(decoding: record.value ?? .init(start: nil, count: 0), as: UTF8.self))
                return values.count < count
            }
        }
        return values
    }

    /// Posts one event by HTTP; the answer's status.
    func post(_ topic: String, _ event: String) throws -> Int {
        try ask(
            "POST", "/v1/topics/\(topic)/events",
            "Content-Type: application/json\r\nContent-Length: \(event.utf8.count)\r\n\r\n\(event)"
        ).status
    }

    /// What a path shows by GET.
    func get(_ path: String, at address: Endpoint? = nil) throws -> String {
        let answer = try ask("GET", path, "\r\n", at: address)
        #expect(answer.status == 200)
        return answer.body
    }

    /// One request on a connection of its own; `rest` is what follows its first fields.
    func ask(
        _ method: String, _ path: String, _ rest: String, at other: Endpoint? = nil
    ) throws -> (status: Int, body: String) {
        let address = try other ?? #require(httpAddresses.first).endpoint
        let descriptor = try Loopback.connect(port: address.port, patience: 60)
        defer { close(descriptor) }
        let request = "\(method) \(path) HTTP/1.1\r\nHost: \(address)\r\nConnection: close\r\n\(rest)"
        try #require(send(descriptor, request, request.utf8.count, Int32(MSG_NOSIGNAL)) == request.utf8.count)
        var reply: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = recv(descriptor, &piece, piece.count, 0)
            if count <= 0 { break }
            reply += piece[..<count]
        }
        let text = String(decoding: reply, as: UTF8.self)
        let words = text.split(separator: " ")
        let status = try #require(words.count > 1 ? Int(words[1]) : nil)
        let end = try #require(text.firstRange(of: "\r\n\r\n"))
        return (status, String(text[end.upperBound...]))
    }
}
