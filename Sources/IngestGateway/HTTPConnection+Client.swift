import HTTPWire
import KafkaModel
import Security
import Telemetry
import Transport

/// Whose request it is, where proxies are believed.
extension HTTPConnection {
    /// Finds out whose the request at hand is, as far as its proxies tell. What comes from others is not looked at.
    func findClient(_ proxies: ForwardedAddress, _ connection: Connection) -> Problem? {
        let socket = NetworkAddress(connection.peerAddress)
        guard proxies.isTrusted(socket) else { return nil }
        guard let client = proxies.client(socket: socket, lines: loop.forwardedLines(proxies.header)) else {
            return Problem(
                .invalidHeader,
                "A proxy before the gateway says in \(proxies.header.name) for whom the request is, and it cannot be read."
            )
        }
        if client == self.client { return nil }
        leaveSeat()
        guard gateway.forwarded.enter(client) else {
            gateway.metrics.refusedConnections.add()
            loop.reply.closes = true
            return Problem(.overloaded, "There are too many connections from your address.", retryAfter: 1)
        }
        become(client)
        return nil
    }

    func leaveSeat() {
        guard let client else { return }
        gateway.forwarded.leave(client)
        become(nil)
    }
}

extension GatewayLoop {
    /// The values of the header in which proxies tell whose a request is, in their order.
    func forwardedLines(_ header: ForwardedAddress.Header) -> [String] {
        (0..<head.fieldCount).compactMap { index in
            head.isField(index, named: header.name) ? String(decoding: head.fieldValue(index), as: UTF8.self) : nil
        }
    }
}

extension NetworkAddress {
    init(_ socket: SocketAddress) {
        if socket.isIPv6 {
            self.init(v6High: socket.high, low: socket.low)
        } else {
            self.init(v4: UInt32(truncatingIfNeeded: socket.low))
        }
    }
}

extension PeerKey {
    /// Who shares the limits of a peer with it.
    init(_ address: NetworkAddress) {
        self.init(isIPv6: !address.isV4, bits: address.networkBits)
    }
}
