import BrokerTestKit
import ByteBuffers
import Coordinators
import KafkaModel
import LogStorage
import RecordFormat
import StorageIO

@testable import BrokerCore

/// Clients that produce and commit offsets in transactions, in both protocols, on a broker whose disk loses, tears and reorders
/// what was not synced, with power cuts and kills at any call; beside it a plain list of what the clients were told. In the end,
/// and whenever all is settled: of a committed transaction everything is there once, of another nothing, and a group's offset is
/// that of its last committed transaction.
final class ExactlyOnceModel {
    /// A broker, or a client's view of it, that breaks the rules, and has to be caught.
    enum Control: Equatable {
        case none
        /// Nothing is synced.
        case withoutSync
        /// The end of a transaction is answered before its decision is on disk.
        case answersEarly
        /// A transaction begins in a partition before the coordinator has that on disk.
        case beginsEarly
    }

    /// What became of a transaction, as far as its client knows.
    enum Fate { case open, committing, committed, aborted }

    struct Transaction {
        let client: Int
        var values: [Int] = []
        var offset: Int64?
        var fate = Fate.open
    }

    enum Request {
        case initialize
        case send(partition: Int, values: [Int])
        case offsets(Int64)
        case end(isCommit: Bool)
    }

    final class Client {
        let place: Int
        let id: ExactString
        let group: String
        let isVersion2: Bool
        var identity: ProducerIdentity?
        var sequences: [Int: Int32] = [:]
        /// Of its transaction, in the model's list.
        var current: Int?
        /// On its way, or to be made again.
        var request: Request?
        var isWaiting = false
        /// A request was given up whose outcome it does not know.
        var mustAbort = false
        /// It begins anew for the last time.
        var isFinishing = false

        init(_ place: Int, isVersion2: Bool) {
            (self.place, self.isVersion2) = (place, isVersion2)
            (id, group) = (ExactString("id \(place)"), "group \(place)")
        }

        var producer: TransactionalProducer {
            TransactionalProducer(id: ProducerID(identity!.id), epoch: ProducerEpoch(identity!.epoch))
        }
    }

    struct Failure: Error, CustomStringConvertible { let description: String }

    private var random: SeededRandom
    private let control: Control
    private let node: SimulatedBroker
    private var clients: [Client] = []
    private var transactions: [Transaction] = []
    private var waits: [() throws -> Bool] = []
    private var timers = TransactionCoordinator.Timers(0)
    private var nowMs: Int64 = 1_000_000
    private var maintainedMs = BrokerClock.wallMs()
    private var nextNumber = 1
    /// Where the records are that were acknowledged.
    private var places: [Int: (partition: Int, offset: Offset)] = [:]
    /// Commits of a group without transactions: what was answered, and what was asked for.
    private var plain = (answered: Int64(-1), asked: Int64(-1))
    private(set) var crashes = 0
    private(set) var commits = 0
    private(set) var aborts = 0

    static let partitions = 3
    private static let plainGroup = "plain"

    init(seed: UInt64, _ control: Control = .none) throws {
        random = SeededRandom(seed: seed)
        self.control = control
        var options = SimulatedBroker.options
        options.offsetsPartitions = 2
        options.transactionPartitions = 2
        options.offsetsRewriteFloor = 4 << 10
        options.store.checkpointBytes = 64 << 10
        options.store.unsafeWithoutSync = control == .withoutSync
        // The journal keeps what partitions have in one order. Where each is written by itself a power cut leaves what it likes of
        // each, and who begins before something is stored is seen.
        if random.chance(0.5) { options.store.writeThroughRunBytes = 1 }
        node = try SimulatedBroker(SimulatedFileSystem(seed: random.next()), options: options)
        _ = try node.broker.createTopic(
            "t", partitions: Int32(Self.partitions), settings: ["internal.segment.bytes": "8192", "retention.ms": "-1"]
        ).get()
        node.broker.transactions.makeTopic()
        for name in [Topic.offsetsTopicName, Topic.transactionsTopicName] {
            let settings = [
                "cleanup.policy": "compact", "internal.segment.bytes": "4096", "min.cleanable.dirty.ratio": "0",
            ]
            let topic = node.broker.catalog.topic(named: name)!
            if let refusal = node.broker.alterSettings(topic, settings, validateOnly: false) {
                throw Failure(description: refusal.message)
            }
        }
        for place in 0..<random.number(in: 1...4) { clients.append(Client(place, isVersion2: random.chance(0.5))) }
        node.broker.store.commitPending()
    }

