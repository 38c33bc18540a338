public import ByteBuffers
public import KafkaModel

/// The leader that a client should turn to instead, told with NOT_LEADER_OR_FOLLOWER and its like. Source: KIP-951.
public struct CurrentLeader: Equatable, Sendable {
    public var leaderID: Int32
    public var leaderEpoch: Int32

    @inlinable
    public init(leaderID: Int32, leaderEpoch: Int32) {
        self.leaderID = leaderID
        self.leaderEpoch = leaderEpoch
    }

    /// Bytes on the wire: both numbers and an empty list of tagged fields.
    @inlinable static var size: Int { 9 }

    @inlinable
    func encode(to writer: inout ByteWriter) {
        writer.int32(leaderID)
        writer.int32(leaderEpoch)
        writer.unsignedVarint(0)
    }
}

/// Writes a Produce response as one whole frame, partition by partition, without building structs.
///
/// Calls nest like the message: `init`, then for each topic `beginTopic`, one `partition` per partition, `endTopic`; at
/// last `finish`, which puts the frame's size in its place. All calls are given the same writer, whose bytes from `init`
/// to `finish` must stay in it. The counts given must be kept; that is checked. Versions 3 to 13.
public struct ProduceResponseWriter {
    /// One partition's result. A field that the version does not have is left out.
    public struct Partition {
        public var index: Int32
        public var errorCode: ErrorCode
        /// The offset that the first record got; -1: none.
        public var baseOffset: Int64 = -1
        /// The broker's time of append in milliseconds, for topics that use it; else -1.
        public var logAppendTimeMs: Int64 = -1
        public var logStartOffset: Int64 = -1
        /// Records that caused the error, by index within the batch. Source: KIP-467.
        public var recordErrors: [ProduceResponse.BatchIndexAndErrorMessage] = []
        public var errorMessage: String?
        public var currentLeader: CurrentLeader?

        @inlinable
        public init(index: Int32, errorCode: ErrorCode = .none) {
            self.index = index
            self.errorCode = errorCode
        }
    }

    public let version: Int16
    @usableFromInline let frameStart: Int
    @usableFromInline var topicsLeft: Int
    @usableFromInline var partitionsLeft = 0

    @inlinable
    public init(version: Int16, correlationID: Int32, topicCount: Int, to writer: inout ByteWriter) {
        self.version = version
        frameStart = writer.count
        topicsLeft = topicCount
        writer.int32(0)
        writer.int32(correlationID)
        if version >= 9 { writer.unsignedVarint(0) }
        writer.count(topicCount, version >= 9)
    }

    @inlinable var isFlexible: Bool { version >= 9 }

    /// `name` is written up to version 12, `topicID` from 13 on.
    @inlinable
    public mutating func beginTopic(
        name: UnsafeRawBufferPointer, topicID: TopicID, partitionCount: Int, to writer: inout ByteWriter
    ) {
        precondition(topicsLeft > 0 && partitionsLeft == 0, "produce response: a topic too many or begun too early")
        topicsLeft &-= 1
        partitionsLeft = partitionCount
        if version >= 13 { writer.id(topicID) } else { writer.rawString(name, isFlexible) }
        writer.count(partitionCount, isFlexible)
    }

    @inlinable
    public mutating func partition(_ result: Partition, to writer: inout ByteWriter) {
        precondition(partitionsLeft > 0, "produce response: a partition too many")
        partitionsLeft &-= 1
        writer.int32(result.index)
        writer.int16(result.errorCode.rawValue)
        writer.int64(result.baseOffset)
        writer.int64(result.logAppendTimeMs)
        if version >= 5 { writer.int64(result.logStartOffset) }
        if version >= 8 { writeErrors(result, to: &writer) }
        guard isFlexible else { return }
        if version >= 10, let leader = result.currentLeader {
            writer.unsignedVarint(1)
            writer.unsignedVarint(0)
            writer.unsignedVarint(UInt32(CurrentLeader.size))
            leader.encode(to: &writer)
        } else {
            writer.unsignedVarint(0)
        }
    }

    @usableFromInline
    func writeErrors(_ result: Partition, to writer: inout ByteWriter) {
        writer.array(result.recordErrors, isFlexible, version)
        writer.nullableString(result.errorMessage, isFlexible)
    }

    @inlinable
    public mutating func endTopic(to writer: inout ByteWriter) {
        precondition(partitionsLeft == 0, "produce response: \(partitionsLeft) partitions too few")
        if isFlexible { writer.unsignedVarint(0) }
    }

    /// Ends the message and puts the frame's size in its place. `nodeEndpoints` tells where the leaders named with
    /// `currentLeader` are; versions below 10 leave it out.
    public mutating func finish(
        throttleTimeMs: Int32 = 0, nodeEndpoints: [ProduceResponse.NodeEndpoint] = [], to writer: inout ByteWriter
    ) {
        precondition(topicsLeft == 0 && partitionsLeft == 0, "produce response: \(topicsLeft) topics too few")
        writer.int32(throttleTimeMs)
        if version >= 10 && !nodeEndpoints.isEmpty {
            var tags = TaggedFieldWriter([])
            var body = ByteWriter()
            body.array(nodeEndpoints, true, version)
            tags.append(0, body)
            tags.finish(to: &writer)
        } else if isFlexible {
            writer.unsignedVarint(0)
        }
        // The callers' limits are far below; should one be missing, the client finds a wrong length.
        writer.overwrite(Int32(clamping: writer.count - frameStart - 4), at: frameStart)
    }
}
