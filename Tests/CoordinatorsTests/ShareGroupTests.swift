import BrokerTestKit
import KafkaModel
import KafkaWire
import Testing

@testable import Coordinators

/// Share groups: heartbeats, epochs, sessions, who reads what, and what the log gives back. Source: KIP-932.
@Suite struct ShareGroupTests {
    struct Case: CustomTestStringConvertible, Sendable {
        var name: String
        var code: ErrorCode
        var epoch: Int32 = 0
        var change: @Sendable (inout ShareGroupHeartbeatRequest) -> Void
        var testDescription: String { name }
    }

    static let refused: [Case] = [
        Case(name: "no member id", code: .invalidRequest) { $0.memberID = "" },
        Case(name: "no group id", code: .invalidRequest) { $0.groupID = "" },
        Case(name: "empty rack", code: .invalidRequest) { $0.rackID = "" },
        Case(name: "first without a subscription", code: .invalidRequest) { $0.subscribedTopicNames = nil },
        Case(name: "first with an empty subscription", code: .invalidRequest) { $0.subscribedTopicNames = [] },
        Case(name: "an empty topic name", code: .invalidRequest) { $0.subscribedTopicNames = [""] },
        Case(name: "too many topics", code: .invalidRequest) {
            $0.subscribedTopicNames = [String](repeating: "t", count: ConsumerGroup.maxTopicNames + 1)
        },
        Case(name: "an epoch below -1", code: .invalidRequest, epoch: -2) { _ in },
        Case(name: "unknown group", code: .groupIDNotFound, epoch: 1) { _ in },
        Case(name: "leaves an unknown group", code: .groupIDNotFound, epoch: -1) { _ in },
    ]

    @Test(arguments: refused) func whatIsNotValidIsRefusedAndChangesNothing(_ sample: Case) {
        let driver = ShardDriver(topics: FakeTopics(["t": 2]))
        let response = driver.shareBeat("m", sample.epoch) { request in
            if sample.epoch == 0 { request.subscribedTopicNames = ["t"] }
            sample.change(&request)
        }
        #expect(response.code == sample.code, "\(response.errorMessage ?? "")")
        #expect(response.errorMessage?.isEmpty == false)
        #expect(driver.shard.groupCount == 0)
        #expect(driver.recordCount == 0)
    }

    @Test func theFirstMemberHasEverythingInEpoch2() {
        let driver = ShardDriver(topics: FakeTopics(["t": 3, "other": 1]))
        let response = driver.joinShare("m")
        #expect((response.code, response.memberID, response.memberEpoch) == (.none, "m", 2))
        #expect(response.heartbeatIntervalMs == 5_000)
        #expect(driver.sharing(response) == ["t": [0, 1, 2]])
        #expect(driver.shareBeat("m", 2).assignment == nil)
        let described = driver.shard.describeShareGroup("g")
        #expect((described.groupState, described.groupEpoch, described.assignmentEpoch) == ("Stable", 2, 2))
        #expect((described.assignorName, described.members.map(\.memberID)) == ("simple", ["m"]))
        #expect(described.members[0].subscribedTopicNames == ["t"])
    }

    @Test func epochsAreChecked() {
        let driver = ShardDriver(topics: FakeTopics(["t": 2]))
        driver.joinShare("m")
        #expect(driver.shareBeat("m", 3).code == .fencedMemberEpoch)
        #expect(driver.shareBeat("x", 2).code == .unknownMemberID)
        driver.topics["t"] = 3
        driver.pass(1_000)
        #expect(driver.shareBeat("m", 2).memberEpoch == 3)
        // The reply was lost: the epoch before is told again.
        let again = driver.shareBeat("m", 2)
        #expect(again.memberEpoch == 3 && driver.sharing(again) == ["t": [0, 1, 2]])
        driver.topics["t"] = 4
        driver.pass(1_000)
        #expect(driver.shareBeat("m", 3).memberEpoch == 4)
        #expect(driver.shareBeat("m", 2).code == .fencedMemberEpoch)
        // To join again is always allowed, and bumps nothing.
        #expect(driver.joinShare("m").memberEpoch == 4)
        #expect(driver.shard.describeShareGroup("g").groupEpoch == 4)
    }

