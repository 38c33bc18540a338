import BrokerTestKit
import ByteBuffers
import Coordinators
import KafkaModel
import KafkaWire
import LogStorage
import Security
import StorageIO
import Testing
import Transport

@testable import BrokerCore
@testable import KafkaServer

/// Transactions over the wire, in both protocols, with crashes at every step. The coordinator's own rules are in
/// `TransactionShardTests`.
@Suite struct TransactionTests {
    /// A producer of the old protocol (AddPartitionsToTxn 3, EndTxn 4, Produce 9) or of the new one (EndTxn 5, Produce 12).
    private struct Producer {
        var client: WireClient
        var id = "payments"
        let isNew: Bool
        var producerID: Int64 = -1
        var epoch: Int16 = -1
        var sequences: [Int32: Int32] = [:]

        init(_ client: WireClient, isNew: Bool, id: String = "payments") throws {
            (self.client, self.isNew, self.id) = (client, isNew, id)
            try waitUntil { try find() == .none }
            try initialize()
        }

        private func find() throws -> ErrorCode {
            var request = FindCoordinatorRequest()
            (request.keyType, request.coordinatorKeys) = (1, [id])
            return try client.call(request).coordinators[0].code
        }

        /// Waits while the last transaction ends, and while the coordinator that was found takes up its work, as clients do.
        mutating func initialize(timeoutMs: Int32 = 60_000) throws {
            var request = InitProducerIdRequest()
            (request.transactionalID, request.transactionTimeoutMs) = (id, timeoutMs)
            var reply = try client.call(request)
            try waitUntil {
                guard [.concurrentTransactions, .notCoordinator, .coordinatorLoadInProgress].contains(reply.code) else {
                    return true
                }
                reply = try client.call(request)
                return false
            }
            try #require(reply.code == .none)
            (producerID, epoch, sequences) = (reply.producerID, reply.producerEpoch, [:])
        }

        func add(_ topic: String, _ partitions: [Int32] = [0]) throws -> [ErrorCode] {
            var request = AddPartitionsToTxnRequest()
            request.v3AndBelowTransactionalID = id
            (request.v3AndBelowProducerID, request.v3AndBelowProducerEpoch) = (producerID, epoch)
            var entry = AddPartitionsToTxnRequest.AddPartitionsToTxnTopic()
            (entry.name, entry.partitions) = (topic, partitions)
            request.v3AndBelowTopics = [entry]
            return try client.call(request, version: 3).resultsByTopicV3AndBelow[0].resultsByPartition.map {
                ErrorCode(rawValue: $0.partitionErrorCode)
            }
        }

        func batch(_ count: Int, partition: Int32 = 0, valueSize: Int = 8) -> [UInt8] {
            var batch = TestBatch(count: count, valueSize: valueSize)
            (batch.producerID, batch.producerEpoch, batch.isTransactional) = (producerID, epoch, true)
            batch.baseSequence = sequences[partition] ?? 0
            return batch.bytes()
        }

        @discardableResult
        mutating func send(_ topic: String, count: Int = 1, partition: Int32 = 0) throws -> ErrorCode {
            var request = WireClient.produceRequest(topic, batch(count, partition: partition), partition: partition)
            request.transactionalID = id
            let reply = try client.call(request, version: isNew ? 12 : 9)
            let code = reply.responses[0].partitionResponses[0].code
            if code == .none { sequences[partition, default: 0] += Int32(count) }
            return code
        }

        /// Writes in a transaction, which begins with it if none is open; waits while the last one ends.
        mutating func begin(_ topic: String, count: Int = 1, partition: Int32 = 0) throws {
            if !isNew { try waitUntil { try add(topic, [partition]) == [.none] } }
            var code = try send(topic, count: count, partition: partition)
            while code == .concurrentTransactions { code = try send(topic, count: count, partition: partition) }
            try #require(code == .none)
        }

