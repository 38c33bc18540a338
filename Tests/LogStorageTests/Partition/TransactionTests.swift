import BrokerTestKit
import ByteBuffers
import KafkaModel
import RecordFormat
import StorageIO
import Testing

@testable import LogStorage

/// Transactions in one partition: what holds the last stable offset back, who is refused, and what readers are told to leave
/// out, after every kind of stop. Rules: KIP-98, KIP-890.
@Suite struct TransactionTests {
    private let now = TestStore.now

    // MARK: The last stable offset

    @Test func anOpenTransactionHoldsBackWhatFollowsIt() throws {
        let store = try TestStore()
        store.append()
        store.append(count: 2, of: 7)
        store.append()
        store.store.commitPending()
        #expect(store.log.highWatermark.rawValue == 4 && store.log.lastStableOffset.rawValue == 1)
        #expect(try store.stable(from: 0).offsets == [0])
        #expect(try store.stable(from: 1).offsets == [])
        #expect(try store.stable(from: 3).offsets == [])
        #expect(try store.read(from: 1).count == 2)
        try store.end(7, isCommit: true)
        // The marker is in the log, and not on disk yet.
        #expect(store.log.lastStableOffset.rawValue == 1)
        store.store.commitPending()
        #expect(store.log.lastStableOffset.rawValue == 5)
        #expect(try store.stable(from: 0).offsets == [0, 1, 2, 3])
    }

