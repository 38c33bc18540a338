public import ByteBuffers
public import KafkaModel

/// One partition of a Fetch response, without its records. A field that the version does not have is left out.
public struct FetchPartitionResult {
    public var index: Int32
    public var errorCode: ErrorCode
    public var highWatermark: Int64 = -1
    public var lastStableOffset: Int64 = -1
    public var logStartOffset: Int64 = -1
    /// Aborted transactions that reach into the records, ordered by first offset; nil (null on the wire) unless the
    /// request reads committed records only.
    public var abortedTransactions: [FetchResponse.AbortedTransaction]?
    public var preferredReadReplica: Int32 = -1
    /// Bytes of records that follow; 0 is written as empty records, never as null.
    public var recordsCount = 0
    /// Where a follower's log diverges: its epoch and end offset. Source: KIP-595.
    public var divergingEpoch: (epoch: Int32, endOffset: Int64)?
    public var currentLeader: CurrentLeader?

    @inlinable
    public init(index: Int32, errorCode: ErrorCode = .none) {
        self.index = index
        self.errorCode = errorCode
    }
}

/// Writes a Fetch response around the records, which it never touches: the caller sends them from where they lie.
///
/// Calls nest like the message: `init`, then for each topic `beginTopic`, for each partition `beginPartition`, the
/// `recordsCount` bytes of records, `endPartition`, then `endTopic`; at last `finish`. The frame's size comes first on
/// the wire, so either it is given to `init`, reckoned before by `FetchResponseSize`, and what was written may leave at
/// any time; or `finish` puts it in its place, and the bytes must stay in the writer until then. The counts given must be
/// kept; that is checked. Versions 4 to 18.
public struct FetchResponseWriter {
    public let version: Int16
    /// Bytes of the frame so far, its size and the records included.
    public private(set) var frameBytes: Int
    /// What `init` was given; nil: to be put in place by `finish`.
    private let announced: Int?
    private let frameStart: Int
    private var topicsLeft: Int
    private var partitionsLeft = 0
    /// The partition that was begun, for its tagged fields.
    private var divergingEpoch: (epoch: Int32, endOffset: Int64)?
    private var currentLeader: CurrentLeader?
    private var isInPartition = false

    /// `frameSize` is `FetchResponseSize.frameSize` of the same content, or nil.
    public init(
        version: Int16, correlationID: Int32, throttleTimeMs: Int32 = 0, errorCode: ErrorCode = .none,
        sessionID: Int32 = 0, topicCount: Int, frameSize: Int? = nil, to writer: inout ByteWriter
    ) {
        self.version = version
        announced = frameSize
        frameStart = writer.count
        frameBytes = 0
        topicsLeft = topicCount
        let start = writer.count
        writer.int32(Int32(clamping: frameSize ?? 0))
        writer.int32(correlationID)
        if version >= 12 { writer.unsignedVarint(0) }
        writer.int32(throttleTimeMs)
        if version >= 7 {
            writer.int16(errorCode.rawValue)
            writer.int32(sessionID)
        }
        writer.count(topicCount, version >= 12)
        frameBytes = writer.count - start
    }

    private var isFlexible: Bool { version >= 12 }

    /// `name` is written up to version 12, `topicID` from 13 on.
    public mutating func beginTopic(
        name: UnsafeRawBufferPointer, topicID: TopicID, partitionCount: Int, to writer: inout ByteWriter
    ) {
        precondition(topicsLeft > 0 && partitionsLeft == 0, "fetch response: a topic too many or begun too early")
        topicsLeft -= 1
        partitionsLeft = partitionCount
        let start = writer.count
        if version >= 13 { writer.id(topicID) } else { writer.rawString(name, isFlexible) }
        writer.count(partitionCount, isFlexible)
        frameBytes += writer.count - start
    }

    /// Writes the partition up to its records, of which exactly `recordsCount` bytes come next on the wire.
    public mutating func beginPartition(_ result: FetchPartitionResult, to writer: inout ByteWriter) {
        precondition(partitionsLeft > 0 && !isInPartition, "fetch response: a partition too many or begun too early")
        partitionsLeft -= 1
        isInPartition = true
        let start = writer.count
        writer.int32(result.index)
        writer.int16(result.errorCode.rawValue)
        writer.int64(result.highWatermark)
        writer.int64(result.lastStableOffset)
        if version >= 5 { writer.int64(result.logStartOffset) }
        writer.nullableArray(result.abortedTransactions, isFlexible, version)
        if version >= 11 { writer.int32(result.preferredReadReplica) }
        writer.count(result.recordsCount, isFlexible)
        frameBytes += writer.count - start + result.recordsCount
        divergingEpoch = result.divergingEpoch
        currentLeader = result.currentLeader
    }

