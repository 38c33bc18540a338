import KafkaModel
import KafkaWire
import Testing

@testable import Coordinators

/// Whatever a client can make large counts, and what is gone leaves nothing behind.
@Suite struct MemoryTests {
    private let long = String(repeating: "x", count: 30_000)

    private func counted(_ driver: ShardDriver) -> Int { driver.shard.groups.values.reduce(0) { $0 + $1.memoryBytes } }

    // MARK: Texts

    @Test func everyTextOfAMemberCounts() {
        let driver = ShardDriver()
        for number in 0..<10 {
            driver.connectionGone(driver.join(instance: long + "\(number)", version: 5, clientID: long))
        }
        #expect(driver.shard.memoryBytes >= 10 * 2 * long.utf8.count)
        #expect(driver.shard.memoryBytes == counted(driver))
        // And go with it.
        driver.leave((0..<10).map { ("", long + "\($0)") })
        #expect(driver.shard.memoryBytes < long.utf8.count)
    }

    @Test func textsOfARecordedGenerationCount() {
        let driver = ShardDriver()
        let join = driver.join(instance: long, clientID: long)
        driver.pass(3_000)
        let memberID = driver.joined(join)!.memberID
        driver.sync(memberID, 1, assignments: [memberID: [1]], instance: long)
        #expect(driver.state() == .stable)
        // Once as a member, once as what the log has.
        #expect(driver.shard.memoryBytes >= 4 * long.utf8.count)
        // A static member returns under another client id, and with other metadata.
        driver.join(instance: long, protocols: [subscription(["t", "u"])], clientID: "short")
        #expect(driver.shard.memoryBytes == counted(driver))
        #expect(driver.restarted().shard.memoryBytes >= 4 * long.utf8.count)
    }

    @Test func theGroupsOwnTextsCount() {
        let driver = ShardDriver()
        driver.join(group: long, version: 3, type: long)
        #expect(driver.shard.memoryBytes >= 2 * long.utf8.count)
        #expect(driver.shard.listedText == (0, 2 * long.utf8.count))
        driver.commit([ShardDriver.Commit(offset: 1)], group: "short")
        #expect(driver.shard.listedText == (5, 2 * long.utf8.count))
        #expect(driver.deleteGroups(["short"]) == [.none])
        #expect(driver.shard.listedText == (0, 2 * long.utf8.count))
    }

    /// One character may be a letter and thousands of accents.
    @Test func anIDGivenOutIsShortInBytesAndCounts() {
        let driver = ShardDriver()
        let accents = "a" + String(repeating: "\u{301}", count: 15_000)
        let memberID = driver.joined(driver.join(clientID: accents))?.memberID ?? ""
        #expect(memberID.unicodeScalars.starts(with: "a\u{301}".unicodeScalars))
        #expect(memberID.utf8.count <= MemberIDSource.longest)
        let before = driver.shard.memoryBytes
        let second = driver.joined(driver.join(clientID: accents))?.memberID ?? ""
        #expect(driver.shard.memoryBytes - before >= second.utf8.count)
        driver.leave([(second, nil)])
        #expect(driver.shard.memoryBytes == before)
        // Shorter ones are as they were.
        #expect(driver.joined(driver.join(clientID: "c"))?.memberID.utf8.count == 38)
    }

    @Test func aNewGroupNeedsRoom() {
        var settings = GroupSettings()
        settings.maxMemoryBytes = 64 << 10
        let driver = ShardDriver(settings: settings)
        #expect(driver.commit([ShardDriver.Commit(offset: 1)], group: long) == [.none])
        #expect(driver.commit([ShardDriver.Commit(offset: 1)], group: "2" + long) == [.none])
        #expect(driver.commit([ShardDriver.Commit(offset: 1)], group: "3" + long) == [.invalidCommitOffsetSize])
        #expect(driver.joinError(driver.join(group: "4" + long)) == .groupMaxSizeReached)
        #expect(driver.shard.groupCount == 2)
    }

    @Test func aGroupsMetadataIsBounded() {
        let driver = ShardDriver()
        var large = subscription(["t"])
        large.metadata = [UInt8](repeating: 0, count: 1_000_000)
        var members: [String] = []
        var refused: ErrorCode?
        while refused == nil, members.count < 100 {
            let join = driver.join(instance: "\(members.count)", protocols: [large])
            refused = driver.joinError(join)
            members.append("\(members.count)")
        }
        #expect(refused == .groupMaxSizeReached)
        #expect(members.count == ClassicGroup.maxMemberBytes / 1_000_000 + 1)
        // Another group has room of its own; and who is in may stay in.
        #expect(driver.joinError(driver.join(instance: "0", group: "g2", protocols: [large])) == nil)
        #expect(driver.joinError(driver.join(instance: "0", protocols: [large])) == nil)
    }

    @Test func topicsOfAGroupCountAndAreBounded() {
        let driver = ShardDriver()
        // Six bytes each in the metadata.
        func topics(_ range: Range<Int>) -> [String] { range.map { String($0 + 0x10000, radix: 32) } }
        let first = driver.join(instance: "1", protocols: [subscription(topics(0..<60_000))])
        driver.pass(3_000)
        let memberID = driver.joined(first)!.memberID
        driver.sync(memberID, 1, assignments: [memberID: [1]], instance: "1")
        #expect(driver.shard.groups["g"]!.subscribedTopics?.count == 60_000)
        #expect(driver.shard.memoryBytes > 60_000 * 64)
        #expect(driver.shard.memoryBytes == counted(driver))
        let second = driver.join(instance: "2", protocols: [subscription(topics(60_000..<120_000))])
        driver.join(memberID, instance: "1", protocols: [subscription(topics(0..<60_000))])
        #expect(driver.joinError(second) == ErrorCode.none)
        // Too many to know: nothing of any topic is deleted.
        #expect(driver.shard.groups["g"]!.subscribedTopics == nil)
        #expect(driver.shard.groups["g"]!.isSubscribed(to: "other"))
        #expect(driver.shard.memoryBytes == counted(driver))
    }

