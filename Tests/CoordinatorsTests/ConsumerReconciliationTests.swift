import KafkaModel
import KafkaWire
import Testing

@testable import Coordinators

/// From what members read to what they are to read, and who goes. Source: KIP-848.
@Suite struct ConsumerReconciliationTests {
    private func pair() -> (ShardDriver, FakeConsumer, FakeConsumer) {
        let driver = ShardDriver(topics: FakeTopics(["t": 4]))
        let (a, b) = (FakeConsumer(driver, "a"), FakeConsumer(driver, "b"))
        a.step()
        b.step()
        return (driver, a, b)
    }

    @Test func aPartitionIsGivenUpBeforeAnotherHasIt() {
        let (driver, a, b) = pair()
        // Soon after the first assignment the second waits its turn, and b has nothing of the old one.
        #expect((b.epoch, b.reading) == (2, [:]))
        #expect(driver.consumerState() == "Assigning")
        driver.pass(1_000)
        #expect(driver.describe().assignmentEpoch == 3)
        b.step()
        #expect((b.epoch, b.reading) == (3, [:]))
        // a is told to keep two, and stays in its epoch until it says so.
        a.step(acts: false)
        #expect(a.epoch == 2)
        #expect(driver.describe().members[0].memberEpoch == 2)
        b.step()
        #expect(b.reading == [:])
        a.act()
        a.step()
        #expect(a.epoch == 3)
        b.step()
        #expect(a.reading["t"]?.count == 2)
        #expect(b.reading["t"]?.count == 2)
        #expect(driver.consumerState() == "Stable")
    }

