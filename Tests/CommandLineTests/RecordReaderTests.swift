import ByteBuffers
import KafkaModel
import KafkaWire
import RecordFormat
import Synchronization
import Testing

@testable import KafkaClient

@Suite struct RecordReaderTests {
    /// A batch of records `value N` from this offset on.
    private static func batch(
        from offset: Int64, count: Int, producerID: Int64 = -1, attributes: RecordBatchAttributes = []
    ) -> [UInt8] {
        var builder = RecordBatchBuilder()
        for index in 0..<count {
            builder.append(key: nil, value: Array("value \(offset + Int64(index))".utf8), timestampMs: 1)
        }
        var options = RecordBatchBuilder.Options()
        options.baseOffset = Offset(offset)
        options.attributes = attributes
        if producerID >= 0 {
            options.producerID = ProducerID(producerID)
            options.producerEpoch = ProducerEpoch(0)
            options.baseSequence = Sequence32(0)
        }
        return builder.finishUncompressed(options).array
    }

    private static func abortMarker(at offset: Int64, producerID: Int64) -> [UInt8] {
        var builder = RecordBatchBuilder()
        // Version 0, type 0 (abort); version 0, coordinator epoch 0.
        builder.append(key: [0, 0, 0, 0], value: [0, 0, 0, 0, 0, 0], timestampMs: 1)
        var options = RecordBatchBuilder.Options()
        options.baseOffset = Offset(offset)
        options.attributes = [.transactional, .control]
        options.producerID = ProducerID(producerID)
        options.producerEpoch = ProducerEpoch(0)
        return builder.finishUncompressed(options).array
    }

    private final class Script: Sendable {
        let answers: Mutex<[FetchResponse.PartitionData]>
        let requests = Mutex<[FetchRequest.FetchPartition]>([])
        /// Of ListOffsets requests.
        let timestamps = Mutex<[Int64]>([])
        let broker = Mutex<FakeBroker?>(nil)
        init(_ answers: [FetchResponse.PartitionData]) { self.answers = Mutex(answers) }
    }

    private func answer(_ records: [UInt8], highWatermark: Int64 = 100, code: ErrorCode = .none)
        -> FetchResponse.PartitionData
    {
        var data = FetchResponse.PartitionData()
        data.errorCode = code.rawValue
        data.highWatermark = highWatermark
        data.lastStableOffset = highWatermark
        data.abortedTransactions = nil
        data.records = records
        return data
    }

    private func run(
        _ answers: [FetchResponse.PartitionData], from position: Int64, polls: Int = 1,
        options: RecordReader.Options = RecordReader.Options(), limit: Int = .max, end: Int64 = 40
    ) throws -> (values: [String], reader: RecordReader, script: Script) {
        let script = Script(answers)
        let broker = try FakeBroker { header, reader in
            switch APIKey(rawValue: header.requestAPIKey) {
            case .apiVersions:
                return FakeBroker.versions([(.metadata, 0...13), (.fetch, 4...12), (.listOffsets, 1...7)], to: header)
            case .metadata: return script.broker.withLock { $0 }?.metadata("t", partitions: 1, to: header)
            case .listOffsets:
                guard let request = try? ListOffsetsRequest(from: &reader, version: header.requestAPIVersion),
                    let timestamp = request.topics.first?.partitions.first?.timestamp
                else { return nil }
                script.timestamps.withLock { $0.append(timestamp) }
                var partition = ListOffsetsResponse.ListOffsetsPartitionResponse()
                // No record is of that time or later.
                partition.offset = timestamp >= 0 ? -1 : end
                var topic = ListOffsetsResponse.ListOffsetsTopicResponse()
                topic.name = "t"
                topic.partitions = [partition]
                var response = ListOffsetsResponse()
                response.topics = [topic]
                return FakeBroker.encode(response, to: header)
            case .fetch:
                guard let request = try? FetchRequest(from: &reader, version: header.requestAPIVersion) else {
                    return nil
                }
                script.requests.withLock { $0 += request.topics.flatMap(\.partitions) }
                var topic = FetchResponse.FetchableTopicResponse()
                topic.topic = "t"
                topic.partitions = [script.answers.withLock { $0.removeFirst() }]
                var response = FetchResponse()
                response.responses = [topic]
                return FakeBroker.encode(response, to: header)
            default: return nil
            }
        }
        defer { broker.stop() }
        script.broker.withLock { $0 = broker }
        let cluster = Cluster(bootstrap: [broker.address], options: Fake.options())
        let reader = RecordReader(cluster, from: [PartitionName("t", 0): position], options: options)
        var values: [String] = []
        for _ in 0..<polls {
            try reader.poll(maxWaitMs: 0) { _, record in
                values.append(String(decoding: record.value!, as: UTF8.self))
                return values.count < limit
            }
        }
        return (values, reader, script)
    }

