internal import ByteBuffers
internal import KafkaWire

/// The bytes that consumers put into JoinGroup's protocol metadata when the protocol type is `consumer`. Only the
/// topics are read here: they decide which offsets may expire or be deleted.
enum ConsumerProtocol {
    static let type = "consumer"

    /// Returns the subscribed topics; `nil` when `metadata` is not a subscription.
    ///
    /// Every version begins like version 0, and is read as such: what later ones add, in whatever form a client writes
    /// it, cannot make the topics unreadable.
    static func subscribedTopics(_ metadata: [UInt8]) -> [String]? {
        metadata.withUnsafeBytes { bytes in
            do throws(DecodeError) {
                var reader = ByteReader(bytes)
                guard try reader.int16() >= 0 else { return nil }
                return try ConsumerProtocolSubscription(from: &reader, version: 0).topics
            } catch {
                return nil
            }
        }
    }
}