    @Test func membersShareWhatThereIsAndTheRestIsReadByMore() {
        let driver = ShardDriver(topics: FakeTopics(["t": 2]))
        for member in ["a", "b", "c", "d", "e"] {
            driver.joinShare(member)
            driver.pass(1_000)
        }
        for member in ["a", "b", "c", "d", "e"] { driver.catchUpShare(member) }
        let sizes = driver.shareReaders()
        #expect(sizes.values.sorted() == [2, 3], "\(sizes)")
        // One that leaves moves nobody who needs not.
        #expect(driver.shareBeat("e", -1).memberEpoch == -1)
        driver.pass(1_000)
        for member in ["a", "b", "c", "d"] { driver.catchUpShare(member) }
        #expect(driver.shareReaders().values.sorted() == [2, 2])
    }

    @Test func aSilentMemberGoesWithItsSession() {
        let driver = ShardDriver(topics: FakeTopics(["t": 1]))
        driver.joinShare("m")
        driver.pass(30_000)
        driver.shareBeat("m", 2)
        driver.pass(44_999)
        #expect(driver.shard.describeShareGroup("g").groupState == "Stable")
        driver.pass(1)
        let described = driver.shard.describeShareGroup("g")
        #expect((described.groupState, described.members.count) == ("Empty", 0))
        #expect(driver.shareBeat("m", 2).code == .unknownMemberID)
        #expect(driver.shard.metrics.counters.expiredMembers == 1)
    }

    @Test func aGroupIsFullAtItsSize() {
        var settings = GroupSettings()
        settings.shareMaxSize = 2
        let driver = ShardDriver(settings: settings, topics: FakeTopics(["t": 1]))
        driver.joinShare("a")
        driver.joinShare("b")
        #expect(driver.joinShare("c").code == .groupMaxSizeReached)
        #expect(driver.joinShare("a").code == .none)
    }

    @Test func everythingComesBackFromTheLog() {
        let driver = ShardDriver(topics: FakeTopics(["t": 3]))
        driver.joinShare("a")
        driver.joinShare("b")
        driver.pass(1_000)
        driver.catchUpShare("a")
        driver.catchUpShare("b")
        driver.joinShare("c")
        driver.shareBeat("c", -1)
        let before = driver.shard.describeShareGroup("g")
        let after = driver.restarted()
        #expect(after.shard.describeShareGroup("g") == before)
        #expect(after.shareBeat("a", before.members[0].memberEpoch).code == .none)
        // And from what is written anew of it.
        var walk = ShardWalk(.offsets)
        let live = driver.shard.liveRecords(&walk)!.map {
            ShardDriver.LogEntry.record(.init(record: $0, producerID: .none))
        }
        let rewritten = ShardDriver(topics: driver.topics, replaying: live)
        #expect(rewritten.shard.describeShareGroup("g") == before)
        #expect(live.count < driver.recordCount)
    }

    @Test func aGroupIsOfOneKind() {
        let driver = ShardDriver(topics: FakeTopics(["t": 1]))
        driver.joinShare("m")
        #expect(driver.joinConsumer("c").code == .groupIDNotFound)
        #expect(driver.describe().errorCode == ErrorCode.groupIDNotFound.rawValue)
        #expect(driver.shard.describeGroup("g", apiVersion: 6).errorCode == ErrorCode.groupIDNotFound.rawValue)
        #expect(driver.deleteOffsets("t", [0]).errorCode == ErrorCode.groupIDNotFound.rawValue)
        driver.joinConsumer("c", group: "consumers")
        #expect(driver.joinShare("m", group: "consumers").code == .groupIDNotFound)
        #expect(driver.shard.describeShareGroup("consumers").errorCode == ErrorCode.groupIDNotFound.rawValue)
        #expect(driver.shard.shareStanding(of: "consumers").refusal?.code == .groupIDNotFound)
        // One that is empty stays what it is, for as long as it is not deleted.
        driver.shareBeat("m", -1)
        #expect(driver.joinConsumer("c").code == .groupIDNotFound)
    }

