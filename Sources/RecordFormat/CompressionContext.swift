public import ByteBuffers
import CLZ4
import CSnappy
import CZlib
import CZstd

/// How snappy output is framed; input of either kind is recognised.
public enum SnappyFraming: Sendable {
    /// Blocks of 32 KiB behind the header of snappy-java: what Java producers write and every client reads.
    case xerial
    /// One raw block, as librdkafka writes.
    case raw
}

/// The codecs' working memory, made at first use and kept for the next batch.
///
/// Not `Sendable`: one per thread, event loop or job. Compression is one call over the whole input into memory of
/// `bound` bytes. Decompression (`CompressionContext+Decompress.swift`) streams under a limit.
public final class CompressionContext {
    /// zlib's own default: level 6.
    public static let defaultGzipLevel: Int32 = -1
    /// zstd's own default, and Kafka's.
    public static let defaultZstdLevel: Int32 = 3
    /// A decoder that a frame made larger than this (by its window, up to 128 MiB) is freed after use, so that one
    /// strange batch does not stay in memory for good.
    static let maxKeptDecoderBytes = 8 << 20

    static let xerialMagic: [UInt8] = [0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00]
    /// Magic, then version and oldest compatible version, four bytes each, both 1.
    static let xerialHeaderSize = 16
    static let xerialBlockSize = 32 << 10

    var inflater: UnsafeMutablePointer<z_stream>?
    private var deflater: UnsafeMutablePointer<z_stream>?
    private var deflaterLevel: Int32 = 0
    var lz4Decoder: OpaquePointer?
    var zstdDecoder: OpaquePointer?
    private var zstdEncoder: OpaquePointer?

    public init() {}

    deinit {
        if let inflater {
            inflateEnd(inflater)
            inflater.deallocate()
        }
        releaseDeflater()
        if let lz4Decoder { LZ4F_freeDecompressionContext(lz4Decoder) }
        if let zstdDecoder { ZSTD_freeDCtx(zstdDecoder) }
        if let zstdEncoder { ZSTD_freeCCtx(zstdEncoder) }
    }

    /// Output bytes that `compress` may need for `count` bytes of input.
    public func bound(_ codec: Compression, count: Int) -> Int {
        switch codec {
        case .none: count
        // deflateBound's own formula for any parameters, plus a gzip header and trailer.
        case .gzip: count + (count + 7) >> 3 + (count + 63) >> 6 + 5 + 32
        case .snappy:
            Self.xerialHeaderSize + (count / Self.xerialBlockSize + 1) * 4
                + snappy_max_compressed_length(count) + (count / Self.xerialBlockSize) * 32
        case .lz4: withLZ4Preferences(level: 0) { LZ4F_compressFrameBound(count, $0) }
        case .zstd: ZSTD_compressBound(count)
        }
    }

    /// Compresses all of `input` to the start of `output`, which has at least `bound` bytes, and gives the bytes
    /// written. `level` nil: the codec's default; snappy has none.
    public func compress(
        _ codec: Compression, level: Int32? = nil, snappyFraming: SnappyFraming = .xerial,
        _ input: UnsafeRawBufferPointer, to output: UnsafeMutableRawBufferPointer
    ) throws(CompressionError) -> Int {
        precondition(output.count >= bound(codec, count: input.count), "compression output below its bound")
        switch codec {
        case .none:
            output.copyMemory(from: input)
            return input.count
        case .gzip: return try deflateAll(input, to: output, level: level ?? Self.defaultGzipLevel)
        case .snappy:
            switch snappyFraming {
            case .xerial: return try compressXerial(input, to: output)
            case .raw: return try compressSnappyBlock(input, to: output)
            }
        case .lz4:
            let written = withLZ4Preferences(level: level ?? 0) {
                LZ4F_compressFrame(output.baseAddress, output.count, input.baseAddress, input.count, $0)
            }
            guard LZ4F_isError(written) == 0 else { throw .unavailable(.lz4) }
            return written
        case .zstd: return try compressZstd(input, to: output, level: level ?? Self.defaultZstdLevel)
        }
    }

    /// Appends the compressed `input` to `writer`.
    public func compress(
        _ codec: Compression, level: Int32? = nil, snappyFraming: SnappyFraming = .xerial,
        _ input: UnsafeRawBufferPointer, into writer: inout ByteWriter
    ) throws(CompressionError) {
        let start = writer.count
        let room = bound(codec, count: input.count)
        let output = UnsafeMutableRawBufferPointer(start: writer.append(uninitialized: room), count: room)
        var written = 0
        // What failed half-way is taken back.
        defer { writer.truncate(to: start + written) }
        written = try compress(codec, level: level, snappyFraming: snappyFraming, input, to: output)
    }

