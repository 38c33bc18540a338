import BrokerCore
import BrokerTestKit
import ByteBuffers
import Configuration
import KafkaClient
import LogStorage
import RecordFormat
import Testing

@testable import Server

@Suite struct NodeTests {
    @Test func whatCameByKafkaAndByHTTPIsReadBackAlsoAfterAStop() throws {
        let folder = try TemporaryFolder()
        var node = try Node.start(folder: folder.path)
        try node.produce("rides", ["by kafka"])
        #expect(try node.post("rides", #"{"by":"http"}"#) == 201)
        let expected = ["by kafka", #"{"by":"http"}"#]
        #expect(try node.consume("rides", expected.count) == expected)
        try node.stop()

        node = try Node.start(folder: folder.path)
        #expect(try node.consume("rides", expected.count) == expected)
        try node.stop()
    }

    @Test func aNodeMayServeNoHTTP() throws {
        let folder = try TemporaryFolder()
        let node = try Node.start(folder: folder.path, ["http.enable": "false"])
        #expect(node.httpAddress == nil)
        try node.produce("t", ["x"])
        try node.stop()
    }

    @Test func severalNodesRunInOneProcess() throws {
        let folders = try (0..<2).map { _ in try TemporaryFolder() }
        let nodes = try folders.map { try Node.start(folder: $0.path) }
        for (number, node) in nodes.enumerated() { try node.produce("t", ["\(number)"]) }
        for (number, node) in nodes.enumerated() { #expect(try node.consume("t", 1) == ["\(number)"]) }
        for node in nodes { try node.stop() }
    }

    @Test func aNodesStoreTakesItsMemoryFromTheNodesPool() throws {
        let folder = try TemporaryFolder()
        let node = try Node.start(folder: folder.path)
        #expect(node.broker.store.chunkPool !== ChunkPool.shared)
        try node.stop()
    }

    @Test func aStartThatFailsLeavesThePortAndTheFolderFree() throws {
        let folder = try TemporaryFolder()
        let other = try TemporaryFolder()
        let node = try Node.start(folder: other.path)
        let taken = try #require(node.httpAddress).description
        #expect(throws: (any Error).self) {
            try Node.start(folder: folder.path, ["http.listener": taken])
        }
        // The lock of a folder that was not given up would be an error here.
        let second = try Node.start(folder: folder.path)
        try second.stop()
        try node.stop()
    }
}
