import BrokerTestKit
import ByteBuffers
import KafkaModel
import KafkaWire
import Testing

@testable import Coordinators

/// The coordinator's state machine: every state with every request, both protocols, restarts after every record. Rules: KIP-98,
/// KIP-360, KIP-890.
@Suite struct TransactionShardTests {
    // MARK: InitProducerId

    @Test func aNewIDBeginsWithEpochZero() {
        var driver = TransactionDriver()
        #expect(driver.initialize() == .identity(ProducerIdentity(1000, 0)))
        #expect(driver.state == .empty)
        #expect(driver.initialize() == .identity(ProducerIdentity(1000, 1)))
        #expect(driver.initialize(id: "other") == .identity(ProducerIdentity(1001, 0)))
    }

    @Test func whatCannotBeIsRefused() {
        var driver = TransactionDriver()
        #expect(driver.initialize(id: "") == .refused(.invalidRequest))
        #expect(driver.initialize(timeoutMs: 0) == .refused(.invalidTransactionTimeout))
        #expect(driver.initialize(timeoutMs: 900_001) == .refused(.invalidTransactionTimeout))
        #expect(driver.records.isEmpty)
        driver.shard.unload()
        #expect(driver.initialize() == .refused(.notCoordinator))
        driver.shard.beginLoading(epoch: 1)
        #expect(driver.initialize() == .refused(.coordinatorLoadInProgress))
    }

    @Test func aProducerThatSaysWhoItWasIsHeldAgainstThat() {
        var driver = TransactionDriver()
        let first = driver.begin()
        #expect(driver.initialize(known: first) == .identity(ProducerIdentity(first.id, 1)))
        // The reply was lost, and the request comes again.
        #expect(driver.initialize(known: first) == .identity(ProducerIdentity(first.id, 1)))
        #expect(driver.initialize(known: ProducerIdentity(first.id, 1)) == .identity(ProducerIdentity(first.id, 2)))
        #expect(driver.initialize(known: first) == .refused(.producerFenced))
        #expect(driver.initialize(known: ProducerIdentity(77, 2)) == .refused(.producerFenced))
        // One that says nothing fences them all.
        #expect(driver.initialize() == .identity(ProducerIdentity(first.id, 3)))
        #expect(driver.initialize(known: ProducerIdentity(first.id, 2)) == .refused(.producerFenced))
    }

    @Test func anOpenTransactionIsAbortedAndItsProducerFenced() throws {
        var driver = TransactionDriver()
        let old = driver.begin()
        #expect(driver.add(old) == .none)
        #expect(driver.initialize() == .refused(.concurrentTransactions))
        #expect(driver.state == .prepareAbort)
        let end = try #require(driver.ends.first)
        #expect(!end.isCommit && end.producer == ProducerIdentity(old.id, 1) && end.partitions == ["t": [0]])
        #expect(driver.initialize() == .refused(.concurrentTransactions))
        driver.finish()
        #expect(driver.state == .completeAbort)
        // The old one does not come back by naming the epoch that it had.
        #expect(driver.initialize(known: old) == .refused(.producerFenced))
        #expect(driver.initialize() == .identity(ProducerIdentity(old.id, 2)))
        #expect(driver.add(old) == .producerFenced)
        #expect(driver.end(old, commit: true) == .refused(.producerFenced))
        #expect(driver.end(old, commit: true, bumping: true) == .refused(.producerFenced))
    }

    @Test func anEpochThatRunsOutGoesOnWithAnotherID() {
        var driver = TransactionDriver()
        let first = driver.begin()
        driver.exhaust()
        #expect(driver.epoch == Int16.max - 1)
        #expect(driver.initialize(hasFresh: false) == .needsProducerID)
        let last = ProducerIdentity(first.id, .max - 1)
        guard case .identity(let next) = driver.initialize(known: last) else {
            Issue.record("no identity")
            return
        }
        #expect(next.epoch == 0 && next.id != first.id)
        // The reply was lost.
        #expect(driver.initialize(known: last) == .identity(next))
    }

    // MARK: Partitions

