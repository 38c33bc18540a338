import ByteBuffers
import KafkaModel
import Testing

@testable import IngestGateway

/// The state machine of keys, without a log.
@Suite struct IdempotencyTableTests {
    private static let partition = TopicPartition(topicID: TopicID(high: 1, low: 2), partitionIndex: 3)

    private static let owner = KeyOwner(named: Array("User:a".utf8))

    private func table(
        keys: Int = 100, bytes: Int = 1 << 20, sharePercent: Int = 100, loops: Int = 2
    ) -> IdempotencyTable {
        IdempotencyTable(
            IdempotencyTable.Limits(ttlMs: 1000, keys: keys, bytes: bytes, sharePercent: sharePercent), loops: loops)
    }

    private func key(_ number: UInt64) -> ShortDigest { ShortDigest(high: 7, low: number) }

    private func request(
        _ number: UInt64, at timeMs: Int64 = 0, offset: Int64 = 5, body: String = "{}", owner: KeyOwner = IdempotencyTableTests.owner
    ) -> StoredRequest {
        StoredRequest(
            key: key(number), fingerprint: key(number + 1000), owner: owner, partition: Self.partition,
            baseOffset: offset, lastOffset: offset, timeMs: timeMs,
            reply: StoredReply(status: 201, form: .json, retryAfter: nil, body: Array(body.utf8)))
    }

    private func begin(
        _ table: inout IdempotencyTable, _ number: UInt64, loop: Int = 0, nowMs: Int64 = 0, durable: UInt64 = 0,
        owner: KeyOwner = IdempotencyTableTests.owner
    ) -> IdempotencyTable.Answer {
        table.begin(key(number), key(number + 1000), owner: owner, loop: loop, nowMs: nowMs) { $0.ticket <= durable }
    }

    private func store(_ table: inout IdempotencyTable, _ request: StoredRequest, ticket: UInt64 = 1, loop: Int = 0) {
        _ = table.finish(request, ticket: ticket, loop: loop)
        table.release(loop: loop)
    }

    @Test func aRepeatIsBusyUntilTheFirstIsOnDiskAndThenItsReply() {
        var table = table()
        #expect(begin(&table, 1) == .claimed)
        #expect(begin(&table, 1, loop: 1) == .busy)
        table.willAppend(loop: 0, Self.partition, from: 5)
        store(&table, request(1), ticket: 9)
        #expect(begin(&table, 1, durable: 8) == .busy)
        #expect(begin(&table, 1, durable: 9) == .replay(request(1).reply))
        // It is known to be there.
        #expect(begin(&table, 1, durable: 0) == .replay(request(1).reply))
    }

    /// Once it is stored there, its key is that topic's; a request that has a key of its own keeps its answer.
    @Test func anEventOfAnotherTopicIsNew() {
        var table = table()
        func ask(_ topic: TopicID?, _ loop: Int) -> IdempotencyTable.Answer {
            table.begin(key(1), key(1001), of: topic, owner: Self.owner, loop: loop, nowMs: 0) { _ in true }
        }
        let (first, second) = (Self.partition.topicID, TopicID.random())
        #expect(ask(first, 0) == .claimed)
        store(&table, request(1))
        #expect(ask(first, 0) == .replay(request(1).reply))
        #expect(ask(nil, 0) == .replay(request(1).reply))
        #expect(ask(second, 0) == .claimed)
        #expect(ask(second, 1) == .busy)
        var moved = request(1, offset: 0)
        moved.partition = TopicPartition(topicID: second, partitionIndex: 0)
        store(&table, moved)
        #expect(ask(second, 1) == .replay(moved.reply))
        #expect(ask(first, 1) == .claimed)
    }

    @Test func anotherBodyIsAMismatchAtOnce() {
        var table = table()
        #expect(begin(&table, 1) == .claimed)
        store(&table, request(1), ticket: 9)
        let answer = table.begin(key(1), key(4), owner: Self.owner, loop: 0, nowMs: 0) { _ in
            Issue.record("nobody needs to know")
            return true
        }
        #expect(answer == .mismatch)
    }

    @Test func aReleasedClaimIsForgotten() {
        var table = table()
        #expect(begin(&table, 1) == .claimed)
        table.release(loop: 0)
        #expect(begin(&table, 1, loop: 1) == .claimed)
        #expect(table.count == 0)
    }

