internal import ByteBuffers
internal import KafkaModel
internal import KafkaWire

/// The records of `__consumer_offsets`, as Kafka's group coordinator writes and reads them. Each key and value begins
/// with two bytes: a key's say what it is, a value's are its version.
///
/// ```
/// key   1  group string | topic string | partition int32                    (0 on old logs: the same layout)
/// value 0  offset int64 | metadata string | commitTimestamp int64
/// value 1  ... and expireTimestamp int64              (written when a client names a retention, OffsetCommit 2-4)
/// value 2  as 0
/// value 3  offset int64 | leaderEpoch int32 | metadata string | commitTimestamp int64             (written)
/// value 4  as 3 with compact strings, and tag 0: topicId uuid          (written when the topic's id is known)
///
/// key   2  group string
/// value 3  protocolType string | generation int32 | protocol string? | leader string?
///          | currentStateTimestamp int64 (from 2) | members: count int32, {
///              memberId string | groupInstanceId string? (from 3) | clientId string | clientHost string
///              | rebalanceTimeout int32 (from 1) | sessionTimeout int32 | subscription bytes | assignment bytes } ...
///                                                                                                (written)
/// value 4  as 3 with compact lengths and tags
/// ```
/// Keys of versions 3 to 8 and 16 are those of consumer groups (`ConsumerGroupRecord`), 10 to 14 those of share groups
/// (`ShareGroupRecord`); others belong to group types that this coordinator does not keep.
enum GroupRecord: Equatable {
    case offset(OffsetKey, CommittedOffset?)
    case group(groupID: String, GroupMetadataValue?)
    case consumer(groupID: String, ConsumerGroupRecord)
    case share(groupID: String, ShareGroupRecord)
    case unknown(keyVersion: Int16)

    struct OffsetKey: Hashable {
        var groupID: String
        var topic: String
        var partitionIndex: Int32
    }

    // MARK: Writing

    /// A precondition of all strings here: at most 32,767 bytes. The requests that bring them are checked.
    var encoded: CoordinatorRecord {
        switch self {
        case .offset(let key, let offset):
            var encodable = OffsetCommitKey()
            encodable.group = key.groupID
            encodable.topic = key.topic
            encodable.partition = key.partitionIndex
            return CoordinatorRecord(key: encodable.encodedWithVersion(), value: offset.map(Self.encode))
        case .group(let groupID, let metadata):
            var encodable = GroupMetadataKey()
            encodable.group = groupID
            return CoordinatorRecord(
                key: encodable.encodedWithVersion(), value: metadata.map { $0.encodedWithVersion(3) })
        case .consumer(let groupID, let record): return record.encoded(of: groupID)
        case .share(let groupID, let record): return record.encoded(of: groupID)
        case .unknown(let version):
            preconditionFailure("a record of unknown key version \(version) is never written")
        }
    }

    /// Encodes an offset in the version that can keep it: 1 has the expiry, 4 the topic's id, 3 neither. (No version
    /// has both; a client that names a retention is older than topic ids.)
    private static func encode(_ offset: CommittedOffset) -> [UInt8] {
        var value = OffsetCommitValue()
        value.offset = offset.offset
        value.metadata = offset.metadata
        value.commitTimestamp = offset.commitTimestampMs
        if let expiry = offset.expireTimestampMs {
            value.expireTimestamp = expiry
            return value.encodedWithVersion(1)
        }
        value.leaderEpoch = offset.leaderEpoch
        value.topicID = offset.topicID
        return value.encodedWithVersion(offset.topicID == .zero ? 3 : 4)
    }

    // MARK: Reading

    /// Reads one record of the log. Throws when a key or value of a kind known here is not what it should be: the log
    /// is damaged, or was written by something newer.
    init(key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer?) throws(DecodeError) {
        var reader = ByteReader(key)
        let version = try reader.int16()
        switch version {
        case 0, 1:
            let decoded = try OffsetCommitKey(from: &reader, version: 0)
            let key = OffsetKey(groupID: decoded.group, topic: decoded.topic, partitionIndex: decoded.partition)
            self = .offset(key, try value.map { value throws(DecodeError) in try Self.decodeOffset(value) })
        case 2:
            let groupID = try GroupMetadataKey(from: &reader, version: 0).group
            self = .group(
                groupID: groupID,
                try value.map { value throws(DecodeError) in
                    var reader = ByteReader(value)
                    return try GroupMetadataValue(withVersionFrom: &reader)
                })
        default:
            if let (groupID, record) = try ConsumerGroupRecord.read(version, &reader, value) {
                self = .consumer(groupID: groupID, record)
            } else if let (groupID, record) = try ShareGroupRecord.read(version, &reader, value) {
                self = .share(groupID: groupID, record)
            } else {
                self = .unknown(keyVersion: version)
            }
        }
    }

    private static func decodeOffset(_ bytes: UnsafeRawBufferPointer) throws(DecodeError) -> CommittedOffset {
        var reader = ByteReader(bytes)
        let value = try OffsetCommitValue(withVersionFrom: &reader)
        var offset = CommittedOffset(offset: value.offset)
        offset.leaderEpoch = value.leaderEpoch
        offset.metadata = value.metadata
        offset.commitTimestampMs = value.commitTimestamp
        offset.expireTimestampMs = value.expireTimestamp == -1 ? nil : value.expireTimestamp
        offset.topicID = value.topicID
        return offset
    }
}
