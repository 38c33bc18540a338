import ByteBuffers
import Security

/// Connections of trusted proxies, by the client whose request each had last: what `http.max.connections.per.ip` is about where the
/// socket's address is the proxy's.
final class ForwardedClients: Sendable {
    private let most: Int
    /// No more than connections.
    private let counts = Lock<[NetworkAddress: Int]>([:])

    init(most: Int) { self.most = most }

    /// Takes a place for a client's address, or its network of IPv6. False: it has as many as it may.
    func enter(_ address: NetworkAddress) -> Bool {
        counts.withLock { counts in
            let count = counts[address.limitKey, default: 0]
            guard count < most else { return false }
            counts[address.limitKey] = count + 1
            return true
        }
    }

    func leave(_ address: NetworkAddress) {
        counts.withLock { counts in
            guard let count = counts[address.limitKey], count > 0 else {
                preconditionFailure("a client leaves who has no connection")
            }
            counts[address.limitKey] = count > 1 ? count - 1 : nil
        }
    }
}
