import BrokerCore
import ByteBuffers
import KafkaModel
import LogStorage
import Security

/// What can be asked for. The raw value is its name, as it stands in `X-Amz-Target: Kinesis_20131202.NAME`.
enum KinesisOperation: String, CaseIterable {
    case createStream = "CreateStream"
    case decreaseRetention = "DecreaseStreamRetentionPeriod"
    case deleteStream = "DeleteStream"
    case describeStream = "DescribeStream"
    case describeStreamSummary = "DescribeStreamSummary"
    case getRecords = "GetRecords"
    case getShardIterator = "GetShardIterator"
    case increaseRetention = "IncreaseStreamRetentionPeriod"
    case listShards = "ListShards"
    case listStreams = "ListStreams"
    case putRecord = "PutRecord"
    case putRecords = "PutRecords"

    /// Of a field `X-Amz-Target`; nil: there is no such operation.
    init?(target: UnsafeRawBufferPointer) {
        let prefix = AWSService.kinesis.targetPrefix.utf8CodeUnitCount
        self.init(rawValue: String(decoding: target.dropFirst(prefix), as: UTF8.self))
    }

    /// Whether it changes what the metadata keeps, which is the broker's own thread's to do.
    var isOfAdmin: Bool {
        switch self {
        case .createStream, .deleteStream, .increaseRetention, .decreaseRetention: true
        default: false
        }
    }

    /// The members of its request that say something here.
    var members: [String] {
        switch self {
        case .createStream: ["StreamName", "ShardCount", "StreamModeDetails"]
        case .deleteStream, .describeStreamSummary: ["StreamName", "StreamARN"]
        case .increaseRetention, .decreaseRetention: ["StreamName", "StreamARN", "RetentionPeriodHours"]
        case .describeStream: ["StreamName", "StreamARN", "Limit", "ExclusiveStartShardId"]
        case .getRecords: ["ShardIterator", "Limit"]
        case .getShardIterator:
            ["StreamName", "StreamARN", "ShardId", "ShardIteratorType", "StartingSequenceNumber", "Timestamp"]
        case .listShards:
            ["StreamName", "StreamARN", "NextToken", "MaxResults", "ExclusiveStartShardId", "ShardFilter"]
        case .listStreams: ["Limit", "ExclusiveStartStreamName", "NextToken"]
        case .putRecord: ["StreamName", "StreamARN"] + Self.recordMembers
        case .putRecords: ["StreamName", "StreamARN", "Records"]
        }
    }

    static let recordMembers = ["Data", "PartitionKey", "ExplicitHashKey"]
}

/// Requests of Kinesis for one who asks, as what the broker does. On a thread that may wait.
///
/// Putting is WRITE of the topic, reading READ, looking DESCRIBE, changing ALTER_CONFIGS, making CREATE and deleting DELETE, the last two
/// of the topic or the cluster. Who may not is told so, whether the stream is there or not.
struct KinesisCalls {
    let broker: Broker
    /// Of resource names.
    let region: String
    /// Bytes of one record, its key included, unless the topic takes less.
    let maxRecordBytes: Int
    let isAllowed: (AclOperation, ResourceType, _ name: String) -> Bool

    static let account = "000000000000"

    /// What an operation has led to, beside its reply.
    struct Effect {
        var commits = CommitSpan()
        /// Records that are appended, and their bytes.
        var records = 0
        var bytes = 0
    }

    /// Does all but reading records, and writes the reply.
    /// - Parameter reserve: takes memory for so many bytes; false: there is none.
    func perform(
        _ operation: KinesisOperation, _ members: KinesisMembers, seal: IteratorSeal?, into out: inout ByteWriter,
        reserve: (Int) -> Bool
    ) throws(KinesisError) -> Effect {
        switch operation {
        case .putRecord: return try putRecord(members, &out, reserve)
        case .putRecords: return try putRecords(members, &out, reserve)
        case .getShardIterator: try getShardIterator(members, seal, &out)
        case .getRecords: preconditionFailure("records are answered in slices")
        case .listShards: try listShards(members, &out)
        case .listStreams: try listStreams(members, &out)
        case .describeStream: try describeStream(members, &out)
        case .describeStreamSummary: try describeStreamSummary(members, &out)
        case .createStream: try createStream(members)
        case .deleteStream: try deleteStream(members)
        case .increaseRetention: try changeRetention(members, isIncrease: true)
        case .decreaseRetention: try changeRetention(members, isIncrease: false)
        }
        return Effect()
    }

    // MARK: What all need

    /// The name of the stream that a request is about.
    func name(_ members: KinesisMembers) throws(KinesisError) -> String {
        if let name = try members.text("StreamName"), !name.isEmpty {
            // Refusals have it in their words.
            guard name.utf8.count <= KinesisLimits.maxTextBytes else {
                throw KinesisError(
                    .invalidArgument, "StreamName has more than \(KinesisLimits.maxTextBytes) bytes.")
            }
            return name
        }
        guard let resource = try members.text("StreamARN"), resource.utf8.count <= KinesisLimits.maxTextBytes else {
            throw KinesisError(.invalidArgument, "StreamName or StreamARN is required.")
        }
        let parts = resource.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 6, parts[0] == "arn", parts[2] == "kinesis", parts[5].hasPrefix("stream/") else {
            throw KinesisError(.invalidArgument, "StreamARN is not the resource name of a stream.")
        }
        return String(parts[5].dropFirst("stream/".count))
    }

