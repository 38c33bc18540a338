import ByteBuffers
import KafkaModel

/// The assignment of share groups, whose partitions may have several readers.
extension AssignmentProblem {
    /// A partition that others may read, too: the one with the fewest readers comes first, of equal ones the first.
    private struct Shared: HeapElement {
        var readers: Int
        var place: Int

        func precedes(_ other: Shared) -> Bool {
            readers != other.readers ? readers < other.readers : place < other.place
        }
    }

    /// Gives each member's partitions: each partition to one member, evenly, as `uniform` does; and where that leaves members without any,
    /// each of these one that has the fewest readers. A member keeps what it has where that is as even.
    func solveShared(maxPartitions: Int) -> [PartitionLists] {
        var targets = solve(.uniform, maxPartitions: maxPartitions)
        let idle = members.indices.filter { targets[$0].isEmpty && !subscriptions[members[$0].subscription].isEmpty }
        if idle.isEmpty || isStopped() { return targets }
        // How many read each partition.
        var readers: [Partition: Int] = [:]
        for lists in targets {
            for (topic, indexes) in lists {
                for index in indexes { readers[Partition(topic: topic, index: index), default: 0] += 1 }
            }
        }
        var rest = idle
        if members.allSatisfy({ $0.subscription == members[0].subscription }), !readers.isEmpty {
            // So many readers has each, and one more some.
            let (least, extra) = members.count.quotientAndRemainder(dividingBy: readers.count)
            var raised = 0
            rest.removeAll { member in
                guard let kept = firstPartition(of: members[member].target), let count = readers[kept] else {
                    return false
                }
                if count >= least {
                    guard count == least, raised < extra else { return false }
                    raised += 1
                }
                readers[kept] = count + 1
                targets[member] = [kept.topic: [kept.index]]
                return true
            }
        }
        var heaps: [Int: (partitions: [Partition], heap: BinaryHeap<Shared>)] = [:]
        for member in rest {
            if isStopped() { break }
            let subscription = members[member].subscription
            if heaps[subscription] == nil { heaps[subscription] = heap(of: subscription, readers) }
            guard let found = takeLeast(&heaps[subscription]!, &readers) else { continue }
            targets[member] = [found.topic: [found.index]]
        }
        return targets
    }

    private func firstPartition(of lists: PartitionLists) -> Partition? {
        lists.keys.min(by: TopicID.precedes).flatMap { topic in
            lists[topic]?.first.map { Partition(topic: topic, index: $0) }
        }
    }

    private func heap(
        of subscription: Int, _ readers: [Partition: Int]
    ) -> (partitions: [Partition], heap: BinaryHeap<Shared>) {
        let partitions = subscriptions[subscription].flatMap { topic in
            (0..<topics[topic].partitionCount).map { Partition(topic: topics[topic].id, index: $0) }
        }
        let entries = partitions.enumerated().map { Shared(readers: readers[$1] ?? 0, place: $0) }
        return (partitions, BinaryHeap(entries))
    }

    /// Takes the partition with the fewest readers for one more.
    private func takeLeast(
        _ open: inout (partitions: [Partition], heap: BinaryHeap<Shared>), _ readers: inout [Partition: Int]
    ) -> Partition? {
        while let least = open.heap.first {
            let partition = open.partitions[least.place]
            let count = readers[partition] ?? 0
            // Members of other subscriptions may read it by now.
            guard count == least.readers else {
                open.heap.replaceFirst(Shared(readers: count, place: least.place))
                continue
            }
            readers[partition] = count + 1
            open.heap.replaceFirst(Shared(readers: count + 1, place: least.place))
            return partition
        }
        return nil
    }
}