    /// Writes what stands behind the partition's records.
    public mutating func endPartition(to writer: inout ByteWriter) {
        precondition(isInPartition, "fetch response: no partition to end")
        isInPartition = false
        guard isFlexible else { return }
        let start = writer.count
        writer.unsignedVarint((divergingEpoch == nil ? 0 : 1) + (currentLeader == nil ? 0 : 1))
        if let divergingEpoch {
            writer.unsignedVarint(0)
            writer.unsignedVarint(13)
            writer.int32(divergingEpoch.epoch)
            writer.int64(divergingEpoch.endOffset)
            writer.unsignedVarint(0)
        }
        if let currentLeader {
            writer.unsignedVarint(1)
            writer.unsignedVarint(UInt32(CurrentLeader.size))
            currentLeader.encode(to: &writer)
        }
        frameBytes += writer.count - start
    }

    public mutating func endTopic(to writer: inout ByteWriter) {
        precondition(partitionsLeft == 0 && !isInPartition, "fetch response: \(partitionsLeft) partitions too few")
        guard isFlexible else { return }
        writer.unsignedVarint(0)
        frameBytes += 1
    }

    /// Ends the message. `nodeEndpoints` tells where the leaders named with `currentLeader` are; versions below 16 leave
    /// it out.
    public mutating func finish(nodeEndpoints: [FetchResponse.NodeEndpoint] = [], to writer: inout ByteWriter) {
        precondition(topicsLeft == 0 && partitionsLeft == 0, "fetch response: \(topicsLeft) topics too few")
        let start = writer.count
        Self.writeTail(nodeEndpoints, version, to: &writer)
        frameBytes += writer.count - start
        if let announced {
            precondition(
                frameBytes - 4 == announced, "fetch response of \(frameBytes - 4) bytes, announced \(announced)")
        } else {
            writer.overwrite(Int32(clamping: frameBytes - 4), at: frameStart)
        }
    }

    fileprivate static func writeTail(
        _ nodeEndpoints: [FetchResponse.NodeEndpoint], _ version: Int16, to writer: inout ByteWriter
    ) {
        guard version >= 12 else { return }
        if version >= 16 && !nodeEndpoints.isEmpty {
            var tags = TaggedFieldWriter([])
            var body = ByteWriter()
            body.array(nodeEndpoints, true, version)
            tags.append(0, body)
            tags.finish(to: &writer)
        } else {
            writer.unsignedVarint(0)
        }
    }
}

/// Reckons the size of a Fetch response's frame before a byte of it is written: the same calls as to the writer.
public struct FetchResponseSize {
    public let version: Int16
    private var bytes: Int

    public init(version: Int16, topicCount: Int) {
        self.version = version
        // Correlation id, throttle time; then error and session; then the header's tagged fields and the count.
        bytes = 4 + 4 + (version >= 7 ? 6 : 0)
        bytes += version >= 12 ? 1 + varintSize(topicCount + 1) : 4
    }

    public mutating func topic(nameCount: Int, partitionCount: Int) {
        switch version {
        case 13...: bytes += 16 + varintSize(partitionCount + 1) + 1
        case 12: bytes += varintSize(nameCount + 1) + nameCount + varintSize(partitionCount + 1) + 1
        default: bytes += 2 + nameCount + 4
        }
    }

    public mutating func partition(_ result: FetchPartitionResult) {
        bytes += 4 + 2 + 8 + 8 + (version >= 5 ? 8 : 0) + (version >= 11 ? 4 : 0) + result.recordsCount
        let aborted = result.abortedTransactions?.count ?? 0
        guard version >= 12 else {
            bytes += 4 + 16 * aborted + 4
            return
        }
        // A null list takes one byte, as one without elements does; each element ends with its tagged fields.
        bytes += varintSize(aborted + 1) + 17 * aborted + varintSize(result.recordsCount + 1) + 1
        if result.divergingEpoch != nil { bytes += 2 + 13 }
        if result.currentLeader != nil { bytes += 2 + CurrentLeader.size }
    }

    /// Returns the frame's size as it stands at its beginning (the four bytes of the size itself not counted), after
    /// all topics and partitions were told.
    public func frameSize(nodeEndpoints: [FetchResponse.NodeEndpoint] = []) -> Int {
        guard version >= 12 else { return bytes }
        if nodeEndpoints.isEmpty { return bytes + 1 }
        var tail = ByteWriter()
        FetchResponseWriter.writeTail(nodeEndpoints, version, to: &tail)
        return bytes + tail.count
    }
}
