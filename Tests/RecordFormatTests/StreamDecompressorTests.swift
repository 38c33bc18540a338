import ByteBuffers
import RecordFormat
import Testing

/// Texts that are unpacked part by part, held against what the whole is unpacked to.
@Suite struct StreamDecompressorTests {
    private static let limits = StreamDecompressor.Limits(
        maxRatio: 100, ratioFreeBytes: 1 << 20, maxWindowBytes: 8 << 20)

    private static func pack(_ codec: Compression, _ bytes: [UInt8]) throws -> [UInt8] {
        var writer = ByteWriter()
        try bytes.withRawBytes { raw throws(CompressionError) in
            try CompressionContext().compress(codec, raw, into: &writer)
        }
        return writer.array
    }

    /// Hands on `input` in pieces of `size` bytes, with `room` bytes for what comes of it.
    private static func unpack(
        _ codec: Compression, _ input: [UInt8], of size: Int, room: Int, _ limits: StreamDecompressor.Limits = limits
    ) throws(CompressionError) -> (text: [UInt8], isAtEnd: Bool) {
        let decompressor = try StreamDecompressor(codec, limits)
        var text: [UInt8] = []
        var (start, end) = (0, 0)
        var place = [UInt8](repeating: 0, count: room)
        while true {
            end = min(input.count, end + size)
            let piece = Array(input[start..<end])
            var step = StreamDecompressor.Step(used: 0, written: 0)
            try piece.withRawBytes { raw throws(CompressionError) in
                let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: room, alignment: 1)
                defer { memory.deallocate() }
                step = try decompressor.advance(raw, into: memory)
                place = Array(memory[..<step.written])
            }
            text += place
            start += step.used
            if end == input.count, step.written == 0, step.used == 0 { break }
        }
        return (text, decompressor.isAtEnd && start == input.count)
    }

    @Test(arguments: [Compression.gzip, .zstd])
    func everyPieceAndEveryRoomGivesTheText(codec: Compression) throws {
        var random = SeededGenerator(seed: 0x5eed_0040)
        let text = random.text(700)
        let packed = try Self.pack(codec, text)
        for size in [1, 2, 3, 7, 50, packed.count] {
            for room in [1, 2, 13, 100, 10_000] {
                let found = try Self.unpack(codec, packed, of: size, room: room)
                #expect(found.text == text && found.isAtEnd, "\(size), \(room)")
            }
        }
        let long = random.text(300_000)
        let found = try Self.unpack(codec, try Self.pack(codec, long), of: 10_000, room: 20_000)
        #expect(found.text == long && found.isAtEnd)
    }

    @Test(arguments: [Compression.gzip, .zstd])
    func membersFollowEachOther(codec: Compression) throws {
        let packed =
            try Self.pack(codec, Array("one, ".utf8)) + Self.pack(codec, []) + Self.pack(codec, Array("two".utf8))
        for size in 1...packed.count {
            let found = try Self.unpack(codec, packed, of: size, room: 4)
            #expect(found.text == Array("one, two".utf8) && found.isAtEnd, "\(size)")
        }
    }

    @Test(arguments: [Compression.gzip, .zstd])
    func anEndThatIsMissingIsKnownAndGarbageIsRefused(codec: Compression) throws {
        let packed = try Self.pack(codec, Array("some text of some length, some text".utf8))
        for count in 0..<packed.count {
            #expect(try !Self.unpack(codec, Array(packed[..<count]), of: 5, room: 100).isAtEnd, "\(count)")
        }
        #expect(throws: CompressionError.corrupt(codec)) {
            try Self.unpack(codec, packed + Array("garbage, and more of it".utf8), of: 1000, room: 100)
        }
    }

    @Test(arguments: [Compression.gzip, .zstd])
    func whatIsFarMoreThanItsInputIsRefused(codec: Compression) throws {
        let packed = try Self.pack(codec, [UInt8](repeating: 0x20, count: 3 << 20))
        let wide = StreamDecompressor.Limits(maxRatio: 1 << 20, ratioFreeBytes: 1 << 20, maxWindowBytes: 8 << 20)
        #expect(try Self.unpack(codec, packed, of: 1000, room: 100_000, wide).text.count == 3 << 20)
        #expect {
            try Self.unpack(codec, packed, of: 1000, room: 100_000)
        } throws: {
            guard case .outputLimit(let limit)? = $0 as? CompressionError else { return false }
            return limit >= 1 << 20
        }
    }

    /// The client chooses zstd's window: the largest that is taken is all there, and no more than was said.
    @Test func aDecoderTakesNoMoreMemoryThanItSays() throws {
        let large: [UInt8] = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 13 << 3, 0x11, 0, 0, 0x7b, 0x7d]
        for (codec, packed, least) in [
            (Compression.zstd, large, 8 << 20), (.gzip, try Self.pack(.gzip, [1, 2, 3]), 32 << 10),
        ] {
            let decompressor = try StreamDecompressor(codec, Self.limits)
            let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 1, alignment: 1)
            defer { room.deallocate() }
            var start = 0
            repeat {
                let step = try packed.withRawBytes { raw throws(CompressionError) in
                    try decompressor.advance(UnsafeRawBufferPointer(rebasing: raw[start...]), into: room)
                }
                start += step.used
                #expect(decompressor.heldBytes <= StreamDecompressor.mostBytes(codec, Self.limits))
                if step == StreamDecompressor.Step(used: 0, written: 0) { break }
            } while true
            #expect(decompressor.isAtEnd && decompressor.heldBytes >= least, "\(codec)")
        }
        // A limit between two powers of two is the lower one.
        var between = Self.limits
        between.maxWindowBytes = (16 << 20) - 1
        #expect(StreamDecompressor.mostBytes(.zstd, between) == StreamDecompressor.mostBytes(.zstd, Self.limits))
        var larger = large
        larger[5] = 14 << 3
        #expect(throws: CompressionError.corrupt(.zstd)) { try Self.unpack(.zstd, larger, of: 100, room: 100, between) }
    }

    @Test func aWindowThatIsTooLargeIsRefused() throws {
        // A window of 16 MiB, then a raw block that is the last, of two bytes; and the same with one of 8 MiB.
        let large: [UInt8] = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 14 << 3, 0x11, 0, 0, 0x7b, 0x7d]
        #expect(throws: CompressionError.corrupt(.zstd)) { try Self.unpack(.zstd, large, of: 100, room: 100) }
        var fine = large
        fine[5] = 13 << 3
        #expect(try Self.unpack(.zstd, fine, of: 100, room: 100).text == Array("{}".utf8))
    }
}
