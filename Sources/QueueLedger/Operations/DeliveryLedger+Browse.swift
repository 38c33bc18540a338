public import KafkaModel

/// A message that is not ended, as somebody sees it who takes nothing.
public struct BrowsedMessage: Equatable, Sendable {
    public enum State: Sendable {
        case visible, inFlight, delayed, ending
    }

    public var offset: Offset
    public var state: State
    public var receiveCount: Int
}

extension DeliveryLedger {
    /// Messages that are not ended, from `offset` on, `most` at most, in the order of their offsets. Changes nothing. Costs a few
    /// steps for each message that has state, and is not for an event loop.
    public func browse(from offset: Offset, most: Int) -> [BrowsedMessage] {
        requireActive()
        var found = firstOccupied(from: offset.rawValue, most).map { slot in
            BrowsedMessage(
                offset: Offset(slots.offsets[Int(slot)]), state: Self.browsed(slots.states[Int(slot)]),
                receiveCount: Int(slots.counts[Int(slot)]))
        }
        for (runs, isHeld) in [(backlog.all, false), (held.all, true)] {
            var room = Int64(most)
            for run in runs where run.end > offset.rawValue && room > 0 {
                let first = max(run.first, offset.rawValue)
                let end = min(run.end, first + room)
                room -= end - first
                let isDelayed = isHeld || run.visibleAtMs != Backlog.always
                for at in first..<end {
                    found.append(
                        BrowsedMessage(offset: Offset(at), state: isDelayed ? .delayed : .visible, receiveCount: 0))
                }
            }
        }
        return Array(found.sorted { $0.offset < $1.offset }.prefix(most))
    }

    /// The messages with state that have the lowest offsets, in their order: one look at each, and not all of them sorted.
    private func firstOccupied(from first: Int64, _ most: Int) -> [UInt32] {
        var found: [UInt32] = []
        var bound = Int64.max
        func keepFirst() {
            found.sort { slots.offsets[Int($0)] < slots.offsets[Int($1)] }
            if found.count > most { found.removeLast(found.count - most) }
        }
        for slot in 0..<slots.capacity where slots.states[slot] != .free {
            let offset = slots.offsets[slot]
            guard offset >= first, offset < bound else { continue }
            found.append(UInt32(slot))
            guard found.count >= 2 * max(most, 1) else { continue }
            keepFirst()
            bound = found.last.map { slots.offsets[Int($0)] } ?? first
        }
        keepFirst()
        return found
    }

    private static func browsed(_ state: MessageState) -> BrowsedMessage.State {
        switch state {
        case .free, .available: .visible
        case .inFlight: .inFlight
        case .delayed: .delayed
        case .ending: .ending
        }
    }
}
