/// Returns the partition of `__consumer_offsets` (or of `__transaction_state`, for a transactional id) that coordinates
/// `id`, of `count` partitions: the absolute value of Java's `String.hashCode`, modulo `count`. Clients' tools compute
/// the same.
public func groupPartition(_ id: String, count: Int32) -> Int32 {
    precondition(count > 0, "a topic of \(count) partitions")
    // Java hashes UTF-16 units with 32-bit overflow.
    let hash = id.utf16.reduce(Int32(0)) { $0 &* 31 &+ Int32($1) }
    // The most negative number has no absolute value; Kafka takes 0 for it.
    return (hash == .min ? 0 : abs(hash)) % count
}
