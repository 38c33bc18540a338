import LogStorage
import Security
public import StorageIO

extension Broker {
    /// A key of the cluster, 32 random bytes that are kept in its metadata: made when it is first asked for, and the same ever after.
    /// May wait for the disk.
    public func clusterKey(_ name: String) throws(StorageError) -> [UInt8] {
        if metadata.read(name) == nil {
            var transaction = MetadataTransaction()
            transaction.conditions = [(name, 0)]
            transaction.changes = [(name, Randomness.bytes(32))]
            _ = try metadata.transact(transaction)
        }
        guard let value = metadata.read(name), value.bytes.count == 32 else {
            throw StorageError(.corrupt("metadata key \(name)"), .read, path: store.folder)
        }
        return value.bytes
    }
}
