import CZlib
import CZstd

/// Unpacks a text that is too long to be had in one piece: bytes in as they come, bytes out as there is room. gzip and zstd alone.
///
/// ```
///   input ─► advance ─► room          isAtEnd: a member of gzip, or a frame of zstd, has ended, and nothing has come behind it
/// ```
/// Members and frames may follow each other. A failure is final. Not `Sendable`: it is with one thread at a time.
///
/// Limits: an output beyond `maxRatio` times the input, above `ratioFreeBytes`, and a window of zstd above `maxWindowBytes` are
/// refused; the memory of a decoder is `mostBytes` at most. Source: RFC 1952, RFC 8878.
public final class StreamDecompressor {
    /// What one call has done.
    public struct Step: Equatable, Sendable {
        /// Bytes of the input.
        public var used: Int
        /// Bytes of the room.
        public var written: Int

        public init(used: Int, written: Int) {
            self.used = used
            self.written = written
        }
    }

    /// Bounds of what may be unpacked.
    public struct Limits: Sendable {
        /// Bytes of output for one of input, inclusive; 1 or more.
        public var maxRatio: Int
        /// Bytes of output up to which, inclusive, nobody asks for the ratio.
        public var ratioFreeBytes: Int
        /// A frame of zstd that wants a larger window is refused. It counts as the power of two that is not above it; 1024 or more.
        public var maxWindowBytes: Int

        public init(maxRatio: Int, ratioFreeBytes: Int, maxWindowBytes: Int) {
            precondition(maxRatio >= 1, "\(maxRatio) bytes of output for one of input")
            precondition(maxWindowBytes >= 1024, "no frame of zstd has a window of \(maxWindowBytes) bytes")
            self.maxRatio = maxRatio
            self.ratioFreeBytes = ratioFreeBytes
            self.maxWindowBytes = maxWindowBytes
        }

        fileprivate var windowLog: Int32 { Int32(Int.bitWidth - 1 - maxWindowBytes.leadingZeroBitCount) }
    }

    /// Bytes that a decoder takes beside its window: of zstd its tables, and a block on its way in and one on its way out; of gzip, whose
    /// window is 32 KiB, all.
    private static let zstdBytes = 640 << 10
    private static let gzipBytes = 64 << 10

    /// Bytes of memory that a decoder takes at most.
    public static func mostBytes(_ codec: Compression, _ limits: Limits) -> Int {
        codec == .zstd ? 1 << Int(limits.windowLog) + zstdBytes : gzipBytes
    }

    /// Bytes of memory that it takes now; of gzip, which does not tell, the most.
    public var heldBytes: Int {
        switch decoder {
        case .gzip: Self.gzipBytes
        case .zstd(let context): ZSTD_sizeof_DCtx(context)
        }
    }

    private enum Decoder {
        case gzip(UnsafeMutablePointer<z_stream>)
        case zstd(OpaquePointer)
    }

    private let decoder: Decoder
    private let limits: Limits
    private var used = 0
    private var written = 0
    /// Between two members or frames, or before the first.
    private var isBetween = true

    /// - Parameter codec: gzip or zstd.
    public init(_ codec: Compression, _ limits: Limits) throws(CompressionError) {
        self.limits = limits
        switch codec {
        case .gzip:
            let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
            stream.initialize(to: z_stream())
            // 15: the full window; + 16: a gzip header is required.
            guard inflateInit2_(stream, 15 + 16, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
                stream.deallocate()
                throw .unavailable(.gzip)
            }
            decoder = .gzip(stream)
        case .zstd:
            guard let context = ZSTD_createDCtx() else { throw .unavailable(.zstd) }
            // Else it would go by a bound of its own.
            guard ZSTD_isError(ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, limits.windowLog)) == 0 else {
                ZSTD_freeDCtx(context)
                throw .unavailable(.zstd)
            }
            decoder = .zstd(context)
        case .none, .snappy, .lz4: preconditionFailure("no stream of \(codec) is unpacked")
        }
    }

    deinit {
        switch decoder {
        case .gzip(let stream):
            inflateEnd(stream)
            stream.deallocate()
        case .zstd(let context): ZSTD_freeDCtx(context)
        }
    }

    /// Whether the input may end here: all of what has begun has ended, and something has.
    public var isAtEnd: Bool { isBetween && used > 0 }

    /// Unpacks as much of `input` as `room` has place for. What is neither used nor written at the end of the input needs more of it.
    public func advance(
        _ input: UnsafeRawBufferPointer, into room: UnsafeMutableRawBufferPointer
    ) throws(CompressionError) -> Step {
        var step = Step(used: 0, written: 0)
        // An input of nothing would be taken for one that is starved, and room for none for an error.
        while step.used < input.count || !isBetween, step.written < room.count {
            let rest = UnsafeRawBufferPointer(rebasing: input[step.used...])
            let free = UnsafeMutableRawBufferPointer(rebasing: room[step.written...])
            let part: Step
            switch decoder {
            case .gzip(let stream): part = try inflate(stream, rest, free)
            case .zstd(let context): part = try decompress(context, rest, free)
            }
            step.used += part.used
            step.written += part.written
            used += part.used
            written += part.written
            if written > limits.ratioFreeBytes, written / limits.maxRatio > used {
                throw .outputLimit(max(limits.ratioFreeBytes, used * limits.maxRatio))
            }
            if part.used == 0, part.written == 0 { break }
        }
        return step
    }

    private func inflate(
        _ stream: UnsafeMutablePointer<z_stream>, _ input: UnsafeRawBufferPointer, _ room: UnsafeMutableRawBufferPointer
    ) throws(CompressionError) -> Step {
        // zlib counts in 32 bits.
        let (given, free) = (min(input.count, Int(Int32.max)), min(room.count, Int(Int32.max)))
        stream.pointee.next_in = UnsafeMutablePointer(mutating: input.assumingMemoryBound(to: UInt8.self).baseAddress)
        stream.pointee.avail_in = UInt32(given)
        stream.pointee.next_out = room.assumingMemoryBound(to: UInt8.self).baseAddress
        stream.pointee.avail_out = UInt32(free)
        let result = CZlib.inflate(stream, Z_NO_FLUSH)
        let step = Step(used: given - Int(stream.pointee.avail_in), written: free - Int(stream.pointee.avail_out))
        switch result {
        case Z_STREAM_END:
            isBetween = true
            inflateReset(stream)
        case Z_OK: isBetween = false
        // It could do nothing: more input, or more room, is wanted.
        case Z_BUF_ERROR: break
        default: throw .corrupt(.gzip)
        }
        return step
    }

    private func decompress(
        _ context: OpaquePointer, _ input: UnsafeRawBufferPointer, _ room: UnsafeMutableRawBufferPointer
    ) throws(CompressionError) -> Step {
        var source = ZSTD_inBuffer(src: input.baseAddress, size: input.count, pos: 0)
        var target = ZSTD_outBuffer(dst: room.baseAddress, size: room.count, pos: 0)
        let hint = ZSTD_decompressStream(context, &target, &source)
        guard ZSTD_isError(hint) == 0 else { throw .corrupt(.zstd) }
        // A hint of 0 ends a frame; another may follow, which the next call begins.
        if source.pos > 0 || target.pos > 0 { isBetween = hint == 0 }
        return Step(used: source.pos, written: target.pos)
    }
}
