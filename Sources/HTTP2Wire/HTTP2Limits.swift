/// What a peer may ask of one connection of HTTP/2.
public struct HTTP2Limits: Sendable {
    /// Streams at a time; told to the peer, and one more is refused.
    public var streams: UInt32 = 100
    /// Bytes of one body that may be on their way before we take some: told to the peer.
    public var streamWindow: UInt32 = 256 << 10
    /// The same over all streams.
    public var connectionWindow: Int32 = 1 << 20
    /// Bytes of the fields of one request, counted as RFC 9113 (6.5.2) does: told to the peer; above it 431.
    public var fieldBytes: UInt32 = 40 << 10
    /// Fields are not even looked at beyond this many times `fieldBytes`: the stream is reset.
    public var fieldExcess = 4
    /// CONTINUATION frames behind one HEADERS; above it the connection ends. CVE-2024-28182.
    public var continuations = 5
    /// Streams that the peer may reset at once, and again in a second; above it the connection ends. CVE-2023-44487.
    public var resets: UInt64 = 200
    public var resetsPerSecond: UInt64 = 20
    /// Replies to PING and SETTINGS that wait for a peer that does not read; above it the connection ends. CVE-2019-9512.
    public var acknowledgements = 100
    /// Settings of one frame.
    public var settings = 32
    /// Frames that bring nothing (PING, SETTINGS, empty DATA, RST_STREAM, WINDOW_UPDATE for nothing that was sent) that a peer may send at
    /// once, and again in a second; above it the connection ends. CVE-2019-9518.
    public var idleFrames = 500
    public var idleFramesPerSecond = 100
    /// A frame that ends its stream because it is wrong counts as so many of them: what was begun for the stream was in vain.
    /// CVE-2025-8671.
    static let invalidFramePrice = 10
    /// Windows that a frame of a body earns: the stream's, the connection's, and one.
    static let updatesOfAFrame = 3

    public init() {}
}
