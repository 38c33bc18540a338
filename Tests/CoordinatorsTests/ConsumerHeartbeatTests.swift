import KafkaModel
import KafkaWire
import Testing

@testable import Coordinators

/// What a heartbeat of the consumer protocol may say, and what it is told. Source: KIP-848.
@Suite struct ConsumerHeartbeatTests {
    private typealias Request = ConsumerGroupHeartbeatRequest

    struct Case: CustomTestStringConvertible, Sendable {
        var name: String
        var code: ErrorCode
        var version: Int16 = 1
        var epoch: Int32 = 0
        var change: @Sendable (inout ConsumerGroupHeartbeatRequest) -> Void
        var testDescription: String { name }
    }

    static let refused: [Case] = [
        Case(name: "no member id", code: .invalidRequest) { $0.memberID = "" },
        Case(name: "no member id in version 0, beyond the first", code: .invalidRequest, version: 0, epoch: 3) {
            $0.memberID = ""
        },
        Case(name: "no group id", code: .invalidRequest) { $0.groupID = "" },
        Case(name: "empty instance id", code: .invalidRequest) { $0.instanceID = "" },
        Case(name: "empty rack", code: .invalidRequest) { $0.rackID = "" },
        Case(name: "first without a rebalance timeout", code: .invalidRequest) { $0.rebalanceTimeoutMs = -1 },
        Case(name: "a negative rebalance timeout", code: .invalidRequest) { $0.rebalanceTimeoutMs = -5 },
        Case(name: "first without what it owns", code: .invalidRequest) { $0.topicPartitions = nil },
        Case(name: "first that owns", code: .invalidRequest) { $0.topicPartitions = [Request.TopicPartitions()] },
        Case(name: "first without a subscription", code: .invalidRequest) { $0.subscribedTopicNames = nil },
        Case(name: "an epoch below -2", code: .invalidRequest, epoch: -3) { _ in },
        Case(name: "leaves for a while without an instance", code: .invalidRequest, epoch: -2) { _ in },
        Case(name: "an unknown assignor", code: .unsupportedAssignor) { $0.serverAssignor = "best" },
        Case(name: "a bad pattern", code: .invalidRegularExpression) { $0.subscribedTopicRegex = "(" },
        Case(name: "a pattern that looks ahead", code: .invalidRegularExpression) { $0.subscribedTopicRegex = "(?=a)" },
        Case(name: "an empty topic name", code: .invalidRequest) { $0.subscribedTopicNames = [""] },
        Case(name: "too many topics", code: .invalidRequest) {
            $0.subscribedTopicNames = [String](repeating: "t", count: ConsumerGroup.maxTopicNames + 1)
        },
        Case(name: "owns too much", code: .invalidRequest, epoch: 4) {
            var part = Request.TopicPartitions()
            part.partitions = [Int32](repeating: 0, count: ConsumerGroup.maxMemberPartitions + 1)
            $0.topicPartitions = [part]
        },
        Case(name: "unknown group", code: .groupIDNotFound, epoch: 1) { _ in },
        Case(name: "leaves an unknown group", code: .groupIDNotFound, epoch: -1) { _ in },
    ]

    @Test(arguments: refused) func whatIsNotValidIsRefusedAndChangesNothing(_ sample: Case) {
        let driver = ShardDriver(topics: FakeTopics(["t": 2]))
        let response = driver.beat("m", sample.epoch, version: sample.version) { request in
            if sample.epoch == 0 {
                request.rebalanceTimeoutMs = 60_000
                request.subscribedTopicNames = ["t"]
                request.topicPartitions = []
            }
            sample.change(&request)
        }
        #expect(response.code == sample.code, "\(response.errorMessage ?? "")")
        #expect(response.errorMessage?.isEmpty == false)
        #expect(driver.shard.groupCount == 0)
        #expect(driver.recordCount == 0)
    }

    @Test func theFirstMemberHasEverythingInEpoch2() {
        let driver = ShardDriver(topics: FakeTopics(["t": 3, "other": 1]))
        let response = driver.joinConsumer("m")
        #expect(response.code == .none)
        #expect(response.memberID == "m")
        #expect(response.memberEpoch == 2)
        #expect(response.heartbeatIntervalMs == 5_000)
        #expect(driver.reading(response) == ["t": [0, 1, 2]])
        #expect(driver.consumerState() == "Stable")
    }