    private var broker: Broker { node.broker }
    private var coordinator: TransactionCoordinator { node.broker.transactions }
    private var isDown: Bool { node.fileSystem.isHalted || broker.store.isOffline }
    private func log(_ partition: Int) -> PartitionLog { broker.catalog.topic(named: "t")!.partitions[partition] }

    private func number() -> Int {
        nextNumber += 1
        return nextNumber - 1
    }

    // MARK: Steps

    func step() throws {
        if !node.fileSystem.isHalted, random.chance(0.02) {
            node.fileSystem.haltAtCall(node.fileSystem.callCount + random.number(in: 1...40))
        }
        switch random.below(100) {
        case 0..<56: try act(random.pick(clients))
        case 56..<72: broker.store.commitPending()
        case 72..<85: turn()
        case 85..<88:
            maintainedMs += 1500
            broker.store.maintain(nowMs: maintainedMs)
        case 88..<90: try? broker.store.checkpoint()
        case 90: _ = broker.store.clean(nowMs: maintainedMs)
        case 91: _ = broker.groups.rewriteOutgrown()
        case 92..<95: commitPlainly()
        case 95..<97: if random.chance(0.3) { try settle() }
        default: try restart()
        }
        try poll()
        if isDown { try restart() }
    }

    private func turn() {
        nowMs += Int64(random.below(Int(Backoff.mostMs)))
        _ = coordinator.turn(&timers, nowMs)
    }

    /// Tells clients what they wait for.
    private func poll() throws {
        guard !isDown else { return }
        let waiting = waits
        waits = []
        for wait in waiting where try !wait() { waits.append(wait) }
    }

    private func act(_ client: Client) throws {
        if client.isWaiting { return }
        if client.request == nil { client.request = next(for: client) }
        guard let request = client.request else { return }
        switch request {
        case .initialize: try initialize(client)
        case .send(let partition, let values): try send(values, to: partition, client)
        case .offsets(let offset): try commit(offset, client)
        case .end(let isCommit): try end(client, isCommit: isCommit)
        }
    }

    private func next(for client: Client) -> Request? {
        if client.identity == nil { return .initialize }
        // Another producer of the same id takes over.
        if random.chance(0.02) { return .initialize }
        if client.mustAbort {
            // What became of its batch is not known: its sequence may be taken. The new protocol's abort begins anew, where
            // there is something to abort: the coordinator may be ending the transaction before.
            let isBegun = client.current.map { transactions[$0].values.isEmpty && transactions[$0].offset == nil } == false
            return client.isVersion2 && isBegun ? .end(isCommit: false) : .initialize
        }
        if client.current == nil {
            client.current = transactions.count
            transactions.append(Transaction(client: client.place))
        }
        let transaction = transactions[client.current!]
        switch random.below(10) {
        case 0..<6:
            let values = (0..<random.number(in: 1...2)).map { _ in number() }
            return .send(partition: random.below(Self.partitions), values: values)
        case 6, 7: return transaction.offset == nil ? .offsets(Int64(number())) : nil
        default:
            if transaction.values.isEmpty, transaction.offset == nil { return nil }
            return .end(isCommit: random.chance(0.7))
        }
    }

    /// What is answered while the disk is going, or the transaction before has markers to come: the request is made again.
    private static let passing: Set<ErrorCode> = [
        .concurrentTransactions, .coordinatorNotAvailable, .coordinatorLoadInProgress,
    ]

