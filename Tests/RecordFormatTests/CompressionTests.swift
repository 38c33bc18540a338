import ByteBuffers
import RecordFormat
import Testing

@Suite struct CompressionTests {
    static let codecs: [Compression] = [.gzip, .snappy, .lz4, .zstd]
    let context = CompressionContext()

    func compressed(
        _ codec: Compression, _ bytes: [UInt8], level: Int32? = nil, framing: SnappyFraming = .xerial
    ) throws(CompressionError) -> [UInt8] {
        var writer = ByteWriter()
        try bytes.withRawBytes { raw throws(CompressionError) in
            try context.compress(codec, level: level, snappyFraming: framing, raw, into: &writer)
        }
        return writer.array
    }

    func decompressed(
        _ codec: Compression, _ bytes: [UInt8], limit: Int = 64 << 20
    ) throws(CompressionError) -> [UInt8] {
        var writer = ByteWriter()
        try bytes.withRawBytes { raw throws(CompressionError) in
            try context.decompress(codec, raw, into: &writer, outputLimit: limit)
        }
        return writer.array
    }

    @Test(arguments: Compression.allCases)
    func anySizeRoundTrips(codec: Compression) throws {
        var random = SeededGenerator(seed: 0x5eed_0030)
        let sizes = [0, 1, 2, 100, 4_095, 4_096, 32_767, 32_768, 32_769, 65_536, 65_537, 300_000, 3_000_000]
        for size in sizes {
            for plain in [random.text(size), size <= 300_000 ? random.bytes(size) : [UInt8](repeating: 7, count: size)]
            {
                let packed = try compressed(codec, plain)
                #expect(packed.count <= context.bound(codec, count: size))
                #expect(try decompressed(codec, packed) == plain, "\(size)")
                #expect(try decompressed(codec, packed, limit: size) == plain, "\(size)")
            }
        }
    }

    @Test func levelsAndFramingsRoundTrip() throws {
        var random = SeededGenerator(seed: 0x5eed_0031)
        let plain = random.text(100_000)
        for level: Int32 in [1, 6, 9, 1] {
            #expect(try decompressed(.gzip, try compressed(.gzip, plain, level: level)) == plain)
            #expect(try decompressed(.lz4, try compressed(.lz4, plain, level: level)) == plain)
            #expect(try decompressed(.zstd, try compressed(.zstd, plain, level: level)) == plain)
        }
        #expect(try decompressed(.zstd, try compressed(.zstd, plain, level: -5)) == plain)
        let raw = try compressed(.snappy, plain, framing: .raw)
        let xerial = try compressed(.snappy, plain, framing: .xerial)
        #expect(try decompressed(.snappy, raw) == plain)
        #expect(try decompressed(.snappy, xerial) == plain)
        #expect(xerial.starts(with: [0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0, 0, 0, 0, 1, 0, 0, 0, 1]))
        #expect(!raw.starts(with: [0x82, 0x53]))
    }

    @Test func framesOneAfterTheOtherAreOneInput() throws {
        let first = Array("first part, ".utf8)
        let second = Array("second part".utf8)
        for codec in Self.codecs {
            let packed = try compressed(codec, first) + compressed(codec, second)
            #expect(try decompressed(codec, packed) == first + second, "\(codec)")
        }
    }

    @Test func limitStopsABomb() throws {
        let bomb = [UInt8](repeating: 0, count: 20_000_000)
        for codec in Self.codecs {
            let packed = try compressed(codec, bomb)
            for limit in [0, 1, 1_000, 4_096, 1 << 20, bomb.count - 1] {
                #expect(throws: CompressionError.outputLimit(limit), "\(codec)") {
                    try decompressed(codec, packed, limit: limit)
                }
            }
            #expect(try decompressed(codec, packed, limit: bomb.count).count == bomb.count)
        }
        #expect(throws: CompressionError.outputLimit(3)) { try decompressed(.none, [1, 2, 3, 4], limit: 3) }
    }

    @Test func announcedLengthsTakeNoMemory() {
        // Raw snappy that announces 4 GiB less one byte, and one that announces more than its bytes can give.
        #expect(throws: CompressionError.outputLimit(1 << 20)) {
            try decompressed(.snappy, [0xff, 0xff, 0xff, 0xff, 0x0f, 0x00], limit: 1 << 20)
        }
        #expect(throws: CompressionError.corrupt(.snappy)) {
            try decompressed(.snappy, [0xff, 0xff, 0x3f, 0x00], limit: 1 << 30)
        }
        // A xerial block that is longer than the input.
        #expect(throws: CompressionError.corrupt(.snappy)) {
            try decompressed(
                .snappy, [0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff])
        }
    }

    @Test func everyTruncationIsCorrupt() throws {
        var random = SeededGenerator(seed: 0x5eed_0032)
        let plain = random.text(2_000)
        for codec in Self.codecs {
            let packed = try compressed(codec, plain)
            for length in 0..<packed.count {
                // The header alone of a xerial stream is a stream of nothing.
                if codec == .snappy, length == 16 { continue }
                #expect(throws: CompressionError.corrupt(codec), "\(codec) cut to \(length)") {
                    try decompressed(codec, Array(packed[..<length]))
                }
            }
            #expect(throws: CompressionError.corrupt(codec)) { try decompressed(codec, packed + [1, 2, 3]) }
        }
    }

    @Test func garbageIsCorruptAndTheContextStaysUsable() throws {
        var random = SeededGenerator(seed: 0x5eed_0033)
        let plain = random.text(500)
        for codec in Self.codecs {
            for _ in 0..<300 {
                let garbage = random.bytes(Int.random(in: 0...120, using: &random))
                // A few of random bytes may be a block of raw snappy.
                if codec == .snappy {
                    _ = try? decompressed(codec, garbage, limit: 10_000)
                } else {
                    #expect(throws: CompressionError.self) { try decompressed(codec, garbage, limit: 10_000) }
                }
            }
            var flipped = try compressed(codec, plain)
            for position in flipped.indices {
                flipped[position] ^= 0x55
                _ = try? decompressed(codec, flipped, limit: 10_000)
                flipped[position] ^= 0x55
            }
            #expect(try decompressed(codec, flipped) == plain)
        }
    }

    @Test func aFailureLeavesTheWriterAsItWas() throws {
        var writer = ByteWriter()
        writer.utf8("before")
        let packed = try compressed(.zstd, [UInt8](repeating: 1, count: 100_000))
        packed.withUnsafeBytes { raw in
            for codec in Compression.allCases {
                let failed: Bool
                do {
                    try context.decompress(codec, raw, into: &writer, outputLimit: 5)
                    failed = false
                } catch {
                    failed = true
                }
                #expect(failed)
                #expect(writer.array == Array("before".utf8))
            }
        }
    }

    @Test func namesAreThoseOfConfiguration() {
        for codec in Compression.allCases { #expect(Compression(name: codec.name) == codec) }
        #expect(Compression(name: "producer") == nil)
    }
}