        @discardableResult
        mutating func end(commit: Bool) throws -> ErrorCode {
            var request = EndTxnRequest()
            (request.transactionalID, request.committed) = (id, commit)
            (request.producerID, request.producerEpoch) = (producerID, epoch)
            let reply = try client.call(request, version: isNew ? 5 : 4)
            if isNew, reply.code == .none {
                (producerID, epoch, sequences) = (reply.producerID, reply.producerEpoch, [:])
            }
            return reply.code
        }

        func commit(_ offset: Int64, group: String = "readers", topic: String = "orders") throws -> ErrorCode {
            if !isNew {
                var request = AddOffsetsToTxnRequest()
                (request.transactionalID, request.groupID) = (id, group)
                (request.producerID, request.producerEpoch) = (producerID, epoch)
                var code = try client.call(request).code
                while code == .concurrentTransactions { code = try client.call(request).code }
                guard code == .none else { return code }
            }
            var request = TxnOffsetCommitRequest()
            (request.transactionalID, request.groupID) = (id, group)
            (request.producerID, request.producerEpoch) = (producerID, epoch)
            request.topics = [TxnOffsetCommitRequest.TxnOffsetCommitRequestTopic()]
            request.topics[0].name = topic
            request.topics[0].partitions = [TxnOffsetCommitRequest.TxnOffsetCommitRequestPartition()]
            request.topics[0].partitions[0].committedOffset = offset
            var code = try client.call(request, version: isNew ? 5 : 3).topics[0].partitions[0].code
            while code == .concurrentTransactions {
                code = try client.call(request, version: isNew ? 5 : 3).topics[0].partitions[0].code
            }
            return code
        }

        func described() throws -> DescribeTransactionsResponse.TransactionState {
            var request = DescribeTransactionsRequest()
            request.transactionalIDs = [id]
            return try client.call(request).transactionStates[0]
        }

        func waitFor(_ state: String) throws { try waitUntil { try described().transactionState == state } }
    }

    private func broker() throws -> TestBroker { try TestBroker { $0.broker.transactionPartitions = 2 } }

    private func fetch(
        _ client: WireClient, _ topic: String = "orders", partition: Int32 = 0, from offset: Int64 = 0
    ) throws -> FetchResponse.PartitionData {
        var request = WireClient.fetchRequest([.init(topic: topic, partition: partition, offset: offset)])
        request.isolationLevel = 1
        return try client.call(request, version: 12).responses[0].partitions[0]
    }

    private func offset(_ client: WireClient, stable: Bool = false) throws -> (Int64, ErrorCode) {
        var request = WireClient.offsetFetchRequest("readers", "orders")
        request.requireStable = stable
        let found = try client.call(request, version: 9).groups[0].topics[0].partitions[0]
        return (found.committedOffset, found.code)
    }

    // MARK: Commit and abort

    @Test(arguments: [false, true]) func whatIsCommittedIsReadAndWhatIsAbortedIsTold(isNew: Bool) throws {
        let broker = try broker()
        let client = try broker.client()
        try client.createTopic("orders", partitions: 2)
        var producer = try Producer(client, isNew: isNew)
        #expect(producer.epoch == 0)
        try producer.begin("orders", count: 2)
        try producer.begin("orders", partition: 1)
        #expect(try fetch(client).lastStableOffset == 0)
        #expect(try producer.described().topics.map(\.partitions) == [[0, 1]])
        #expect(try producer.end(commit: true) == .none)
        #expect(producer.epoch == (isNew ? 1 : 0))
        try producer.waitFor("CompleteCommit")
        for partition in Int32(0)...1 {
            let read = try fetch(client, partition: partition)
            #expect(read.lastStableOffset == read.highWatermark && read.abortedTransactions == [])
        }
        try producer.begin("orders")
        #expect(try producer.end(commit: false) == .none)
        try producer.waitFor("CompleteAbort")
        // One fetch gives what lies in one place.
        let read = try fetch(client, from: 3)
        #expect(read.lastStableOffset == 5 && read.abortedTransactions?.map(\.firstOffset) == [3])
        // Partitions of the transaction before have no second marker.
        #expect(try client.listOffset("orders", at: -1, partition: 1).offset == 2)
    }

