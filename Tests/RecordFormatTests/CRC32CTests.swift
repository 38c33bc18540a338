import CChecksum
import RecordFormat
import Testing

@Suite struct CRC32CTests {
    /// RFC 3720, appendix B.4, and the usual check value.
    static let vectors: [(bytes: [UInt8], crc: UInt32)] = [
        (Array("123456789".utf8), 0xe306_9283),
        ([], 0),
        ([UInt8](repeating: 0, count: 32), 0x8a91_36aa),
        ([UInt8](repeating: 0xff, count: 32), 0x62a8_ab43),
        (Array(0..<32), 0x46dd_794e),
        (Array((0..<32).reversed()), 0x113f_db5c),
    ]

    @Test func knownVectorsHoldForEveryImplementation() {
        for (bytes, crc) in Self.vectors {
            bytes.withUnsafeBytes { raw in
                #expect(CRC32C.checksum(raw) == crc)
                for index in 0..<millrace_crc32c_count() {
                    #expect(
                        millrace_crc32c_run(index, 0, raw.baseAddress, raw.count) == crc,
                        "\(String(cString: millrace_crc32c_name_at(index)))")
                }
            }
        }
    }

    @Test func everyImplementationAgreesOnRandomLengthsAndAlignments() {
        let seed: UInt64 = 0x5eed_0001
        var random = SeededGenerator(seed: seed)
        let memory = random.bytes(70_000)
        memory.withUnsafeBytes { raw in
            for round in 0..<3_000 {
                let offset = Int.random(in: 0..<80, using: &random)
                let longest = round % 50 == 0 ? 69_000 : 2_500
                let length = Int.random(in: 0...longest, using: &random)
                let start = UInt32.random(in: .min ... .max, using: &random)
                let expected = millrace_crc32c_run(0, start, raw.baseAddress! + offset, length)
                for index in 1..<max(millrace_crc32c_count(), 1) {
                    let got = millrace_crc32c_run(index, start, raw.baseAddress! + offset, length)
                    if got != expected {
                        Issue.record("\(String(cString: millrace_crc32c_name_at(index))) at \(offset), \(length) bytes")
                    }
                }
            }
        }
    }

    @Test func everyLengthUpToAFewFoldsAgrees() {
        var random = SeededGenerator(seed: 0x5eed_0002)
        let memory = random.bytes(1_200)
        memory.withUnsafeBytes { raw in
            for length in 0...1_100 {
                let expected = millrace_crc32c_run(0, 7, raw.baseAddress! + 5, length)
                for index in 1..<max(millrace_crc32c_count(), 1) {
                    if millrace_crc32c_run(index, 7, raw.baseAddress! + 5, length) != expected {
                        Issue.record("\(String(cString: millrace_crc32c_name_at(index))), \(length) bytes")
                    }
                }
            }
        }
    }

    @Test func seedContinuesOverAnySplit() {
        var random = SeededGenerator(seed: 0x5eed_0003)
        let bytes = random.bytes(900)
        bytes.withUnsafeBytes { raw in
            let whole = CRC32C.checksum(raw)
            for split in 0...raw.count {
                let head = CRC32C.checksum(UnsafeRawBufferPointer(rebasing: raw[..<split]))
                #expect(CRC32C.checksum(UnsafeRawBufferPointer(rebasing: raw[split...]), seed: head) == whole)
            }
        }
    }

    @Test func chosenImplementationIsTheLastOne() {
        #expect(CRC32C.implementation == String(cString: millrace_crc32c_name_at(millrace_crc32c_count() - 1)))
    }
}
