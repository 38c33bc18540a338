import BrokerCore
import ByteBuffers
import KafkaModel
import KafkaWire
import LogStorage
import RecordFormat
import Security
import Telemetry
import Transport

/// Produce: appends each partition's batch as it came and answers when it is on disk.
///
/// acks=-1 and 1 are answered once a group commit covers the append (stronger than Kafka's acks=1, at no cost in
/// throughput); acks=0 is not answered at all. Batches of a transaction: `ProducedTransaction.swift`. Versions: 3 magic 2; 9 flexible; 10 the leader in errors (KIP-951); 12
/// transactions without AddPartitionsToTxn (KIP-890); 13 topic ids (KIP-516). Source: KIP-98.
extension KafkaConnection {
    func produce(_ request: borrowing Request) throws(DecodeError) {
        let reader = try ProduceRequestReader(request.body, version: request.version, maxEntries: Self.maxEntries)
        // There is no error for the whole.
        if reader.isTooLarge { return fail("a Produce of more than \(Self.maxEntries) topics and partitions") }
        var run = ProduceRun(request, reader)
        // Others have no transaction to be asked about, and their batches are refused where they say otherwise.
        if reader.transactionalID != nil, !joinTransaction(&run) {
            waitingProduce = HeldProduce(run)
            return askCoordinator()
        }
        if let work = advance(&run) { return checkElsewhere(work, HeldProduce(run)) }
        finish(&run)
    }

    /// Goes on with a request that the coordinator of transactions was asked about.
    func goOn(_ held: HeldProduce) {
        if let work = advance(&held.run) { return checkElsewhere(work, held) }
        finish(&held.run)
    }

    /// Appends partition after partition, up to one whose keys must be looked at elsewhere first; `found` is what that has
    /// led to for the one that the last call ended at.
    private func advance(_ run: inout ProduceRun, found: PartitionLog.KeyCheck? = nil) -> KeyWork? {
        let nowMs = loop.eventLoop.wallClockMs
        let acksRefusal = Self.acksRefusal(run.reader)
        var found = found
        while run.isInTopic || beginTopic(&run) {
            while let partition = run.held ?? run.reader.nextPartition() {
                run.held = nil
                var result = ProduceResponseWriter.Partition(index: partition.index)
                let refusal: AppendRefusal?
                if let acksRefusal {
                    refusal = acksRefusal
                } else if run.isForbidden {
                    refusal = AppendRefusal(.topicAuthorizationFailed, "Topic authorization failed.")
                } else if let topic = run.topic, let log = topic.partition(partition.index) {
                    switch append(partition.records, of: run.frame, to: log, topic, run.version, nowMs, found, run.transaction) {
                    case .success(.done(let receipt)):
                        refusal = nil
                        run.commits.add(receipt.ticket)
                        result.baseOffset = receipt.baseOffset.rawValue
                        result.logAppendTimeMs = receipt.logAppendTimeMs
                        result.logStartOffset = receipt.logStartOffset.rawValue
                    case .success(.needsCheck(let work)):
                        run.held = partition
                        return work
                    case .failure(let reason): refusal = reason
                    }
                } else {
                    refusal = AppendRefusal(
                        run.version >= 13 ? .unknownTopicID : .unknownTopicOrPartition,
                        "This server does not host this topic-partition.")
                }
                found = nil
                if let refusal {
                    run.failed = true
                    server.metrics.refusedBatches.add()
                    result.errorCode = refusal.code
                    if run.scratch.count < ProduceRun.maxExplained {
                        result.errorMessage = refusal.message
                        if !refusal.recordErrors.isEmpty { result.recordErrors = refusal.recordErrors.map(Self.wire) }
                    }
                }
                run.response.partition(result, to: &run.scratch)
            }
            run.response.endTopic(to: &run.scratch)
            run.isInTopic = false
        }
        return nil
    }

