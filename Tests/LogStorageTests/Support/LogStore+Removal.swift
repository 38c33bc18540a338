import StorageIO

@testable import LogStorage

extension LogStore {
    /// Removes one partition with its files.
    func removePartition(_ log: PartitionLog) throws(StorageError) {
        if let (_, reason) = removePartitions([log]).first { throw reason }
    }
}
