import ByteBuffers
import Coordinators
public import KafkaModel
import StorageIO

/// Gives out producer ids, each once in the life of the cluster: in blocks whose end is durable before the first of them
/// is used.
public final class ProducerIDs: Sendable {
    static let key = "producer-ids/next"

    private let metadata: any MetadataStore
    private let allocator: Lock<ProducerIDAllocator>

    init(metadata: any MetadataStore) {
        self.metadata = metadata
        allocator = Lock(ProducerIDAllocator(frontier: Self.frontier(metadata)))
    }

    private static func frontier(_ metadata: any MetadataStore) -> Int64 {
        metadata.read(key).flatMap { Int64(String(decoding: $0.bytes, as: UTF8.self)) } ?? 0
    }

    /// Returns a new producer id that is at hand; nil when the next block has to be claimed first: `next` does. Does
    /// not wait.
    public func takeReady() -> ProducerID? {
        // The lock is held during a claim.
        allocator.withLockIfAvailable { $0.takeReady() } ?? nil
    }

    /// Returns a new producer id; nil when the next block could not be made durable. Blocks for a sync once in a block:
    /// call it on the broker's `admin`.
    public func next() -> ProducerID? {
        allocator.withLock { allocator in
            let waiter = WaiterID(1)
            var actions = allocator.request(waiter)
            var granted = actions.grants.first?.producerID
            while let block = actions.store {
                let value = metadata.read(Self.key)
                var transaction = MetadataTransaction()
                transaction.conditions = [(Self.key, value?.revision ?? 0)]
                transaction.changes = [(Self.key, Array(String(block.end).utf8))]
                if (try? metadata.transact(transaction)) == true {
                    actions = allocator.stored(block)
                } else {
                    actions = allocator.storeFailed(block)
                }
                if let grant = actions.grants.first { granted = grant.producerID }
            }
            return granted
        }
    }
}
