import BrokerTestKit
import ByteBuffers
import Glibc
import Telemetry
import Testing

@testable import Transport

extension TransportTests {
    @Suite struct ListenerTests {
        @Test func theIPv6WildcardTakesBothFamilies() throws {
            let server = try Server(host: "")
            #expect(server.port != 0)
            for ipv6 in [false, true] {
                guard let client = try? Client(port: server.port, ipv6: ipv6) else {
                    // A machine without IPv6 listens on IPv4 alone.
                    #expect(ipv6 && !server.listener.addresses[0].isIPv6)
                    continue
                }
                client.send(frame([1]))
                #expect(client.receiveFrame() == [1])
            }
            // An IPv4 peer is an IPv4 peer, whatever the socket.
            let number = server.log.now.ids.count
            let client = try Client(port: server.port)
            #expect(server.onConnection(number) { $0.peerAddress.host } == "127.0.0.1")
            #expect(server.onConnection(number) { $0.localAddress?.port } == server.port)
            withExtendedLifetime(client) {}
        }

        @Test func localhostListensOnAllItsAddressesWithOnePort() throws {
            let server = try Server(host: "localhost")
            for address in server.listener.addresses {
                #expect(address.port == server.port)
                #expect(address.host == "127.0.0.1" || address.host == "::1")
                let client = try Client(port: server.port, ipv6: address.isIPv6)
                client.send(frame([1]))
                #expect(client.receiveFrame() == [1])
            }
        }

        @Test func bracketsAroundALiteralAreAccepted() throws {
            #expect(try SocketAddress.resolve(host: "[::1]", port: 7).map(\.description) == ["[::1]:7"])
            #expect(try SocketAddress.resolve(host: "127.0.0.1", port: 7).map(\.description) == ["127.0.0.1:7"])
        }

        @Test func aTakenPortIsAnError() throws {
            let server = try Server()
            #expect(throws: TransportError.self) {
                _ = try server.group.listen(
                    ListenerOptions(host: "127.0.0.1", port: server.port) { _, _ in
                        FrameHandler(ServerLog()) { _, _ in }
                    })
            }
        }