    @Test func aFetchFromTheMiddleOfABatchSkipsWhatWasRead() throws {
        let result = try run([answer(Self.batch(from: 0, count: 5))], from: 3)
        #expect(result.values == ["value 3", "value 4"])
        #expect(result.reader.positions[PartitionName("t", 0)] == 5)
        #expect(result.script.requests.withLock { $0.map(\.fetchOffset) } == [3])
    }

    @Test func aLastBatchThatIsCutOffIsReadByTheNextFetch() throws {
        let whole = Self.batch(from: 0, count: 2)
        let next = Self.batch(from: 2, count: 2)
        let result = try run([answer(whole + next.dropLast(3)), answer(next)], from: 0, polls: 2)
        #expect(result.values == ["value 0", "value 1", "value 2", "value 3"])
        #expect(result.script.requests.withLock { $0.map(\.fetchOffset) } == [0, 2])
    }

    @Test func readingStopsBehindTheRecordThatWasTheLastWanted() throws {
        let result = try run([answer(Self.batch(from: 0, count: 5))], from: 0, limit: 2)
        #expect(result.values == ["value 0", "value 1"])
        #expect(result.reader.positions[PartitionName("t", 0)] == 2)
    }

    @Test func damagedRecordsAreAnErrorThatNamesTheirPlace() throws {
        var records = Self.batch(from: 0, count: 2)
        records[records.count - 2] ^= 1
        do {
            _ = try run([answer(records)], from: 0)
            Issue.record("read")
        } catch let error as ClientError {
            #expect(error.description.contains("t-0 after offset 0: Record is corrupt (stored crc = "), "\(error)")
        }
    }

    @Test func abortedRecordsAndMarkersAreLeftOut() throws {
        let transactional: RecordBatchAttributes = .transactional
        let records =
            Self.batch(from: 0, count: 1, producerID: 7, attributes: transactional)
            + Self.batch(from: 1, count: 1, producerID: 8, attributes: transactional)
            + Self.batch(from: 2, count: 1) + Self.abortMarker(at: 3, producerID: 7)
            + Self.batch(from: 4, count: 1, producerID: 7, attributes: transactional)
        var answer = answer(records)
        var aborted = FetchResponse.AbortedTransaction()
        aborted.producerID = 7
        aborted.firstOffset = 0
        answer.abortedTransactions = [aborted]
        var options = RecordReader.Options()
        options.isReadCommitted = true
        let committed = try run([answer], from: 0, options: options)
        #expect(committed.values == ["value 1", "value 2", "value 4"])
        #expect(committed.reader.positions[PartitionName("t", 0)] == 5)
        // Without read-committed only the marker is hidden.
        #expect(try run([answer], from: 0).values == ["value 0", "value 1", "value 2", "value 4"])
    }

    @Test func aPositionOutsideTheLogIsAnErrorUnlessThereIsAnother() throws {
        let outside = answer([], code: .offsetOutOfRange)
        do {
            _ = try run([outside], from: 7)
            Issue.record("read")
        } catch let error as ClientError {
            #expect(error.code == .offsetOutOfRange)
            #expect(error.description.contains("t-0 at offset 7"))
        }
        var options = RecordReader.Options()
        options.onOutOfRange = .earliest
        let result = try run(
            [outside, answer(Self.batch(from: 40, count: 1))], from: 7, polls: 2, options: options)
        #expect(result.values == ["value 40"])
    }

    /// Without a position a partition is silently never read again.
    @Test(arguments: [1_700_000_000_000, -1, -2, .min])
    func aTimeAfterTheLastRecordIsTheEnd(time: Int64) throws {
        var options = RecordReader.Options()
        options.onOutOfRange = .time(time)
        let answers = [answer([], code: .offsetOutOfRange), answer(Self.batch(from: 40, count: 1))]
        let result = try run(answers, from: 7, polls: 2, options: options)
        #expect(result.values == ["value 40"])
        // A time before 1970 is none of the questions that negative numbers stand for.
        #expect(result.script.timestamps.withLock { $0 } == [max(0, time), -1])
    }

    @Test func anEndThatIsNoOffsetIsAnError() throws {
        var options = RecordReader.Options()
        options.onOutOfRange = .latest
        #expect(throws: ClientError.invalidAnswer("ListOffsets gives t-0 the offset -1")) {
            try run([answer([], code: .offsetOutOfRange)], from: 7, options: options, end: -1)
        }
    }

    @Test func aMovedLeaderIsLookedUpAndAskedAgain() throws {
        let result = try run(
            [answer([], code: .notLeaderOrFollower), answer(Self.batch(from: 0, count: 1))], from: 0, polls: 2)
        #expect(result.values == ["value 0"])
    }
}
