import BrokerTestKit
import Testing

@Suite struct TestKitTests {
    @Test func randomNumbersRepeatWithTheirSeed() {
        var first = SeededRandom(seed: 42)
        var second = SeededRandom(seed: 42)
        var other = SeededRandom(seed: 43)
        let numbers = (0..<100).map { _ in first.next() }
        #expect(numbers == (0..<100).map { _ in second.next() })
        #expect(numbers != (0..<100).map { _ in other.next() })
        #expect(Set(numbers).count == 100)
    }

    @Test func chancesAtTheEndsAreCertain() {
        var random = SeededRandom(seed: 1)
        #expect((0..<1000).allSatisfy { _ in !random.chance(0) && random.chance(1) })
        #expect((0..<1000).allSatisfy { _ in (3...5).contains(random.number(in: 3...5)) })
    }

    @Test func theClockMovesOnlyWhenItIsMoved() {
        let clock = ManualClock(nanoseconds: 0, wallClockMs: 1000)
        for _ in 0..<4 { clock.advance(by: .microseconds(600)) }
        #expect(clock.nanoseconds == 2_400_000 && clock.wallClockMs == 1002, "parts of a millisecond add up")
        clock.setWallClock(ms: 5)
        #expect(clock.wallClockMs == 5 && clock.nanoseconds == 2_400_000)
    }

    @Test func checksumMatchesThePublishedVector() {
        let crc = Array("123456789".utf8).withUnsafeBytes { testCRC32C($0) }
        #expect(crc == 0xE306_9283)
    }

    @Test func aBatchHasTheLayoutOfMagicTwo() {
        var batch = TestBatch([
            TestRecord(key: "k", "v"), TestRecord(value: nil, headers: [.init("h", [1])], timestampDelta: 5),
        ])
        batch.baseOffset = 7
        batch.producerID = 9
        batch.isTransactional = true
        let bytes = batch.bytes()
        func integer(_ range: Range<Int>) -> Int { bytes[range].reduce(0) { $0 << 8 | Int($1) } }
        #expect(integer(0..<8) == 7)
        #expect(integer(8..<12) == bytes.count - 12)
        #expect(bytes[16] == 2)
        #expect(integer(17..<21) == Int(bytes[21...].withUnsafeBytes { testCRC32C($0) }))
        #expect(integer(21..<23) == 0x10)
        #expect(integer(23..<27) == 1)
        #expect(integer(35..<43) == integer(27..<35) + 5)
        #expect(integer(43..<51) == 9)
        #expect(integer(57..<61) == 2)
        // length 8, attributes, timestamp delta, offset delta, key length 1, "k", value length 1, "v", no headers
        #expect(bytes[61..<70].elementsEqual([16, 0, 0, 0, 2, UInt8(ascii: "k"), 2, UInt8(ascii: "v"), 0]))
        // a record without key and value, with one header
        #expect(bytes[70...].elementsEqual([20, 0, 10, 2, 1, 1, 2, 2, UInt8(ascii: "h"), 2, 1]))
    }
}