    private func refused(_ client: Client, _ code: ErrorCode, _ what: String) throws {
        if Self.passing.contains(code) || isDown { return }
        throw Failure(description: "\(client.id), version 2: \(client.isVersion2): \(what) was refused: \(code)")
    }

    /// The power goes more often where something begins, while that is being stored.
    private func cutPowerSoon() {
        guard !node.fileSystem.isHalted, random.chance(0.2) else { return }
        // Two files that are written, and synced.
        node.fileSystem.haltAtCall(node.fileSystem.callCount + random.number(in: 1...5))
    }

    /// Goes on when what an outcome rests on is on disk.
    private func whenStored<Answer>(
        _ client: Client, _ outcome: TransactionCoordinator.Outcome<Answer>, isEarly: Bool = false,
        _ then: @escaping () throws -> Void
    ) throws {
        if isEarly { return try then() }
        let told = Lock<Bool?>(nil)
        coordinator.afterCommit(of: outcome) { isStored in told.withLock { $0 = isStored } }
        client.isWaiting = true
        waits.append {
            guard let isStored = told.withLock({ $0 }) else { return false }
            client.isWaiting = false
            if isStored { try then() }
            return true
        }
    }

    private func whenDurable(_ client: Client, _ ticket: UInt64, _ then: @escaping () -> Void) {
        client.isWaiting = true
        waits.append { [unowned self] in
            guard broker.store.durableTicket >= ticket else { return false }
            client.isWaiting = false
            then()
            return true
        }
    }

    // MARK: Requests

    private func changeIdentity(
        _ client: Client,
        _ event: (inout TransactionShard, Int64?, CoordinatorTime) -> TransactionOutcome<IdentityAnswer>
    ) -> TransactionCoordinator.Outcome<IdentityAnswer> {
        let outcome = coordinator.perform(client.id, refused: { .refused($0) }) { event(&$0, nil, $1) }
        guard outcome.answer == .needsProducerID else { return outcome }
        guard let fresh = broker.producerIDs.next()?.rawValue else { return outcome }
        return coordinator.perform(client.id, refused: { .refused($0) }) { event(&$0, fresh, $1) }
    }

    private func initialize(_ client: Client) throws {
        client.request = .initialize
        client.identity = nil
        if let current = client.current {
            // Whoever has asked for the commit may have had it.
            if transactions[current].fate == .open { transactions[current].fate = .aborted }
            client.current = nil
        }
        let outcome = changeIdentity(client) { shard, fresh, now in
            shard.initProducer(client.id, timeoutMs: 900_000, known: nil, fresh: fresh, now: now)
        }
        switch outcome.answer {
        case .identity(let producer):
            try whenStored(client, outcome) {
                (client.identity, client.sequences, client.request, client.mustAbort) = (producer, [:], nil, false)
            }
        case .needsProducerID: try refused(client, .coordinatorNotAvailable, "InitProducerId")
        case .refused(let code): try refused(client, code, "InitProducerId")
        }
    }

    private func send(_ values: [Int], to partition: Int, _ client: Client) throws {
        let log = log(partition)
        let (producer, identity) = (client.producer, client.identity!)
        func verification() -> PartitionLog.Verification {
            log.verification(of: producer.id, producer.epoch, isVersion2: client.isVersion2)
        }
        var verified = verification()
        if case .fenced = verified { throw Failure(description: "\(client.id) was fenced in \(log.name)") }
        if client.isVersion2, verified == .open { return try append(values, to: partition, verified, client) }
        // The old protocol's clients add it first, whatever the partition knows: with one epoch for all transactions it may take
        // the one before for this one.
        let outcome = coordinator.perform(client.id, refused: { $0 }) { shard, now in
            shard.addPartitions(
                client.id, identity, ["t": [Int32(partition)]], isVersion2: client.isVersion2, now: now)
        }
        guard outcome.answer == .none else { return try refused(client, outcome.answer, "a partition") }
        cutPowerSoon()
        try whenStored(client, outcome, isEarly: control == .beginsEarly) { [unowned self] in
            if !client.isVersion2 { verified = verification() }
            try append(values, to: partition, verified, client)
        }
    }