    @Test func partitionsAreAddedOnce() {
        var driver = TransactionDriver()
        let producer = driver.begin()
        let before = driver.records.count
        #expect(driver.add(producer, ["t": [0, 1]]) == .none)
        #expect(driver.add(producer, ["t": [1]]) == .none)
        #expect(driver.records.count == before + 1)
        #expect(driver.add(producer, ["u": [0]]) == .none)
        #expect(driver.records.count == before + 2)
        #expect(driver.verify(producer, "t", 1) == .none)
        #expect(driver.verify(producer, "t", 2) == .transactionAbortable)
        #expect(driver.verify(ProducerIdentity(producer.id, 9), "t", 1) == .producerFenced)
        #expect(driver.verify(ProducerIdentity(9, 0), "t", 1) == .invalidProducerIDMapping)
        #expect(driver.add(ProducerIdentity(9, 0)) == .invalidProducerIDMapping)
        #expect(driver.add(producer, id: "unknown") == .invalidProducerIDMapping)
        #expect(driver.add(producer, id: "") == .invalidRequest)
        #expect(driver.end(producer, commit: true) == .identity(producer))
        #expect(driver.add(producer) == .concurrentTransactions)
        #expect(driver.verify(producer, "t", 1) == .concurrentTransactions)
        driver.finish()
        #expect(driver.verify(producer, "t", 1) == .transactionAbortable)
        // The next transaction begins without the partitions of the last one.
        #expect(driver.add(producer, ["u": [5]]) == .none)
        #expect(driver.verify(producer, "t", 1) == .transactionAbortable)
        #expect(driver.verify(producer, "u", 5) == .none)
    }

    @Test func aRecordThatTheTopicDoesNotTakeIsRefusedBefore() {
        var driver = TransactionDriver()
        let producer = driver.begin()
        driver.shard.maxBatchBytes = 400
        let before = driver.records.count
        #expect(driver.add(producer, ["t": Set(0..<200)]) == .unknownServerError)
        #expect(driver.records.count == before && driver.state == .empty)
        #expect(driver.add(producer, ["t": [0]]) == .none)
    }

    /// Each request that adds one writes all of them again.
    @Test func aTransactionHasALimitOfPartitions() {
        var settings = TransactionSettings()
        (settings.maxPartitions, settings.maxRecordBytes) = (10, 400)
        var driver = TransactionDriver(settings)
        let producer = driver.begin()
        #expect(driver.add(producer, ["t": Set(0..<11)]) == .policyViolation)
        #expect(driver.state == .empty)
        #expect(driver.add(producer, ["t": Set(0..<9)]) == .none)
        let before = driver.records.count
        #expect(driver.add(producer, ["t": [9], "u": [0]]) == .policyViolation)
        #expect(driver.add(producer, ["u": [0]]) == .none)
        #expect(driver.add(producer, ["t": [9]]) == .policyViolation)
        // What is in it already is no more than it was.
        #expect(driver.add(producer, ["t": [3]]) == .none)
        #expect(driver.records.count == before + 1)
        #expect(driver.end(producer, commit: true) == .identity(producer))
        driver.finish()
        #expect(driver.add(producer, [ExactString(String(repeating: "n", count: 300)): [0]]) == .policyViolation)
        #expect(driver.add(producer, ["t": Set(0..<10)]) == .none)
    }

