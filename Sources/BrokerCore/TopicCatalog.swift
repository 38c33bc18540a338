public import KafkaModel

/// All topics at one moment: immutable, exchanged as a whole by whoever changes it.
///
/// A change shares with its predecessor all but the two buckets that the topic is in, one by name and one by id:
/// ```
///   names  [ 0 | 1 | 2 | ... | 255 ]      by a hash of the name's bytes, in which '.' is '_'
///                ▼
///              slots [ - | t | t | - ]    open addressing; a power of two, at most half full
/// ```
/// So adding the 10,000th topic copies about 40 references in each of two buckets and two lists of 256 references,
/// instead of everything.
public final class TopicCatalog: Sendable {
    private let names: [TopicBucket]
    private let ids: [TopicBucket]
    public let topicCount: Int
    /// Partitions in all, internal topics included.
    public let partitionCount: Int
    /// Grows with every change; lets a cache know that it is stale.
    public let version: Int64
    /// Topics that were put into a table to make this catalog from its predecessor: what the change cost.
    let movedTopics: Int
    /// What names are hashed with, the same in every catalog that is made from this one. Whoever may create topics
    /// chooses their names, and must not know which of them fall into one place: a look-up there would pass all of
    /// them.
    let seed: UInt64

    private static let bucketBits = 8

    private init(
        names: [TopicBucket], ids: [TopicBucket], topicCount: Int, partitionCount: Int, version: Int64,
        movedTopics: Int, seed: UInt64
    ) {
        self.names = names
        self.ids = ids
        self.topicCount = topicCount
        self.partitionCount = partitionCount
        self.version = version
        self.movedTopics = movedTopics
        self.seed = seed
    }

    /// Makes a catalog of topics with different names and ids.
    convenience init(
        _ topics: some Collection<Topic>, version: Int64, seed: UInt64 = .random(in: .min ... .max)
    ) {
        self.init(
            names: Self.buckets(topics) { TopicBucket.nameHash($0, seed: seed) },
            ids: Self.buckets(topics, TopicBucket.idHash), topicCount: topics.count,
            partitionCount: topics.reduce(0) { $0 + $1.partitions.count }, version: version,
            movedTopics: topics.count * 2, seed: seed)
    }

    private static func buckets(_ topics: some Collection<Topic>, _ hash: (Topic) -> Int) -> [TopicBucket] {
        var parts = [[Topic]](repeating: [], count: 1 << bucketBits)
        for topic in topics { parts[bucket(hash(topic))].append(topic) }
        let empty = TopicBucket([], hash)
        return parts.map { $0.isEmpty ? empty : TopicBucket($0, hash) }
    }

    /// Returns the bucket of a hash: the bits that tell buckets apart. Those below them tell the slots apart.
    private static func bucket(_ hash: Int) -> Int { hash >> 40 & (1 << bucketBits - 1) }

    // MARK: Changes

    /// Returns the catalog with `topic` in place of the one of its name, if there is one.
    func replacing(_ topic: Topic, version: Int64) -> TopicCatalog {
        change(of: self.topic(named: topic.name), to: topic, version: version)
    }

    func removing(named name: String, version: Int64) -> TopicCatalog {
        change(of: topic(named: name), to: nil, version: version)
    }

    private func change(of old: Topic?, to new: Topic?, version: Int64) -> TopicCatalog {
        var moved = 0
        func changed(_ buckets: [TopicBucket], _ hash: (Topic) -> Int) -> [TopicBucket] {
            var buckets = buckets
            if let old { buckets[Self.bucket(hash(old))] = buckets[Self.bucket(hash(old))].without(old, hash) }
            if let new { buckets[Self.bucket(hash(new))] = buckets[Self.bucket(hash(new))].with(new, hash) }
            for topic in [old, new] {
                if let topic { moved += buckets[Self.bucket(hash(topic))].count }
            }
            return buckets
        }
        let names = changed(names) { TopicBucket.nameHash($0, seed: seed) }
        let ids = changed(ids, TopicBucket.idHash)
        return TopicCatalog(
            names: names, ids: ids, topicCount: topicCount + (new == nil ? 0 : 1) - (old == nil ? 0 : 1),
            partitionCount: partitionCount + (new?.partitions.count ?? 0) - (old?.partitions.count ?? 0),
            version: version, movedTopics: moved, seed: seed)
    }

    // MARK: Look-ups

    /// All topics, in no order.
    public var topics: [Topic] { names.flatMap(\.topics) }

    /// All topics by name: for replies, which come in the same order each time.
    public var sortedTopics: [Topic] { topics.sorted { $0.name < $1.name } }

    public func topic(named name: String) -> Topic? {
        var copy = name
        return copy.withUTF8 { topic(named: UnsafeRawBufferPointer($0)) }
    }

    /// Returns the topic whose name has these bytes, without building a String.
    public func topic(named bytes: UnsafeRawBufferPointer) -> Topic? {
        let hash = TopicBucket.nameHash(bytes, seed: seed)
        return names[Self.bucket(hash)].first(from: hash) { topic in
            topic.nameBytes.count == bytes.count && topic.nameBytes.withUnsafeBytes { TopicBucket.areEqual($0, bytes) }
        }
    }