        @Test func aNameThatDoesNotExistIsAnError() throws {
            let group = try EventLoopGroup()
            defer { group.stop() }
            #expect(throws: TransportError.self) {
                _ = try group.listen(
                    ListenerOptions(host: "no such host", port: 0) { _, _ in FrameHandler(ServerLog()) { _, _ in } })
            }
        }

        /// They are not counted as connections, not read, and closed at once where too many wait already.
        @Test func connectionsThatComeTooOftenWaitForTheirEnd() throws {
            let server = try Server(configure: { $0.delayBeforeClose = { _ in .seconds(3_600) } })
            var waiting: [Client] = []
            for _ in 0..<EventLoop.maxDelayedCloses { waiting.append(try Client(port: server.port)) }
            #expect(try Client(port: server.port).receiveEnd() != .bytes)
            #expect(server.counters.refusedByRate.value == UInt64(waiting.count) + 1)
            #expect(server.listener.openConnections == 0 && server.counters.accepted.value == 0)
            server.group.stop()
            for client in waiting { #expect(client.receiveEnd() != .bytes) }
        }

        @Test func aWaitForTheEndEnds() throws {
            let server = try Server(configure: { $0.delayBeforeClose = { _ in .milliseconds(5) } })
            for _ in 0..<3 { #expect(try Client(port: server.port).receiveEnd() != .bytes) }
        }

        @Test func connectionsAboveTheTotalAreRefusedAndCounted() throws {
            let server = try Server(configure: { $0.maxConnections = 3 })
            var clients: [Client] = []
            for _ in 0..<3 {
                let client = try Client(port: server.port)
                client.send(frame([1]))
                #expect(client.receiveFrame() == [1])
                clients.append(client)
            }
            #expect(try Client(port: server.port).receiveEnd() != .bytes)
            #expect(eventually { server.counters.refusedByTotal.value == 1 })
            // One leaves, one may come.
            clients.removeLast()
            #expect(eventually { server.listener.openConnections == 2 })
            let next = try Client(port: server.port)
            next.send(frame([2]))
            #expect(next.receiveFrame() == [2])
        }

        @Test func connectionsAboveThoseOfOnePeerAreRefusedAndCounted() throws {
            let server = try Server(configure: { $0.maxConnectionsPerIP = 2 })
            let clients = try (0..<2).map { _ in try Client(port: server.port) }
            for client in clients {
                client.send(frame([1]))
                #expect(client.receiveFrame() == [1])
            }
            #expect(try Client(port: server.port).receiveEnd() != .bytes)
            #expect(eventually { server.counters.refusedByPeer.value == 1 })
            #expect(server.listener.openConnections == 2)
        }

        /// Two listeners share one limit, and one of them may have no more than a part of it.
        @Test func aListenerMayHaveALimitOfItsOwn() throws {
            let count = ConnectionCount()
            var options = ListenerOptions(host: "127.0.0.1", port: 0) { _, _ in
                FrameHandler(ServerLog()) { echo($0, $1) }
            }
            (options.count, options.maxConnections) = (count, 4)
            let group = try EventLoopGroup(EventLoopGroup.Options())
            defer { group.stop(within: .zero) }
            let wide = try group.listen(options)
            options.ownLimit = ConnectionLimit(total: 2)
            let narrow = try group.listen(options)
            options.ownLimit = ConnectionLimit(perIP: 1)
            let perPeer = try group.listen(options)
            var open: [Client] = []
            func isServed(_ listener: Listener) throws -> Bool {
                let client = try Client(port: listener.port)
                client.send(frame([1]))
                guard client.receiveFrame() == [1] else { return false }
                open.append(client)
                return true
            }
            #expect(try isServed(narrow) && isServed(narrow) && !isServed(narrow))
            #expect(group.counters.refusedByTotal.value == 1)
            #expect(try isServed(perPeer) && !isServed(perPeer))
            #expect(group.counters.refusedByPeer.value == 1)
            // The limit of all is reached; what is refused by it does not count for the listener.
            #expect(try isServed(wide) && !isServed(wide) && !isServed(perPeer) && !isServed(narrow))
            open.removeAll()
            #expect(eventually { count.total == 0 })
            #expect(try isServed(narrow) && isServed(narrow) && isServed(perPeer) && !isServed(perPeer))
        }

        @Test func connectionsAreSpreadEvenly() throws {
            var options = EventLoopGroup.Options()
            options.loops = 3
            let server = try Server(group: options)
            let clients = try (0..<30).map { _ in try Client(port: server.port) }
            #expect(eventually { server.log.now.ids.count == 30 })
            for loop in 0..<3 { #expect(server.log.now.ids.count(where: { $0.loop == loop }) == 10) }
            withExtendedLifetime(clients) {}
        }

        @Test func aThousandConnectionsComeAndGoWithoutADescriptorLeft() throws {
            var options = EventLoopGroup.Options()
            options.loops = 2
            let server = try Server(group: options)
            for round in 0..<1000 {
                let client = try Client(port: server.port)
                client.send(frame([UInt8(truncatingIfNeeded: round)]))
                if round % 3 == 0 { #expect(client.receiveFrame() == [UInt8(truncatingIfNeeded: round)]) }
                if round % 5 == 0 { client.resetOnClose() }
            }
            #expect(eventually { server.counters.accepted.value == server.counters.closed.value })
            #expect(eventually { server.listener.openConnections == 0 })
            #expect(socketsOf(port: server.port) == 0)
            #expect(server.onLoop { $0.connectionCount } == 0)
            #expect(server.onLoop { $0.slots.count } < 1000)
        }

        /// Accepted sockets of this process whose own port is `port`.
        private func socketsOf(port: UInt16) -> Int {
            (0..<4096).count { fd in
                var address = sockaddr_in()
                var length = socklen_t(MemoryLayout<sockaddr_in>.size)
                let named = withUnsafeMutablePointer(to: &address) {
                    $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(Int32(fd), $0, &length) }
                }
                var listens: Int32 = 0
                var size = socklen_t(4)
                getsockopt(Int32(fd), SOL_SOCKET, SO_ACCEPTCONN, &listens, &size)
                return named == 0 && address.sin_port.bigEndian == port && listens == 0
            }
        }

        @Test func wantOfDescriptorsPutsAcceptingOff() throws {
            let refusals = ServerLog()
            let server = try Server(configure: { options in
                let accept = options.accept
                options.accept = { fd, address in
                    if refusals.now.calls < 3 {
                        refusals.add { $0.calls += 1 }
                        return -EMFILE
                    }
                    return accept(fd, &address)
                }
            })
            let client = try Client(port: server.port)
            client.send(frame([1]))
            // It waits in the backlog, and is served when there are descriptors again.
            #expect(client.receiveFrame() == [1])
            #expect(server.counters.acceptPostponed.value == 3)
            #expect(server.counters.turns.value < 50)
        }

        @Test func aClosedListenerAcceptsNoMoreAndItsConnectionsLive() throws {
            let server = try Server()
            let client = try Client(port: server.port)
            client.send(frame([1]))
            #expect(client.receiveFrame() == [1])
            server.listener.close()
            _ = server.onLoop { _ in 0 }
            #expect(throws: (any Error).self) { _ = try Client(port: server.port) }
            client.send(frame([2]))
            #expect(client.receiveFrame() == [2])
        }
    }
}