    /// Groups that are gone take nothing, wherever the one stands that is not; what the tables keep for it counts.
    @Test func placesThatGroupsHaveLeftCount() {
        let driver = ShardDriver()
        for group in 0..<5_000 { driver.commit([.init(offset: 1)], group: "g\(group)") }
        _ = driver.deleteGroups((0..<4_999).map { "g\($0)" })
        let kept = driver.shard.memoryBytes - counted(driver)
        #expect(driver.shard.groupCount == 1)
        #expect(kept > 4_500 * MemoryLayout<ClassicGroup>.size)
        _ = driver.deleteGroups(["g4999"])
        #expect(driver.shard.memoryBytes == 0)
        for partition in Int32(0)..<5_000 { driver.commit([.init("t", partition, offset: 1)]) }
        _ = driver.deleteOffsets("t", Array(0..<4_999))
        #expect(driver.shard.memoryBytes > 4_500 * MemoryLayout<CommittedOffset>.size)
        _ = driver.deleteOffsets("t", [4_999])
        #expect(driver.shard.memoryBytes == 0)
    }

    @Test func textsOfOffsetsAreKnownWithoutALook() {
        let driver = ShardDriver()
        driver.commit([.init("t", 0, offset: 1, metadata: "12345678"), .init("t", 1, offset: 1, metadata: "1234")])
        #expect(driver.shard.metadataBytes(of: "g", partitions: 1) == 8)
        #expect(driver.shard.metadataBytes(of: "g", partitions: 1_000) == 12)
        #expect(driver.shard.metadataBytes(of: "g", partitions: .max) == 12)
        #expect(driver.shard.metadataBytes(of: "other", partitions: .max) == 0)
    }

    // MARK: Timers

    @Test func timersOfIDsThatWereGivenBackAreForgotten() {
        let driver = ShardDriver()
        let most = 2 * DeadlineQueue.pushedAlways / 64
        for _ in 0..<2 * most {
            let memberID = driver.joined(driver.join(session: 1_800_000))!.memberID
            driver.leave([(memberID, nil)])
        }
        #expect(driver.shard.groupCount == 0)
        #expect(driver.shard.context.timers.count <= most)
    }

    @Test func timersOfGroupsThatAreGoneAreForgottenWithTheirNames() {
        let driver = ShardDriver()
        for number in 0..<200 {
            let name = long + "\(number)"
            driver.connectionGone(driver.join(group: name, version: 3, rebalance: .max))
        }
        // Each name is 30,000 bytes.
        #expect(driver.shard.context.timers.count <= 2 * DeadlineQueue.pushedAlways / long.utf8.count + 200)
        driver.pass(60_000)
        for number in 0..<200 {
            let memberID = driver.joined(driver.join(group: long + "\(number)", session: 1_800_000))!.memberID
            driver.leave([(memberID, nil)], group: long + "\(number)")
        }
        #expect(driver.shard.context.timers.count <= DeadlineQueue.pushedAlways / long.utf8.count + 1)
    }

    /// The heap is made anew many times below a group whose timers run on.
    @Test func timersThatRunOutliveTheOthers() {
        let driver = ShardDriver()
        let ids = driver.stableGroup(3, group: "lasting")
        let pending = driver.joined(driver.join(group: "lasting", session: 20_000))!.memberID
        for number in 0..<3 * DeadlineQueue.pushedAlways / long.utf8.count {
            let memberID = driver.joined(driver.join(group: long + "\(number)", session: 1_800_000))!.memberID
            driver.leave([(memberID, nil)], group: long + "\(number)")
        }
        driver.pass(5_000)
        #expect(driver.heartbeat(ids[0], 1, group: "lasting") == ErrorCode.none)
        driver.pass(6_000)
        // Two were silent for eleven seconds.
        #expect(driver.state("lasting") == .preparingRebalance)
        #expect(driver.shard.metrics.members == 1)
        driver.pass(5_000)
        #expect(driver.shard.metrics.members == 0)
        #expect(driver.shard.groups["lasting"]?.pendingMembers[pending] != nil)
        driver.pass(5_000)
        #expect(driver.shard.groups["lasting"]?.pendingMembers.isEmpty == true)
    }

    // MARK: Members who go

    /// An election with each that goes would look at all the others, each time.
    @Test func theNextLeaderIsElectedOnceAndNotWithEachMemberThatGoes() {
        let driver = ShardDriver()
        let ids = driver.stableGroup(6)
        driver.leave(ids.prefix(3).map { ($0, nil) })
        #expect(driver.shard.groups["g"]!.leaderID == ids[0])
        // The fourth does not rejoin in time; the fifth is the first of those who do.
        let last = driver.join(ids[5])
        let fifth = driver.join(ids[4])
        driver.pass(9_000)
        _ = driver.heartbeat(ids[3], 1)
        driver.pass(60_000)
        #expect(driver.joined(fifth)?.leader == ids[4])
        #expect(driver.joined(last)?.leader == ids[4])
        #expect(driver.joined(fifth)?.members.map(\.memberID) == [ids[4], ids[5]])
        // All go: the next to come leads.
        driver.leave([(ids[4], nil), (ids[5], nil)])
        let next = driver.joinDynamic()
        driver.pass(3_000)
        #expect(driver.joined(next.waiter)?.leader == next.memberID)
    }
}
