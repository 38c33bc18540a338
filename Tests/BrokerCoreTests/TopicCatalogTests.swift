import KafkaModel
import Testing

@testable import BrokerCore

@Suite struct TopicCatalogTests {
    private func catalog(_ names: [String]) -> TopicCatalog {
        let topics = names.map { Topic(name: $0, id: .random(), partitions: [], settings: TopicSettings()) }
        return TopicCatalog(Dictionary(uniqueKeysWithValues: topics.map { ($0.name, $0) }), version: 1)
    }

    private func find(_ name: String, in catalog: TopicCatalog) -> Topic? {
        Array(name.utf8).withUnsafeBytes { catalog.topic(named: $0) }
    }

    @Test func everyTopicIsFoundByItsBytes() {
        for count in [0, 1, 7, 8, 9, 5000] {
            let names = (0..<count).map { "topic-\($0)" }
            let catalog = catalog(names)
            for name in names {
                let found = find(name, in: catalog)
                #expect(found?.name == name)
                #expect(found === catalog.topic(named: name))
                #expect(found.flatMap { catalog.topic(id: $0.id) } === found)
            }
        }
    }

    @Test func othersAreNotFound() {
        let catalog = catalog((0..<5000).map { "topic-\($0)" })
        for name in [
            "", "topic-", "topic-5000", "topic-00", "Topic-1", "topic-1\u{0}", String(repeating: "x", count: 249),
        ] {
            #expect(find(name, in: catalog) == nil)
            #expect(catalog.topic(named: name) == nil)
        }
        for number in 5000..<10_000 { #expect(find("topic-\(number)", in: catalog) == nil) }
        #expect(catalog.topic(id: .random()) == nil)
        // Bytes that are no text.
        #expect([0xff, 0xfe, 0x00].withUnsafeBytes { catalog.topic(named: $0) } == nil)
    }

    @Test func anEmptyCatalogFindsNothing() {
        #expect(find("t", in: catalog([])) == nil)
        #expect(find("", in: catalog([])) == nil)
    }

    @Test func partitionsOutsideTheTopicAreNil() throws {
        let node = try SimulatedBroker()
        let topic = try node.broker.createTopic("t", partitions: 2).get()
        #expect(topic.partition(1) === topic.partitions[1])
        for index: Int32 in [-1, 2, .min, .max] { #expect(topic.partition(index) == nil) }
        #expect(node.broker.catalog.partitionCount == 3)
    }
}