    public func topic(id: TopicID) -> Topic? {
        let hash = TopicBucket.idHash(id)
        return ids[Self.bucket(hash)].first(from: hash) { $0.id == id }
    }

    /// Returns a topic whose name differs from `name` in dots and underscores alone: Kafka's metrics could not tell the
    /// two apart.
    func topic(collidingWith name: String) -> Topic? {
        let bytes = Array(name.utf8)
        let hash = bytes.withUnsafeBytes { TopicBucket.nameHash($0, seed: seed) }
        return names[Self.bucket(hash)].first(from: hash) { topic in
            topic.nameBytes.elementsEqual(bytes) { TopicBucket.folded($0) == TopicBucket.folded($1) }
        }
    }
}

/// A few topics in a table that is looked up by a hash.
final class TopicBucket: Sendable {
    private let slots: [Topic?]
    let count: Int

    init(_ topics: [Topic], _ hash: (Topic) -> Int) {
        count = topics.count
        var size = 4
        while size < topics.count * 2 { size *= 2 }
        var slots = [Topic?](repeating: nil, count: size)
        for topic in topics {
            var at = hash(topic) & (size - 1)
            while slots[at] != nil { at = (at + 1) & (size - 1) }
            slots[at] = topic
        }
        self.slots = slots
    }

    var topics: [Topic] { slots.compactMap { $0 } }

    func with(_ topic: Topic, _ hash: (Topic) -> Int) -> TopicBucket { TopicBucket(topics + [topic], hash) }

    func without(_ topic: Topic, _ hash: (Topic) -> Int) -> TopicBucket {
        TopicBucket(topics.filter { $0 !== topic }, hash)
    }

    @inline(__always)
    func first(from hash: Int, where isWanted: (Topic) -> Bool) -> Topic? {
        // Ends at an empty slot, and at least half of them are.
        var at = hash & (slots.count - 1)
        while let topic = slots[at] {
            if isWanted(topic) { return topic }
            at = (at + 1) & (slots.count - 1)
        }
        return nil
    }

    // MARK: Hashes

    @inline(__always)
    static func folded(_ byte: UInt8) -> UInt8 { byte == UInt8(ascii: ".") ? UInt8(ascii: "_") : byte }

    static func nameHash(_ topic: Topic, seed: UInt64) -> Int {
        topic.nameBytes.withUnsafeBytes { nameHash($0, seed: seed) }
    }

    /// Hashes a name, eight bytes at a time: every request of a client looks one up. Names that collide in Kafka's metrics
    /// have the same hash.
    static func nameHash(_ bytes: UnsafeRawBufferPointer, seed: UInt64) -> Int {
        // Odd, so that the product's lower half loses nothing.
        let factor = seed | 1
        var hash = seed ^ UInt64(truncatingIfNeeded: bytes.count)
        var at = 0
        while at + 8 <= bytes.count {
            hash = mixed(hash, foldedWord(bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self)), factor)
            at += 8
        }
        if at < bytes.count {
            var rest: UInt64 = 0
            while at < bytes.count {
                rest = rest << 8 | UInt64(bytes[at])
                at += 1
            }
            hash = mixed(hash, foldedWord(rest), factor)
        }
        return Int(truncatingIfNeeded: hash)
    }

    /// Compares names of the same length. Not `memcmp`: across a call of C the topic is retained once more.
    @inline(__always)
    static func areEqual(_ one: UnsafeRawBufferPointer, _ other: UnsafeRawBufferPointer) -> Bool {
        var at = 0
        while at + 8 <= one.count {
            let word = one.loadUnaligned(fromByteOffset: at, as: UInt64.self)
            if word != other.loadUnaligned(fromByteOffset: at, as: UInt64.self) { return false }
            at += 8
        }
        while at < one.count {
            if one[at] != other[at] { return false }
            at += 1
        }
        return true
    }

    /// `folded` of each of the eight bytes.
    @inline(__always)
    static func foldedWord(_ word: UInt64) -> UInt64 {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let low = ones &* 0x7f
        let difference = word ^ (ones &* UInt64(UInt8(ascii: ".")))
        // The top bit of each byte that is a dot: there the difference is 0, and neither the sum nor the byte has that bit.
        let dots = ~(((difference & low) &+ low) | difference | low)
        return word ^ ((dots >> 7) &* UInt64(UInt8(ascii: ".") ^ UInt8(ascii: "_")))
    }

    /// Both halves of a product: a single one would lose what differs in the bytes at one end of the word. The factor
    /// is the secret: with a known one, many of the names that fall together for one seed do so for the next.
    @inline(__always)
    private static func mixed(_ hash: UInt64, _ word: UInt64, _ factor: UInt64) -> UInt64 {
        let product = (hash ^ word ^ 0x9e37_79b9_7f4a_7c15).multipliedFullWidth(by: factor)
        return product.high ^ product.low
    }

    static func idHash(_ topic: Topic) -> Int { idHash(topic.id) }

    /// Ids are random.
    static func idHash(_ id: TopicID) -> Int { Int(truncatingIfNeeded: id.high ^ id.low) }
}
