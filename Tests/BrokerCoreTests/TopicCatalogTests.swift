import BrokerTestKit
import KafkaModel
import Testing

@testable import BrokerCore

@Suite struct TopicCatalogTests {
    private func catalog(_ names: [String]) -> TopicCatalog {
        let topics = names.map { Topic(name: $0, id: .random(), partitions: [], settings: TopicSettings()) }
        return TopicCatalog(topics, version: 1)
    }

    private static let seed: UInt64 = 0x65e8_c3da_5607_3e31

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

    /// The fold of eight bytes at once is that of each of them, for every byte in every place.
    @Test func aWordIsFoldedAsItsBytesAre() {
        for place in 0..<8 {
            for byte in UInt8.min ... .max {
                for neighbours in [UInt8(ascii: "."), UInt8(ascii: "/"), UInt8(ascii: "a"), 0, 0xff] {
                    var bytes = [UInt8](repeating: neighbours, count: 8)
                    bytes[place] = byte
                    let folded = bytes.map(TopicBucket.folded)
                    let word = bytes.withUnsafeBytes { $0.load(as: UInt64.self) }
                    #expect(TopicBucket.foldedWord(word) == folded.withUnsafeBytes { $0.load(as: UInt64.self) })
                }
            }
        }
    }

    /// 256 buckets of 40,000 names hold about 156 each, and the rest of the hash tells those of a bucket apart.
    @Test func hashesOfLikeNamesAreSpread() {
        for name in ["t-", "a.long.name.of.a.team.with-a-number-", ""] {
            for ending in ["", "-events"] {
                let hashes = (0..<40_000).map { number in
                    Array("\(name)\(number)\(ending)".utf8).withUnsafeBytes {
                        TopicBucket.nameHash($0, seed: Self.seed)
                    }
                }
                #expect(Set(hashes).count == hashes.count)
                let buckets = Dictionary(grouping: hashes) { $0 >> 40 & 255 }
                #expect(buckets.count == 256)
                #expect(buckets.values.allSatisfy { (80...280).contains($0.count) })
                #expect(buckets.values.allSatisfy { Set($0.map { $0 & 1023 }).count > $0.count * 8 / 10 })
            }
        }
    }

    /// Names that were chosen to fall together in one broker are spread in the next.
    @Test func whereANameFallsCannotBeKnown() {
        let names = (0..<50_000).map { Array("t-\($0)".utf8) }
        func place(_ name: [UInt8], _ seed: UInt64) -> Int {
            name.withUnsafeBytes { TopicBucket.nameHash($0, seed: seed) } >> 40 & 255
        }
        let chosen = names.filter { place($0, Self.seed) == 7 }
        #expect((150...250).contains(chosen.count))
        let others = Dictionary(grouping: chosen) { place($0, 0xf3d6_8e9e_84ea_f0dc) }
        #expect(others.count > 100 && others.values.allSatisfy { $0.count < 10 })
        #expect(catalog([]).seed != catalog([]).seed)
        let catalog = catalog(["a"])
        let next = Topic(name: "b", id: .random(), partitions: [], settings: TopicSettings())
        #expect(catalog.replacing(next, version: 2).removing(named: "a", version: 3).seed == catalog.seed)
    }

    @Test func anEmptyCatalogFindsNothing() {
        #expect(find("t", in: catalog([])) == nil)
        #expect(find("", in: catalog([])) == nil)
    }

    /// Random changes, held against a dictionary.
    @Test func changesGiveWhatADictionaryGives() {
        let seed = UInt64.random(in: 0 ... .max)
        var random = SeededRandom(seed: seed)
        var model: [String: Topic] = [:]
        var catalog = catalog([])
        for step in 0..<5000 {
            let name = "t.\(random.next() % 600)"
            if random.next() % 3 == 0 {
                model[name] = nil
                catalog = catalog.removing(named: name, version: Int64(step))
            } else {
                let topic = Topic(name: name, id: .random(), partitions: [], settings: TopicSettings())
                model[name] = topic
                catalog = catalog.replacing(topic, version: Int64(step))
            }
            #expect(catalog.topicCount == model.count)
            #expect(catalog.topic(named: name) === model[name], "seed \(seed), step \(step)")
            #expect(catalog.version == Int64(step))
        }
        #expect(Set(catalog.topics.map(ObjectIdentifier.init)) == Set(model.values.map(ObjectIdentifier.init)))
        #expect(catalog.sortedTopics.map(\.name) == model.keys.sorted())
        for topic in model.values { #expect(catalog.topic(id: topic.id) === topic) }
    }

    @Test func oneOfTenThousandTopicsCostsAFewOthers() {
        var catalog = catalog([])
        var moved = 0
        for number in 0..<10_000 {
            let topic = Topic(name: "topic-\(number)", id: .random(), partitions: [], settings: TopicSettings())
            catalog = catalog.replacing(topic, version: Int64(number))
            moved += catalog.movedTopics
        }
        #expect(catalog.topicCount == 10_000)
        // By name and by id, half of 40 on average; when all were moved each time it was 100 million.
        #expect(moved < 10_000 * 60)
    }

    @Test func namesThatDifferInDotsAndUnderscoresCollide() {
        let catalog = catalog(["a.b_c", "plain"] + (0..<1000).map { "other-\($0)" })
        for name in ["a.b_c", "a_b_c", "a.b.c", "a_b.c"] {
            #expect(catalog.topic(collidingWith: name)?.name == "a.b_c")
        }
        for name in ["a-b_c", "a.b", "a.b_c_", "ab"] { #expect(catalog.topic(collidingWith: name) == nil) }
        #expect(catalog.topic(named: "a_b_c") == nil)
    }

    @Test func partitionsOutsideTheTopicAreNil() throws {
        let node = try SimulatedBroker()
        let topic = try node.broker.createTopic("t", partitions: 2).get()
        #expect(topic.partition(1) === topic.partitions[1])
        for index: Int32 in [-1, 2, .min, .max] { #expect(topic.partition(index) == nil) }
        #expect(node.broker.catalog.partitionCount == 3)
    }
}
