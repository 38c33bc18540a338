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
        // The words of Apache Kafka 4.3.1.
        let strange = "contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
        let long = String(repeating: "x", count: 250)
        for (bad, what) in [
            ("", "the empty string is not allowed"), (".", "'.' is not allowed"), ("..", "'..' is not allowed"),
            ("a b", "'a b' \(strange)"), ("ü", "'ü' \(strange)"),
            (long, "the length of '\(long)' is longer than the max allowed length 249"),
        ] {
            #expect(TopicName.problem(bad) == "Topic name is invalid: \(what)")
        }
    }
}
