import KafkaModel
import Testing

@Suite struct TopicIDTests {
    @Test func textFormRoundTrips() {
        for _ in 0..<200 {
            let id = TopicID.random()
            #expect(id.description.count == 22)
            #expect(TopicID(id.description) == id)
        }
        #expect(TopicID.zero.description == "AAAAAAAAAAAAAAAAAAAAAA")
        #expect(TopicID("short") == nil)
    }

    @Test func sequenceWrapsAtTheLargestInt32() {
        #expect(Sequence32(.max).advanced(by: 1) == Sequence32(0))
        #expect(Sequence32(.max - 1).advanced(by: 5) == Sequence32(3))
    }

    @Test func illegalTopicNamesAreNamed() {
        #expect(TopicName.problem("orders.v1-x_2") == nil)
        for bad in ["", ".", "..", "a b", "ü", String(repeating: "x", count: 250)] {
            #expect(TopicName.problem(bad) != nil)
        }
    }
}
