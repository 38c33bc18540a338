/// What a request may ask for before it is refused. The defaults are the product's; tests use smaller ones.
public struct HTTPLimits: Sendable {
    /// Longest request line, without its CRLF; past it 414. RFC 9112 recommends at least 8,000 bytes.
    public var requestLine = 8 << 10
    /// Longest field line (name, colon, value), without its CRLF; past it 431. Tokens of identity providers reach 4 KiB.
    public var fieldLine = 8 << 10
    /// All field lines together with their line ends; past it 431. Four full-size fields.
    public var fieldBlock = 32 << 10
    /// Number of fields; past it 431. Browsers send about 20, service meshes about 40.
    public var fields = 100
    /// Bytes of one chunk's extensions; nobody uses them, so a few are tolerated.
    public var chunkExtension = 64
    /// Bytes of all chunk extensions of one body: otherwise one-byte chunks could carry 64 times their size for free.
    public var chunkExtensions = 4 << 10
    /// Number of chunks of one body: a chunk of one byte costs its sender six and us a state change.
    public var chunks = 1 << 20
    /// Bytes of the trailer section, line ends included.
    public var trailers = 4 << 10
    /// Number of trailer fields.
    public var trailerFields = 16

    public init() {}

    /// Longest head that can still be valid: two line ends more than its parts, and one empty line before it.
    var head: Int { requestLine + fieldBlock + 6 }
}
