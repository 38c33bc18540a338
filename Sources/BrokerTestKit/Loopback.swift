import Glibc

/// Connections to servers of this machine, by sockets that block.
public enum Loopback {
    /// There is no connection.
    public struct Refused: Error {
        public let errno: Int32
    }

    /// Seconds that a read waits: a time that only a failure takes.
    public static let patience = 20

    /// A socket that is connected to a port of 127.0.0.1. No read of it waits for longer than `patience`, in seconds.
    public static func connect(port: UInt16, patience: Int = Self.patience) throws(Refused) -> Int32 {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { throw Refused(errno: errno) }
        var limit = timeval(tv_sec: patience, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        // Small requests leave at once.
        var on: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        // A signal (libFuzzer's clock) interrupts the call now and then; the connection is made all the same.
        if result != 0, errno != EINTR {
            let reason = errno
            close(descriptor)
            throw Refused(errno: reason)
        }
        return descriptor
    }
}
