public import ByteBuffers
import CLZ4
import CSnappy
import CZlib
import CZstd

// Decompression believes no announced length: memory grows with what was really written, doubling from a first step,
// and stops one byte above the caller's limit.

extension CompressionContext {
    /// The first piece of output memory, unless the limit is less: a few times the input, within these bounds.
    private static let firstStep = (least: 4 << 10, most: 1 << 20)

    /// Appends all that `input` holds to `writer`: one or several frames of the codec, whole. When this throws,
    /// `writer` is as before. `outputLimit` counts the bytes appended.
    public func decompress(
        _ codec: Compression, _ input: UnsafeRawBufferPointer, into writer: inout ByteWriter, outputLimit: Int
    ) throws(CompressionError) {
        let start = writer.count
        do throws(CompressionError) {
            switch codec {
            case .none:
                guard input.count <= outputLimit else { throw .outputLimit(outputLimit) }
                writer.bytes(input)
            case .gzip: try inflateAll(input, into: &writer, outputLimit)
            case .snappy: try decompressSnappy(input, into: &writer, outputLimit)
            case .lz4: try decompressLZ4(input, into: &writer, outputLimit)
            case .zstd: try decompressZstd(input, into: &writer, outputLimit)
            }
        } catch {
            writer.truncate(to: start)
            throw error
        }
    }

    /// What one call of a codec's decoder did with the memory it was offered.
    private struct Step {
        /// Bytes written.
        var written: Int
        /// The input is used up at the end of a frame.
        var isComplete: Bool
        /// The decoder wants input that does not exist.
        var isStarved: Bool
    }

    /// Calls `step` with fresh memory until it is complete, starved, or past the limit. `expected`: the output that the
    /// input announces, believed for a first step of the usual size.
    @inline(__always)
    private func stream(
        _ codec: Compression, inputBytes: Int, expecting expected: Int = 0, into writer: inout ByteWriter,
        _ outputLimit: Int,
        _ step: (UnsafeMutableRawBufferPointer) throws(CompressionError) -> Step
    ) throws(CompressionError) {
        // One byte above the limit tells "exactly the limit" from "more".
        let most = min(max(outputLimit, 0), Int.max - 1) + 1
        let start = writer.count
        var room = min(max(inputBytes * 4, expected, Self.firstStep.least), Self.firstStep.most)
        while true {
            let produced = writer.count - start
            room = min(max(room, produced), most - produced)
            let memory = UnsafeMutableRawBufferPointer(start: writer.append(uninitialized: room), count: room)
            let done = try step(memory)
            writer.truncate(to: start + produced + done.written)
            if produced + done.written >= most { throw .outputLimit(outputLimit) }
            if done.isComplete { return }
            if done.isStarved { throw .corrupt(codec) }
        }
    }

    // MARK: gzip

    private func inflateAll(
        _ input: UnsafeRawBufferPointer, into writer: inout ByteWriter, _ limit: Int
    ) throws(CompressionError) {
        guard input.count <= Int(UInt32.max) else { throw .corrupt(.gzip) }
        let decoder = try readyInflater()
        decoder.pointee.next_in = UnsafeMutablePointer(mutating: input.assumingMemoryBound(to: UInt8.self).baseAddress)
        decoder.pointee.avail_in = UInt32(input.count)
        try stream(.gzip, inputBytes: input.count, into: &writer, limit) { memory throws(CompressionError) in
            // zlib counts in 32 bits; a larger room is used in several steps.
            let room = min(memory.count, Int(UInt32.max))
            decoder.pointee.next_out = memory.assumingMemoryBound(to: UInt8.self).baseAddress
            decoder.pointee.avail_out = UInt32(room)
            let result = inflate(decoder, Z_NO_FLUSH)
            let step = Step(
                written: room - Int(decoder.pointee.avail_out),
                isComplete: result == Z_STREAM_END && decoder.pointee.avail_in == 0,
                isStarved: result != Z_STREAM_END && decoder.pointee.avail_out > 0)
            switch result {
            case Z_STREAM_END:
                // gzip allows members one after the other.
                if decoder.pointee.avail_in > 0 { inflateReset(decoder) }
            case Z_OK, Z_BUF_ERROR: break
            default: throw .corrupt(.gzip)
            }
            return step
        }
    }

    private func readyInflater() throws(CompressionError) -> UnsafeMutablePointer<z_stream> {
        if let inflater {
            inflateReset(inflater)
            return inflater
        }
        let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
        stream.initialize(to: z_stream())
        // 15: the full window; + 16: a gzip header is required.
        guard inflateInit2_(stream, 15 + 16, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
            stream.deallocate()
            throw .unavailable(.gzip)
        }
        inflater = stream
        return stream
    }

    // MARK: snappy

