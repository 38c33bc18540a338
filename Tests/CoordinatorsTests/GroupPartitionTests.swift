import Coordinators
import Testing

@Suite struct GroupPartitionTests {
    /// Java's `String.hashCode`, of strings whose hashes are documented or easily done by hand.
    @Test func partitionIsJavasHashModuloTheCount() {
        #expect(groupPartition("", count: 50) == 0)
        #expect(groupPartition("a", count: 50) == 97 % 50)
        #expect(groupPartition("ab", count: 50) == (97 * 31 + 98) % 50)
        // 99162322 and -1524582912 by Java.
        #expect(groupPartition("hello", count: 50) == 99_162_322 % 50)
        #expect(groupPartition("hello world", count: 1_000) == 1_794_106_052 % 1_000)
    }

    @Test func hashOverflowsAndIsTakenOverUTF16() {
        // "polygenelubricants" is known to hash to the most negative number, whose absolute value Kafka takes as 0.
        #expect(groupPartition("polygenelubricants", count: 50) == 0)
        // U+1F600 is two UTF-16 units: 0xd83d, 0xde00.
        #expect(groupPartition("\u{1F600}", count: 1_000_003) == (0xd83d * 31 + 0xde00) % 1_000_003)
    }

    @Test func everyPartitionIsReached() {
        let partitions = Set((0..<1_000).map { groupPartition("group-\($0)", count: 50) })
        #expect(partitions == Set(0..<50))
    }
}
