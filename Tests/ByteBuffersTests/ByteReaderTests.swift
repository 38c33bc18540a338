import ByteBuffers
import Testing

@Suite struct ByteReaderTests {
    @Test func varintsRoundTrip() throws {
        for value: Int64 in [0, -1, 1, 63, -64, 64, 300, -301, .max, .min, Int64(Int32.max), Int64(Int32.min)] {
            var writer = ByteWriter()
            writer.varlong(value)
            let array = writer.array
            let read = try array.withUnsafeBytes { bytes throws in
                var reader = ByteReader(bytes)
                return try reader.varlong()
            }
            #expect(read == value)
        }
        for value: Int32 in [0, -1, 1, 63, -64, 64, 300, .max, .min] {
            var writer = ByteWriter()
            writer.varint(value)
            let array = writer.array
            let read = try array.withUnsafeBytes { bytes throws in
                var reader = ByteReader(bytes)
                return try reader.varint()
            }
            #expect(read == value)
        }
    }

    @Test func overlongVarintIsRefused() {
        let bytes: [UInt8] = [0xff, 0xff, 0xff, 0xff, 0xff, 0x01]
        #expect(throws: DecodeError.self) {
            try bytes.withUnsafeBytes { raw throws in
                var reader = ByteReader(raw)
                _ = try reader.unsignedVarint()
            }
        }
    }

    @Test func readingPastTheEndSaysWhere() {
        let bytes: [UInt8] = [1, 2, 3]
        bytes.withUnsafeBytes { raw in
            var reader = ByteReader(raw)
            _ = try? reader.int16()
            do throws(DecodeError) {
                _ = try reader.int16()
                Issue.record("read past the end")
            } catch {
                #expect(error == .truncated(position: 2))
            }
        }
    }

    @Test func chunksReturnToTheirPool() {
        let pool = ChunkPool()
        var address: UnsafeMutableRawPointer?
        do {
            let chunk = pool.chunk(atLeast: 5000)
            #expect(chunk.capacity == 16 << 10)
            #expect(pool.outstandingBytes == 16 << 10)
            address = chunk.base
        }
        #expect(pool.outstandingBytes == 0)
        #expect(pool.chunk(atLeast: 16 << 10).base == address)
    }

    /// They stand behind what was read, in logs and in what our commands print.
    @Test func errorsAreWords() {
        #expect("\(DecodeError.truncated(position: 5))" == "it ends too early, at byte 5")
        #expect("\(DecodeError.invalid("magic", position: 0))" == "invalid magic at byte 0")
    }
}