    /// librdkafka aborts on such a refusal, and takes a refused abort for the producer's end.
    @Test(arguments: [TransactionState.empty, .completeCommit, .completeAbort])
    func whatWasRefusedAtItsBeginIsAborted(state: TransactionState) {
        var settings = TransactionSettings()
        settings.maxPartitions = 10
        var (driver, producer) = TransactionDriver.reaching(state, bumping: false, settings)
        #expect(driver.add(producer, ["t": Set(0..<11)]) == .policyViolation)
        let before = driver.records.count
        // Also when the answer was lost, and it is asked again.
        for _ in 0..<2 { #expect(driver.end(producer, commit: false) == .identity(producer)) }
        #expect(driver.state == state && driver.records.count == before)
        #expect(driver.add(producer, ["t": [0]]) == .none)
        #expect(driver.end(producer, commit: true) == .identity(producer))
        driver.finish()
        #expect(driver.end(producer, commit: false) == .refused(.invalidTxnState))
    }

    @Test func whatOneRequestNamesIsOneRecord() {
        var settings = TransactionSettings()
        settings.maxPartitions = 600
        var driver = TransactionDriver(settings)
        let producer = driver.begin()
        var before = driver.records.count
        let many = Dictionary(uniqueKeysWithValues: (0..<50).map { (ExactString("t\($0)"), Set(Int32(0)..<10)) })
        #expect(driver.add(producer, many) == .none)
        #expect(driver.records.count == before + 1)
        before += 1
        var index: Int32 = 10
        while driver.add(producer, ["t0": [index]]) == .none { index += 1 }
        #expect(index == 110 && driver.records.count == before + 100)
    }

    /// The price of a record is known without a walk through what it names, and is not less than the record.
    @Test func whatATransactionTakesIsKnown() throws {
        var driver = TransactionDriver()
        var random = SeededRandom(seed: 24)
        for _ in 0..<3 {
            let producer = driver.begin()
            for _ in 0..<60 {
                let topic = ExactString(String(repeating: "n", count: random.number(in: 1...40)))
                #expect(driver.add(producer, [topic: Set((0..<3).map { _ in Int32(random.below(50)) })]) == .none)
                let known = try driver.shard.describe("id").get()
                let list = known.partitionList
                #expect(known.topicCount == list.count)
                #expect(known.partitionCount == list.reduce(0) { $0 + $1.indexes.count })
                let walked = list.reduce(384 + 2) { $0 + 96 + $1.topic.utf8.count + 16 * $1.indexes.count }
                #expect(driver.shard.memoryBytes(of: "id") == walked && driver.shard.memoryBytes == walked)
                #expect(try #require(driver.records.last).sizeInBatch <= walked)
            }
            _ = driver.end(producer, commit: true, bumping: true)
            driver.finish()
            #expect(driver.shard.memoryBytes == 384 + 2)
        }
    }

    @Test func memoryHasALimit() {
        var settings = TransactionSettings()
        settings.maxMemoryBytes = 4000
        var driver = TransactionDriver(settings)
        let producer = driver.begin()
        #expect(driver.add(producer, ["t": Set(0..<10_000)]) == .policyViolation)
        #expect(driver.state == .empty)
        var made = 1
        while case .identity = driver.initialize(id: ExactString("id \(made)")) { made += 1 }
        #expect((5...15).contains(made))
        #expect(driver.initialize(id: "one more") == .refused(.policyViolation))
        // Who is there already is served.
        #expect(driver.initialize() == .identity(ProducerIdentity(producer.id, 1)))
        #expect(driver.shard.memoryBytes <= 4000)
    }

    // MARK: EndTxn

    /// Every state with every request of the old protocol: the answer and the state afterwards.
    @Test func endingWithoutABump() {
        typealias Row = (state: TransactionState, commit: ErrorCode, abort: ErrorCode)
        let rows: [Row] = [
            (.empty, .invalidTxnState, .invalidTxnState), (.ongoing, .none, .none),
            (.prepareCommit, .concurrentTransactions, .invalidTxnState),
            (.prepareAbort, .invalidTxnState, .concurrentTransactions),
            (.completeCommit, .none, .invalidTxnState), (.completeAbort, .invalidTxnState, .none),
        ]
        for row in rows {
            for isCommit in [true, false] {
                var (driver, producer) = TransactionDriver.reaching(row.state, bumping: false)
                let before = driver.records.count
                let answer = driver.end(producer, commit: isCommit)
                let expected = isCommit ? row.commit : row.abort
                #expect(answer == (expected == .none ? .identity(producer) : .refused(expected)), "\(row.state)")
                let decides = row.state == .ongoing
                #expect(driver.state == (decides ? (isCommit ? .prepareCommit : .prepareAbort) : row.state))
                #expect(driver.records.count == before + (decides ? 1 : 0))
            }
        }
    }

    /// The same of the new protocol: a request of the current epoch, or one that comes again, with the epoch before.
    @Test func endingWithABump() {
        let fenced = ErrorCode.producerFenced
        let rows: [(state: TransactionState, current: (ErrorCode, ErrorCode), again: (ErrorCode, ErrorCode))] = [
            (.empty, (.invalidTxnState, .none), (fenced, fenced)),
            (.ongoing, (.none, .none), (fenced, fenced)),
            (.prepareCommit, (fenced, fenced), (.concurrentTransactions, .invalidTxnState)),
            (.prepareAbort, (fenced, fenced), (.invalidTxnState, .concurrentTransactions)),
            (.completeCommit, (.invalidTxnState, .none), (.none, .invalidTxnState)),
            (.completeAbort, (.invalidTxnState, .none), (.invalidTxnState, .none)),
        ]
        for row in rows {
            for (isAgain, codes) in [(false, row.current), (true, row.again)] {
                for (isCommit, expected) in [(true, codes.0), (false, codes.1)] {
                    var (driver, _) = TransactionDriver.reaching(row.state, bumping: true)
                    let epoch = driver.epoch
                    let stored = ProducerIdentity(driver.producerID, epoch)
                    let answer = driver.end(
                        ProducerIdentity(stored.id, isAgain ? epoch - 1 : epoch), commit: isCommit, bumping: true)
                    guard expected == .none else {
                        #expect(answer == .refused(expected), "\(row.state) \(isAgain) \(isCommit)")
                        #expect(driver.state == row.state)
                        continue
                    }
                    if isAgain {
                        #expect(answer == .identity(stored))
                        #expect(driver.state == row.state)
                    } else {
                        #expect(answer == .identity(ProducerIdentity(stored.id, epoch + 1)))
                        #expect(driver.state == (isCommit ? .prepareCommit : .prepareAbort))
                    }
                }
            }
        }
    }

    @Test func anAbortOfNothingBumpsAndEndsAtOnce() throws {
        var driver = TransactionDriver()
        let producer = driver.begin()
        #expect(driver.end(producer, commit: false, bumping: true) == .identity(ProducerIdentity(producer.id, 1)))
        #expect(try #require(driver.ends.first).partitions.isEmpty)
        driver.finish()
        #expect(driver.state == .completeAbort && driver.epoch == 1)
    }

    /// The markers of the last epoch have one above it, under the old id; who asks again is told the same new identity, at every
    /// step and after a restart at each.
    @Test(arguments: [true, false]) func anEndWhoseEpochRunsOut(restarts: Bool) throws {
        var driver = TransactionDriver()
        let first = driver.begin()
        driver.exhaust()
        let last = ProducerIdentity(first.id, .max - 1)
        #expect(driver.add(last) == .none)
        #expect(driver.end(last, commit: true, bumping: true, hasFresh: false) == .needsProducerID)
        #expect(driver.state == .ongoing)
        guard case .identity(let next) = driver.end(last, commit: true, bumping: true) else {
            Issue.record("no identity")
            return
        }
        #expect(next.epoch == 0 && next.id != first.id)
        let end = try #require(driver.ends.first)
        #expect(end.producer == ProducerIdentity(first.id, .max))
        if restarts { driver.restart() }
        #expect(driver.end(last, commit: true, bumping: true) == .refused(.concurrentTransactions))
        driver.finish()
        if restarts { driver.restart() }
        #expect(driver.end(last, commit: true, bumping: true) == .identity(next))
        #expect(driver.add(next) == .none)
        #expect(driver.add(last) == .invalidProducerIDMapping)
    }

    @Test func markersOfADecisionThatIsOldEndNothing() throws {
        var driver = TransactionDriver()
        let producer = driver.begin()
        #expect(driver.add(producer) == .none)
        #expect(driver.end(producer, commit: true) == .identity(producer))
        let end = try #require(driver.ends.first)
        driver.finish()
        #expect(driver.add(producer, ["u": [1]]) == .none)
        #expect(driver.end(producer, commit: false) == .identity(producer))
        #expect(!driver.shard.ended(end, now: driver.now).answer)
        #expect(driver.state == .prepareAbort)
    }

    // MARK: Time

    @Test func aTransactionThatIsOpenForTooLongIsAborted() {
        var driver = TransactionDriver()
        let producer = driver.begin(timeoutMs: 1000)
        #expect(!driver.shard.hasOpen)
        #expect(driver.add(producer) == .none)
        #expect(driver.shard.hasOpen)
        driver.wait(1000)
        driver.abortTimedOut()
        #expect(driver.state == .ongoing)
        driver.wait(1)
        driver.abortTimedOut()
        #expect(driver.state == .prepareAbort && driver.epoch == 1)
        driver.finish()
        #expect(driver.end(producer, commit: true) == .refused(.producerFenced))
        #expect(driver.end(producer, commit: true, bumping: true) == .refused(.invalidTxnState))
        #expect(!driver.shard.hasOpen)
    }

    @Test func aStepAbortsSoManyAndSaysThatThereAreMore() {
        var driver = TransactionDriver()
        let names = (0..<GroupShard.maxStepEntries + 100).map { ExactString("id \($0)") }
        for name in names { #expect(driver.add(driver.begin(id: name, timeoutMs: 1000), id: name) == .none) }
        #expect(driver.shard.openCount == names.count)
        driver.wait(1000)
        #expect(driver.abortStep() == false)
        #expect(driver.ends.isEmpty)
        driver.wait(1)
        #expect(driver.abortStep() == true)
        #expect(driver.ends.count == GroupShard.maxStepEntries)
        #expect(driver.abortStep() == false)
        #expect(driver.ends.count == names.count && !driver.shard.hasOpen)
    }

    /// More ids than a step takes whose epoch has run out, and no producer id at hand: each step ends, and does not come again at
    /// once. Others are aborted meanwhile.
    @Test func idsThatWaitForAProducerIDHoldUpNobody() {
        var driver = TransactionDriver()
        let names = (0..<GroupShard.maxStepEntries + 100).map { ExactString("id \($0)") }
        for name in names { _ = driver.begin(id: name, timeoutMs: 1000) }
        driver.exhaustAll()
        for name in names {
            #expect(driver.add(ProducerIdentity(driver.current(name.text)?.id ?? -1, .max - 1), id: name) == .none)
        }
        driver.wait(1)
        #expect(driver.add(driver.begin(id: "last", timeoutMs: 1000), id: "last") == .none)
        driver.wait(1001)
        #expect(driver.abortStep(hasFresh: false) == true)
        #expect(driver.abortStep(hasFresh: false) == false)
        #expect(driver.ends.map(\.transactionalID) == ["last"])
        #expect(driver.shard.openCount == names.count)
        driver.wait(TransactionShard.freshRetryMs)
        #expect(driver.abortStep() == false, "not due yet")
        driver.wait(1)
        #expect(driver.abortStep() == true)
        #expect(driver.abortStep() == false)
        #expect(Set(driver.ends.map(\.transactionalID)).count == names.count + 1 && !driver.shard.hasOpen)
    }

    /// Their deadlines are long ahead when they end.
    @Test func shortTransactionsLeaveNothingBehind() {
        var driver = TransactionDriver()
        let open = driver.begin(id: "open", timeoutMs: 900_000)
        #expect(driver.add(open, id: "open") == .none)
        let producer = driver.begin(timeoutMs: 900_000)
        for _ in 0..<1000 {
            #expect(driver.add(producer) == .none)
            #expect(driver.end(producer, commit: true) == .identity(producer))
            driver.finish()
            driver.wait(1)
            #expect(driver.shard.deadlines.count <= 2 * 2 + TransactionDeadlines.keptAlways)
        }
        #expect(driver.add(producer) == .none)
        driver.wait(900_000)
        #expect(driver.abortStep() == false)
        #expect(driver.ends.map(\.transactionalID) == ["open"])
        driver.wait(2)
        #expect(driver.abortStep() == false)
        #expect(driver.ends.map(\.transactionalID) == ["open", "id"])
    }

    @Test func anIDThatNobodyUsesIsForgotten() {
        var driver = TransactionDriver()
        let producer = driver.begin()
        let open = driver.begin(id: "open")
        #expect(driver.add(open, id: "open") == .none)
        driver.wait(604_800_000 - 1)
        driver.forgetUnused()
        #expect(driver.shard.count == 2)
        driver.wait(1)
        driver.forgetUnused()
        #expect(driver.shard.count == 1)
        #expect(driver.add(producer) == .invalidProducerIDMapping)
        driver.restart()
        #expect(driver.shard.count == 1)
        #expect(driver.initialize() == .identity(ProducerIdentity(1002, 0)))
    }

    // MARK: Loading

    /// Random requests beside a shard that is made anew from the log after each of them: it answers the next one alike, but for
    /// the epoch before the last bump, which is in no record.
    @Test(arguments: 1...100 as ClosedRange<UInt64>) func theLogHasItAll(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        var driver = TransactionDriver()
        var known: Set<ProducerIdentity> = []
        for _ in 0..<60 {
            let id = random.chance(0.7) ? "id" : "other"
            let producer = ProducerIdentity(
                1000 + Int64(random.below(3)), Int16(random.below(5)))
            switch random.below(7) {
            case 0:
                if case .identity(let found) = driver.initialize(id: ExactString(id)) {
                    #expect(known.insert(found).inserted, "\(found) was given twice")
                }
            case 1, 2:
                _ = driver.add(driver.current(id) ?? producer, ["t": [Int32(random.below(3))]], id: ExactString(id))
            case 3:
                _ = driver.end(
                    driver.current(id) ?? producer, commit: random.chance(0.5), id: ExactString(id),
                    bumping: random.chance(0.5))
            case 4:
                _ = driver.end(producer, commit: random.chance(0.5), id: ExactString(id), bumping: random.chance(0.5))
            case 5: driver.finish()
            default:
                driver.wait(random.chance(0.2) ? 70_000 : 10)
                driver.abortTimedOut()
            }
            let before = driver.described
            let (ends, open) = (driver.ends, driver.shard.openCount)
            driver.restart()
            #expect(driver.described == before && driver.shard.openCount == open)
            #expect(driver.shard.deadlines.count >= open)
            #expect(Set(driver.ends.map(\.transactionalID)) == Set(ends.map(\.transactionalID)))
        }
    }

    @Test func whatIsDecidedGoesOnAfterAStart() throws {
        for isCommit in [true, false] {
            var driver = TransactionDriver()
            let producer = driver.begin()
            #expect(driver.add(producer, ["t": [0, 1], "u": [3]]) == .none)
            _ = driver.end(producer, commit: isCommit)
            let before = driver.ends
            driver.restart(epoch: 7)
            var expected = try #require(before.first)
            expected.coordinatorEpoch = 7
            #expect(driver.ends == [expected])
            driver.finish()
            #expect(driver.state == (isCommit ? .completeCommit : .completeAbort))
        }
    }

    @Test func recordsOfOtherKindsArePassedOver() throws {
        var shard = TransactionShard()
        shard.beginLoading(epoch: 0)
        let key: [UInt8] = [0, 9, 1, 2]
        try key.withUnsafeBytes { key in try shard.replay(key: key, value: nil) }
        let own: [UInt8] = [0, 0, 0, 1, 65]
        let damaged: [UInt8] = [0, 1, 0]
        #expect(throws: DecodeError.self) {
            try own.withUnsafeBytes { own in
                try damaged.withUnsafeBytes { damaged in try shard.replay(key: own, value: damaged) }
            }
        }
    }
}

/// A shard with its log.
private struct TransactionDriver {
    var shard: TransactionShard
    private(set) var records: [CoordinatorRecord] = []
    /// Decided, and not ended.
    private(set) var ends: [TransactionEnd] = []
    private(set) var now = CoordinatorTime(monotonicMs: 0, wallClockMs: 1_700_000_000_000)
    private var nextID: Int64 = 1000
    private let settings: TransactionSettings