    @Test func anEmptyGroupIsMadeListedAndDeleted() {
        let driver = ShardDriver(topics: FakeTopics(["t": 1]))
        #expect(driver.makeShare() == .none)
        #expect(driver.makeShare() == .none)
        #expect(driver.recordCount == 1)
        var walk = ShardWalk(.groups)
        let listed = driver.shard.listGroups(in: [], share: [.empty], &walk).groups
        #expect(listed.map { "\($0.groupID) \($0.groupType) \($0.groupState)" } == ["g share Empty"])
        driver.joinConsumer("c", group: "consumers")
        #expect(driver.makeShare("consumers") == .groupIDNotFound)
        let after = driver.restarted()
        #expect(after.shard.shareStanding(of: "g").refusal == nil)
        after.joinShare("m")
        #expect(after.delete("g") == .nonEmptyGroup)
        after.shareBeat("m", -1)
        #expect(after.delete("g") == .none)
        #expect(after.restarted().shard.shareStanding(of: "g").refusal?.code == .groupIDNotFound)
        // Of its name there may be another kind then.
        #expect(after.joinConsumer("c").code == .none)
    }

    @Test func durationsAreReadAsJavaDoes() {
        func milliseconds(_ text: String) -> Int64? {
            guard case .duration(let milliseconds)? = ShareOffsetReset(text) else { return nil }
            return milliseconds
        }
        #expect(ShareOffsetReset("latest") == .latest && ShareOffsetReset("Earliest") == .earliest)
        #expect(milliseconds("by_duration:PT1H30M") == 5_400_000)
        #expect(milliseconds("by_duration:P2DT3H4M5.5S") == 183_845_500)
        #expect(milliseconds("by_duration:PT0S") == 0)
        for text in [
            "", "none", "by_duration:", "by_duration:P", "by_duration:PT", "by_duration:P1DT", "by_duration:-PT1S",
        ] {
            #expect(ShareOffsetReset(text) == nil, "\(text)")
        }
        for text in ["PT1D", "P1M", "PT1M1H", "PT1S1S", "PT1.5H", "PT.S", "P9999999999D"] {
            #expect(ShareOffsetReset("by_duration:\(text)") == nil, "\(text)")
        }
    }

    // MARK: Model

    /// Random members with random topics, heartbeats of right and wrong epochs, silence, topics that come, grow and go, and restarts: each partition
    /// that somebody subscribes to has a reader and each member something to read, as far as numbers allow, once everybody has caught up.
    @Test(arguments: 1...20) func whoeverSubscribesReads(seed: Int) {
        var random = SeededRandom(seed: UInt64(seed))
        var driver = ShardDriver(seed: UInt64(seed), topics: FakeTopics(["a": 3, "b": 1]))
        let names = ["a", "b", "c"]
        for _ in 0..<150 {
            let member = "m\(Int.random(in: 0..<6, using: &random))"
            switch Int.random(in: 0..<12, using: &random) {
            case 0...3: driver.joinShare(member, topics: names.filter { _ in Bool.random(using: &random) } + ["a"])
            case 4...6: driver.shareBeat(member, Int32.random(in: -1...40, using: &random))
            case 7: driver.pass(Int64.random(in: 0...50_000, using: &random))
            case 8: driver.topics[names.randomElement(using: &random)!] = Int32.random(in: 1...8, using: &random)
            case 9: driver.topics["c"] = nil
            case 10: driver = driver.restarted()
            default: driver.pass(1_000)
            }
            driver.doWork()
            let described = driver.shard.describeShareGroup("g")
            #expect(described.assignmentEpoch <= described.groupEpoch)
            #expect(described.members.allSatisfy { $0.memberEpoch <= described.assignmentEpoch })
        }
        driver.joinShare("last")
        // All topics are looked at, the assignment is made, and everybody hears of it.
        for _ in 0..<3 {
            driver.pass(1_000)
            driver.doWork()
            for member in driver.shard.describeShareGroup("g").members { driver.catchUpShare(member.memberID) }
        }
        let described = driver.shard.describeShareGroup("g")
        var readers: [String: Int] = [:]
        for member in described.members {
            let subscribed = member.subscribedTopicNames.filter { driver.topics[$0] != nil }
            let read = member.assignment.topicPartitions
            #expect(Set(read.map(\.topicName)).isSubset(of: subscribed))
            #expect(!read.isEmpty || subscribed.isEmpty, "\(member.memberID) of \(subscribed)")
            for part in read { for index in part.partitions { readers["\(part.topicName)-\(index)", default: 0] += 1 } }
        }
        for name in Set(described.members.flatMap(\.subscribedTopicNames)) {
            for index in 0..<(driver.topics[name] ?? 0) {
                #expect(readers["\(name)-\(index)"] != nil, "\(name)-\(index)")
            }
        }
        #expect(driver.restarted().shard.describeShareGroup("g") == described)
    }
}

