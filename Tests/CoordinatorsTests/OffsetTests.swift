import Coordinators
import KafkaModel
import KafkaWire
import Testing

@Suite struct OffsetTests {
    // MARK: Commit

    @Test func simpleConsumerCommitsWithoutAGroup() {
        let driver = ShardDriver()
        #expect(driver.commit([.init("t", 3, offset: 42, metadata: "x")]) == [.none])
        let group = driver.shard.describeGroup("g", apiVersion: 6)
        #expect(group.groupState == "Empty" && group.protocolType == "")
        #expect(driver.fetch("t", 3).committedOffset == 42)
        #expect(driver.fetch("t", 3).metadata == "x")
    }

    @Test func readersThatAreNoMembersCommitWhatKafkaReads() {
        let driver = ShardDriver()
        func commit(_ offsets: [Int32: Offset]) -> ErrorCode? {
            let waiter = driver.newWaiter()
            driver.run { shard, now in
                shard.commitOffsets(offsets, of: "t", .zero, groupID: "g", waiter: waiter, now: now)
            }
            return driver.replies[waiter]?.commitError
        }
        func read() -> [Int32: Offset] {
            driver.shard.committedOffsets(of: "t", .zero, partitions: [0, 1, 2], groupID: "g").offsets
        }
        #expect(read() == [:])
        #expect(commit([0: Offset(5), 2: Offset(7)]) == nil)
        #expect(read() == [0: Offset(5), 2: Offset(7)])
        #expect(driver.fetch("t", 2).committedOffset == 7)
        driver.commit([.init("t", 1, offset: 9)])
        #expect(read()[1] == Offset(9))
        let members = driver.stableGroup(2)
        #expect(commit([0: Offset(6)]) == .unknownMemberID)
        #expect(read()[0] == Offset(5))
        driver.leave(members.map { ($0, nil) })
        #expect(commit([0: Offset(6)]) == nil)
        #expect(driver.restarted().fetch("t", 0).committedOffset == 6)
    }

    @Test func emptyGroupIDIsAGroupOfSimpleConsumers() {
        let driver = ShardDriver()
        #expect(driver.commit([.init(offset: 1)], group: "") == [.none])
        #expect(driver.fetch(group: "").committedOffset == 1)
        #expect(driver.restarted().fetch(group: "").committedOffset == 1)
        #expect(driver.deleteGroups([""]) == [.none])
    }

    @Test func missingGroupIsNamedAsTheVersionKnowsIt() {
        let driver = ShardDriver()
        #expect(driver.commit([.init(offset: 1)], member: "m", generation: 1, version: 8) == [.illegalGeneration])
        #expect(driver.commit([.init(offset: 1)], member: "m", generation: 1, version: 9) == [.groupIDNotFound])
        #expect(driver.recordCount == 0)
    }

    @Test func nullMetadataIsReadBackAsEmpty() {
        let driver = ShardDriver()
        driver.commit([.init(offset: 1, metadata: nil)])
        #expect(driver.fetch().metadata == "")
        #expect(driver.restarted().fetch().metadata == "")
    }

    @Test func metadataIsReadBackAsItWas() {
        let driver = ShardDriver()
        for text in ["", "plain", "Grüße\u{0}\n", "e\u{301}", String(repeating: "é", count: 4_096)] {
            #expect(driver.commit([.init(offset: 1, metadata: text)]) == [.none])
            // Byte for byte: Swift takes canonically equivalent strings for equal.
            #expect(driver.fetch().metadata.map { Array($0.utf8) } == Array(text.utf8))
            #expect(driver.restarted().fetch().metadata.map { Array($0.utf8) } == Array(text.utf8))
        }
    }

    @Test func tooMuchMetadataRefusesItsPartitionOnly() {
        let driver = ShardDriver()
        let long = String(repeating: "m", count: 4_097)
        let outcome = driver.commit([
            .init("t", 0, offset: 1), .init("t", 1, offset: 2, metadata: long), .init("u", 0, offset: 3),
        ])
        #expect(outcome == [.none, .offsetMetadataTooLarge, .none])
        #expect(driver.fetch("t", 1).committedOffset == -1)
        #expect(driver.recordCount == 2)
    }