    init(_ settings: TransactionSettings = TransactionSettings()) {
        self.settings = settings
        shard = TransactionShard(settings: settings)
        shard.beginLoading(epoch: 0)
        _ = shard.loaded()
    }

    /// A shard whose id is in this state, with its producer as it was when it began.
    static func reaching(
        _ state: TransactionState, bumping: Bool, _ settings: TransactionSettings = TransactionSettings()
    ) -> (TransactionDriver, ProducerIdentity) {
        var driver = TransactionDriver(settings)
        _ = driver.begin()
        // So that there is an epoch before.
        let producer = driver.begin()
        if state == .empty { return (driver, producer) }
        _ = driver.add(producer)
        if state == .ongoing { return (driver, producer) }
        _ = driver.end(producer, commit: state == .prepareCommit || state == .completeCommit, bumping: bumping)
        if state == .completeCommit || state == .completeAbort { driver.finish() }
        return (driver, producer)
    }

    private mutating func take<Answer>(_ outcome: TransactionOutcome<Answer>) -> Answer {
        records += outcome.records
        ends += outcome.ends
        return outcome.answer
    }

    mutating func initialize(
        id: ExactString = "id", timeoutMs: Int32 = 60_000, known: ProducerIdentity? = nil, hasFresh: Bool = true
    ) -> IdentityAnswer {
        var answer = take(shard.initProducer(id, timeoutMs: timeoutMs, known: known, fresh: nil, now: now))
        if answer == .needsProducerID, hasFresh {
            answer = take(shard.initProducer(id, timeoutMs: timeoutMs, known: known, fresh: nextID, now: now))
            nextID += 1
        }
        return answer
    }