    func require(_ operation: AclOperation, _ stream: String) throws(KinesisError) {
        if isAllowed(operation, .topic, stream) { return }
        if operation == .create || operation == .delete,
            isAllowed(operation, .cluster, ResourcePattern.clusterName.text)
        {
            return
        }
        throw KinesisError(.accessDenied, "You may not do this with the stream.")
    }

    /// The stream of a request, which who asks may do this with.
    func stream(_ members: KinesisMembers, _ operation: AclOperation) throws(KinesisError) -> Topic {
        let name = try name(members)
        try require(operation, name)
        guard let topic = broker.catalog.topic(named: name), !topic.isInternal else { throw Self.noStream(name) }
        return topic
    }

    static func noStream(_ name: String) -> KinesisError {
        KinesisError(.resourceNotFound, "Stream \(name) under account \(account) not found.")
    }

    func shard(_ id: String, of topic: Topic) throws(KinesisError) -> Int {
        guard let index = KinesisShards(topic).index(ofID: id) else {
            throw KinesisError(
                .resourceNotFound,
                "Could not find shard \(id.prefix(64)) in stream \(topic.name) under account \(Self.account).")
        }
        return index
    }

    func resource(_ stream: String) -> String { "arn:aws:kinesis:\(region):\(Self.account):stream/\(stream)" }

    // MARK: Iterators and reads

    private func getShardIterator(
        _ members: KinesisMembers, _ seal: IteratorSeal?, _ out: inout ByteWriter
    ) throws(KinesisError) {
        let topic = try stream(members, .read)
        let index = try shard(try members.required("ShardId"), of: topic)
        guard let seal else { throw Self.noSeal }
        let place = try place(members, in: topic.partitions[index])
        out.text("{\"ShardIterator\":\"")
        out.utf8(
            seal.text(
                of: ShardIterator(
                    topicID: topic.id, partitionIndex: Int32(index), place: place, madeMs: BrokerClock.wallMs())))
        out.text("\"}")
    }

    private static let noSeal = KinesisError(.internalFailure, "The key of iterators cannot be read or made.")

    private func place(
        _ members: KinesisMembers, in partition: PartitionLog
    ) throws(KinesisError) -> ShardIterator.Place {
        let type = try members.required("ShardIteratorType")
        switch type {
        case "TRIM_HORIZON": return .trimHorizon
        case "LATEST": return .at(partition.lastStableOffset)
        case "AT_TIMESTAMP":
            guard let time = try members.time("Timestamp") else {
                throw KinesisError(.invalidArgument, "Timestamp is required for the type AT_TIMESTAMP.")
            }
            guard time <= BrokerClock.wallMs() else {
                throw KinesisError(.invalidArgument, "Timestamp is in the future.")
            }
            return .time(time)
        case "AT_SEQUENCE_NUMBER": return .at(try number(members, in: partition, upTo: partition.offsets.highWatermark))
        case "AFTER_SEQUENCE_NUMBER":
            // There is nothing behind a record that is still to come.
            return .at(try number(members, in: partition, upTo: partition.offsets.highWatermark + -1) + 1)
        default:
            throw KinesisError(
                .invalidArgument,
                "ShardIteratorType is TRIM_HORIZON, LATEST, AT_SEQUENCE_NUMBER, AFTER_SEQUENCE_NUMBER or AT_TIMESTAMP.")
        }
    }

    private func number(
        _ members: KinesisMembers, in partition: PartitionLog, upTo last: Offset
    ) throws(KinesisError) -> Offset {
        let text = try members.required("StartingSequenceNumber")
        guard text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let number = Int64(text), number <= last.rawValue
        else {
            let shard = KinesisShards.id(of: Int(partition.partitionIndex))
            throw KinesisError(
                .invalidArgument, "StartingSequenceNumber \(text.prefix(64)) is not one of shard \(shard).")
        }
        return Offset(number)
    }

    /// What GetRecords asks for, to be answered in slices.
    struct Read {
        let topic: Topic
        let partition: PartitionLog
        let question: RecordsReply.Question
    }

    func getRecords(_ members: KinesisMembers, seal: IteratorSeal?) throws(KinesisError) -> Read {
        let text = try members.required("ShardIterator")
        let limit = try members.integer("Limit", 1...KinesisLimits.maxRead)
        guard let seal else { throw Self.noSeal }
        guard let iterator = seal.open(text) else {
            throw KinesisError(.invalidArgument, "ShardIterator is not an iterator that was given out here.")
        }
        let nowMs = BrokerClock.wallMs()
        guard let topic = broker.catalog.topic(id: iterator.topicID), !topic.isInternal,
            let partition = topic.partition(iterator.partitionIndex)
        else { throw KinesisError(.resourceNotFound, "The iterator's stream is not there any more.") }
        try require(.read, topic.name)
        if iterator.isExpired(nowMs: nowMs) {
            throw KinesisError(
                .expiredIterator,
                "Iterator expired. The iterator was created at \(ReceivedAt.text(ofMs: iterator.madeMs)) while right now it is "
                    + "\(ReceivedAt.text(ofMs: nowMs)), which is further in the future than the tolerated delay of "
                    + "\(KinesisLimits.iteratorMs) milliseconds.")
        }
        var question = RecordsReply.Question()
        question.form = .shard
        question.seal = seal
        question.partition = Int(iterator.partitionIndex)
        question.limit = limit ?? KinesisLimits.maxRead
        question.maxBytes = KinesisLimits.maxReadBytes
        switch iterator.place {
        case .trimHorizon: question.start = .earliest
        case .at(let offset): question.start = .position(ReadPosition([iterator.partitionIndex: offset]))
        case .time(let milliseconds): question.start = .time(milliseconds)
        }
        return Read(topic: topic, partition: partition, question: question)
    }
}