    /// Of aborted transactions nothing is given out, and of open ones nothing yet.
    @Test func aShareGroupMayBeGivenCommittedRecordsAlone() throws {
        let broker = try broker()
        let client = try broker.client()
        let id = try client.createTopic("orders")
        let settings = ["share.isolation.level": "read_committed", "share.auto.offset.reset": "earliest"]
        #expect(broker.broker.alterGroupSettings("sharers", settings, validateOnly: false) == nil)
        var producer = try Producer(broker.client(), isNew: true)
        try producer.begin("orders", count: 2)
        try producer.end(commit: false)
        // Its marker comes behind its records, and not behind others.
        try producer.waitFor("CompleteAbort")
        try client.append("orders", count: 1)
        try producer.begin("orders", count: 2)
        let (committed, other) = (try ShareClient(broker, id), try ShareClient(broker, id, "n"))
        try committed.join()
        #expect(try ShareClient.acquired(committed.fetch(0)) == ["0: 3-3 x1"])
        // The marker of the transaction is behind its records.
        #expect(try ShareClient.acquired(committed.fetch(1)) == [])
        try producer.end(commit: true)
        #expect(try ShareClient.acquired(committed.fetch(2, waitMs: 30_000)) == ["0: 4-5 x1"])
        var uncommitted = other
        uncommitted.group = "all"
        #expect(
            broker.broker.alterGroupSettings("all", ["share.auto.offset.reset": "earliest"], validateOnly: false) == nil
        )
        try uncommitted.join()
        #expect(try ShareClient.acquired(uncommitted.fetch(0)) == ["0: 0-1 x1", "0: 3-5 x1"])
    }

    @Test func aPartitionThatWasNotAddedIsRefused() throws {
        let client = try broker().client()
        try client.createTopic("orders")
        var producer = try Producer(client, isNew: false)
        #expect(try producer.send("orders") == .invalidTxnState)
        var request = WireClient.produceRequest("orders", producer.batch(1))
        request.transactionalID = producer.id
        #expect(try client.call(request, version: 11).responses[0].partitionResponses[0].code == .transactionAbortable)
        request.transactionalID = nil
        #expect(
            try client.call(request, version: 12).responses[0].partitionResponses[0].code
                == .transactionalIDAuthorizationFailed)
        #expect(try producer.add("orders", [0, 9]) == [.operationNotAttempted, .unknownTopicOrPartition])
        #expect(try producer.described().transactionState == "Empty")
        #expect(try producer.add("orders") == [.none])
        #expect(try producer.send("orders") == .none)
        // The new protocol adds it by itself, several at once.
        var new = try Producer(client, isNew: true, id: "new")
        #expect(try new.send("orders") == .none)
        #expect(try new.described().transactionState == "Ongoing")
    }

    /// Requests that come behind one whose partition is being added keep their order.
    @Test func pipelinedBatchesKeepTheirOrder() throws {
        let broker = try broker()
        let client = try broker.client()
        try client.createTopic("orders")
        var producer = try Producer(client, isNew: true)
        for round in 0..<20 {
            var ids: [Int32] = []
            for _ in 0..<5 {
                var request = WireClient.produceRequest("orders", producer.batch(1))
                request.transactionalID = producer.id
                producer.sequences[0, default: 0] += 1
                ids.append(try client.send(request, version: 12))
            }
            for id in ids {
                let reply = try client.receive(ProduceResponse.self, version: 12, correlationID: id)
                #expect(reply.responses[0].partitionResponses[0].code == .none)
            }
            #expect(try producer.end(commit: round % 2 == 0) == .none)
            try producer.waitFor(round % 2 == 0 ? "CompleteCommit" : "CompleteAbort")
        }
        #expect(try client.listOffset("orders", at: -1).offset == 120)
    }

    @Test(arguments: [false, true]) func anOlderProducerIsFenced(isNew: Bool) throws {
        let client = try broker().client()
        try client.createTopic("orders")
        var old = try Producer(client, isNew: isNew)
        try old.begin("orders")
        var new = try Producer(client, isNew: isNew)
        #expect(new.producerID == old.producerID && new.epoch == old.epoch + 2)
        #expect(try old.send("orders") == .invalidProducerEpoch)
        #expect(try old.add("orders") == [.producerFenced])
        #expect(try old.end(commit: true) == .producerFenced)
        #expect(try old.commit(3) == (isNew ? .invalidProducerEpoch : .producerFenced))
        #expect(try fetch(client).abortedTransactions?.map(\.firstOffset) == [0])
        try new.begin("orders")
        #expect(try new.end(commit: true) == .none)
    }

    @Test func aTransactionThatIsOpenForTooLongIsAborted() throws {
        let client = try broker().client()
        try client.createTopic("orders")
        var producer = try Producer(client, isNew: true)
        try producer.initialize(timeoutMs: 1)
        try producer.begin("orders")
        try producer.waitFor("CompleteAbort")
        #expect(try fetch(client).lastStableOffset == 2)
        #expect(try producer.send("orders") == .invalidProducerEpoch)
    }

    // MARK: Offsets

    @Test(arguments: [false, true]) func offsetsCountWhenTheirTransactionIsCommitted(isNew: Bool) throws {
        let broker = try broker()
        let client = try broker.client()
        try client.createTopic("orders")
        var producer = try Producer(client, isNew: isNew)
        #expect(try producer.commit(5) == .none)
        #expect(try offset(client) == (-1, .none))
        #expect(try offset(client, stable: true) == (-1, .unstableOffsetCommit))
        #expect(try producer.end(commit: true) == .none)
        try producer.waitFor("CompleteCommit")
        #expect(try offset(client, stable: true) == (5, .none))
        #expect(try producer.commit(8) == .none)
        #expect(try producer.end(commit: false) == .none)
        try producer.waitFor("CompleteAbort")
        #expect(try offset(client, stable: true) == (5, .none))
        #expect(try producer.commit(9) == .none)
        #expect(try producer.end(commit: true) == .none)
        try producer.waitFor("CompleteCommit")
        // All of it is in the log.
        #expect(try offset(broker.crashed().client(), stable: true) == (9, .none))
    }

    @Test func offsetsAreRefusedOneByOne() throws {
        let client = try broker().client()
        try client.createTopic("orders")
        let producer = try Producer(client, isNew: true)
        #expect(try producer.commit(1, topic: "missing") == .unknownTopicOrPartition)
        // Nothing was to be committed, so nothing began.
        #expect(try producer.described().transactionState == "Empty")
        var request = TxnOffsetCommitRequest()
        (request.transactionalID, request.groupID) = (producer.id, "readers")
        (request.producerID, request.producerEpoch) = (producer.producerID, producer.epoch)
        request.generationIDOrMemberEpoch = 3
        request.topics = [TxnOffsetCommitRequest.TxnOffsetCommitRequestTopic()]
        request.topics[0].name = "orders"
        request.topics[0].partitions = [TxnOffsetCommitRequest.TxnOffsetCommitRequestPartition()]
        #expect(try client.call(request, version: 5).topics[0].partitions[0].code == .illegalGeneration)
    }

    /// A client of the old protocol may commit offsets before it was told that their partition is in the transaction. They are
    /// not appended before that is on disk: a crash could leave them pending for ever.
    @Test(arguments: [Int16(3), 4]) func offsetsWaitForTheirPartitionInTheTransaction(version: Int16) throws {
        let disk = StallingFileSystem(SimulatedFileSystem())
        let broker = try TestBroker(stalling: disk) { $0.broker.transactionPartitions = 2 }
        defer { disk.release() }
        let client = try broker.client()
        try client.createTopic("orders")
        let producer = try Producer(client, isNew: false)
        disk.stall([.sync], pathContains: ".journal")
        var adding = AddOffsetsToTxnRequest()
        (adding.transactionalID, adding.groupID) = (producer.id, "readers")
        (adding.producerID, adding.producerEpoch) = (producer.producerID, producer.epoch)
        let added = try client.send(adding, version: 3)
        try waitUntil { disk.waitingCalls > 0 }
        let other = try broker.client()
        var commit = TxnOffsetCommitRequest()
        (commit.transactionalID, commit.groupID) = (producer.id, "readers")
        (commit.producerID, commit.producerEpoch) = (producer.producerID, producer.epoch)
        commit.topics = [TxnOffsetCommitRequest.TxnOffsetCommitRequestTopic()]
        commit.topics[0].name = "orders"
        commit.topics[0].partitions = [TxnOffsetCommitRequest.TxnOffsetCommitRequestPartition()]
        commit.topics[0].partitions[0].committedOffset = 7
        let committed = try other.send(commit, version: version)
        let index = broker.broker.groups.partitionIndex(of: "readers")
        let log = try #require(broker.broker.catalog.topic(named: "__consumer_offsets")?.partition(index))
        try waitUntil { broker.broker.transactions.waiting.withLock { !$0.calls.isEmpty } }
        #expect(log.logEndOffset.rawValue == 0)
        disk.release()
        let reply = try client.receive(AddOffsetsToTxnResponse.self, version: 3, correlationID: added)
        #expect(reply.code == .none)
        let answer = try other.receive(TxnOffsetCommitResponse.self, version: version, correlationID: committed)
        #expect(answer.topics[0].partitions[0].code == .none)
        #expect(log.logEndOffset.rawValue == 1)
    }

    /// A Produce that waits for its partition in the transaction goes with its connection: a disk that hangs does not keep what
    /// clients have left behind.
    @Test func whatWaitsGoesWithItsClient() throws {
        let disk = StallingFileSystem(SimulatedFileSystem())
        let broker = try TestBroker(stalling: disk) { $0.broker.transactionPartitions = 2 }
        defer { disk.release() }
        let client = try broker.client()
        try client.createTopic("orders")
        let producer = try Producer(client, isNew: true)
        let pool = broker.group.pool
        let sender = try broker.client()
        try waitUntil { broker.connectionCount == 2 }
        disk.stall([.sync], pathContains: ".journal")
        let idle = pool.outstandingBytes
        var request = WireClient.produceRequest("orders", producer.batch(1, valueSize: 900_000))
        request.transactionalID = producer.id
        _ = try sender.send(request, version: 12)
        let waiting = { broker.broker.transactions.waiting.withLock { $0.calls.count + $0.callsInHand } }
        try waitUntil { waiting() == 1 }
        #expect(pool.outstandingBytes >= idle + 900_000)
        sender.reset()
        try waitUntil { broker.connectionCount == 1 && pool.outstandingBytes < idle + 450_000 }
        #expect(waiting() == 1)
        disk.release()
        try waitUntil { waiting() == 0 }
        // The partition is in the transaction, and nothing is in the partition.
        #expect(try producer.described().topics.map(\.partitions) == [[0]])
        #expect(try client.listOffset("orders", at: -1).offset == 0)
    }

    // MARK: Limits

    /// A record that names thousands of partitions is made by a worker, and charged.
    @Test(arguments: [false, true]) func aLargeTransactionIsAWorkers(isNew: Bool) throws {
        let broker = try broker()
        let client = try broker.client()
        try client.createTopic("orders", partitions: 2)
        var producer = try Producer(client, isNew: isNew)
        try producer.begin("orders")
        func enlarge() {
            let code = broker.broker.transactions.perform("payments", refused: { $0 }) { shard, now in
                let identity = ProducerIdentity(producer.producerID, producer.epoch)
                return shard.addPartitions(
                    "payments", identity, ["orders": Set(0..<5000)], isVersion2: isNew, now: now)
            }.answer
            #expect(code == .none)
        }
        func expect(charges: Int, _ code: ErrorCode = .none, of body: () throws -> ErrorCode) throws {
            let before = broker.charges
            #expect(try body() == code)
            #expect(broker.charges == before + charges)
        }
        func addOffsets() throws -> ErrorCode {
            var request = AddOffsetsToTxnRequest()
            (request.transactionalID, request.groupID) = (producer.id, "readers")
            (request.producerID, request.producerEpoch) = (producer.producerID, producer.epoch)
            return try client.call(request).code
        }
        try expect(charges: 0) { try addOffsets() }
        enlarge()
        try expect(charges: 1) { try addOffsets() }
        // Its first batch there asks for the partition.
        if isNew { try expect(charges: 1) { try producer.send("orders", partition: 1) } }
        try expect(charges: 1) { try producer.end(commit: true) }
        try producer.waitFor("CompleteCommit")
        try expect(charges: 0) {
            try producer.initialize()
            return .none
        }
        try producer.begin("orders")
        enlarge()
        var request = InitProducerIdRequest()
        (request.transactionalID, request.transactionTimeoutMs) = (producer.id, 60_000)
        try expect(charges: 1, .concurrentTransactions) { try client.call(request).code }
        try producer.waitFor("CompleteAbort")
    }

    /// Whoever has no more room is told which limits there are, and is told so that he aborts.
    @Test func aTransactionWithoutRoomIsOneToBeAborted() throws {
        let broker = try TestBroker { options in
            options.broker.transactionPartitions = 2
            options.broker.transactions.maxPartitions = 1
            options.broker.transactions.maxRecordBytes = 1000
        }
        let client = try broker.client()
        let names = ["a", "b"].map { String(repeating: $0, count: 249) }
        for name in names { try client.createTopic(name) }
        for isNew in [false, true] {
            var producer = try Producer(client, isNew: isNew, id: "id \(isNew)")
            try producer.begin(names[0])
            if isNew {
                var request = WireClient.produceRequest(names[1], producer.batch(1))
                request.transactionalID = producer.id
                let partition = try client.call(request, version: 12).responses[0].partitionResponses[0]
                #expect(partition.code == .policyViolation)
                let message = try #require(partition.errorMessage)
                #expect(message.contains("at most 1 partitions, and 1000 bytes"))
            } else {
                #expect(try producer.add(names[1]) == [.policyViolation])
                for (version, expected) in [(Int16(3), ErrorCode.policyViolation), (4, .transactionAbortable)] {
                    var request = AddOffsetsToTxnRequest()
                    (request.transactionalID, request.groupID) = (producer.id, "readers")
                    (request.producerID, request.producerEpoch) = (producer.producerID, producer.epoch)
                    #expect(try client.call(request, version: version).code == expected)
                }
            }
            if isNew { #expect(try producer.commit(7, topic: names[0]) == .transactionAbortable) }
            #expect(try producer.end(commit: false) == .none)
            try producer.waitFor("CompleteAbort")
        }
    }

    @Test func aTransactionHasALimitOfPartitions() throws {
        let broker = try TestBroker { options in
            options.broker.transactionPartitions = 2
            options.broker.transactions.maxPartitions = 3
        }
        let client = try broker.client()
        try client.createTopic("orders", partitions: 4)
        for isNew in [false, true] {
            var producer = try Producer(client, isNew: isNew, id: "id \(isNew)")
            for partition in Int32(0)..<3 { try producer.begin("orders", partition: partition) }
            if isNew {
                #expect(try producer.send("orders", partition: 3) == .policyViolation)
            } else {
                #expect(try producer.add("orders", [3]) == [.policyViolation])
                // What is in it already goes on.
                #expect(try producer.add("orders", [2]) == [.none])
            }
            #expect(try producer.described().topics.map(\.partitions) == [[0, 1, 2]])
            #expect(try producer.end(commit: true) == .none)
            try producer.waitFor("CompleteCommit")
            try producer.begin("orders", partition: 3)
            #expect(try producer.end(commit: false) == .none)
        }
    }

    /// The record of a transaction repeats what it has already: whoever adds a partition pays for that.
    @Test func addingPaysForWhatIsThere() throws {
        let broker = try broker()
        let client = try broker.client()
        try client.createTopic("orders", partitions: 500)
        let producer = try Producer(client, isNew: false)
        func price(of id: String) -> Int {
            var request = AddPartitionsToTxnRequest()
            request.v3AndBelowTransactionalID = id
            var topic = AddPartitionsToTxnRequest.AddPartitionsToTxnTopic()
            (topic.name, topic.partitions) = ("orders", [0])
            request.v3AndBelowTopics = [topic]
            let ticket = ReplyTicket(key: .addPartitionsToTxn, version: 3, correlationID: 1)
            return KafkaConnection.addPartitionsToTxnPrice(
                request, AnswerContext(broker: broker.broker, ticket: ticket, node: BrokerNode(id: 1)))
        }
        let before = price(of: producer.id)
        #expect(try producer.add("orders", Array(0..<500)) == .init(repeating: .none, count: 500))
        #expect(price(of: producer.id) >= before + 500 * 16)
        #expect(price(of: "nobody's") < before)
    }

    /// Who may not describe an id is not told how large its transaction is, and does not pay for it.
    @Test func anIDThatMayNotBeSeenHasNoPrice() throws {
        let broker = try TestBroker { options in
            options.broker.transactionPartitions = 2
            options.broker.access.hasAuthorizer = true
            options.broker.access.allowsWithoutAcl = true
        }
        let client = try broker.client()
        try client.createTopic("orders", partitions: 500)
        let producer = try Producer(client, isNew: false)
        #expect(try producer.add("orders", Array(0..<500)) == .init(repeating: .none, count: 500))
        func price(_ ids: [String], _ permissions: Permissions) -> Int {
            var request = DescribeTransactionsRequest()
            request.transactionalIDs = ids
            let ticket = ReplyTicket(key: .describeTransactions, version: 0, correlationID: 1)
            return KafkaConnection.describeTransactionsPrice(
                request,
                AnswerContext(broker: broker.broker, ticket: ticket, permissions: permissions, node: BrokerNode(id: 1)))
        }
        let id = producer.id
        let (nobody, once, often) = (
            price(["nobody's"], .all), price([id], .all), price(.init(repeating: id, count: 20), .all)
        )
        #expect(once > nobody + 4 * 500)
        // Said twenty times, told twenty times.
        #expect(often >= 20 * (once - nobody))
        let stranger = KafkaClientIdentity(AccessSubject(.user("mallory"), address: NetworkAddress(v4: 1)))
        let denied = AccessRequests.creation(id, resource: 5, principal: "User:mallory", operation: 8, permission: 2)
        #expect(try client.call(AccessRequests.create([denied])).results.map(\.errorCode) == [0])
        let permissions = Permissions(broker.broker, stranger)
        #expect(!permissions.allows(.describe, .transactionalID, id))
        #expect(price([id], permissions) == nobody)
        #expect(
            price(.init(repeating: id, count: 20), permissions) == price(.init(repeating: "nobody's", count: 20), .all))
    }

    // MARK: Stops

    /// Killed at every point of a transaction's life, the broker goes on with it: what was answered holds, and what is decided
    /// ends.
    @Test(arguments: [false, true]) func everyStepSurvivesACrash(isNew: Bool) throws {
        var broker = try broker()
        _ = try broker.client().createTopic("orders")
        var producer = try Producer(broker.client(), isNew: isNew)
        for round in 0..<8 {
            let isCommit = round % 2 == 0
            try producer.begin("orders")
            if round & 2 != 0 {
                broker = try broker.crashed()
                producer.client = try broker.client()
            }
            try producer.begin("orders")
            if round & 4 != 0 { #expect(try producer.commit(Int64(round)) == .none) }
            #expect(try producer.end(commit: isCommit) == .none)
            broker = try broker.crashed()
            producer.client = try broker.client()
            try producer.waitFor(isCommit ? "CompleteCommit" : "CompleteAbort")
        }
        let client = try broker.client()
        let read = try fetch(client)
        #expect(read.lastStableOffset == read.highWatermark)
        var aborted: Set<Int64> = []
        for offset in 0..<read.highWatermark {
            aborted.formUnion((try fetch(client, from: offset).abortedTransactions ?? []).map(\.firstOffset))
        }
        #expect(aborted.count == 4)
        #expect(try offset(client, stable: true) == (6, .none))
        let producers = try #require(broker.broker.catalog.topic(named: "orders")?.partition(0)).knownProducers
        #expect(producers.map(\.transactionStart) == [-1])
    }

    @Test func anEndThatWasAnsweredIsAnsweredAgain() throws {
        var broker = try broker()
        _ = try broker.client().createTopic("orders")
        var producer = try Producer(broker.client(), isNew: true)
        try producer.begin("orders")
        let before = producer
        #expect(try producer.end(commit: true) == .none)
        try producer.waitFor("CompleteCommit")
        broker = try broker.crashed()
        var again = before
        again.client = try broker.client()
        #expect(try again.end(commit: true) == .none)
        #expect(again.producerID == producer.producerID && again.epoch == producer.epoch)
    }

    // MARK: Lists

    /// A list that some are missing from would say that they are not there.
    @Test func nothingIsListedWhileAShardIsLoaded() throws {
        let broker = try broker()
        let client = try broker.client()
        try client.createTopic("orders")
        _ = try Producer(client, isNew: true)
        #expect(try client.call(ListTransactionsRequest()).transactionStates.count == 1)
        broker.broker.transactions.shards[0].withLock { $0.machine.beginLoading(epoch: 0) }
        let reply = try client.call(ListTransactionsRequest())
        #expect(ErrorCode(rawValue: reply.errorCode) == .coordinatorLoadInProgress && reply.transactionStates.isEmpty)
    }

    @Test func transactionsAreListedAndDescribed() throws {
        let client = try broker().client()
        try client.createTopic("orders")
        var open = try Producer(client, isNew: true, id: "open")
        try open.begin("orders")
        let empty = try Producer(client, isNew: true, id: "empty")
        func list(_ change: (inout ListTransactionsRequest) -> Void = { _ in }) throws -> ListTransactionsResponse {
            var request = ListTransactionsRequest()
            change(&request)
            return try client.call(request)
        }
        #expect(Set(try list().transactionStates.map(\.transactionalID)) == ["open", "empty"])
        #expect(try list { $0.stateFilters = ["Ongoing"] }.transactionStates.map(\.transactionalID) == ["open"])
        let filtered = try list { $0.stateFilters = ["Nonsense", "Empty"] }
        #expect(filtered.unknownStateFilters == ["Nonsense"])
        #expect(filtered.transactionStates.map(\.transactionalID) == ["empty"])
        #expect(
            try list { $0.producerIDFilters = [empty.producerID] }.transactionStates.map(\.transactionState) == [
                "Empty"
            ])
        #expect(try list { $0.durationFilter = 3_600_000 }.transactionStates.isEmpty)
        #expect(try list { $0.transactionalIDPattern = "o.*" }.transactionStates.map(\.transactionalID) == ["open"])
        #expect(try list { $0.transactionalIDPattern = "pen" }.transactionStates.isEmpty)
        #expect(try list { $0.transactionalIDPattern = "(" }.errorCode == 128)
        let described = try open.described()
        #expect(described.transactionState == "Ongoing" && described.transactionTimeoutMs == 60_000)
        #expect(described.topics.map(\.topic) == ["orders"])
        var unknown = DescribeTransactionsRequest()
        unknown.transactionalIDs = ["nobody", ""]
        #expect(
            try client.call(unknown).transactionStates.map { ErrorCode(rawValue: $0.errorCode) }
                == [.transactionalIDNotFound, .invalidRequest])
    }
}