extension ShardDriver {
    @discardableResult
    func shareBeat(
        _ memberID: String, _ epoch: Int32, group: String = "g",
        _ change: (inout ShareGroupHeartbeatRequest) -> Void = { _ in }
    ) -> ShareGroupHeartbeatResponse {
        var request = ShareGroupHeartbeatRequest()
        (request.groupID, request.memberID, request.memberEpoch) = (group, memberID, epoch)
        change(&request)
        let waiter = newWaiter()
        let context = RequestContext(clientID: "client", clientHost: "/127.0.0.1", apiVersion: 1)
        run { $0.shareGroupHeartbeat(request, context: context, waiter: waiter, now: $1) }
        guard case .shareHeartbeat(let response) = replies[waiter] else { return ShareGroupHeartbeatResponse() }
        return response
    }

    @discardableResult
    func joinShare(
        _ memberID: String, topics: [String] = ["t"], group: String = "g"
    ) -> ShareGroupHeartbeatResponse {
        shareBeat(memberID, 0, group: group) { $0.subscribedTopicNames = topics }
    }

    /// A heartbeat of the member as it is.
    func catchUpShare(_ memberID: String) {
        let member = shard.describeShareGroup("g").members.first { $0.memberID == memberID }
        if let member { shareBeat(memberID, member.memberEpoch) }
    }

    func sharing(_ response: ShareGroupHeartbeatResponse) -> Reading {
        var reading: Reading = [:]
        for part in response.assignment?.topicPartitions ?? [] {
            reading[topics.topic(id: part.topicID)?.name ?? "?"] = Set(part.partitions)
        }
        return reading
    }

    /// How many read each partition of the group.
    func shareReaders() -> [String: Int] {
        var readers: [String: Int] = [:]
        for part in shard.describeShareGroup("g").members.flatMap(\.assignment.topicPartitions) {
            for index in part.partitions { readers["\(part.topicName)-\(index)", default: 0] += 1 }
        }
        return readers
    }

    func makeShare(_ group: String = "g") -> ErrorCode {
        let waiter = newWaiter()
        run { $0.makeShareGroup(group, waiter: waiter, now: $1) }
        guard case .shareGroupMade(let error) = replies[waiter] else { return .unknownServerError }
        return error
    }

    func delete(_ group: String) -> ErrorCode {
        let waiter = newWaiter()
        run { $0.deleteGroups([group], waiter: waiter, now: $1) }
        guard case .deleteGroups(let results) = replies[waiter], let first = results.first else {
            return .unknownServerError
        }
        return ErrorCode(rawValue: first.errorCode)
    }
}

extension ShareGroupHeartbeatResponse {
    var code: ErrorCode { ErrorCode(rawValue: errorCode) }
}