    private func append(
        _ values: [Int], to partition: Int, _ verified: PartitionLog.Verification, _ client: Client
    ) throws {
        guard client.identity != nil, let current = client.current else { return }
        let log = log(partition)
        var batch = TestBatch(values.map { TestRecord(value: Array(String($0).utf8)) })
        batch.baseTimestamp = BrokerClock.wallMs()
        let sequence = client.sequences[partition] ?? 0
        (batch.producerID, batch.producerEpoch) = (client.identity!.id, client.identity!.epoch)
        (batch.baseSequence, batch.isTransactional) = (sequence, true)
        let slice = batch.bytes().withUnsafeBytes { ChunkPool.shared.slice(copying: $0) }
        switch log.append(slice, origin: .client, nowMs: batch.baseTimestamp, verified: Self.guarding(verified)) {
        case .success(let receipt):
            whenDurable(client, receipt.ticket) { [unowned self] in
                for (index, value) in values.enumerated() { places[value] = (partition, receipt.baseOffset + Int64(index)) }
                transactions[current].values += values
                client.sequences[partition] = sequence + Int32(values.count)
                client.request = nil
            }
        case .failure(let refusal):
            // Only a disk that is going refuses anything.
            if !isDown { throw Failure(description: "\(client.id): \(refusal)") }
        }
    }

    private static func guarding(_ verification: PartitionLog.Verification) -> TransactionGuard? {
        if case .ask(let verified) = verification { return verified }
        return nil
    }

    private func commit(_ offset: Int64, _ client: Client) throws {
        func verification() -> PartitionLog.Verification {
            broker.groups.verification(of: client.group, client.producer, isVersion2: client.isVersion2)
        }
        var verified = verification()
        if case .fenced = verified { throw Failure(description: "\(client.id) was fenced in its group") }
        if client.isVersion2, verified == .open { return try append(offset, verified, client) }
        let outcome = coordinator.addGroup(
            client.group, to: client.id, client.identity!, isVersion2: client.isVersion2)
        guard outcome.answer == .none else { return try refused(client, outcome.answer, "a group") }
        cutPowerSoon()
        try whenStored(client, outcome, isEarly: control == .beginsEarly) { [unowned self] in
            if !client.isVersion2 { verified = verification() }
            try append(offset, verified, client)
        }
    }

    private func append(_ offset: Int64, _ verified: PartitionLog.Verification, _ client: Client) throws {
        guard client.identity != nil, let current = client.current else { return }
        var request = TransactionalCommit(producer: client.producer, groupID: client.group)
        request.partitions = [TransactionalCommit.Partition(topicName: "t", partitionIndex: 0, offset: offset)]
        let (outcomes, ticket) = broker.groups.commit(request, verified: Self.guarding(verified))
        guard outcomes == [.none] else { return try refused(client, outcomes[0], "an offset") }
        whenDurable(client, ticket) { [unowned self] in
            transactions[current].offset = offset
            client.request = nil
        }
    }

    private func end(_ client: Client, isCommit: Bool) throws {
        let identity = client.identity!
        if let current = client.current { transactions[current].fate = isCommit ? .committing : .aborted }
        let outcome = changeIdentity(client) { shard, fresh, now in
            client.isVersion2
                ? shard.endTransactionBumping(client.id, identity, isCommit: isCommit, fresh: fresh, now: now)
                : shard.endTransaction(client.id, identity, isCommit: isCommit, now: now)
        }
        switch outcome.answer {
        case .identity(let next):
            try whenStored(client, outcome, isEarly: control == .answersEarly) { [unowned self] in
                if let current = client.current {
                    transactions[current].fate = isCommit ? .committed : .aborted
                    if isCommit { commits += 1 } else { aborts += 1 }
                }
                if client.isVersion2 { (client.identity, client.sequences) = (next, [:]) }
                (client.current, client.request, client.mustAbort) = (nil, nil, false)
            }
        case .needsProducerID: try refused(client, .coordinatorNotAvailable, "EndTxn")
        case .refused(let code): try refused(client, code, "EndTxn")
        }
    }

