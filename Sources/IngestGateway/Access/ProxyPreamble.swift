import Security
import Transport

extension StreamPreamble {
    /// The PROXY protocol's second version, which connections of trusted proxies have to begin with, and nobody else may come.
    static func proxyHeader(from proxies: ForwardedAddress) -> StreamPreamble {
        StreamPreamble(
            isExpected: { proxies.isTrusted(NetworkAddress($0)) },
            maxBytes: ProxyHeader.prefixBytes + ProxyHeader.maxPayloadBytes, timeout: ProxyHeader.maxWait
        ) { bytes, _ in
            switch ProxyHeader.parse(bytes) {
            case .incomplete: return .incomplete
            case .complete(let length, let source):
                return .whole(length: length, source: source.map { SocketAddress($0) })
            case .failure(let failure): return .refused("no header of the PROXY protocol's version 2: \(failure)")
            }
        }
    }
}

extension SocketAddress {
    /// Without a port.
    fileprivate init(_ address: NetworkAddress) {
        let words = address.words
        self.init(
            high: words.high, low: address.isV4 ? words.low & UInt64(UInt32.max) : words.low, isIPv6: !address.isV4,
            port: 0)
    }
}