    private func decompressSnappy(
        _ input: UnsafeRawBufferPointer, into writer: inout ByteWriter, _ limit: Int
    ) throws(CompressionError) {
        // A raw block cannot begin like the magic: its first element would copy from before the start.
        guard input.starts(with: Self.xerialMagic) else {
            return try decompressSnappyBlock(input, into: &writer, limit, of: limit)
        }
        guard input.count >= Self.xerialHeaderSize else { throw .corrupt(.snappy) }
        let start = writer.count
        var position = Self.xerialHeaderSize
        while position < input.count {
            let rest = UnsafeRawBufferPointer(rebasing: input[position...])
            // Streams may follow each other, each with its header.
            if rest.count >= Self.xerialHeaderSize, rest.starts(with: Self.xerialMagic) {
                position += Self.xerialHeaderSize
                continue
            }
            guard rest.count >= 4 else { throw .corrupt(.snappy) }
            let length = Int(UInt32(bigEndian: rest.loadUnaligned(as: UInt32.self)))
            guard length <= rest.count - 4 else { throw .corrupt(.snappy) }
            try decompressSnappyBlock(
                UnsafeRawBufferPointer(rebasing: rest[4..<4 + length]), into: &writer,
                limit - (writer.count - start), of: limit)
            position += 4 + length
        }
    }

    /// `remaining`: what is left of `limit`.
    private func decompressSnappyBlock(
        _ input: UnsafeRawBufferPointer, into writer: inout ByteWriter, _ remaining: Int, of limit: Int
    ) throws(CompressionError) {
        guard input.count > 0, let source = input.assumingMemoryBound(to: CChar.self).baseAddress else {
            throw .corrupt(.snappy)
        }
        var length = 0
        guard snappy_uncompressed_length(source, input.count, &length) == SNAPPY_OK else { throw .corrupt(.snappy) }
        guard length <= remaining else { throw .outputLimit(limit) }
        // Three bytes of input give at most 64 of output: what announces more is refused before memory is taken.
        guard length <= input.count * 22 else { throw .corrupt(.snappy) }
        let target = writer.append(uninitialized: length).assumingMemoryBound(to: CChar.self)
        guard snappy_uncompress(source, input.count, target, &length) == SNAPPY_OK else { throw .corrupt(.snappy) }
    }

    // MARK: lz4

    private func decompressLZ4(
        _ input: UnsafeRawBufferPointer, into writer: inout ByteWriter, _ limit: Int
    ) throws(CompressionError) {
        if let lz4Decoder {
            LZ4F_resetDecompressionContext(lz4Decoder)
        } else if LZ4F_isError(LZ4F_createDecompressionContext(&lz4Decoder, UInt32(LZ4F_VERSION))) != 0 {
            throw .unavailable(.lz4)
        }
        let decoder = lz4Decoder
        var position = 0
        try stream(.lz4, inputBytes: input.count, into: &writer, limit) { memory throws(CompressionError) in
            var written = memory.count
            var used = input.count - position
            let from = input.baseAddress.map { $0 + position }
            let hint = LZ4F_decompress(decoder, memory.baseAddress, &written, from, &used, nil)
            guard LZ4F_isError(hint) == 0 else { throw .corrupt(.lz4) }
            position += used
            let isAtEnd = position == input.count
            // A hint of 0 ends a frame; another may follow, which the next call begins.
            return Step(
                written: written, isComplete: isAtEnd && hint == 0 && !input.isEmpty,
                isStarved: isAtEnd && hint != 0 && written < memory.count || input.isEmpty)
        }
    }

    // MARK: zstd

    private func decompressZstd(
        _ input: UnsafeRawBufferPointer, into writer: inout ByteWriter, _ limit: Int
    ) throws(CompressionError) {
        if zstdDecoder == nil { zstdDecoder = ZSTD_createDCtx() }
        guard let decoder = zstdDecoder else { throw .unavailable(.zstd) }
        ZSTD_DCtx_reset(decoder, ZSTD_reset_session_only)
        // A window of up to 128 MiB, the library's default limit, is address space until output fills it.
        defer {
            if ZSTD_sizeof_DCtx(decoder) > Self.maxKeptDecoderBytes {
                ZSTD_freeDCtx(decoder)
                zstdDecoder = nil
            }
        }
        var source = ZSTD_inBuffer(src: input.baseAddress, size: input.count, pos: 0)
        // With room for all that the frame announces, the library decodes into it directly, without a window.
        let announced = Int(exactly: ZSTD_getFrameContentSize(input.baseAddress, input.count)) ?? 0
        try stream(.zstd, inputBytes: input.count, expecting: announced, into: &writer, limit) {
            memory throws(CompressionError) in
            var target = ZSTD_outBuffer(dst: memory.baseAddress, size: memory.count, pos: 0)
            let hint = ZSTD_decompressStream(decoder, &target, &source)
            guard ZSTD_isError(hint) == 0 else { throw .corrupt(.zstd) }
            let isAtEnd = source.pos == source.size
            // A hint of 0 ends a frame; another may follow, which the next call begins.
            return Step(
                written: target.pos, isComplete: isAtEnd && hint == 0 && !input.isEmpty,
                isStarved: isAtEnd && hint != 0 && target.pos < target.size || input.isEmpty)
        }
    }
}