    private func commitPlainly() {
        plain.asked += 1
        node.commit(group: Self.plainGroup, offset: plain.asked)
        let asked = plain.asked
        guard node.offsets(group: Self.plainGroup)["t-0"] == asked else { return }
        let ticket = broker.groups.read(group: Self.plainGroup) { _ in 0 }.ticket
        waits.append { [unowned self] in
            guard broker.store.durableTicket >= ticket else { return false }
            plain.answered = max(plain.answered, asked)
            return true
        }
    }

    // MARK: Stops

    func restart() throws {
        repeat {
            crashes += 1
            // The disk may be taken away during recovery, too.
            let dies: (SimulatedFileSystem) -> Void = { [self] disk in
                if random.chance(0.1) { disk.haltAtCall(disk.callCount + random.number(in: 1...60)) }
            }
            do {
                if random.chance(0.4) { try node.kill(dies) } else { try node.crash(keeping: .random, seed: random.next(), dies) }
            } catch where node.fileSystem.isHalted {
                continue
            }
        } while isDown
        waits = []
        timers = TransactionCoordinator.Timers(nowMs)
        for client in clients { loseAnswer(client) }
        let found = node.offsets(group: Self.plainGroup)["t-0"] ?? -1
        guard (plain.answered...plain.asked).contains(found) else {
            throw Failure(description: "a group is at \(found), answered \(plain.answered), asked \(plain.asked)")
        }
        plain.answered = found
        if random.chance(0.3) { try settle() }
    }

    /// A client makes the request again that was not answered, or gives it up.
    private func loseAnswer(_ client: Client) {
        client.isWaiting = false
        guard let request = client.request else { return }
        switch request {
        case .initialize: break
        case .send, .offsets:
            if random.chance(0.3) { (client.request, client.mustAbort) = (nil, true) }
        case .end:
            // Another producer takes over, and finds out what there is.
            if random.chance(0.4) { client.request = .initialize }
        }
    }

    /// Ends what is decided, and checks everything. A stop on the way is as good as any.
    func settle() throws {
        var rounds = 0
        while true {
            if isDown { return }
            broker.store.commitPending()
            nowMs += Backoff.mostMs
            _ = coordinator.turn(&timers, nowMs)
            try poll()
            if coordinator.waiting.withLock({ $0.ends.isEmpty && $0.calls.isEmpty }), !isDown { break }
            rounds += 1
            if rounds > 100 { throw Failure(description: "what is decided does not end") }
        }
        broker.store.commitPending()
        // The power may go while it is read.
        do { try verify() } catch where isDown {}
    }

    /// Every id has a producer that begins anew: nothing is left open.
    func finish() throws {
        var rounds = 0
        while clients.contains(where: { !$0.isFinishing || $0.request != nil || $0.isWaiting }) {
            if isDown { try restart() }
            for client in clients where !client.isWaiting && !client.isFinishing {
                (client.isFinishing, client.request) = (true, .initialize)
            }
            for client in clients where client.request != nil { try act(client) }
            broker.store.commitPending()
            turn()
            try poll()
            rounds += 1
            if rounds > 300 { throw Failure(description: "a producer does not get its identity") }
        }
        repeat {
            if isDown { try restart() }
            try settle()
        } while isDown
        for partition in 0..<Self.partitions {
            let log = log(partition)
            if log.lastStableOffset != log.highWatermark {
                throw Failure(description: "\(log.name): nobody ends the transaction at \(log.lastStableOffset)")
            }
        }
    }

    // MARK: What must hold

