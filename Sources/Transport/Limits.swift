internal import CSystem

/// What one connection may use. Each limit says what happens at it.
public struct ConnectionLimits: Sendable {
    /// Largest frame (`ConnectionInput.needed`) and largest unconsumed input, in bytes. Above: closed, `.inputLimit`.
    /// Kafka's `socket.request.max.bytes`.
    public var maxFrameBytes = 100 << 20
    /// Unsent output in bytes, gated replies included, above which the connection is not read and not offered input.
    /// One fetch reply of 1 MiB: a peer that does not read is owed one large reply and is not asked for more requests.
    public var outputHighWater = 1 << 20
    /// Unsent output at which a connection stopped by `outputHighWater` goes on.
    public var outputLowWater = 256 << 10
    /// Unsent output in bytes at which the connection is closed, `.outputLimit`: one burst of writes by a handler that
    /// does not look at `wantsInput`. More than Kafka's largest usual fetch reply (50 MiB).
    public var maxPendingOutput = 128 << 20
    /// Bytes of requests that wait for their commits, above which the connection is not read and not offered input; it
    /// goes on at half of it. Enough for one commit on its way to the disk and the next one behind it: more would only
    /// wait in our memory instead of in the peer's.
    public var maxUncommitted = 32 << 20
    /// A transform's handshake (TLS) must be over so long after the connection was accepted; else closed,
    /// `.handshakeTimeout`. It takes two round trips and a millisecond of work.
    public var handshakeTimeout: Duration = .seconds(5)
    /// A peer that accepts no byte of output for this long is closed, `.writeStalled`.
    public var writeStallTimeout: Duration = .seconds(30)
    /// A frame that has begun may take this long, plus the time that `minimumInputRate` allows for the bytes that came;
    /// then `.inputStalled`. `nil`: for ever. Time in which the transport itself does not read is not counted.
    public var partialInputTimeout: Duration? = .seconds(30)
    /// Bytes a second that earn a frame more time than `partialInputTimeout`: it stops senders of a byte now and then.
    public var minimumInputRate = 1024
    /// No byte in either direction for this long, with nothing parked and nothing owed: closed, `.idle`. `nil`: never.
    /// Kafka's `connections.max.idle.ms`.
    public var idleTimeout: Duration? = .seconds(600)
    /// How long the rest of the input is read and dropped after the last reply of `closeAfterFlush()`, so that the peer
    /// reads the reply before it meets a reset.
    public var lingerTimeout: Duration = .seconds(1)
    /// The same when the peer is in the middle of a request that was refused (`closeAfterFlush(peerIsSending:)`): in all,
    /// and without a byte of input. Some clients look for a reply only when they have sent everything. Up to
    /// `EventLoop.maxLongLingers` at a time, then `lingerTimeout`.
    public var refusedInputTimeout: Duration = .seconds(30)
    public var refusedInputIdleTimeout: Duration = .seconds(5)
    /// How long a reply waits for its commit before the handler is asked what to say instead (`commitOverdue`). `nil`: for
    /// ever.
    public var commitTimeout: Duration?
    /// How long a connection whose peer has finished sending is kept, without a byte moving, for a reply that is owed
    /// (it waits for a commit or for work elsewhere) or for input that is not read yet (the byte budget); then closed,
    /// `.closedByPeer`. Long enough for a client that only shut down its sending side to get its reply, and short
    /// enough that a client that is gone, which looks the same, does not hold resources.
    public var finishedTimeout: Duration = .seconds(2)
    /// Bytes read from one connection before the loop turns to the others.
    public var readShare = 1 << 20
    /// How long small pieces of a long frame may wait in the socket for more to come, on a listener that gathers them.
    public var gatherTimeout: Duration = .milliseconds(100)

    public init() {}
}

/// How many connections there may be at a time.
public struct ConnectionLimit: Sendable {
    public var total: Int
    /// Of one peer (an IPv4 address, an IPv6 /64).
    public var perIP: Int

    public init(total: Int = .max, perIP: Int = .max) { (self.total, self.perIP) = (total, perIP) }
}

/// Where to listen, for whom, and with which protocol.
public struct ListenerOptions: Sendable {
    /// A literal address, a name (all its addresses are listened on: `localhost` is 127.0.0.1 and ::1), `::` (IPv6 and
    /// IPv4), `0.0.0.0` (IPv4), or `""` and `*` (like `::`; IPv4 alone on a machine without IPv6).
    public var host: String
    /// 0: the system picks one, the same for all addresses; see `Listener.port`.
    public var port: UInt16
    /// Connections that the kernel completes before they are accepted; the kernel's `somaxconn` caps it.
    public var backlog = 1024
    /// Open connections of this listener. Above: accepted, told `refusal`, closed, and counted.
    public var maxConnections = 20_000
    /// Open connections of one peer (an IPv4 address, an IPv6 /64). Above: as `maxConnections`.
    public var maxConnectionsPerIP = Int.max
    /// What the limits above are held against; given to several listeners, these share them. `nil`: this listener's own.
    public var count: ConnectionCount?
    /// What this listener alone may have of them; `nil`: nothing but the limits above.
    public var ownLimit: ConnectionLimit?
    /// What stands before the first byte of each connection, below the transform; `nil`: nothing. `maxConnectionsPerIP` is then
    /// about the peers that it names.
    public var preamble: StreamPreamble?
    /// Peers that `maxConnectionsPerIP` does not hold for: proxies, whose connections are those of many. Called on the accepting loop.
    public var isUncounted: (@Sendable (SocketAddress) -> Bool)?
    /// What a connection over a limit is told before it is closed; called for each of them. `nil`: nothing. Through a
    /// transform nothing is told, for that takes a handshake first.
    public var refusal: (@Sendable () -> [UInt8])?
    /// Asked about each connection before it is counted: how long one that is too many is kept, without being read, before
    /// it is closed, so that a client which comes again at once does not come more often; nil: it may come. At
    /// `EventLoop.maxDelayedCloses` it is closed at once. Called on the accepting loop.
    public var delayBeforeClose: (@Sendable (SocketAddress) -> Duration?)?
    public var limits = ConnectionLimits()
    /// Whether a long frame that comes in small pieces is read in large ones; see `Arrival`. Not for a handler that watches
    /// how a frame grows.
    public var gathersFrames = false
    /// Called on the connection's loop before anything is read.
    public var makeHandler: @Sendable (EventLoop, Connection) -> any ConnectionHandler
    /// Stands between the socket and the handler (TLS); `nil`: the bytes as they are.
    public var makeTransform: (@Sendable (EventLoop) -> any StreamTransform)?
    /// Stands in for the system call in tests: what the kernel refuses cannot be brought about for one listener alone.
    var accept: @Sendable (Int32, inout millrace_address) -> Int32 = { millrace_accept($0, &$1) }

    public init(
        host: String, port: UInt16,
        makeHandler: @escaping @Sendable (EventLoop, Connection) -> any ConnectionHandler
    ) {
        self.host = host
        self.port = port
        self.makeHandler = makeHandler
    }

    var limit: ConnectionLimit { ConnectionLimit(total: maxConnections, perIP: maxConnectionsPerIP) }
}
