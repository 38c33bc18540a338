import BrokerTestKit
import KafkaModel
import KafkaWire
import Testing

@testable import Coordinators

/// What groups may take: a record fits the log's largest batch, and all of them together have a limit.
@Suite struct SizeTests {
    private let limit = GroupShard.defaultMaxBatchBytes

    private func large(_ bytes: Int) -> JoinGroupRequest.JoinGroupRequestProtocol {
        var entry = JoinGroupRequest.JoinGroupRequestProtocol()
        entry.name = "range"
        entry.metadata = [UInt8](repeating: 7, count: bytes)
        return entry
    }

    /// All groups of the shard, counted anew.
    private func counted(_ driver: ShardDriver) -> Int { driver.shard.groups.values.reduce(0) { $0 + $1.memoryBytes } }

    // MARK: One record

    @Test func anAssignmentThatCannotBeRecordedIsNobodys() {
        let driver = ShardDriver()
        let leader = driver.joinDynamic()
        let follower = driver.joinDynamic()
        driver.pass(6_000)
        let records = driver.recordCount
        let parked = driver.sync(follower.memberID, 1)
        let assignment = [UInt8](repeating: 1, count: limit / 2)
        let sync = driver.sync(
            leader.memberID, 1, assignments: [leader.memberID: assignment, follower.memberID: assignment])
        #expect(driver.syncError(sync) == .unknownServerError)
        #expect(driver.syncError(parked) == .unknownServerError)
        #expect(driver.recordCount == records)
        // The group tries again.
        #expect(driver.state() == .preparingRebalance)
        #expect(driver.heartbeat(follower.memberID, 1) == .rebalanceInProgress)
        let again = [driver.join(leader.memberID), driver.join(follower.memberID)]
        #expect(again.map { driver.joined($0)?.generationID } == [2, 2])
        driver.sync(leader.memberID, 2, assignments: [leader.memberID: [1], follower.memberID: [2]])
        #expect(driver.synced(driver.sync(follower.memberID, 2))?.assignment == [2])
        #expect(driver.shard.memoryBytes == counted(driver))
    }

    @Test func theLargestAssignmentThatFitsIsRecorded() throws {
        let driver = ShardDriver()
        let leader = driver.joinDynamic()
        driver.pass(3_000)
        let assignment = [UInt8](repeating: 1, count: limit - 1000)
        #expect(
            driver.synced(driver.sync(leader.memberID, 1, assignments: [leader.memberID: assignment]))?.assignment
                == assignment)
        guard case .record(let logged)? = driver.log.last else { return }
        #expect(logged.record.sizeInBatch + CoordinatorRecord.batchHeader <= limit)
        #expect(driver.restarted().state() == .stable)
    }

    @Test func aMemberWhoseMetadataCannotBeRecordedDoesNotJoin() {
        let driver = ShardDriver()
        #expect(driver.joinError(driver.join(protocols: [large(limit)])) == .unknownServerError)
        #expect(driver.shard.groupCount == 0)
        let member = driver.joinDynamic(protocols: [large(limit - 1000)])
        driver.pass(3_000)
        #expect(driver.joinError(member.waiter) == ErrorCode.none)
    }

    /// It would be recorded at once, without a rebalance.
    @Test func aStaticMemberDoesNotReturnWithMoreThanFits() {
        let driver = ShardDriver()
        let first = driver.join(instance: "i1", protocols: [large(1000)])
        driver.pass(3_000)
        let memberID = driver.joined(first)!.memberID
        driver.sync(memberID, 1, assignments: [memberID: [UInt8](repeating: 1, count: limit / 2)])
        #expect(driver.state() == .stable)
        let back = driver.join(instance: "i1", protocols: [large(limit / 2)])
        #expect(driver.joinError(back) == .unknownServerError)
        // The member is who it was.
        #expect(driver.heartbeat(memberID, 1, instance: "i1") == ErrorCode.none)
        #expect(driver.state() == .stable)
    }

    @Test func offsetsThatDoNotFitOneBatchAreRefusedTogether() throws {
        let driver = ShardDriver()
        func commit(_ count: Int32) -> Set<Int16> {
            let request = OffsetCommitRequest(group: "g", partitions: 0..<count, offset: 1)
            let waiter = driver.newWaiter()
            let context = RequestContext(clientID: "c", clientHost: "/h", apiVersion: 8)
            driver.run { $0.offsetCommit(request, context: context, waiter: waiter, now: $1) }
            guard case .offsetCommit(let response)? = driver.replies[waiter] else { return [] }
            return Set(response.topics.flatMap(\.partitions).map(\.errorCode))
        }
        #expect(commit(20_000) == [ErrorCode.invalidCommitOffsetSize.rawValue])
        #expect(driver.recordCount == 0)
        #expect(driver.shard.groupCount == 0)
        #expect(commit(10_000) == [0])
        let bytes = driver.log.reduce(CoordinatorRecord.batchHeader) { sum, entry in
            guard case .record(let logged) = entry else { return sum }
            return sum + logged.record.sizeInBatch
        }
        #expect(bytes <= limit)
        #expect(driver.shard.memoryBytes == counted(driver))
    }

    // MARK: All together

    @Test func whatNeedsMoreMemoryIsRefusedAndTheRestGoesOn() {
        var settings = GroupSettings()
        settings.maxMemoryBytes = 64 << 10
        let driver = ShardDriver(settings: settings)
        let ids = driver.stableGroup(2)
        driver.commitOffset("g2", "t", 0, 5)
        #expect(driver.joinError(driver.join(group: "other", protocols: [large(64 << 10)])) == .groupMaxSizeReached)
        // Enough of another shard's.
        driver.run { shard, _ in
            shard.memoryElsewhere = 64 << 10
            return GroupActions()
        }
        #expect(driver.joinError(driver.join(group: "other")) == .groupMaxSizeReached)
        #expect(driver.commitOffset("g2", "t", 1, 5) == .invalidCommitOffsetSize)
        #expect(driver.commitOffset("g2", "t", 0, 6) == ErrorCode.none)
        #expect(driver.heartbeat(ids[0], 1) == ErrorCode.none)
        #expect(driver.shard.memoryBytes == counted(driver))
        driver.leave(ids.map { ($0, nil) })
        #expect(driver.shard.memoryBytes == counted(driver))
        #expect(driver.restarted().shard.memoryBytes == counted(driver.restarted()))
    }
}

extension ShardDriver {
    @discardableResult
    fileprivate func commitOffset(_ group: String, _ topic: String, _ index: Int32, _ offset: Int64) -> ErrorCode {
        let request = OffsetCommitRequest(group: group, topic: topic, partitions: [index], offset: offset)
        let waiter = newWaiter()
        let context = RequestContext(clientID: "c", clientHost: "/h", apiVersion: 8)
        run { $0.offsetCommit(request, context: context, waiter: waiter, now: $1) }
        guard case .offsetCommit(let response)? = replies[waiter] else { return .unknownServerError }
        return ErrorCode(rawValue: response.topics[0].partitions[0].errorCode)
    }
}