    @Test func commitThatIsRefusedWholeLeavesNoGroup() {
        let driver = ShardDriver()
        let long = String(repeating: "m", count: 5_000)
        #expect(driver.commit([.init(offset: 2, metadata: long)]) == [.offsetMetadataTooLarge])
        #expect(driver.shard.metrics.groups.isEmpty)
    }

    @Test func metadataNeverOutgrowsItsRecord() {
        var settings = GroupSettings()
        settings.offsetMetadataMaxBytes = 1_000_000
        let driver = ShardDriver(settings: settings)
        let fits = String(repeating: "m", count: 32_767)
        #expect(driver.commit([.init(offset: 1, metadata: fits)]) == [.none])
        #expect(driver.commit([.init(offset: 1, metadata: fits + "m")]) == [.offsetMetadataTooLarge])
        #expect(driver.restarted().fetch().metadata == fits)
    }

    @Test func lastCommitWins() {
        let driver = ShardDriver()
        driver.commit([.init(offset: 5), .init(offset: 6)])
        driver.commit([.init(offset: 4)])
        #expect(driver.fetch().committedOffset == 4)
        #expect(driver.restarted().fetch().committedOffset == 4)
    }

    @Test func leaderEpochIsKept() {
        let driver = ShardDriver()
        var commit = ShardDriver.Commit(offset: 5)
        commit.epoch = 9
        driver.commit([commit])
        #expect(driver.fetch().committedLeaderEpoch == 9)
        #expect(driver.restarted().fetch().committedLeaderEpoch == 9)
    }

    // MARK: Fetch

    @Test func offsetThatWasNeverCommittedIsMinusOneAndNothingIsNull() {
        let driver = ShardDriver()
        driver.commit([.init(offset: 5)])
        for partition in [driver.fetch("t", 1), driver.fetch("u"), driver.fetch(group: "other")] {
            #expect(partition.errorCode == 0)
            #expect(partition.committedOffset == -1)
            #expect(partition.committedLeaderEpoch == -1)
            #expect(partition.metadata == "")
        }
    }

    @Test func allTopicsAreFetchedInOrder() {
        let driver = ShardDriver()
        driver.commit([.init("b", 1, offset: 1), .init("a", 2, offset: 2), .init("a", 0, offset: 3)])
        let all = driver.fetchAll()
        #expect(all.topics.map(\.name) == ["a", "b"])
        #expect(all.topics[0].partitions.map(\.partitionIndex) == [0, 2])
        #expect(driver.fetchAll(group: "other").topics.isEmpty)
        #expect(driver.fetchAll(group: "other").errorCode == 0)
    }

    @Test func offsetOfATopicRecreatedUnderItsNameIsNotTheNewOnes() {
        let driver = ShardDriver()
        var commit = ShardDriver.Commit(offset: 5)
        commit.topicID = TopicID(high: 1, low: 1)
        driver.commit([commit], version: 10)
        for each in [driver, driver.restarted()] {
            #expect(each.fetch(topicID: TopicID(high: 1, low: 1)).committedOffset == 5)
            #expect(each.fetch(topicID: TopicID(high: 2, low: 2)).committedOffset == -1)
            #expect(each.fetch().committedOffset == 5)
            #expect(each.fetchAll().topics[0].topicID == TopicID(high: 1, low: 1))
        }
        // One committed without an id is anybody's.
        driver.commit([.init("u", offset: 6)])
        #expect(driver.fetch("u", topicID: TopicID(high: 2, low: 2)).committedOffset == 6)
    }

