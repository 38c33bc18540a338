import KafkaModel
import QueueLedger
import Testing

@Suite struct ReceiptSealTests {
    private let partition = TopicPartition(topicID: TopicID(high: 5, low: 6), partitionIndex: 7)
    private let receipt = Receipt(offset: Offset(1 << 40), lease: LeaseNumber(rawValue: .max - 3))

    @Test func aHandleNamesItsReceipt() throws {
        let seal = ReceiptSeal(key: [UInt8](repeating: 1, count: 32))
        let handle = seal.handle(for: receipt, of: partition)
        #expect(handle.utf8.count == ReceiptSeal.handleLength)
        let opened = try #require(seal.open(handle))
        #expect(opened.receipt == receipt && opened.partition == partition)
    }

    @Test func nobodyElseMakesAHandle() {
        let seal = ReceiptSeal(key: [UInt8](repeating: 1, count: 32))
        let handle = seal.handle(for: receipt, of: partition)
        #expect(ReceiptSeal(key: [UInt8](repeating: 2, count: 32)).open(handle) == nil)
        for at in handle.indices {
            var changed = handle
            changed.replaceSubrange(at...at, with: changed[at] == "A" ? "B" : "A")
            // The last character has bits that stand for nothing, and must be zero.
            #expect(seal.open(changed) == nil, "character \(handle.distance(from: handle.startIndex, to: at))")
        }
        for text in ["", "x", handle + "A", String(handle.dropLast()), String(repeating: "é", count: 36)] {
            #expect(seal.open(text) == nil)
        }
    }
}
