import BrokerCore
import ByteBuffers
import KafkaModel
import KafkaWire
import LogStorage
import RecordFormat
import Telemetry
import Transport

/// Produce: appends each partition's batch as it came and answers when it is on disk.
///
/// acks=-1 and 1 are answered once a group commit covers the append (stronger than Kafka's acks=1, at no cost in
/// throughput); acks=0 is not answered at all. Versions: 3 magic 2; 9 flexible; 10 the leader in errors (KIP-951); 12
/// transactions without AddPartitionsToTxn (KIP-890); 13 topic ids (KIP-516). Source: KIP-98.
extension KafkaConnection {
    func produce(_ request: borrowing Request) throws(DecodeError) {
        var reader = try ProduceRequestReader(request.body, version: request.version)
        let nowMs = loop.eventLoop.wallClockMs
        let catalog = broker.catalog
        let acksRefusal = Self.acksRefusal(reader)
        let frame = request.frame
        let version = request.version
        let correlationID = request.correlationID
        let expectsReply = reader.acks != 0
        var newestTicket: UInt64 = 0
        var failed = false
        var scratch = ByteWriter(capacity: 128)
        var response = ProduceResponseWriter(
            version: version, correlationID: correlationID, topicCount: reader.topicCount, to: &scratch)
        while let asked = reader.nextTopic() {
            let topic = version >= 13 ? catalog.topic(id: asked.topicID) : catalog.topic(named: asked.name)
            response.beginTopic(
                name: asked.name, topicID: asked.topicID, partitionCount: asked.partitionCount, to: &scratch)
            while let partition = reader.nextPartition() {
                var result = ProduceResponseWriter.Partition(index: partition.index)
                let refusal: AppendRefusal?
                if let acksRefusal {
                    refusal = acksRefusal
                } else if let log = topic?.partition(partition.index) {
                    switch append(partition.records, of: frame, to: log, topic!, version, nowMs) {
                    case .success(let receipt):
                        refusal = nil
                        newestTicket = max(newestTicket, receipt.ticket)
                        result.baseOffset = receipt.baseOffset.rawValue
                        result.logAppendTimeMs = receipt.logAppendTimeMs
                        result.logStartOffset = receipt.logStartOffset.rawValue
                    case .failure(let reason): refusal = reason
                    }
                } else {
                    refusal = AppendRefusal(
                        version >= 13 ? .unknownTopicID : .unknownTopicOrPartition,
                        "This server does not host this topic-partition.")
                }
                if let refusal {
                    failed = true
                    server.metrics.refusedBatches.add()
                    result.errorCode = refusal.code
                    result.errorMessage = refusal.message
                    if !refusal.recordErrors.isEmpty { result.recordErrors = refusal.recordErrors.map(Self.wire) }
                }
                response.partition(result, to: &scratch)
            }
            response.endTopic(to: &scratch)
        }
        response.finish(to: &scratch)
        guard expectsReply else {
            // Nobody waits for an answer; a closed connection is the only way to tell of an error, as Kafka does.
            if failed { fail("a produce with acks=0 was refused") }
            return
        }
        // The tag tells `commitFailed` how to read the reply.
        if newestTicket > 0, !connection.gate(ticket: newestTicket, tag: UInt32(version) + 1, weight: frame.count) {
            let held = scratch.array
            guard let refusal = refusedReply(held[...], version) else { return connection.close() }
            return refusal.withUnsafeBytes { connection.write(copying: $0) }
        }
        connection.write(copying: scratch.bytes)
    }

    /// The data folder has failed under replies that wait for their commit: each accepted partition of a produce becomes
    /// KAFKA_STORAGE_ERROR, all other replies stay as they are, in order. Nil when a reply of another kind was gated
    /// (a group's): there is no truthful form of it, and the connection is reset.
    func commitFailed(_ held: HeldOutput, on connection: Connection) -> [UInt8]? {
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
        return out
    }

    /// An encoded Produce response with KAFKA_STORAGE_ERROR in place of success.
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
        for topic in response.responses.indices {
            for place in response.responses[topic].partitionResponses.indices
            where response.responses[topic].partitionResponses[place].errorCode == 0 {
                var partition = response.responses[topic].partitionResponses[place]
                partition.errorCode = ErrorCode.kafkaStorageError.rawValue
                partition.errorMessage = "the data folder failed before the record batch was on disk"
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
        writer.overwrite(Int32(writer.count - 4), at: 0)
        return writer.array
    }

    private func append(
        _ range: Range<Int>?, of frame: ByteSlice, to log: PartitionLog, _ topic: Topic, _ version: Int16,
        _ nowMs: Int64
    ) -> Result<AppendReceipt, AppendRefusal> {
        guard let range else {
            return .failure(AppendRefusal(.invalidRecord, "the request has no record batch for \(log.folderName)"))
        }
        if topic.isInternal {
            return .failure(
                AppendRefusal(.invalidTopicException, "Cannot append to internal topic \(topic.name)"))
        }
        let batch = frame.slice(range.lowerBound, count: range.count)
        do throws(RecordBatchError) {
            let header = try RecordBatchValidator(origin: .client).validateSingle(batch)
            if version < 7, header.attributes.compression == .zstd {
                return .failure(
                    AppendRefusal(
                        .unsupportedCompressionType,
                        "Produce requests with version below 7 are not allowed to use ZStandard compression"))
            }
            if header.isTransactional {
                return .failure(AppendRefusal(.invalidTxnState, "transactions are not served"))
            }
        } catch {
            return .failure(AppendRefusal(error.errorCode, "\(error)"))
        }
        let result = log.append(batch, origin: .client, nowMs: nowMs)
        if case .success = result { server.metrics.producedBytes.add(range.count) }
        return result
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