    @Test func aKeyIsForgottenWhenItsTimeIsOver() {
        var table = table()
        #expect(begin(&table, 1, nowMs: 10) == .claimed)
        store(&table, request(1, at: 10))
        #expect(begin(&table, 1, nowMs: 1009, durable: 1) == .replay(request(1, at: 10).reply))
        #expect(begin(&table, 1, nowMs: 1010, durable: 1) == .claimed)
        #expect(table.weight == 0)
        // The old place in the queue does not take the new one with it.
        store(&table, request(1, at: 1010))
        table.forget(before: 1009)
        #expect(table.count == 1)
    }

    @Test func nothingIsForgottenEarlyAtTheBounds() {
        var byKeys = table(keys: 2, loops: 3)
        for number in 1...2 {
            #expect(begin(&byKeys, UInt64(number), nowMs: 100) == .claimed)
            store(&byKeys, request(UInt64(number), at: 100))
        }
        #expect(begin(&byKeys, 3, nowMs: 600) == .full(waitMs: 500))
        #expect(begin(&byKeys, 1, nowMs: 600, durable: 1) == .replay(request(1).reply))
        #expect(begin(&byKeys, 3, nowMs: 1100) == .claimed)

        let most = StoredRequest.fixedWeight + StoredReply.maxBytes
        var byBytes = table(bytes: 2 * most, loops: 3)
        #expect(begin(&byBytes, 1) == .claimed)
        #expect(begin(&byBytes, 2, loop: 1) == .claimed)
        #expect(begin(&byBytes, 3, loop: 2) == .full(waitMs: 1000))
        store(&byBytes, request(1))
        #expect(byBytes.weight == request(1).weight)
        // What the first may have taken, and did not, is not enough for a third beside the second.
        #expect(begin(&byBytes, 3, loop: 2) == .full(waitMs: 1000))
        byBytes.release(loop: 1)
        #expect(begin(&byBytes, 3, loop: 2) == .claimed)
    }

    @Test func noOwnerHasMoreThanHisShare() {
        let other = KeyOwner(named: Array("User:b".utf8))
        var table = table(keys: 4, sharePercent: 50, loops: 3)
        #expect(begin(&table, 1, nowMs: 100) == .claimed)
        store(&table, request(1, at: 100))
        // What is claimed counts.
        #expect(begin(&table, 2, loop: 1, nowMs: 200) == .claimed)
        #expect(begin(&table, 3, loop: 2, nowMs: 200) == .shareFull(waitMs: 900))
        store(&table, request(2, at: 200), loop: 1)
        #expect(begin(&table, 3, nowMs: 300) == .shareFull(waitMs: 800))
        #expect(begin(&table, 1, nowMs: 300, durable: 1) == .replay(request(1, at: 100).reply))
        #expect(begin(&table, 3, nowMs: 300, owner: other) == .claimed)
        store(&table, request(3, at: 300, owner: other))
        // The first is forgotten, and makes room for one.
        #expect(begin(&table, 4, nowMs: 1100) == .claimed)
        store(&table, request(4, at: 1100))
        #expect(begin(&table, 5, nowMs: 1100) == .shareFull(waitMs: 1))
        #expect(begin(&table, 6, nowMs: 1100, owner: other) == .claimed)
        store(&table, request(6, at: 1100, owner: other))
        #expect(begin(&table, 7, nowMs: 1100, owner: KeyOwner(named: Array("User:c".utf8))) == .full(waitMs: 100))
        table.forget(before: 2000)
        #expect(table.count == 0 && table.weight == 0)
        #expect(begin(&table, 8, nowMs: 2001) == .claimed)
    }

    @Test func bytesAreSharedToo() {
        let most = StoredRequest.fixedWeight + StoredReply.maxBytes
        var table = table(bytes: 4 * most, sharePercent: 25, loops: 2)
        #expect(begin(&table, 1) == .claimed)
        #expect(begin(&table, 2, loop: 1) == .claimed, "who has nothing stored is let in")
        store(&table, request(1))
        table.release(loop: 1)
        #expect(begin(&table, 2, loop: 1) == .shareFull(waitMs: 1000))
        #expect(begin(&table, 2, loop: 1, owner: KeyOwner(named: Array("User:b".utf8))) == .claimed)
    }

    /// Of requests that were stored before owners were there.
    @Test func whatIsNobodysCountsForNobody() {
        var table = table(keys: 4, sharePercent: 50)
        for number in 1...3 { table.load(request(UInt64(number), owner: .nobody)) }
        #expect(begin(&table, 9) == .claimed)
    }

