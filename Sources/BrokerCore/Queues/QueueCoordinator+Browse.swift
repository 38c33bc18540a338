public import KafkaModel
import LogStorage
public import QueueLedger
import RecordFormat

/// Looking at a queue's messages without receiving them.
extension QueueCoordinator {
    /// Where a look goes on: behind this message.
    public struct Place: Equatable, Sendable {
        public var partitionIndex: Int32
        public var offset: Offset

        public init(partitionIndex: Int32, offset: Offset) {
            self.partitionIndex = partitionIndex
            self.offset = offset
        }
    }

    /// A message with its state; it has no handle, and its lease's times are 0.
    public struct Shown: Sendable {
        public var message: ReceivedMessage
        public var state: BrowsedMessage.State
    }

    /// Messages of one look at most.
    public static let maxShown = 1000

    /// Messages that are not ended, in the order of partitions and offsets, up to `limit` and up to `QueueReceive.maxBytesLimit` bytes.
    /// `next`: where to go on; nil: these were the last. May wait for the disk.
    public func browse(
        _ name: String, after place: Place?, limit: Int
    ) -> Result<(messages: [Shown], next: Place?), QueueRefusal> {
        do throws(QueueRefusal) {
            let (queue, topic) = try find(name)
            guard (1...Self.maxShown).contains(limit) else {
                throw QueueRefusal(.invalid, "a look shows 1 to \(Self.maxShown) messages")
            }
            var shown: [Shown] = []
            var room = QueueReceive.maxBytesLimit
            var records = RecordIterator()
            for log in topic.partitions where log.partitionIndex >= place?.partitionIndex ?? 0 {
                let partition = QueuePartition(queue: queue, log: log)
                var from = place.map { $0.partitionIndex == log.partitionIndex ? $0.offset + 1 : .zero } ?? .zero
                while true {
                    let wanted = limit - shown.count
                    let (found, isBehind) = try live(in: partition, from: from, most: wanted)
                    let states = Dictionary(uniqueKeysWithValues: found.map { ($0.offset, $0) })
                    var looked = 0
                    try QueueWalk(log: log).visit(found.map(\.offset), &records, looked: &looked) { record in
                        guard let seen = states[record.offset] else { return true }
                        if room <= 0 { return false }
                        let message = Self.message(record, seen, of: partition)
                        shown.append(Shown(message: message, state: seen.state))
                        room -= message.byteCount
                        return true
                    }
                    if looked > 0 { from = found[looked - 1].offset + 1 }
                    if shown.count == limit || room <= 0 {
                        let last = Offset(from.rawValue - 1)
                        return .success((shown, Place(partitionIndex: log.partitionIndex, offset: last)))
                    }
                    if found.count < wanted, !isBehind { break }
                }
            }
            return .success((shown, nil))
        } catch {
            return .failure(error)
        }
    }

    private func live(
        in partition: QueuePartition, from: Offset, most: Int
    ) throws(QueueRefusal) -> (found: [BrowsedMessage], isBehind: Bool) {
        try withLedger(of: partition) { entry, shard, nowMs throws(QueueRefusal) in
            let isBehind = try catchUp(&entry, &shard, partition, nowMs)
            return (entry.ledger.browse(from: from, most: most), isBehind)
        }.result
    }

    /// A message as a look shows it: nobody has a lease.
    private static func message(
        _ record: RecordView, _ seen: BrowsedMessage, of partition: QueuePartition
    ) -> ReceivedMessage {
        let lease = LeasedMessage(
            receipt: Receipt(offset: seen.offset, lease: LeaseNumber(rawValue: 0)), receiveCount: seen.receiveCount,
            firstReceivedMs: 0, deadlineMs: 0)
        return ReceivedMessage(record, lease, of: partition, handle: "")
    }
}