    private func beginTopic(_ run: inout ProduceRun) -> Bool {
        guard let asked = run.reader.nextTopic() else { return false }
        let catalog = broker.catalog
        run.topic = run.version >= 13 ? catalog.topic(id: asked.topicID) : catalog.topic(named: asked.name)
        if let decisions = loop.decisions {
            let byID = run.version >= 13
            let isStranger = run.topic == nil && !byID
            if isStranger { run.strangers += 1 }
            run.isForbidden =
                isStranger && run.strangers > ProduceRun.maxStrangers
                || !mayWrite(run.topic, byID, asked.name, decisions)
        }
        run.response.beginTopic(
            name: asked.name, topicID: asked.topicID, partitionCount: asked.partitionCount, to: &run.scratch)
        run.isInTopic = true
        return true
    }

    /// A name is asked about whether there is such a topic or not; of an id that is unknown nothing can be asked.
    func mayWrite(
        _ topic: Topic?, _ byID: Bool, _ name: UnsafeRawBufferPointer, _ decisions: LoopDecisions
    ) -> Bool {
        guard byID else { return permissions.allows(.write, topic: name, by: decisions) }
        return topic?.nameBytes.withUnsafeBytes { permissions.allows(.write, topic: $0, by: decisions) } ?? true
    }

    private func finish(_ run: inout ProduceRun) {
        if isCounted { return finishCounted(&run) }
        run.response.finish(to: &run.scratch)
        writeReply(&run)
    }

    /// The client waits behind the reply: when that waits for its commit, no less.
    private func finishCounted(_ run: inout ProduceRun) {
        let wait = endProduce(bytes: run.frame.count, hasReply: run.expectsReply)
        run.response.finish(throttleTimeMs: wait.time > .zero ? wait.wireMs : 0, to: &run.scratch)
        writeReply(&run)
        mute(for: wait)
    }

    private func writeReply(_ run: inout ProduceRun) {
        if run.scratch.isOverLimit { return fail("a Produce of too long names") }
        guard run.expectsReply else {
            // Nobody waits for an answer; a closed connection is the only way to tell of an error, as Kafka does.
            if run.failed { fail("a produce with acks=0 was refused") }
            return
        }
        let connection = connection
        // The tag tells `commitFailed` how to read the reply.
        if !run.commits.isEmpty,
            !connection.gate(run.commits, tag: UInt32(run.version) + 1, weight: run.frame.count)
        {
            let held = run.scratch.array
            guard let refusal = refusedReply(held[...], run.version) else { return connection.close() }
            return refusal.withUnsafeBytes { connection.write(copying: $0) }
        }
        connection.write(copying: run.scratch.bytes)
    }

    /// Lets a worker look at the keys while the connection is muted; then the request goes on where it stands.
    private func checkElsewhere(_ work: KeyWork, _ held: HeldProduce) {
        let id = connection.id
        let handle = loop.handle
        workElsewhere(charging: work.effort.unpackedBytes, to: held.run.ticket) { done in
            let found = work.log.checkKeys(of: work.batch, work.effort)
            handle.submit { loop in
                guard let handler = loop.connection(id)?.handler as? KafkaConnection else { return }
                handler.unpark()
                handler.goOn(held, after: work, found)
            }
            done(nil)
        }
    }

    private func goOn(_ held: HeldProduce, after work: KeyWork, _ found: PartitionLog.KeyCheck) {
        if case .tooLong = found {
            return checkElsewhere(KeyWork(log: work.log, batch: work.batch, effort: .full), held)
        }
        if let work = advance(&held.run, found: found) { return checkElsewhere(work, held) }
        finish(&held.run)
    }

