public import KafkaModel

/// Why a batch was not appended: the code for the wire and a sentence for a person. Nothing was changed.
///
/// Four places decide, in this order. The request: `00_Produce.swift` of KafkaServer. The batch's bytes: `RecordBatchValidator`,
/// whose errors have their code in `RecordBatchError.errorCode` and describe themselves. The keys of a compacted topic's records:
/// `PartitionLog.checkKeys`, which an edge calls before `append`. The log and its disk: `PartitionLog.refusal(_:)` and `append`,
/// which ask `LogStore.refusal`, `ProducerStates.check` and the topic's settings. What is refused afterwards, because its commit
/// has failed, is `KafkaConnection.refusedReply`. KafkaServer.md, *Where a batch is refused*, has the table.
public struct AppendRefusal: Error, Sendable, Equatable {
    /// One record of the batch that is at fault.
    public struct RecordError: Sendable, Equatable {
        /// From 0, within the batch.
        public var index: Int32
        /// Nil when the refusal's own message says it.
        public var message: String?
    }

    public var code: ErrorCode
    public var message: String
    /// The records at fault, when single records are. Source: KIP-467.
    public var recordErrors: [RecordError] = []
    /// Refused because the disk is nearly full: appends are taken again by themselves once there is room.
    public var isDiskFull = false

    public init(_ code: ErrorCode, _ message: String) {
        self.code = code
        self.message = message
    }
}