    @Test func aGroupMayHaveSettingsOfItsOwn() {
        let driver = ShardDriver(topics: FakeTopics(["t": 2]))
        var own = driver.settings
        (own.consumerSessionTimeoutMs, own.consumerHeartbeatIntervalMs) = (60_000, 9_000)
        own.consumerAssignmentIntervalMs = 15_000
        driver.run { shard, _ in
            shard.ownSettings = ["g": own]
            return GroupActions()
        }
        #expect(driver.joinConsumer("m").heartbeatIntervalMs == 9_000)
        #expect(driver.joinConsumer("m", group: "other").heartbeatIntervalMs == 5_000)
        driver.pass(45_000)
        #expect(driver.describe().members.map(\.memberID) == ["m"])
        #expect(driver.describe("other").members.isEmpty)
        driver.beat("m", 2)
        driver.topics["t"] = 4
        #expect(driver.beat("m", 2).memberEpoch == 3)
        driver.topics["t"] = 6
        driver.pass(14_000)
        #expect(driver.beat("m", 3).memberEpoch == 3)
        driver.pass(1_000)
        #expect(driver.beat("m", 3).memberEpoch == 4)
        // Back to the broker's, from the next heartbeat on.
        driver.run { shard, _ in
            shard.ownSettings = [:]
            return GroupActions()
        }
        driver.beat("m", 4)
        driver.pass(45_000)
        #expect(driver.describe().members.isEmpty)
    }

    @Test func theBrokerNamesAMemberOfVersion0() {
        let driver = ShardDriver(topics: FakeTopics(["t": 1]))
        let response = driver.beat("", 0, version: 0) {
            ($0.rebalanceTimeoutMs, $0.subscribedTopicNames, $0.topicPartitions) = (1_000, ["t"], [])
        }
        #expect(response.code == .none)
        #expect(TopicID(response.memberID ?? "") != nil)
    }

    @Test func anUnchangedAssignmentIsToldInFullAnswersAlone() {
        let driver = ShardDriver(topics: FakeTopics(["t": 2]))
        driver.joinConsumer("m")
        #expect(driver.beat("m", 2).assignment == nil)
        let full = driver.beat("m", 2) {
            ($0.rebalanceTimeoutMs, $0.subscribedTopicNames) = (60_000, ["t"])
            $0.topicPartitions = driver.owned(["t": [0, 1]])
        }
        #expect(driver.reading(full) == ["t": [0, 1]])
        #expect(full.memberEpoch == 2)
    }

    @Test func aRepeatedJoinIsAnsweredTheSameWithoutABump() {
        let driver = ShardDriver(topics: FakeTopics(["t": 2]))
        let first = driver.joinConsumer("m")
        let records = driver.recordCount
        #expect(driver.joinConsumer("m") == first)
        #expect(driver.recordCount == records)
        #expect(driver.describe().groupEpoch == 2)
    }

    @Test func epochsAreChecked() {
        let driver = ShardDriver(topics: FakeTopics(["t": 2]))
        driver.joinConsumer("a")
        driver.topics["t"] = 4
        driver.pass(1_000)
        let next = driver.beat("a", 2)
        #expect(next.memberEpoch == 3)
        #expect(driver.reading(next) == ["t": [0, 1, 2, 3]])
        // The reply was lost: the epoch before, with what it may own.
        let again = driver.beat("a", 2) { $0.topicPartitions = driver.owned(["t": [0, 1]]) }
        #expect(again.code == .none)
        #expect(again.memberEpoch == 3)
        // Not without saying what it owns, nor owning what it has not.
        #expect(driver.beat("a", 2).code == .fencedMemberEpoch)
        #expect(driver.beat("a", 2) { $0.topicPartitions = driver.owned(["t": [0, 9]]) }.code == .fencedMemberEpoch)
        #expect(driver.beat("a", 4).code == .fencedMemberEpoch)
        #expect(driver.beat("a", 1).code == .fencedMemberEpoch)
        #expect(driver.beat("b", 3).code == .unknownMemberID)
        #expect(driver.beat("a", 3).code == .none)
    }

    @Test func aGroupHasAMostSize() {
        var settings = GroupSettings()
        settings.consumerMaxSize = 2
        let driver = ShardDriver(settings: settings, topics: FakeTopics(["t": 2]))
        driver.joinConsumer("a")
        driver.joinConsumer("b")
        #expect(driver.joinConsumer("c").code == .groupMaxSizeReached)
        #expect(driver.joinConsumer("b").code == .none)
        #expect(driver.describe().members.count == 2)
    }