    mutating func begin(id: ExactString = "id", timeoutMs: Int32 = 60_000) -> ProducerIdentity {
        guard case .identity(let producer) = initialize(id: id, timeoutMs: timeoutMs) else {
            preconditionFailure("no producer")
        }
        return producer
    }

    mutating func add(
        _ producer: ProducerIdentity, _ partitions: [ExactString: Set<Int32>] = ["t": [0]], id: ExactString = "id"
    ) -> ErrorCode {
        take(shard.addPartitions(id, producer, partitions, isVersion2: true, now: now))
    }

    func verify(_ producer: ProducerIdentity, _ topic: ExactString, _ index: Int32) -> ErrorCode {
        shard.verify("id", producer, topic, index)
    }

    mutating func end(
        _ producer: ProducerIdentity, commit: Bool, id: ExactString = "id", bumping: Bool = false, hasFresh: Bool = true
    ) -> IdentityAnswer {
        guard bumping else { return take(shard.endTransaction(id, producer, isCommit: commit, now: now)) }
        var answer = take(shard.endTransactionBumping(id, producer, isCommit: commit, fresh: nil, now: now))
        if answer == .needsProducerID, hasFresh {
            answer = take(shard.endTransactionBumping(id, producer, isCommit: commit, fresh: nextID, now: now))
            nextID += 1
        }
        return answer
    }