    @Test func whoDoesNotSayHasNotGivenUp() {
        let (driver, a, b) = pair()
        driver.pass(1_000)
        a.step(acts: false)
        for _ in 0..<3 { #expect(driver.beat("a", 2).memberEpoch == 2) }
        b.step()
        #expect(b.reading == [:])
        let given = driver.beat("a", 2) { $0.topicPartitions = driver.owned(["t": [0, 1]]) }
        #expect(given.memberEpoch == 3)
    }

    @Test func whoNeverGivesUpIsFencedAtItsRebalanceTimeout() {
        let (driver, a, b) = pair()
        driver.pass(1_000)
        a.step(acts: false)
        for _ in 0..<59 {
            driver.pass(1_000)
            #expect(driver.beat("a", 2).code == .none)
            b.step()
        }
        driver.pass(999)
        #expect(driver.beat("a", 2).code == .none)
        driver.pass(1)
        #expect(driver.beat("a", 2).code == .unknownMemberID)
        driver.pass(1_000)
        for _ in 0..<2 { b.step() }
        #expect(b.reading == ["t": [0, 1, 2, 3]])
    }

    @Test func aSilentMemberIsFencedAtItsSessionTimeout() {
        let driver = ShardDriver(topics: FakeTopics(["t": 1]))
        driver.joinConsumer("a")
        driver.pass(44_999)
        #expect(driver.beat("a", 2).code == .none)
        driver.pass(45_000)
        #expect(driver.consumerState() == "Empty")
        #expect(driver.beat("a", 2).code == .unknownMemberID)
        let group = driver.describe()
        #expect(group.groupEpoch == 3)
        #expect(group.assignmentEpoch == 3)
    }

    @Test func leavingIsAtOnce() {
        let (driver, a, b) = pair()
        driver.pass(1_000)
        for _ in 0..<3 {
            a.step()
            b.step()
        }
        driver.pass(1_000)
        a.leave()
        driver.pass(1_000)
        for _ in 0..<2 { b.step() }
        #expect(b.reading == ["t": [0, 1, 2, 3]])
        #expect(driver.beat("a", -1).code == .unknownMemberID)
    }

    // MARK: Static members

    @Test func aStaticMemberComesBackWithoutARebalance() {
        let driver = ShardDriver(topics: FakeTopics(["t": 4]))
        driver.joinConsumer("a1", instance: "a")
        driver.pass(1_000)
        let epoch = driver.describe().groupEpoch
        #expect(driver.beat("a1", -2) { $0.instanceID = "a" }.memberEpoch == -2)
        #expect(driver.describe().members[0].memberEpoch == -2)
        // The session of its last heartbeat runs on.
        driver.pass(43_999)
        let back = driver.joinConsumer("a2", instance: "a")
        #expect(back.code == .none)
        #expect(back.memberEpoch == epoch)
        #expect(driver.reading(back) == ["t": [0, 1, 2, 3]])
        #expect(driver.describe().groupEpoch == epoch)
        #expect(driver.describe().members.map(\.memberID) == ["a2"])
        #expect(driver.beat("a1", epoch) { $0.instanceID = "a" }.code == .fencedInstanceID)
        let after = driver.restarted()
        #expect(after.describe() == driver.describe())
    }

    @Test func aStaticMemberThatStaysAwayIsFenced() {
        let driver = ShardDriver(topics: FakeTopics(["t": 4]))
        driver.joinConsumer("a1", instance: "a")
        driver.beat("a1", -2) { $0.instanceID = "a" }
        driver.pass(45_000)
        #expect(driver.consumerState() == "Empty")
    }

    @Test func anInstanceIsHeldUntilItLeaves() {
        let driver = ShardDriver(topics: FakeTopics(["t": 4]))
        driver.joinConsumer("a1", instance: "a")
        #expect(driver.joinConsumer("a2", instance: "a").code == .unreleasedInstanceID)
        #expect(driver.joinConsumer("a1", instance: "a").code == .none)
        #expect(driver.beat("x", 2) { $0.instanceID = "b" }.code == .unknownMemberID)
        #expect(driver.beat("x", -2) { $0.instanceID = "b" }.code == .unknownMemberID)
        #expect(driver.beat("x", -1) { $0.instanceID = "a" }.code == .fencedInstanceID)
        // For good, static or not.
        #expect(driver.beat("a1", -1) { $0.instanceID = "a" }.memberEpoch == -1)
        #expect(driver.consumerState() == "Empty")
    }

    // MARK: Assignments of many

    @Test func aLargeAssignmentIsMadeElsewhere() {
        let driver = ShardDriver(topics: FakeTopics(["t": 2_000]))
        let first = driver.joinConsumer("a")
        // It has an epoch, of the empty assignment.
        #expect((first.memberEpoch, first.code) == (1, .none))
        #expect(driver.reading(first) == [:])
        #expect(driver.work == [.assignment(groupID: "g")])
        driver.doWork()
        let second = driver.beat("a", 1)
        #expect(second.memberEpoch == 2)
        #expect(driver.reading(second)?["t"]?.count == 2_000)
    }

    @Test func workThatNeverComesIsAskedForAgain() {
        let driver = ShardDriver(topics: FakeTopics(["t": 2_000]))
        driver.joinConsumer("a")
        driver.pass(29_999)
        #expect(driver.work.count == 1)
        driver.pass(1)
        #expect(driver.work.count == 2)
        driver.doWork()
        #expect(driver.beat("a", 1).memberEpoch == 2)
    }

    @Test func whatCameMeanwhileIsAssignedNext() {
        let driver = ShardDriver(topics: FakeTopics(["t": 2_000]))
        driver.joinConsumer("a")
        let work = driver.shard.assignmentWork(of: "g")!
        driver.joinConsumer("b")
        driver.run { $0.assignmentMade(work.run()!, now: $1) }
        #expect(driver.describe().assignmentEpoch == 2)
        #expect(driver.describe().groupEpoch == 3)
        // Made once: the second answer to the same question is not taken.
        driver.run { $0.assignmentMade(work.run()!, now: $1) }
        driver.pass(1_000)
        driver.doWork()
        #expect(driver.describe().assignmentEpoch == 3)
    }

    @Test func theIntervalBetweenAssignmentsIsKept() {
        var settings = GroupSettings()
        settings.consumerAssignmentIntervalMs = 5_000
        let driver = ShardDriver(settings: settings, topics: FakeTopics(["t": 8]))
        for member in 0..<5 { driver.joinConsumer("m\(member)") }
        #expect(driver.describe().groupEpoch == 6)
        #expect(driver.describe().assignmentEpoch == 2)
        driver.pass(4_999)
        #expect(driver.describe().assignmentEpoch == 2)
        driver.pass(1)
        #expect(driver.describe().assignmentEpoch == 6)
    }

    @Test func mostVotesChooseTheAssignor() {
        let driver = ShardDriver(topics: FakeTopics(["t": 3]))
        driver.joinConsumer("a", assignor: "range")
        #expect(driver.describe().assignorName == "range")
        driver.joinConsumer("b", assignor: "uniform")
        driver.joinConsumer("c", assignor: "uniform")
        #expect(driver.describe().assignorName == "uniform")
    }
}
