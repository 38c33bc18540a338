import ByteBuffers
import KafkaModel
import KafkaWire
import Testing

/// The writers of responses, held against the generated structs.
@Suite struct InPlaceWriterTests {
    private static let rounds: UInt64 = 60
    private static let correlationID: Int32 = 77

    /// The whole frame as the generated structs make it.
    private func frame(_ response: some KafkaResponse, _ key: APIKey, _ version: Int16) -> [UInt8] {
        var writer = ByteWriter()
        writer.int32(0)
        var header = ResponseHeader()
        header.correlationID = Self.correlationID
        header.encode(to: &writer, version: ResponseHeader.version(apiKey: key, apiVersion: version))
        response.encode(to: &writer, version: version)
        writer.overwrite(Int32(writer.count - 4), at: 0)
        return writer.array
    }

    private func withUTF8<R>(_ text: String, _ body: (UnsafeRawBufferPointer) -> R) -> R {
        Array(text.utf8).withUnsafeBytes(body)
    }

    private func leader(_ id: Int32, _ epoch: Int32) -> CurrentLeader? {
        id == -1 && epoch == -1 ? nil : CurrentLeader(leaderID: id, leaderEpoch: epoch)
    }

    @Test(arguments: ProduceResponse.versions)
    func produceResponseIsWrittenAsTheStructIs(_ version: Int16) {
        for seed in 0..<Self.rounds {
            var messages = RandomMessages(random: SplitMix(state: seed), version: version)
            let response = messages.produceResponse()
            var output = ByteWriter()
            output.bytes([1, 2, 3])
            var writer = ProduceResponseWriter(
                version: version, correlationID: Self.correlationID, topicCount: response.responses.count,
                to: &output)
            for topic in response.responses {
                withUTF8(topic.name) {
                    writer.beginTopic(
                        name: $0, topicID: topic.topicID, partitionCount: topic.partitionResponses.count, to: &output)
                }
                for partition in topic.partitionResponses {
                    var result = ProduceResponseWriter.Partition(
                        index: partition.index, errorCode: ErrorCode(rawValue: partition.errorCode))
                    result.baseOffset = partition.baseOffset
                    result.logAppendTimeMs = partition.logAppendTimeMs
                    result.logStartOffset = partition.logStartOffset
                    result.recordErrors = partition.recordErrors
                    result.errorMessage = partition.errorMessage
                    result.currentLeader = leader(
                        partition.currentLeader.leaderID, partition.currentLeader.leaderEpoch)
                    writer.partition(result, to: &output)
                }
                writer.endTopic(to: &output)
            }
            writer.finish(
                throttleTimeMs: response.throttleTimeMs, nodeEndpoints: response.nodeEndpoints, to: &output)
            #expect(output.array == [1, 2, 3] + frame(response, .produce, version), "seed \(seed)")
        }
    }

    private func result(_ partition: FetchResponse.PartitionData) -> FetchPartitionResult {
        var result = FetchPartitionResult(
            index: partition.partitionIndex, errorCode: ErrorCode(rawValue: partition.errorCode))
        result.highWatermark = partition.highWatermark
        result.lastStableOffset = partition.lastStableOffset
        result.logStartOffset = partition.logStartOffset
        result.abortedTransactions = partition.abortedTransactions
        result.preferredReadReplica = partition.preferredReadReplica
        result.recordsCount = partition.records!.count
        let diverging = partition.divergingEpoch
        result.divergingEpoch = diverging == .init() ? nil : (diverging.epoch, diverging.endOffset)
        result.currentLeader = leader(partition.currentLeader.leaderID, partition.currentLeader.leaderEpoch)
        return result
    }

    private func size(_ response: FetchResponse, _ version: Int16) -> Int {
        var size = FetchResponseSize(version: version, topicCount: response.responses.count)
        for topic in response.responses {
            size.topic(nameCount: topic.topic.utf8.count, partitionCount: topic.partitions.count)
            for partition in topic.partitions { size.partition(result(partition)) }
        }
        return size.frameSize(nodeEndpoints: response.nodeEndpoints)
    }

    /// The frame as the writer makes it: its bytes, with the records put where they belong.
    private func written(_ response: FetchResponse, _ version: Int16, frameSize: Int?) -> [UInt8] {
        var output = ByteWriter()
        var cuts: [(position: Int, records: [UInt8])] = []
        var writer = FetchResponseWriter(
            version: version, correlationID: Self.correlationID, throttleTimeMs: response.throttleTimeMs,
            errorCode: ErrorCode(rawValue: response.errorCode), sessionID: response.sessionID,
            topicCount: response.responses.count, frameSize: frameSize, to: &output)
        for topic in response.responses {
            withUTF8(topic.topic) {
                writer.beginTopic(
                    name: $0, topicID: topic.topicID, partitionCount: topic.partitions.count, to: &output)
            }
            for partition in topic.partitions {
                writer.beginPartition(result(partition), to: &output)
                cuts.append((output.count, partition.records!))
                writer.endPartition(to: &output)
            }
            writer.endTopic(to: &output)
        }
        writer.finish(nodeEndpoints: response.nodeEndpoints, to: &output)
        let bytes = output.array
        var whole: [UInt8] = []
        var start = 0
        for cut in cuts {
            whole += bytes[start..<cut.position] + cut.records
            start = cut.position
        }
        whole += bytes[start...]
        #expect(writer.frameBytes == whole.count)
        return whole
    }

    @Test(arguments: FetchResponse.versions)
    func fetchResponseIsWrittenAsTheStructIs(_ version: Int16) {
        for seed in 0..<Self.rounds {
            var messages = RandomMessages(random: SplitMix(state: seed), version: version)
            let response = messages.fetchResponse()
            let expected = frame(response, .fetch, version)
            #expect(written(response, version, frameSize: nil) == expected, "seed \(seed)")
            #expect(size(response, version) == expected.count - 4, "seed \(seed)")
            #expect(written(response, version, frameSize: expected.count - 4) == expected, "seed \(seed)")
        }
    }

    @Test func emptyFetchResponseKnowsItsSize() {
        for version in FetchResponse.versions {
            let expected = frame(FetchResponse(), .fetch, version)
            #expect(size(FetchResponse(), version) == expected.count - 4)
            #expect(written(FetchResponse(), version, frameSize: nil) == expected)
        }
    }
}
