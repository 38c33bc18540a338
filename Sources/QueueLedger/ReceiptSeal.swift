internal import ByteBuffers
public import KafkaModel
internal import Security

/// Makes receipt handles out of receipts, and receipts out of handles: text that only who holds the key can make, so no
/// receiver can name a message that it was not given, or one of another queue.
///
/// ```
/// version 1 │ topic id 16 │ partition 4 │ offset 8 │ lease 8 │ HMAC-SHA-256 of all before it, its first 16 bytes
/// ```
/// big-endian, in URL-safe base64 without padding: 71 characters. It names no broker and no time, so it holds wherever
/// the partition is led, and says nothing that the ledger does not check.
public struct ReceiptSeal: Sendable {
    private static let version: UInt8 = 1
    private static let sealedBytes = 37
    private static let tagBytes = 16
    /// Characters of every handle; a longer or shorter text is refused before it is decoded.
    public static let handleLength = ((sealedBytes + tagBytes) * 8 + 5) / 6

    private let key: [UInt8]

    /// - Parameter key: of the cluster, 32 random bytes, so that a handle stays valid when the partition moves.
    public init(key: [UInt8]) {
        precondition(key.count >= 16, "a receipt key of \(key.count) bytes")
        self.key = key
    }

    public func handle(for receipt: Receipt, of partition: TopicPartition) -> String {
        var out = ByteWriter(capacity: 64)
        out.integer(Self.version)
        out.integer(partition.topicID.high)
        out.integer(partition.topicID.low)
        out.int32(partition.partitionIndex)
        out.int64(receipt.offset.rawValue)
        out.integer(receipt.lease.rawValue)
        out.bytes(tag(of: out.array))
        return Base64.encodeURL(out.array)
    }

    /// Returns the receipt in a handle, and the partition that it is of; nil: it is none of ours
    /// (ReceiptHandleIsInvalid).
    public func open(_ handle: String) -> (receipt: Receipt, partition: TopicPartition)? {
        guard handle.utf8.count == Self.handleLength, let bytes = Base64.decodeURL(handle.utf8),
            bytes.count == Self.sealedBytes + Self.tagBytes, bytes[0] == Self.version
        else { return nil }
        let expected = tag(of: Array(bytes[..<Self.sealedBytes]))
        guard ConstantTime.equal(expected, Array(bytes[Self.sealedBytes...])) else { return nil }
        return bytes.withUnsafeBytes { raw in
            func field<T: FixedWidthInteger & BitwiseCopyable>(at position: Int, _ type: T.Type = T.self) -> T {
                // In bounds: the length was checked, and the fields are those of the drawing.
                T(bigEndian: raw.loadUnaligned(fromByteOffset: position, as: T.self))
            }
            let partition = TopicPartition(
                topicID: TopicID(high: field(at: 1), low: field(at: 9)), partitionIndex: field(at: 17))
            let receipt = Receipt(offset: Offset(field(at: 21)), lease: LeaseNumber(rawValue: field(at: 29)))
            return (receipt, partition)
        }
    }

    private func tag(of bytes: [UInt8]) -> [UInt8] {
        Array(HashAlgorithm.sha256.hmac(key: key, bytes)[..<Self.tagBytes])
    }
}