    @Test func memoryIsCountedAndBounded() {
        var settings = GroupSettings()
        settings.maxMemoryBytes = 100_000
        let driver = ShardDriver(settings: settings, topics: FakeTopics(["t": 2]))
        var number = 0
        while driver.joinConsumer("member-\(number)").code == .none, number < 1_000 { number += 1 }
        #expect(number > 10 && number < 200)
        #expect(driver.shard.memoryBytes <= 110_000)
        #expect(driver.shard.memoryBytes == driver.shard.groups.values.reduce(0) { $0 + $1.memoryBytes })
        for member in 0..<number { driver.beat("member-\(member)", -1) }
        #expect(driver.shard.memoryBytes < 10_000)
    }

    @Test func aClassicGroupWithMembersIsNotTakenOver() {
        var settings = GroupSettings()
        settings.migrationPolicy = .disabled
        let driver = ShardDriver(settings: settings, topics: FakeTopics(["t": 2]))
        _ = driver.stableGroup(1)
        #expect(driver.joinConsumer("m").code == .groupIDNotFound)
        #expect(driver.state() == .stable)
    }

    @Test func anEmptyClassicGroupBecomesAConsumerGroupWithItsOffsets() {
        let driver = ShardDriver(topics: FakeTopics(["t": 2]))
        let ids = driver.stableGroup(1)
        driver.commit([.init(offset: 42)], member: ids[0], generation: 1)
        driver.leave([(ids[0], nil)])
        #expect(driver.state() == .empty)
        #expect(driver.joinConsumer("m").code == .none)
        #expect(driver.fetch().committedOffset == 42)
        let after = driver.restarted()
        #expect(after.consumerState() == "Stable")
        #expect(after.fetch().committedOffset == 42)
    }

    @Test func anEmptyConsumerGroupBecomesAClassicOneWithItsOffsets() {
        let driver = ShardDriver(topics: FakeTopics(["t": 2]))
        driver.joinConsumer("m")
        #expect(driver.commit([.init(offset: 7)], member: "m", generation: 2, version: 9) == [.none])
        driver.beat("m", -1)
        #expect(driver.consumerState() == "Empty")
        _ = driver.stableGroup(2)
        #expect(driver.fetch().committedOffset == 7)
        #expect(ErrorCode(rawValue: driver.describe().errorCode) == .groupIDNotFound)
        let after = driver.restarted()
        #expect(after.state() == .stable)
        #expect(after.fetch().committedOffset == 7)
    }

    @Test func anotherSubscriptionBumpsAndTheSameDoesNot() {
        let driver = ShardDriver(topics: FakeTopics(["t": 2, "u": 1]))
        driver.joinConsumer("m")
        driver.pass(1_000)
        #expect(driver.beat("m", 2) { $0.subscribedTopicNames = ["t", "t"] }.memberEpoch == 2)
        let other = driver.beat("m", 2) { $0.subscribedTopicNames = ["u", "t"] }
        #expect(other.memberEpoch == 3)
        #expect(driver.reading(other) == ["t": [0, 1], "u": [0]])
        // Racks are noted, and change nothing.
        #expect(driver.beat("m", 3) { $0.rackID = "r" }.memberEpoch == 3)
        #expect(driver.describe().members[0].rackID == "r")
    }

    @Test func deletedAndCreatedTopicsAreSeen() {
        let driver = ShardDriver(topics: FakeTopics(["t": 2]))
        let member = FakeConsumer(driver, "m", topics: ["t", "u"])
        member.step()
        #expect(member.reading == ["t": [0, 1]])
        driver.topics["u"] = 1
        driver.pass(1_000)
        member.step()
        #expect(member.reading == ["t": [0, 1], "u": [0]])
        driver.topics["t"] = nil
        driver.pass(1_000)
        for _ in 0..<3 { member.step() }
        #expect(member.reading == ["u": [0]])
        #expect(driver.consumerState() == "Stable")
        // It comes back as another topic.
        driver.topics["t"] = 1
        driver.pass(1_000)
        for _ in 0..<3 { member.step() }
        #expect(member.reading == ["t": [0], "u": [0]])
    }
}
