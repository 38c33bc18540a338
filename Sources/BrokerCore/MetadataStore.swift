import ByteBuffers
public import StorageIO

/// Cluster metadata as keys with revisions: what every node must agree on, and nothing that grows with traffic. One node
/// keeps it in its data folder (`EmbeddedMetadataStore`); several share an etcd.
public protocol MetadataStore: Sendable {
    /// The store's revision: it grows by one with every transaction that changed something.
    var revision: Int64 { get }
    /// Returns one key's value and the revision that wrote it; nil when the key does not exist.
    func read(_ key: String) -> MetadataValue?
    /// Returns every key that begins with `prefix`, in the order of the keys.
    func read(prefix: String) -> [(key: String, value: MetadataValue)]
    /// Makes all `changes` at once when every condition holds; durable when it returns. Gives false, having changed
    /// nothing, when a condition does not hold. Blocks for the disk.
    func transact(_ transaction: MetadataTransaction) throws(StorageError) -> Bool
}

public struct MetadataValue: Sendable, Equatable {
    public var bytes: [UInt8]
    /// The store's revision when this value was written.
    public var revision: Int64

    public init(bytes: [UInt8], revision: Int64) {
        self.bytes = bytes
        self.revision = revision
    }
}

public struct MetadataTransaction: Sendable {
    /// Keys and the revision they must have; 0: the key must not exist.
    public var conditions: [(key: String, revision: Int64)] = []
    /// Keys and their new values; nil removes.
    public var changes: [(key: String, value: [UInt8]?)] = []

    public init() {}
}