    /// Answers for replies whose commit has failed: each partition of a produce that was accepted and is not stored becomes
    /// KAFKA_STORAGE_ERROR, all other replies stay as they are, in order. Nil when a reply of another kind was gated (a group's):
    /// there is no truthful form of it, and the connection is reset.
    func commitFailed(_ held: HeldOutput, on connection: Connection) -> ReplacedOutput? {
        var out: [UInt8] = []
        for (place, gate) in held.gates.enumerated() {
            guard gate.tag > 0 else { return nil }
            let end = place + 1 < held.gates.count ? held.gates[place + 1].position : held.bytes.count
            let bytes = held.bytes[gate.position..<end]
            guard bytes.count >= 4 else { return nil }
            let length = bytes.prefix(4).reduce(0) { $0 << 8 | Int($1) }
            guard bytes.count >= 4 + length,
                let reply = refusedReply(bytes.prefix(4 + length), Int16(gate.tag - 1))
            else { return nil }
            out += reply
            // Replies that rest on nothing, and only stood behind this one.
            out += bytes.dropFirst(4 + length)
        }
        return ReplacedOutput(out)
    }

    /// Returns an encoded Produce response with KAFKA_STORAGE_ERROR in place of success where the batch is not stored. A commit
    /// may have failed for some partitions alone, and a part of the request may be of an earlier one.
    private func refusedReply(_ frame: ArraySlice<UInt8>, _ version: Int16) -> [UInt8]? {
        var refused: (correlationID: Int32, response: ProduceResponse)?
        frame.withUnsafeBytes { raw in
            var reader = ByteReader(raw)
            do throws(DecodeError) {
                try reader.skip(4)
                let correlationID = try reader.int32()
                if ResponseHeader.version(apiKey: .produce, apiVersion: version) >= 1 { try reader.skip(1) }
                refused = (correlationID, try ProduceResponse(from: &reader, version: version))
            } catch {
                refused = nil
            }
        }
        guard let refused else { return nil }
        var response = refused.response
        let what = broker.store.isOffline ? "the data folder" : "the partition's files"
        for topic in response.responses.indices {
            let asked = response.responses[topic]
            let known =
                version >= 13 ? broker.catalog.topic(id: asked.topicID) : broker.catalog.topic(named: asked.name)
            for place in asked.partitionResponses.indices where asked.partitionResponses[place].errorCode == 0 {
                var partition = asked.partitionResponses[place]
                let log = known?.partition(partition.index)
                if log?.isFlushed(Offset(partition.baseOffset)) == true { continue }
                partition.errorCode = ErrorCode.kafkaStorageError.rawValue
                partition.errorMessage = "\(what) failed before the record batch was on disk"
                partition.baseOffset = -1
                partition.logAppendTimeMs = -1
                partition.logStartOffset = -1
                response.responses[topic].partitionResponses[place] = partition
                server.metrics.refusedBatches.add()
            }
        }
        var writer = ByteWriter(capacity: frame.count + 128)
        writer.int32(0)
        writer.int32(refused.correlationID)
        if ResponseHeader.version(apiKey: .produce, apiVersion: version) >= 1 { writer.unsignedVarint(0) }
        response.encode(to: &writer, version: version)
        writer.overwrite(Int32(clamping: writer.count - 4), at: 0)
        return writer.array
    }

    private func append(
        _ range: Range<Int>?, of frame: ByteSlice, to log: PartitionLog, _ topic: Topic, _ version: Int16,
        _ nowMs: Int64, _ found: PartitionLog.KeyCheck?, _ transaction: ProducedTransaction?
    ) -> Result<Appended, AppendRefusal> {
        guard let range else {
            return .failure(AppendRefusal(.invalidRecord, "the request has no record batch for the partition"))
        }
        let batch = frame.slice(range.lowerBound, count: range.count)
        if found == nil, let refusal = refusal(of: batch, topic, version) { return .failure(refusal) }
        let keysAreChecked = log.requiresKeys
        if keysAreChecked {
            switch found ?? log.checkKeys(of: batch, .brief) {
            case .sound: break
            case .refused(let refusal): return .failure(refusal)
            case .tooLong: return .success(.needsCheck(KeyWork(log: log, batch: batch, effort: .usual)))
            }
        }
        var verified: TransactionGuard?
        if RecordBatchHeader(unchecked: batch.pointer).isTransactional {
            switch transaction.verdict(on: log) {
            case .success(let found): verified = found
            case .failure(let refusal): return .failure(refusal)
            }
        }
        let result = log.append(
            batch, origin: .client, nowMs: nowMs, keysAreChecked: keysAreChecked, verified: verified)
        if case .success = result { server.metrics.producedBytes.add(range.count) }
        return result.map { .done($0) }
    }

