/// What one request may take of what all share. Every API has a price in `APITable`; a request over a limit is refused
/// before it has cost anything, by closing its connection as Kafka does with requests that are not valid, or, where
/// single entries make a reply large, by an error in their place.
enum RequestLimits {
    /// A request above this is decoded by a worker: some thousand entries, about a millisecond.
    static let inlineRequestBytes = 16 << 10
    /// A reply that is thought to take more memory than this is made by a worker: again some thousand entries.
    static let inlineReplyBytes = 128 << 10
    /// A request of an API without arrays is never longer: each of its strings ends at 32 KiB.
    static let plainRequestBytes = 256 << 10
    /// Memory of one decoded request. Offsets of 400,000 partitions, 100,000 topics by name, or anything else that a
    /// client sends on purpose; 100 MiB of the shortest entries would take 2 GiB.
    static let decodedBytes = 32 << 20
    /// Memory of one reply in all its forms at once: as structs, in the encoder, in the output. The metadata of
    /// `max.partitions` topics with one partition each.
    static let replyBytes = 80 << 20
    /// Memory of a reply that is one list, which is refused as a whole where it would be longer. Below the limit, so that the
    /// request's own text has room beside it. All ACLs that there may be take 53 MiB.
    static let listBytes = replyBytes / 4 * 3
    /// A request that was charged with so much may have left the heap much larger than it need be.
    static let worthTrimming = 8 << 20
    /// An encoded reply, for what the prices have overlooked; far from where its 32-bit length ends. The encoder stops
    /// there.
    static let encodedReplyBytes = 64 << 20
}