    /// All markers of all decisions are on disk.
    mutating func finish() {
        let decided = ends
        ends = []
        for end in decided { #expect(take(shard.ended(end, now: now))) }
    }

    mutating func wait(_ milliseconds: Int64) {
        now = CoordinatorTime(monotonicMs: now.monotonicMs + milliseconds, wallClockMs: now.wallClockMs + milliseconds)
    }

    mutating func abortTimedOut() {
        var id = nextID
        let outcome = shard.abortTimedOut(now: now) {
            id += 1
            return id - 1
        }
        nextID = id
        #expect(!take(outcome))
    }

    /// One step; gives whether there are more.
    mutating func abortStep(hasFresh: Bool = true) -> Bool {
        var id = nextID
        let outcome = shard.abortTimedOut(now: now) {
            guard hasFresh else { return nil }
            id += 1
            return id - 1
        }
        nextID = id
        return take(outcome)
    }

    mutating func forgetUnused() { #expect(!take(shard.forgetUnused(now: now))) }

    /// Goes on with the last epoch that a client sees: that of the log's newest record.
    mutating func exhaust() {
        records.append(Self.exhausted(records[records.count - 1]))
        restart()
    }

    /// The same of every record, where each is of another id.
    mutating func exhaustAll() {
        records += records.map(Self.exhausted)
        restart()
    }

    private static func exhausted(_ record: CoordinatorRecord) -> CoordinatorRecord {
        let value = (record.value ?? []).withUnsafeBytes { bytes -> TransactionLogValue? in
            var reader = ByteReader(bytes)
            return try? TransactionLogValue(withVersionFrom: &reader)
        }
        guard var value else { preconditionFailure("no record") }
        value.producerEpoch = .max - 1
        return CoordinatorRecord(key: record.key, value: value.encodedWithVersion(1))
    }

    mutating func restart(epoch: Int32 = 0) {
        shard = TransactionShard(settings: settings)
        shard.beginLoading(epoch: epoch)
        for record in records {
            record.key.withUnsafeBytes { key in
                #expect(throws: Never.self) {
                    if let value = record.value {
                        try value.withUnsafeBytes { try shard.replay(key: key, value: $0) }
                    } else {
                        try shard.replay(key: key, value: nil)
                    }
                }
            }
        }
        ends = shard.loaded().ends
    }

    private func metadata(_ id: ExactString) -> TransactionMetadata? { try? shard.describe(id).get() }
    var state: TransactionState? { metadata("id")?.state }
    var epoch: Int16 { metadata("id")?.epoch ?? -1 }
    var producerID: Int64 { metadata("id")?.producerID ?? -1 }
    func current(_ id: String) -> ProducerIdentity? {
        metadata(ExactString(id)).map { ProducerIdentity($0.producerID, $0.epoch) }
    }

    /// What can be seen of all ids.
    var described: [String] {
        ["id", "other"].map { id in
            guard let known = metadata(ExactString(id)) else { return "\(id): nothing" }
            let partitions = known.partitionList.map { "\($0.topic) \($0.indexes)" }
            return "\(id): \(known.state) \(known.producerID) \(known.epoch) \(known.timeoutMs) \(partitions)"
        }
    }
}