    @Test func anAbortedOneIsTold() throws {
        let store = try TestStore()
        store.append(of: 7)
        store.append(of: 8)
        store.append(of: 7, sequence: 1)
        try store.end(7, isCommit: false)
        try store.end(8, isCommit: true)
        store.append()
        store.store.commitPending()
        let aborted = try store.log.abortedTransactions(from: Offset(0), to: Offset(6)).get()
        #expect(
            aborted == [
                AbortedTransaction(producerID: 7, firstOffset: 0, lastOffset: 3, lastStableOffset: 1)
            ])
        #expect(try store.stable(from: 0).offsets == [1, 5])
        #expect(try store.log.abortedTransactions(from: Offset(4), to: Offset(6)).get().isEmpty)
        // A range that ends before the transaction begins, and one of which only the end is asked for.
        #expect(try store.log.abortedTransactions(from: Offset(3), to: Offset(4)).get().count == 1)
        #expect(try store.log.abortedTransactions(from: Offset(0), to: Offset(0)).get().isEmpty)
    }

    /// A transaction without records here leaves nothing for readers.
    @Test func aMarkerOfNothingIsWritten() throws {
        let store = try TestStore()
        try store.end(7, isCommit: false, epoch: 3)
        store.store.commitPending()
        #expect(store.log.logEndOffset.rawValue == 1 && store.log.lastStableOffset.rawValue == 1)
        #expect(try store.log.abortedTransactions(from: Offset(0), to: Offset(1)).get().isEmpty)
        #expect(store.log.knownProducers.map(\.epoch) == [3])
    }

    @Test func waitersWakeByTheOffsetThatTheyReadTo() throws {
        let store = try TestStore()
        let heard = HeardCommits()
        store.store.observe(heard)
        store.append(of: 7)
        store.store.commitPending()
        var (plain, stable): (Int32, Int32) = (-1, -1)
        _ = store.log.watch(ReadWaiter(loop: 0, id: 1), slot: &plain, step: 1)
        let before = store.log.watch(ReadWaiter(loop: 0, id: 2), slot: &stable, step: 1, visibility: .stable)
        #expect(before.position == 0)
        store.append()
        store.store.commitPending()
        #expect(heard.woken.map(\.id) == [1])
        try store.end(7, isCommit: true)
        #expect(heard.woken.map(\.id) == [1])
        store.store.commitPending()
        #expect(heard.woken.map(\.id) == [1, 2])
        let after = store.log.watch(ReadWaiter(loop: 0, id: 2), slot: &stable, step: 1, visibility: .stable)
        #expect(after.position == store.log.sizeInBytes)
        store.log.forget(ReadWaiter(loop: 0, id: 2), slot: stable)
        #expect(store.log.state.withLock { $0.stableWaiters.isEmpty })
    }

    @Test func recordsByTimeEndAtTheLastStableOffset() throws {
        let store = try TestStore()
        store.append(timestamp: now)
        store.append(of: 7, timestamp: now + 10)
        store.append(timestamp: now + 20)
        store.store.commitPending()
        #expect(try store.log.firstOffset(notBefore: now + 5).get()?.offset.rawValue == 1)
        #expect(try store.log.firstOffset(notBefore: now + 5, visibility: .stable).get() == nil)
        #expect(try store.log.firstOffset(notBefore: now, visibility: .stable).get()?.offset.rawValue == 0)
    }

    // MARK: Who may append

    @Test func aBatchThatTheCoordinatorKnowsNothingOfIsRefused() throws {
        let store = try TestStore()
        #expect(store.refusal(of: store.batch(of: 7)) == .invalidTxnState)
        store.append(of: 7)
        // Open now: no question.
        #expect(store.log.verification(of: ProducerID(7), ProducerEpoch(0), isVersion2: false) == .open)
        #expect(store.refusal(of: store.batch(of: 7, sequence: 1)) == nil)
        #expect(store.refusal(of: store.batch(of: 7, sequence: 2, isTransactional: false)) == .invalidTxnState)
        #expect(store.refusal(of: store.batch(of: 7, sequence: 0, epoch: 1)) == .invalidTxnState)
        try store.end(7, isCommit: true)
        #expect(store.refusal(of: store.batch(of: 7, sequence: 2)) == .invalidTxnState)
        #expect(store.refusal(of: store.batch(of: 7, sequence: 2, isTransactional: false)) == nil)
    }

    /// The coordinator's yes came before the marker: its transaction has ended, and the batch would begin one that nobody ends.
    @Test func aYesFromBeforeTheMarkerIsWorthNothing() throws {
        let store = try TestStore()
        guard case .ask(let verified) = store.log.verification(of: ProducerID(7), ProducerEpoch(0), isVersion2: false) else {
            Issue.record("nothing to ask")
            return
        }
        try store.end(7, isCommit: false)
        #expect(store.refusal(of: store.batch(of: 7), verified) == .invalidTxnState)
        guard case .ask(let later) = store.log.verification(of: ProducerID(7), ProducerEpoch(0), isVersion2: false) else {
            Issue.record("nothing to ask")
            return
        }
        #expect(store.refusal(of: store.batch(of: 7), later) == nil)
    }

    @Test func repeatsAreKnownInATransactionAndBehindIt() throws {
        let store = try TestStore()
        store.append(of: 7)
        try store.end(7, isCommit: true)
        // Version 1: the epoch stays, and so do the sequences.
        let repeated = store.append(of: 7)
        #expect(repeated.isDuplicate && repeated.baseOffset.rawValue == 0)
        #expect(store.append(of: 7, sequence: 1).baseOffset.rawValue == 2)
        // Version 2: the marker has the next epoch, with which sequences begin anew.
        try store.end(7, isCommit: true, epoch: 1, isVersion2: true)
        #expect(store.refusal(of: store.batch(of: 7, sequence: 2)) == .invalidProducerEpoch)
        #expect(store.log.verification(of: ProducerID(7), ProducerEpoch(0), isVersion2: true) == .fenced)
        #expect(store.refusal(of: store.batch(of: 7, sequence: 2, epoch: 1), .now(store)) == .outOfOrderSequenceNumber)
        #expect(store.append(of: 7, epoch: 1).baseOffset.rawValue == 4)
    }

    @Test func aProducerOfVersionTwoBeginsWithSequenceZero() throws {
        let store = try TestStore()
        for isVersion2 in [true, false] {
            guard case .ask(let verified) = store.log.verification(of: ProducerID(9), ProducerEpoch(0), isVersion2: isVersion2) else {
                Issue.record("nothing to ask")
                return
            }
            let refusal = store.refusal(of: store.batch(of: 9, sequence: 5), verified)
            #expect(refusal == (isVersion2 ? .outOfOrderSequenceNumber : nil))
        }
    }

    @Test func markersAreHeldAgainstEpochs() throws {
        let store = try TestStore()
        store.append(of: 7, epoch: 4)
        func marker(_ epoch: Int16, coordinator: Int32 = 5, isVersion2: Bool) -> ErrorCode? {
            let result = store.log.endTransaction(
                TransactionMarker(
                    producerID: ProducerID(7), epoch: ProducerEpoch(epoch), isCommit: true,
                    coordinatorEpoch: coordinator, isVersion2: isVersion2), nowMs: now)
            if case .failure(let refusal) = result { return refusal.code }
            return nil
        }
        #expect(marker(3, isVersion2: false) == .invalidProducerEpoch)
        #expect(marker(4, isVersion2: true) == .invalidProducerEpoch)
        #expect(marker(5, isVersion2: true) == nil)
        let end = store.log.logEndOffset.rawValue
        // Once more: nothing is written, and all is well.
        #expect(marker(5, isVersion2: true) == nil)
        #expect(store.log.logEndOffset.rawValue == end)
        #expect(marker(6, coordinator: 4, isVersion2: true) == .transactionCoordinatorFenced)
        #expect(marker(5, isVersion2: false) == nil)
        #expect(store.log.logEndOffset.rawValue == end + 1)
        #expect(marker(.max, isVersion2: true) == nil)
    }

    @Test func openTransactionsAreNeverForgotten() throws {
        var options = TestStore.options
        options.producerExpirationMs = 1000
        let store = try TestStore(options: options)
        store.append(of: 7)
        store.append(of: 8)
        try store.end(8, isCommit: true)
        store.store.commitPending()
        store.log.expireProducers(silentSince: now + 10_000)
        #expect(store.log.knownProducers.map(\.producerID) == [7])
        #expect(store.log.knownProducers.first?.transactionStart == 0)
    }

    @Test func aPartitionHasALimitOfOpenTransactions() {
        var states = ProducerStates()
        for id in 0..<ProducerStates.maxOpenTransactions {
            states.record(
                transactional(Int64(id)), baseOffset: Int64(id), lastOffset: Int64(id), timestampMs: now)
        }
        let verified = TransactionGuard(logEndOffset: .max, isVersion2: false)
        #expect(states.check(transactional(1 << 20), verified: verified) == .refuse(.notEnoughReplicas))
        states.recordMarker(of: 3, epoch: 0, coordinatorEpoch: 0, offset: 1 << 30, timestampMs: now)
        #expect(states.check(transactional(1 << 20), verified: verified) == .accept)
        // Producers without one make room, those with one stay.
        for id in 0..<ProducerStates.maxProducers {
            states.record(
                ProducerBatch(producerID: 1 << 30 + Int64(id), producerEpoch: 0, baseSequence: 0, lastSequence: 0),
                lastOffset: 1 << 31, timestampMs: now)
        }
        #expect(states.ongoing.openCount == ProducerStates.maxOpenTransactions - 1)
        #expect(states.entries.values.count(where: \.hasOpenTransaction) == states.ongoing.openCount)
    }

    private func transactional(_ id: Int64) -> ProducerBatch {
        ProducerBatch(producerID: id, producerEpoch: 0, baseSequence: 0, lastSequence: 0, isTransactional: true)
    }

    // MARK: Segments and their indexes

    @Test func closedSegmentsTellFromTheirIndexFiles() throws {
        var settings = TestStore.settings
        settings.segmentBytes = 2000
        let store = try TestStore(settings: settings)
        for number in 0..<40 as Range<Int64> {
            store.append(of: 100 + number)
            store.append(of: 7, sequence: Int32(number))
            try store.end(100 + number, isCommit: number % 2 == 0)
            if number % 5 == 4 { try store.end(7, isCommit: number % 10 == 4) }
            store.store.commitPending()
        }
        let expected = try store.stable(from: 0).offsets
        #expect(expected.count == 20 + 20)
        for _ in 0..<2 {
            try store.checkpoint()
            let stored = store.log.state.withLock { $0.segments.count { !$0.index.isInMemory } }
            #expect(stored > 3)
            #expect(try store.stable(from: 0).offsets == expected)
            // An event loop does not wait for an index file.
            guard case .failure(.wouldWait) = store.log.abortedTransactions(from: Offset(0), to: Offset(100), mayWait: false) else {
                Issue.record("an index file was read")
                return
            }
            try store.restart()
        }
        // Indexes that are lost are made again of their segments.
        try store.store.stop()
        for name in store.files where name.hasSuffix(".index") { try store.fileSystem.remove(store.path(name)) }
        try store.reopen()
        #expect(try store.stable(from: 0).offsets == expected)
    }

    @Test func anIndexThatCannotBeReadIsMadeAgain() throws {
        var settings = TestStore.settings
        settings.segmentBytes = 2000
        let store = try TestStore(settings: settings)
        for number in 0..<20 as Range<Int64> {
            store.append(of: number)
            try store.end(number, isCommit: false)
        }
        store.append()
        try store.checkpoint()
        for name in store.files where name.hasSuffix(".index") { try store.fileSystem.remove(store.path(name)) }
        #expect(try store.stable(from: 0).offsets == [40])
    }

    @Test func aSegmentOfTooManyAbortedOnesIsClosed() throws {
        let store = try TestStore()
        store.log.state.withLock { state in
            for number in 0..<Int64(SegmentIndex.maxAborted) {
                state.segments[0].index.append(
                    AbortedTransaction(
                        producerID: 1, firstOffset: -2, lastOffset: number - 1_000_000, lastStableOffset: -1))
            }
        }
        store.append()
        store.append()
        #expect(store.log.segmentCount == 2)
    }

    @Test func whatDeleteRecordsTookAwayIsNotShown() throws {
        let store = try TestStore()
        store.append(of: 7)
        store.append()
        try store.end(7, isCommit: false)
        store.append()
        store.store.commitPending()
        _ = try store.log.deleteRecords(before: Offset(2)).get()
        guard case .failure(.outOfRange) = store.log.abortedTransactions(from: Offset(0), to: Offset(2)) else {
            Issue.record("records below the log's start were told of")
            return
        }
        #expect(try store.stable(from: 2).offsets == [3])
        // An open one that begins below the log's start holds nothing back that is there.
        store.append(of: 8)
        store.append()
        store.store.commitPending()
        #expect(store.log.lastStableOffset.rawValue == 4)
        _ = try store.log.deleteRecords(before: Offset(6)).get()
        #expect(store.log.lastStableOffset.rawValue == 6)
    }

    @Test func batchesOfACompactedLogKeepTheirTransactions() throws {
        var settings = TestStore.settings
        settings.isCompacted = true
        settings.deletesByRetention = false
        settings.segmentBytes = 1500
        settings.minCleanableDirtyRatio = 0
        settings.deleteRetentionMs = 1 << 40
        let store = try TestStore(settings: settings)
        for number in 0..<12 as Range<Int32> {
            var batch = store.batch(of: Int64(number % 3), sequence: number / 3)
            batch.records = [TestRecord(key: "k\(number)", String(repeating: "v", count: 200))]
            _ = store.append(batch)
            try store.end(Int64(number % 3), isCommit: number % 2 == 0)
        }
        let expected = try { store.store.commitPending(); return try store.stable(from: 0).offsets }()
        #expect(expected.count == 6)
        try store.checkpoint()
        store.store.clean(nowMs: now)
        #expect(store.log.state.withLock { $0.cleaner.firstDirtyOffset } > 0)
        #expect(try store.stable(from: 0).offsets == expected)
        try store.checkpoint()
        try store.restart()
        #expect(try store.stable(from: 0).offsets == expected)
    }

    // MARK: Every kind of stop

    /// Random transactions of several producers with stops of every kind; at every moment, from every offset, readers see the
    /// committed records and no others.
    @Test(arguments: 1...60 as ClosedRange<UInt64>) func readersSeeTheCommittedRecordsAlone(seed: UInt64) throws {
        var model = try TransactionModel(seed: seed)
        for _ in 0..<250 { try model.step() }
        try model.restart()
        try model.verify()
    }

    @Test func withTheCheckpointLostItIsAllFoundInTheLog() throws {
        var settings = TestStore.settings
        settings.segmentBytes = 2000
        let store = try TestStore(settings: settings)
        for number in 0..<30 as Range<Int64> {
            store.append(of: number % 4, sequence: Int32(number / 4))
            if number % 3 == 2 { try store.end(number % 4, isCommit: number % 2 == 0) }
        }
        try store.checkpoint()
        let (expected, stable) = (try store.stable(from: 0).offsets, store.log.lastStableOffset.rawValue)
        let producers = store.log.state.withLock { $0.producers.entries.mapValues(\.transactionStart) }
        try store.crash { disk in
            try? disk.remove("/data/checkpoint")
            try? disk.remove("/data/checkpoint.copy")
        }
        #expect(store.log.lastStableOffset.rawValue == stable)
        #expect(try store.stable(from: 0).offsets == expected)
        #expect(store.log.state.withLock { $0.producers.entries.mapValues(\.transactionStart) } == producers)
    }
}

extension TransactionGuard {
    fileprivate static func now(_ store: TestStore) -> TransactionGuard {
        TransactionGuard(logEndOffset: store.log.logEndOffset.rawValue, isVersion2: true)
    }
}