    @Test func commitAndFetchWhileLoadingSayTryAgain() {
        let driver = ShardDriver()
        driver.commit([.init(offset: 5)])
        driver.run { $0.unload(now: $1) }
        #expect(driver.commit([.init(offset: 5)]) == [.notCoordinator])
        #expect(driver.fetchAll().errorCode == ErrorCode.notCoordinator.rawValue)
        driver.run { shard, _ in
            shard.beginLoading()
            return GroupActions()
        }
        #expect(driver.commit([.init(offset: 5)]) == [.coordinatorLoadInProgress])
        #expect(driver.fetchAll().errorCode == ErrorCode.coordinatorLoadInProgress.rawValue)
        #expect(driver.joinError(driver.join()) == .coordinatorLoadInProgress)
        #expect(driver.syncError(driver.sync("m", 1)) == .rebalanceInProgress)
        #expect(driver.heartbeat("m", 1) == .none)
        #expect(driver.leave([("m", nil)]).errorCode == ErrorCode.coordinatorLoadInProgress.rawValue)
        #expect(driver.deleteGroups(["g"]) == [.coordinatorLoadInProgress])
        #expect(driver.deleteOffsets("t", [0]).errorCode == ErrorCode.coordinatorLoadInProgress.rawValue)
        #expect(driver.listGroups().error == .coordinatorLoadInProgress)
        #expect(
            driver.shard.describeGroup("g", apiVersion: 6).errorCode == ErrorCode.coordinatorLoadInProgress.rawValue)
    }

    // MARK: Old versions of OffsetFetch

    private func oldRequest() -> OffsetFetchRequest {
        var topic = OffsetFetchRequest.OffsetFetchRequestTopic()
        topic.name = "t"
        topic.partitionIndexes = [0, 1]
        var request = OffsetFetchRequest()
        request.groupID = "g"
        request.topics = [topic]
        return request
    }

    @Test func oldVersionsAskForOneGroup() {
        let driver = ShardDriver()
        driver.commit([.init(offset: 5, metadata: "m")])
        let request = oldRequest()
        let groups = request.requestedGroups(version: 7).map { driver.shard.offsetFetch($0, requireStable: true) }
        let response = OffsetFetchResponse(answering: request, with: groups, version: 7)
        #expect(response.errorCode == 0 && response.groups.isEmpty)
        #expect(response.topics[0].partitions.map(\.committedOffset) == [5, -1])
        #expect(response.topics[0].partitions.map(\.metadata) == ["m", ""])
    }

    @Test func groupErrorIsOnTopFromVersion2AndInEachPartitionBefore() {
        var failed = OffsetFetchResponse.OffsetFetchResponseGroup()
        failed.errorCode = ErrorCode.notCoordinator.rawValue
        let request = oldRequest()
        let onTop = OffsetFetchResponse(answering: request, with: [failed], version: 2)
        #expect(onTop.errorCode == ErrorCode.notCoordinator.rawValue && onTop.topics.isEmpty)
        let below = OffsetFetchResponse(answering: request, with: [failed], version: 1)
        #expect(below.errorCode == 0)
        #expect(below.topics[0].partitions.map(\.errorCode) == [16, 16])
        #expect(below.topics[0].partitions.map(\.committedOffset) == [-1, -1])
    }

    @Test func nullTopicsOfAnOldVersionAskForAll() {
        var request = oldRequest()
        request.topics = nil
        #expect(request.requestedGroups(version: 2)[0].topics == nil)
        request.topics = []
        #expect(request.requestedGroups(version: 2)[0].topics == [])
    }

    // MARK: Delete

    @Test func subscribedTopicsOffsetsAreNotDeleted() {
        let driver = ShardDriver()
        let ids = driver.stableGroup(1)
        driver.commit([.init("t", offset: 1), .init("u", offset: 2)], member: ids[0], generation: 1)
        let subscribed = driver.deleteOffsets("t", [0])
        #expect(subscribed.topics[0].partitions[0].errorCode == ErrorCode.groupSubscribedToTopic.rawValue)
        let records = driver.recordCount
        let response = driver.deleteOffsets("u", [0, 1])
        #expect(response.topics[0].partitions.map(\.errorCode) == [0, 0])
        // A tombstone only for what was there.
        #expect(driver.recordCount == records + 1)
        #expect(driver.fetch("t").committedOffset == 1)
        #expect(driver.fetch("u").committedOffset == -1)
        #expect(driver.restarted().fetch("u").committedOffset == -1)
    }

    @Test func offsetsOfOtherProtocolsAreNotDeletedUnderTheirMembers() {
        let driver = ShardDriver()
        driver.join(version: 3, type: "connect", protocols: [subscription(["t"])])
        driver.pass(3_000)
        #expect(driver.deleteOffsets("t", [0]).errorCode == ErrorCode.nonEmptyGroup.rawValue)
        #expect(driver.deleteOffsets("t", [0], group: "").errorCode == ErrorCode.invalidGroupID.rawValue)
    }

    @Test func unreadableSubscriptionKeepsAllOffsets() {
        let driver = ShardDriver()
        var odd = JoinGroupRequest.JoinGroupRequestProtocol()
        odd.name = "range"
        odd.metadata = [0, 1, 0x7f, 0xff, 0xff, 0xff, 1]
        driver.join(version: 3, protocols: [odd])
        driver.pass(3_000)
        let response = driver.deleteOffsets("t", [0])
        #expect(response.topics[0].partitions[0].errorCode == ErrorCode.groupSubscribedToTopic.rawValue)
    }

    // MARK: Transactions

    @Test func offsetsOfATransactionCountWhenItCommits() {
        let driver = ShardDriver()
        driver.commit([.init(offset: 5)])
        #expect(driver.commitInTransaction(7, [.init(offset: 6)]) == [.none])
        for each in [driver, driver.restarted()] {
            #expect(each.fetch().committedOffset == 5)
            let unstable = each.fetch(requireStable: true)
            #expect(unstable.errorCode == ErrorCode.unstableOffsetCommit.rawValue)
            #expect(unstable.committedOffset == -1)
            #expect(each.fetch("t", 1, requireStable: true).errorCode == 0)
        }
        driver.endTransaction(of: ProducerID(7), committed: true)
        for each in [driver, driver.restarted()] {
            #expect(each.fetch(requireStable: true).committedOffset == 6)
        }
    }

    @Test func offsetsOfAnAbortedTransactionAreForgotten() {
        let driver = ShardDriver()
        driver.commitInTransaction(7, [.init(offset: 6)])
        driver.endTransaction(of: ProducerID(7), committed: false)
        for each in [driver, driver.restarted()] {
            #expect(each.fetch(requireStable: true).committedOffset == -1)
            #expect(each.shard.metrics.groups.isEmpty)
        }
    }

    @Test func plainCommitAfterATransactionalOneWins() {
        let driver = ShardDriver()
        driver.commitInTransaction(7, [.init(offset: 6)])
        driver.commit([.init(offset: 8)])
        driver.endTransaction(of: ProducerID(7), committed: true)
        for each in [driver, driver.restarted()] { #expect(each.fetch().committedOffset == 8) }
    }

    @Test func openTransactionHoldsItsGroup() {
        let driver = ShardDriver()
        driver.commitInTransaction(7, [.init(offset: 6)])
        driver.pass(30 * 24 * 60 * 60_000)
        driver.expireOffsets()
        #expect(driver.fetch(requireStable: true).errorCode == ErrorCode.unstableOffsetCommit.rawValue)
        // Deleting it deletes what is pending.
        #expect(driver.deleteGroups(["g"]) == [.none])
        driver.endTransaction(of: ProducerID(7), committed: true)
        for each in [driver, driver.restarted()] { #expect(each.fetch().committedOffset == -1) }
    }

    @Test func transactionsOfSeveralGroupsAndProducersAreApart() {
        let driver = ShardDriver()
        driver.commitInTransaction(7, [.init(offset: 1)], group: "a")
        driver.commitInTransaction(7, [.init(offset: 2)], group: "b")
        driver.commitInTransaction(8, [.init(offset: 3)], group: "b")
        driver.endTransaction(of: ProducerID(8), committed: false)
        driver.endTransaction(of: ProducerID(7), committed: true)
        driver.endTransaction(of: ProducerID(99), committed: true)
        for each in [driver, driver.restarted()] {
            #expect(each.fetch(group: "a").committedOffset == 1)
            #expect(each.fetch(group: "b").committedOffset == 2)
        }
    }
}