    private func verify() throws {
        var seen: Set<Int> = []
        for partition in 0..<Self.partitions {
            var last: [Int: Int] = [:]
            for value in try committed(log(partition)) {
                guard seen.insert(value).inserted else { throw Failure(description: "record \(value) is there twice") }
                guard let place = transactions.firstIndex(where: { $0.values.contains(value) }) else {
                    throw Failure(description: "record \(value) is of no transaction that was to be committed")
                }
                let client = transactions[place].client
                guard last[client] ?? -1 < value else { throw Failure(description: "record \(value) is out of order") }
                last[client] = value
            }
        }
        for place in transactions.indices {
            let transaction = transactions[place]
            let due = transaction.values.filter(isDecided)
            let count = due.count { seen.contains($0) }
            let isRight =
                switch transaction.fate {
                case .committed: count == due.count
                case .open, .aborted: count == 0
                case .committing: count == 0 || count == due.count
                }
            guard isRight else {
                throw Failure(
                    description: "transaction \(place) of client \(transaction.client), \(transaction.fate): "
                        + "\(count) of \(due.count) records are there")
            }
        }
        for client in clients { try verifyOffset(client, seen) }
        resolve(seen)
    }

    /// Whether a record is below what others' open transactions hold back.
    private func isDecided(_ value: Int) -> Bool {
        guard let (partition, offset) = places[value] else { return false }
        return offset < log(partition).lastStableOffset
    }

    /// Whether what can be read of a transaction says that it is committed; nil where nothing can.
    private func isSeen(_ transaction: Transaction, _ seen: Set<Int>) -> Bool? {
        transaction.values.first(where: isDecided).map(seen.contains)
    }

    /// All is settled: what its client has left is decided for good.
    private func resolve(_ seen: Set<Int>) {
        for place in transactions.indices {
            let transaction = transactions[place]
            guard transaction.fate == .committing, clients[transaction.client].current != place,
                let isSeen = isSeen(transaction, seen)
            else { continue }
            transactions[place].fate = isSeen ? .committed : .aborted
        }
    }

    private func verifyOffset(_ client: Client, _ seen: Set<Int>) throws {
        var allowed: [Int64?] = [nil]
        for transaction in transactions where transaction.client == client.place {
            guard let offset = transaction.offset else { continue }
            switch transaction.fate {
            case .committed: allowed = [offset]
            case .open, .aborted: break
            case .committing:
                // Records and offsets have one fate.
                switch isSeen(transaction, seen) {
                case true: allowed = [offset]
                case false: break
                case nil: allowed.append(offset)
                }
            }
        }
        let found = node.offsets(group: client.group)["t-0"]
        guard allowed.contains(found) else {
            throw Failure(
                description: "the offset of client \(client.place) is \(String(describing: found)), not of \(allowed)")
        }
    }

    /// What a client shows that reads committed records.
    private func committed(_ log: PartitionLog) throws -> [Int] {
        var next = log.logStartOffset
        var shown: [Int] = []
        while true {
            let records = try log.read(from: next, maxBytes: random.number(in: 1...20_000), visibility: .stable).get()
            guard let end = records.endOffset else { break }
            var upcoming = try log.abortedTransactions(from: next, to: end).get()[...]
            var hidden: Set<Int64> = []
            for slice in records.slices {
                var cursor = RecordBatchCursor(slice.bytes)
                var iterator = RecordIterator()
                while let batch = try cursor.next() {
                    while let first = upcoming.first, first.firstOffset <= batch.lastOffset.rawValue {
                        hidden.insert(first.producerID)
                        upcoming.removeFirst()
                    }
                    try iterator.open(batch)
                    while let record = try iterator.next() {
                        if record.offset < next { continue }
                        if batch.isControl {
                            if EndTransactionMarker(record)?.isCommit == false { hidden.remove(batch.producerID.rawValue) }
                        } else if !hidden.contains(batch.producerID.rawValue), let value = record.value {
                            shown.append(Int(String(decoding: value, as: UTF8.self)) ?? -1)
                        }
                    }
                }
            }
            next = end
        }
        guard next == log.lastStableOffset else { throw Failure(description: "a reader of \(log.name) ends at \(next)") }
        return shown
    }
}
