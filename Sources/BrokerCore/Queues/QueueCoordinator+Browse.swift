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
    /// Steps of a look for some messages at most, of `maxShown` messages each: what is left has another look.
    private static let maxSteps = 16

    /// Messages that are not ended and are meant, in the order of partitions and offsets, up to `limit`; of those that are looked at, meant or
    /// not, up to `QueueReceive.maxBytesLimit` bytes. `next`: where to go on; nil: these were the last. May wait for the disk.
    public func browse(
        _ name: String, after place: Place?, limit: Int, _ selection: MessageSelection = MessageSelection()
    ) -> Result<(messages: [Shown], next: Place?), QueueRefusal> {
        do throws(QueueRefusal) {
            guard (1...Self.maxShown).contains(limit) else {
                throw QueueRefusal(.invalid, "a look shows 1 to \(Self.maxShown) messages")
            }
            if let problem = selection.problem { throw QueueRefusal(.invalid, problem) }
            var shown: [Shown] = []
            let next = try look(at: name, after: place, atOnce: selection.isAll ? limit : Self.maxShown) { message in
                if shown.count == limit { return false }
                if selection.selects(message.message) { shown.append(message) }
                return true
            }
            return .success((shown, next))
        } catch {
            return .failure(error)
        }
    }

    /// Calls `body` with messages that are not ended, in the order of partitions and offsets, until it says that it takes no more, or until some
    /// steps and bytes are over. Returns where to go on; nil: these were the last.
    private func look(
        at name: String, after place: Place?, atOnce: Int, _ body: (Shown) -> Bool
    ) throws(QueueRefusal) -> Place? {
        let (queue, topic) = try find(name)
        var room = QueueReceive.maxBytesLimit
        var (steps, isOver, last) = (Self.maxSteps, false, place)
        var records = RecordIterator()
        for log in topic.partitions where log.partitionIndex >= place?.partitionIndex ?? 0 {
            let partition = QueuePartition(queue: queue, log: log)
            var from = place.map { $0.partitionIndex == log.partitionIndex ? $0.offset + 1 : .zero } ?? .zero
            while true {
                let (found, isBehind) = try live(in: partition, from: from, most: atOnce)
                let states = Dictionary(uniqueKeysWithValues: found.map { ($0.offset, $0) })
                var looked = 0
                try QueueWalk(log: log).visit(found.map(\.offset), &records, looked: &looked) { record in
                    guard let seen = states[record.offset] else { return true }
                    let message = Self.message(record, seen, of: partition)
                    isOver = room <= 0 || !body(Shown(message: message, state: seen.state))
                    if isOver { return false }
                    room -= message.byteCount
                    return true
                }
                if looked > 0 {
                    let offset = found[looked - 1].offset
                    from = offset + 1
                    last = Place(partitionIndex: log.partitionIndex, offset: offset)
                }
                if !found.isEmpty { steps -= 1 }
                if isOver || steps == 0 { return last }
                if found.count < atOnce, !isBehind { break }
            }
        }
        return nil
    }

    /// Pages of a rehearsal at most: as many messages as they have are looked at.
    private static let rehearsedPages = 16

    public func rehearseMove(_ order: QueueMoveOrder) -> Result<QueueMoveRehearsal, QueueRefusal> {
        do throws(QueueRefusal) {
            let origins = try check(order).origins
            var rehearsal = QueueMoveRehearsal()
            var place: Place?
            for _ in 0..<Self.rehearsedPages {
                place = try look(at: order.source, after: place, atOnce: Self.maxShown) { shown in
                    rehearsal.add(shown, order, self.target(of: shown.message, order, origins))
                    return true
                }
                if place == nil { return .success(rehearsal) }
            }
            rehearsal.isWhole = false
            return .success(rehearsal)
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

extension QueueMoveRehearsal {
    fileprivate mutating func add(_ shown: QueueCoordinator.Shown, _ order: QueueMoveOrder, _ target: ExactString?) {
        guard shown.state == .visible, order.selection.selects(shown.message) else {
            others += 1
            return
        }
        guard target != nil, order.most.map({ moving < $0 }) ?? true else {
            staying += 1
            return
        }
        moving += 1
        if ids.count < Self.maxIDs { ids.append(shown.message.id) }
    }
}
