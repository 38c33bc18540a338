import BrokerTestKit
import ByteBuffers
import Glibc
import Testing

@testable import Transport

extension TransportTests {
    @Suite struct HeavyTests {
        /// Thirty clients have long pipelines whose requests take 2 ms each; one client asks for little.
        @Test func longPipelinesHaveFewSlicesBeforeOthers() throws {
            let server = try Server { body, connection in
                if body.bytes[0] == 1 {
                    let end = EventLoop.clock() + 2_000_000
                    while EventLoop.clock() < end {}
                    connection.giveWay()
                }
                connection.write { $0.int32(0) }
            }
            let heavy = try (0..<30).map { _ in try Client(port: server.port) }
            for client in heavy { client.send((0..<400).flatMap { _ in frame([1]) }) }
            // Each has had a slice: they are known by then.
            #expect(eventually { server.log.now.frames >= 60 })
            let light = try Client(port: server.port)
            var fewest = Int.max
            for _ in 0..<10 {
                let before = server.log.now.frames
                light.send(frame([2]))
                #expect(light.receiveFrame() == [])
                fewest = min(fewest, server.log.now.frames - before)
            }
            // A turn has some slices of them; without a bound it has one of each.
            #expect(fewest <= 12)
            #expect(server.log.now.frames < 30 * 400)
            server.group.stop(within: .zero)
        }
    }
}
