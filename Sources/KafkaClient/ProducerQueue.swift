internal import ByteBuffers
internal import KafkaModel
internal import RecordFormat

/// One batch on its way to a partition.
final class OutgoingBatch {
    let slice: ByteSlice
    let recordCount: Int32
    let deadline: Deadline
    /// Why the last attempt failed, told when there is no time for another.
    var lastError: ClientError?
    /// It was sent, and the answer was lost or leaves open whether it is stored. It stays so whatever a later attempt is
    /// answered, unless that is success.
    var mayBeStored = false

    init(slice: ByteSlice, recordCount: Int32, deadline: Deadline) {
        self.slice = slice
        self.recordCount = recordCount
        self.deadline = deadline
    }

    var header: RecordBatchHeader { RecordBatchHeader(unchecked: UnsafeRawPointer(slice.pointer)) }

    /// Makes this the batch of another producer session. Only while no request holds it.
    func stamp(_ session: ProducerSession, baseSequence: Sequence32) {
        let at = slice.pointer
        at.storeBytes(
            of: session.producerID.rawValue.bigEndian, toByteOffset: RecordBatchHeader.Field.producerID, as: Int64.self)
        at.storeBytes(
            of: session.producerEpoch.rawValue.bigEndian, toByteOffset: RecordBatchHeader.Field.producerEpoch,
            as: Int16.self)
        at.storeBytes(
            of: baseSequence.rawValue.bigEndian, toByteOffset: RecordBatchHeader.Field.baseSequence, as: Int32.self)
        RecordBatchHeader.updateCRC(at: at)
    }
}

/// The identity under which an idempotent producer numbers its records. Source: KIP-98.
struct ProducerSession: Equatable {
    var producerID: ProducerID
    var producerEpoch: ProducerEpoch

    /// Records without numbers: the broker cannot tell a retry from a new batch.
    static let none = ProducerSession(producerID: .none, producerEpoch: .none)
}

/// A partition's records from `send` to acknowledgement, in order.
///
///     builder ─close─► waiting ─dispatch─► inFlight ─acknowledged─► gone
///                         ▲                    │ transient error, lost connection
///                         └── all answered ── failed
///
/// After a failure nothing more is sent until every batch in flight was answered; then the failed ones go out again in
/// their order, with the sequences that they had: the broker takes each once.
final class ProducerQueue {
    let name: PartitionName
    var builder: RecordBatchBuilder
    var waiting: [OutgoingBatch] = []
    var inFlight: [OutgoingBatch] = []
    var failed: [OutgoingBatch] = []
    var nextSequence = Sequence32(0)
    /// After a failure: not before this time (monotonic ns).
    var retryAt: Int64 = 0
    var pauseMs: Int64 = 0

    init(name: PartitionName, capacity: Int, context: CompressionContext) {
        self.name = name
        builder = RecordBatchBuilder(capacity: capacity, context: context)
    }

    /// Whether a batch may be sent now. `pipelines`: several may be in flight, for the broker knows their order.
    func canSend(pipelines: Bool) -> Bool {
        guard !waiting.isEmpty, failed.isEmpty else { return false }
        return (pipelines || inFlight.isEmpty) && (retryAt == 0 || retryAt <= MonotonicClock.nanoseconds)
    }

    /// Puts the failed batches in line again, first, once every batch in flight was answered.
    func requeueFailed() {
        guard inFlight.isEmpty, !failed.isEmpty else { return }
        waiting = failed + waiting
        failed = []
    }

    /// Gives all unsent batches places in a new session.
    func restamp(_ session: ProducerSession) {
        nextSequence = Sequence32(0)
        for batch in waiting {
            batch.stamp(session, baseSequence: nextSequence)
            nextSequence = nextSequence.advanced(by: batch.recordCount)
        }
    }
}
