import ByteBuffers
import KafkaModel
import Security

/// Where in a shard a read begins.
struct ShardIterator: Equatable {
    enum Place: Equatable {
        /// The oldest record, whichever that is when it is read.
        case trimHorizon
        /// This record, or the first behind it that there still is.
        case at(Offset)
        /// The first record that is not from before this, in milliseconds since 1970.
        case time(Int64)
    }

    var topicID: TopicID
    var partitionIndex: Int32
    var place: Place
    /// Milliseconds since 1970.
    var madeMs: Int64

    func isExpired(nowMs: Int64) -> Bool { nowMs - madeMs > KinesisLimits.iteratorMs }
}

/// Makes texts out of iterators, and iterators out of texts: what only who holds the key can make.
///
/// ```
/// version 1 │ topic id 16 │ partition 4 │ place 1: 0 the oldest, 1 an offset, 2 a time │ offset or time 8 │ made at 8
///           │ HMAC-SHA-256 of all before it, its first 16 bytes
/// ```
/// big-endian, in URL-safe base64 without padding. It names no broker, and holds over a restart.
struct IteratorSeal: Sendable {
    private static let version: UInt8 = 1
    private static let sealedBytes = 38
    private static let tagBytes = 16
    /// Where the key is in the metadata.
    static let keyName = "secrets/iterators"

    private let key: [UInt8]

    init(key: [UInt8]) { self.key = key }

    func text(of iterator: ShardIterator) -> String {
        var out = ByteWriter(capacity: 64)
        out.integer(Self.version)
        out.integer(iterator.topicID.high)
        out.integer(iterator.topicID.low)
        out.int32(iterator.partitionIndex)
        switch iterator.place {
        case .trimHorizon:
            out.int8(0)
            out.int64(0)
        case .at(let offset):
            out.int8(1)
            out.int64(offset.rawValue)
        case .time(let milliseconds):
            out.int8(2)
            out.int64(milliseconds)
        }
        out.int64(iterator.madeMs)
        out.bytes(tag(of: out.array))
        return Base64.encodeURL(out.array)
    }

    /// nil: it is none of ours.
    func open(_ text: String) -> ShardIterator? {
        guard text.utf8.count <= KinesisLimits.maxIteratorBytes, let bytes = Base64.decodeURL(text.utf8),
            bytes.count == Self.sealedBytes + Self.tagBytes, bytes[0] == Self.version,
            ConstantTime.equal(tag(of: Array(bytes[..<Self.sealedBytes])), Array(bytes[Self.sealedBytes...]))
        else { return nil }
        var iterator = bytes.withUnsafeBytes { raw in
            // In bounds: the length was checked, and the fields are those of the drawing.
            func field<T: FixedWidthInteger & BitwiseCopyable>(at position: Int, _ type: T.Type = T.self) -> T {
                T(bigEndian: raw.loadUnaligned(fromByteOffset: position, as: T.self))
            }
            return ShardIterator(
                topicID: TopicID(high: field(at: 1), low: field(at: 9)), partitionIndex: field(at: 17),
                place: .at(Offset(field(at: 22))), madeMs: field(at: 30))
        }
        switch (bytes[21], iterator.place) {
        case (0, _): iterator.place = .trimHorizon
        case (2, .at(let value)): iterator.place = .time(value.rawValue)
        default: break
        }
        return iterator
    }

    private func tag(of bytes: [UInt8]) -> [UInt8] {
        Array(HashAlgorithm.sha256.hmac(key: key, bytes)[..<Self.tagBytes])
    }
}
