import KafkaModel
import Testing

@Suite struct Murmur2Tests {
    private func hash(_ key: String) -> Int32 {
        Array(key.utf8).withUnsafeBytes { Int32(bitPattern: Murmur2.hash($0)) }
    }

    /// The values of Kafka's own test of its partitioner (`UtilsTest.testMurmur2`).
    @Test func hashesAreThoseOfKafkasClients() {
        #expect(hash("21") == -973_932_308)
        #expect(hash("foobar") == -790_332_482)
        #expect(hash("a-little-bit-long-string") == -985_981_536)
        #expect(hash("a-little-bit-longer-string") == -1_486_304_829)
        #expect(hash("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8") == -58_897_971)
        #expect(hash("abc") == 479_470_107)
    }

    @Test func everyPartitionIsReached() {
        var reached = Set<Int>()
        for number in 0..<200 {
            let key = Array("key-\(number)".utf8)
            reached.insert(key.withUnsafeBytes { Murmur2.partition(of: $0, among: 7) })
        }
        #expect(reached == Set(0..<7))
    }
}
