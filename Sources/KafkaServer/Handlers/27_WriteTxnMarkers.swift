import BrokerCore
import ByteBuffers
import KafkaModel
import KafkaWire
import LogStorage
import Security

/// WriteTxnMarkers: ends transactions in partitions by markers, which are on disk when it is answered. An administrator ends
/// one so that hangs; the coordinator is not asked. Versions: 2 the transaction's version (KIP-1228). Source: KIP-98, KIP-664.
extension KafkaConnection {
    static func writeTxnMarkersPrice(_ asked: WriteTxnMarkersRequest, _ context: AnswerContext) -> Int {
        var price = ReplyPrice()
        price.add(asked.markers.count, WriteTxnMarkersResponse.WritableTxnMarkerResult.self, text: 0)
        let topics = asked.markers.flatMap(\.topics)
        price.add(
            topics.count, WriteTxnMarkersResponse.WritableTxnMarkerTopicResult.self, text: TopicName.usualLength)
        let partitions = topics.reduce(0) { $0 + $1.partitionIndexes.count }
        price.add(partitions, WriteTxnMarkersResponse.WritableTxnMarkerPartitionResult.self, text: 0)
        // Each is an append, which takes as much as a batch of its size.
        return price.bytes + partitions * markerBytes
    }

    /// A marker with what it takes on its way to the disk.
    private static let markerBytes = 512

    static func writeTxnMarkers(
        _ asked: WriteTxnMarkersRequest, _ context: AnswerContext
    ) -> Answer<WriteTxnMarkersResponse> {
        var answer = Answer(response: WriteTxnMarkersResponse())
        let isAllowed =
            context.permissions.allowsOnCluster(.alter, quietly: true)
            || context.permissions.allowsOnCluster(.clusterAction)
        answer.response.markers = asked.markers.map { marker in
            var result = WriteTxnMarkersResponse.WritableTxnMarkerResult()
            result.producerID = marker.producerID
            result.topics = marker.topics.map { topic in
                var outcome = WriteTxnMarkersResponse.WritableTxnMarkerTopicResult()
                outcome.name = topic.name
                let found = context.broker.catalog.topic(named: topic.name)
                outcome.partitions = topic.partitionIndexes.map { index in
                    var partition = WriteTxnMarkersResponse.WritableTxnMarkerPartitionResult()
                    partition.partitionIndex = index
                    let code =
                        isAllowed
                        ? write(marker, to: found?.partition(index), context.broker, &answer.commits)
                        : .clusterAuthorizationFailed
                    partition.errorCode = code.rawValue
                    return partition
                }
                return outcome
            }
            return result
        }
        context.audit(asked, answer.response)
        // An answer that a worker makes has no turn of an event loop that would commit.
        if !answer.commits.isEmpty { context.broker.store.kick() }
        return answer
    }

    private static func write(
        _ marker: WriteTxnMarkersRequest.WritableTxnMarker, to log: PartitionLog?, _ broker: Broker,
        _ commits: inout CommitSpan
    ) -> ErrorCode {
        guard let log else { return .unknownTopicOrPartition }
        let made = TransactionMarker(
            producerID: ProducerID(marker.producerID), epoch: ProducerEpoch(marker.producerEpoch),
            isCommit: marker.transactionResult, coordinatorEpoch: marker.coordinatorEpoch,
            isVersion2: marker.transactionVersion >= 2)
        switch broker.endTransaction(in: log, made) {
        case .success(let receipt):
            commits.add(receipt.ticket)
            return .none
        case .failure(let refusal): return refusal.code
        }
    }
}