    @Test func floorsStayBelowBatchesWithoutALine() {
        var table = table(loops: 3)
        #expect(begin(&table, 1) == .claimed)
        table.willAppend(loop: 0, Self.partition, from: 5)
        #expect(begin(&table, 2, loop: 1) == .claimed)
        table.willAppend(loop: 1, Self.partition, from: 6)
        // The second is first with its line: the floor stays below the first's batch.
        #expect(table.finish(request(2, offset: 6), ticket: 1, loop: 1) == 5)
        table.release(loop: 1)
        #expect(table.floor(of: Self.partition, below: 100) == 5)
        #expect(table.finish(request(1, offset: 5), ticket: 1, loop: 0) == 6)
        // Its own line is not in the log before it is released.
        #expect(table.floor(of: Self.partition, below: 100) == 5)
        table.release(loop: 0)
        #expect(table.floor(of: Self.partition, below: 100) == 100)
        let other = TopicPartition(topicID: TopicID(high: 1, low: 2), partitionIndex: 4)
        #expect(begin(&table, 3) == .claimed)
        table.willAppend(loop: 0, Self.partition, from: 50)
        #expect(table.floor(of: other, below: 100) == 100)
        _ = table.finish(request(3, offset: 50), ticket: 2, loop: 0)
        table.release(loop: 0, isLost: true)
        #expect(table.floor(of: Self.partition, below: 100) == 50)
    }
}

/// What stands in the log of requests, and in the records.
@Suite struct IdempotencyRecordTests {
    private static let request = StoredRequest(
        key: ShortDigest(high: 1, low: .max), fingerprint: ShortDigest(of: Array("body".utf8)),
        owner: KeyOwner(digest: 0x0102_0304_0506_0708),
        partition: TopicPartition(topicID: TopicID(high: 3, low: 4), partitionIndex: 5), baseOffset: 6, lastOffset: 7,
        timeMs: 1_760_000_000_123,
        reply: StoredReply(status: 207, form: .kafkaV2, retryAfter: 1, body: Array("{\"a\":1}".utf8)))

    @Test(arguments: [
        IdempotencyRecord.opened(TopicID(high: 1, low: 2), floors: [0, .max, 5]), .stored(request, floor: 6),
        .void(ShortDigest(high: 8, low: 9)),
    ])
    func aLineIsReadAsItWasWritten(record: IdempotencyRecord) throws {
        var out = ByteWriter(capacity: 64)
        record.encode(atMs: 1_760_000_000_123, into: &out)
        let (read, time) = try IdempotencyRecord.decode(out.bytes)
        #expect(read == record)
        #expect(time == 1_760_000_000_123)
        let bytes = out.array
        for count in 0..<bytes.count {
            #expect(throws: DecodeError.self) {
                try bytes[..<count].withUnsafeBytes { _ = try IdempotencyRecord.decode($0) }
            }
        }
        #expect(throws: DecodeError.self) {
            try (bytes + [0]).withUnsafeBytes { _ = try IdempotencyRecord.decode($0) }
        }
    }

    /// Kind 2 has no owner, and all behind it is the same.
    @Test func aLineFromBeforeThereWereOwnersIsRead() throws {
        var out = ByteWriter(capacity: 64)
        IdempotencyRecord.stored(Self.request, floor: 6).encode(atMs: 5, into: &out)
        var bytes = out.array
        #expect(bytes[0] == 4 && Array(bytes[9..<17]) == [1, 2, 3, 4, 5, 6, 7, 8])
        bytes[0] = 2
        bytes.removeSubrange(9..<17)
        var old = Self.request
        (old.owner, old.timeMs) = (.nobody, 5)
        let (read, _) = try bytes.withUnsafeBytes { try IdempotencyRecord.decode($0) }
        #expect(read == .stored(old, floor: 6))
    }

    @Test func aLineOfAnotherKindIsRefused() {
        var bytes = [UInt8](repeating: 0, count: 25)
        for kind in [UInt8(0), 5, 255] {
            bytes[0] = kind
            #expect(throws: DecodeError.self) { try bytes.withUnsafeBytes { _ = try IdempotencyRecord.decode($0) } }
        }
    }

    @Test func aDigestIsItsText() {
        var out = ByteWriter(capacity: 64)
        let digest = ShortDigest(of: Array("abc".utf8))
        digest.write(into: &out)
        // The first half of SHA-256 of "abc".
        #expect(String(decoding: out.bytes, as: UTF8.self) == "ba7816bf8f01cfea414140de5dae2223")
        #expect(ShortDigest(text: out.bytes) == digest)
        for wrong in [
            "", "ba7816bf8f01cfea414140de5dae222", "ba7816bf8f01cfea414140de5dae222g",
            "BA7816BF8F01CFEA414140DE5DAE2223",
        ] {
            #expect(Array(wrong.utf8).withUnsafeBytes { ShortDigest(text: $0) } == nil)
        }
    }
}