    // MARK: gzip

    private func deflateAll(
        _ input: UnsafeRawBufferPointer, to output: UnsafeMutableRawBufferPointer, level: Int32
    ) throws(CompressionError) -> Int {
        guard input.count <= Int(UInt32.max), output.count <= Int(UInt32.max) else { throw .unavailable(.gzip) }
        let stream = try readyDeflater(level: level)
        stream.pointee.next_in = UnsafeMutablePointer(mutating: input.assumingMemoryBound(to: UInt8.self).baseAddress)
        stream.pointee.avail_in = UInt32(input.count)
        stream.pointee.next_out = output.assumingMemoryBound(to: UInt8.self).baseAddress
        stream.pointee.avail_out = UInt32(output.count)
        guard deflate(stream, Z_FINISH) == Z_STREAM_END else { throw .unavailable(.gzip) }
        return output.count - Int(stream.pointee.avail_out)
    }

    private func readyDeflater(level: Int32) throws(CompressionError) -> UnsafeMutablePointer<z_stream> {
        if let deflater, deflaterLevel == level {
            deflateReset(deflater)
            return deflater
        }
        releaseDeflater()
        let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
        stream.initialize(to: z_stream())
        // 15: the full window; + 16: gzip's header and trailer; 8: zlib's default memory.
        let result = deflateInit2_(
            stream, level, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION,
            Int32(MemoryLayout<z_stream>.size))
        guard result == Z_OK else {
            stream.deallocate()
            throw .unavailable(.gzip)
        }
        deflater = stream
        deflaterLevel = level
        return stream
    }

    private func releaseDeflater() {
        guard let stream = deflater else { return }
        deflateEnd(stream)
        stream.deallocate()
        deflater = nil
    }

    // MARK: snappy

    private func compressSnappyBlock(
        _ input: UnsafeRawBufferPointer, to output: UnsafeMutableRawBufferPointer
    ) throws(CompressionError) -> Int {
        var written = output.count
        // An empty input may have no address, and the library wants one.
        let source = input.baseAddress ?? UnsafeRawPointer(output.baseAddress!)
        let result = snappy_compress(
            source.assumingMemoryBound(to: CChar.self), input.count,
            output.baseAddress!.assumingMemoryBound(to: CChar.self), &written)
        guard result == SNAPPY_OK else { throw .unavailable(.snappy) }
        return written
    }

    private func compressXerial(
        _ input: UnsafeRawBufferPointer, to output: UnsafeMutableRawBufferPointer
    ) throws(CompressionError) -> Int {
        let one = UInt32(1).bigEndian
        output.copyBytes(from: Self.xerialMagic)
        output.storeBytes(of: one, toByteOffset: 8, as: UInt32.self)
        output.storeBytes(of: one, toByteOffset: 12, as: UInt32.self)
        var written = Self.xerialHeaderSize
        var position = 0
        while position < input.count {
            let block = UnsafeRawBufferPointer(
                rebasing: input[position..<min(position + Self.xerialBlockSize, input.count)])
            let room = UnsafeMutableRawBufferPointer(rebasing: output[(written + 4)...])
            let length = try compressSnappyBlock(block, to: room)
            output.storeBytes(of: UInt32(length).bigEndian, toByteOffset: written, as: UInt32.self)
            written += 4 + length
            position += block.count
        }
        return written
    }

    // MARK: lz4

    /// Calls `body` with the preferences of LZ4 frames. Kafka's Java reader refuses blocks that refer to earlier ones,
    /// and its own writer uses blocks of 64 KiB.
    private func withLZ4Preferences<Result>(
        level: Int32, _ body: (UnsafePointer<LZ4F_preferences_t>) -> Result
    ) -> Result {
        var preferences = LZ4F_preferences_t()
        preferences.frameInfo.blockSizeID = LZ4F_max64KB
        preferences.frameInfo.blockMode = LZ4F_blockIndependent
        preferences.compressionLevel = level
        return body(&preferences)
    }

    // MARK: zstd

    private func compressZstd(
        _ input: UnsafeRawBufferPointer, to output: UnsafeMutableRawBufferPointer, level: Int32
    ) throws(CompressionError) -> Int {
        if zstdEncoder == nil { zstdEncoder = ZSTD_createCCtx() }
        guard let zstdEncoder else { throw .unavailable(.zstd) }
        let written = ZSTD_compressCCtx(
            zstdEncoder, output.baseAddress, output.count, input.baseAddress, input.count, level)
        guard ZSTD_isError(written) == 0 else { throw .unavailable(.zstd) }
        return written
    }
}
