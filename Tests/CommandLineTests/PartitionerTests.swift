import KafkaClient
import Testing

@Suite struct PartitionerTests {
    /// The vectors of the Java client's own test of its murmur2.
    @Test(arguments: [
        ("21", -973_932_308), ("foobar", -790_332_482), ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971), ("abc", 479_470_107),
    ])
    func murmur2IsTheJavaClients(key: String, expected: Int) {
        #expect(Int32(bitPattern: Partitioner.murmur2(Array(key.utf8))) == Int32(expected))
    }

    @Test func theSignBitIsClearedNotNegated() {
        // murmur2("foobar") is negative.
        #expect(
            Partitioner.partition(of: Array("foobar".utf8), count: 1000) == Int32(UInt32(3_504_634_814) & 0x7fff_ffff)
                % 1000)
        #expect(Partitioner.partition(of: [], count: 7) >= 0)
    }
}

@Suite struct AssignorTests {
    private func members(_ topics: [String]...) -> [Assignor.Member] {
        topics.enumerated().map { Assignor.Member(memberID: "m\($0.offset)", topics: $0.element) }
    }

    private func numbers(_ names: [PartitionName]?) -> [String] { names?.map(\.description) ?? ["nothing"] }

    @Test func rangeGivesTheFirstMembersOneMore() {
        let result = Assignor.range.assign(members(["t"], ["t"], ["t"]), counts: ["t": 7])
        #expect(numbers(result["m0"]) == ["t-0", "t-1", "t-2"])
        #expect(numbers(result["m1"]) == ["t-3", "t-4"])
        #expect(numbers(result["m2"]) == ["t-5", "t-6"])
    }

    @Test func rangeDealsTopicByTopic() {
        let result = Assignor.range.assign(members(["a", "b"], ["b"]), counts: ["a": 2, "b": 3])
        #expect(numbers(result["m0"]) == ["a-0", "a-1", "b-0", "b-1"])
        #expect(numbers(result["m1"]) == ["b-2"])
    }

    @Test func roundRobinSkipsMembersWithoutTheTopic() {
        let result = Assignor.roundrobin.assign(members(["a"], ["a", "b"], ["b"]), counts: ["a": 3, "b": 3])
        #expect(numbers(result["m0"]) == ["a-0", "a-2"])
        #expect(numbers(result["m1"]) == ["a-1", "b-0", "b-2"])
        #expect(numbers(result["m2"]) == ["b-1"])
    }

    @Test func membersBeyondThePartitionsGetNone() {
        for assignor in Assignor.allCases {
            let result = assignor.assign(members(["t"], ["t"]), counts: ["t": 1])
            #expect(result["m0"]?.count == 1 && result["m1"]?.isEmpty == true)
        }
    }

    @Test func aTopicThatDoesNotExistIsLeftOut() {
        for assignor in Assignor.allCases {
            #expect(assignor.assign(members(["missing"]), counts: [:])["m0"] == [])
            #expect(assignor.assign(members(["a"]), counts: ["b": 2])["m0"] == [])
        }
    }

    @Test func staticMembersComeFirstByTheirInstance() {
        let members = [
            Assignor.Member(memberID: "a", topics: ["t"]),
            Assignor.Member(memberID: "z", groupInstanceID: "1", topics: ["t"]),
            Assignor.Member(memberID: "y", groupInstanceID: "2", topics: ["t"]),
        ]
        let result = Assignor.range.assign(members, counts: ["t": 3])
        #expect(numbers(result["z"]) == ["t-0"] && numbers(result["y"]) == ["t-1"] && numbers(result["a"]) == ["t-2"])
    }

    @Test func everyPartitionGoesToExactlyOneSubscriber() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<200 {
            let counts = Dictionary(
                uniqueKeysWithValues: (0..<Int.random(in: 1...4, using: &generator)).map {
                    ("t\($0)", Int32.random(in: 1...9, using: &generator))
                })
            let members = (0..<Int.random(in: 1...5, using: &generator)).map { index in
                Assignor.Member(
                    memberID: "m\(index)", topics: counts.keys.filter { _ in Bool.random(using: &generator) })
            }
            for assignor in Assignor.allCases {
                let result = assignor.assign(members, counts: counts)
                #expect(Set(result.keys) == Set(members.map(\.memberID)))
                var seen: Set<PartitionName> = []
                for member in members {
                    for name in result[member.memberID]! {
                        #expect(member.topics.contains(name.topic) && seen.insert(name).inserted)
                    }
                }
                let wanted = counts.filter { topic, _ in members.contains { $0.topics.contains(topic) } }
                #expect(seen.count == Int(wanted.values.reduce(0, +)))
            }
        }
    }
}