    /// Returns what is wrong with a batch by its header and CRC, or for the topic.
    private func refusal(of batch: ByteSlice, _ topic: Topic, _ version: Int16) -> AppendRefusal? {
        if topic.isInternal {
            return AppendRefusal(.invalidTopicException, "Cannot append to internal topic \(topic.name)")
        }
        do throws(RecordBatchError) {
            let header = try RecordBatchValidator(origin: .client).validateSingle(batch)
            if version < 7, header.attributes.compression == .zstd {
                return AppendRefusal(
                    .unsupportedCompressionType,
                    "Produce requests with version below 7 are not allowed to use ZStandard compression")
            }
            return nil
        } catch {
            return AppendRefusal(error.errorCode, "\(error)")
        }
    }

    private static func wire(_ error: AppendRefusal.RecordError) -> ProduceResponse.BatchIndexAndErrorMessage {
        var result = ProduceResponse.BatchIndexAndErrorMessage()
        result.batchIndex = error.index
        result.batchIndexErrorMessage = error.message
        return result
    }

    private static func acksRefusal(_ reader: ProduceRequestReader) -> AppendRefusal? {
        guard reader.acks < -1 || reader.acks > 1 else { return nil }
        return AppendRefusal(.invalidRequiredAcks, "acks must be -1, 0 or 1, not \(reader.acks)")
    }
}

/// A Produce request while it is worked off.
struct ProduceRun: ~Copyable {
    /// Keeps the bytes alive that the reader walks.
    let frame: ByteSlice
    let version: Int16
    let ticket: ReplyTicket
    var expectsReply: Bool { reader.acks != 0 }
    var reader: ProduceRequestReader
    var response: ProduceResponseWriter
    /// Its limit is for names that no topic can have.
    var scratch = ByteWriter(capacity: 128, limit: RequestLimits.encodedReplyBytes)
    /// Bytes of a reply from which on errors are told by their codes alone: an entry of six bytes may be refused with
    /// hundreds, and one of a hundred with ten thousand record errors.
    static let maxExplained = 4 << 20
    /// The topic at hand, unless there is none of its name.
    var topic: Topic?
    /// The client may not write to it.
    var isForbidden = false
    /// Topics so far that there are not.
    var strangers = 0
    /// As many names that no topic has are held against ACLs; more in one request are refused unasked. Each is a decision of
    /// about 1 us that nobody has remembered, and 100,000 fit in a request.
    static let maxStrangers = 500
    var isInTopic = false
    /// The partition that comes next, if the reader has given it already.
    var held: ProduceRequestReader.Partition?
    var commits = CommitSpan()
    var failed = false
    /// Of a request with a transactional id: what is known of its transaction.
    var transaction: ProducedTransaction?

    init(_ request: borrowing Request, _ reader: ProduceRequestReader) {
        frame = request.frame
        version = request.version
        ticket = request.ticket
        self.reader = reader
        response = ProduceResponseWriter(
            version: request.version, correlationID: request.correlationID, topicCount: reader.topicCount, to: &scratch)
    }
}

/// A request that waits for a look at keys, or for the coordinator of transactions.
final class HeldProduce: @unchecked Sendable {
    // SAFETY: the connection's loop alone touches it; the worker looks at the batch (`KeyWork`).
    var run: ProduceRun

    init(_ run: consuming ProduceRun) { self.run = run }
}

/// A batch whose keys are to be looked at.
private struct KeyWork: Sendable {
    let log: PartitionLog
    let batch: ByteSlice
    let effort: PartitionLog.KeyCheckEffort
}

private enum Appended {
    case done(AppendReceipt)
    case needsCheck(KeyWork)
}
