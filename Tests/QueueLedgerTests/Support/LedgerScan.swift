import KafkaModel

@testable import QueueLedger

/// One message as a full scan finds it.
struct ScannedMessage: Equatable, CustomStringConvertible {
    var offset: Int64
    var state: String
    var receives = 0
    var lease: UInt64 = 0
    var firstReceivedMs: Int64 = 0
    /// Of a lease or a delay.
    var deadlineMs: Int64 = 0
    var owner: UInt32 = 0

    var description: String { "\(offset) \(state) \(receives) \(lease) \(firstReceivedMs) \(deadlineMs) \(owner)" }
}

extension DeliveryLedger {
    /// All messages that are not ended, by what the tables say of each, in the order of their offsets.
    func scan() -> [ScannedMessage] {
        var found: [ScannedMessage] = []
        for slot in slots.occupied.map(Int.init) {
            let hasDeadline = slots.states[slot] == .inFlight || slots.states[slot] == .delayed
            found.append(
                ScannedMessage(
                    offset: slots.offsets[slot], state: "\(slots.states[slot])", receives: Int(slots.counts[slot]),
                    lease: slots.leases[slot], firstReceivedMs: slots.firstReceived[slot],
                    deadlineMs: hasDeadline ? slots.deadlines[slot] : 0, owner: slots.owners[slot]))
        }
        let parts: [(runs: [Backlog.Run], name: String?)] = [(backlog.all, nil), (held.all, "held")]
        for (runs, name) in parts {
            for run in runs {
                for offset in run.first..<run.end {
                    let isVisible = run.visibleAtMs == Backlog.always
                    found.append(
                        ScannedMessage(
                            offset: offset, state: name ?? (isVisible ? "available" : "delayed"),
                            deadlineMs: isVisible || name != nil ? 0 : run.visibleAtMs))
                }
            }
        }
        return found.sorted { $0.offset < $1.offset }
    }

    /// What a full scan finds wrong with the counters, the lists and the heaps.
    func faults() -> [String] {
        let scan = scan()
        func count(_ state: String) -> Int { scan.count { $0.state == state } }
        let expected = ["available", "inFlight", "delayed", "ending", "held"].map(count)
        let told = counters
        let counted = [told.visible, told.inFlight, told.delayed, told.ending, told.held]
        var faults: [String] = []
        if counted != expected { faults.append("counters \(counted), scan \(expected)") }
        if told.live != scan.count { faults.append("\(told.live) live, scan \(scan.count)") }
        if zip(scan, scan.dropFirst()).contains(where: { $0.offset == $1.offset }) { faults.append("in two places") }
        if floor.rawValue != (scan.first?.offset ?? end) { faults.append("floor \(floor)") }
        let due = slots.occupied.filter { [.inFlight, .delayed].contains(slots.states[Int($0)]) }
        let first = slots.timers.first.map { slots.deadlines[Int($0)] }
        if first != due.map({ slots.deadlines[Int($0)] }).min() || slots.timers.count != due.count {
            faults.append("timers")
        }
        if slots.occupied.contains(where: { slots.slot(of: slots.offsets[Int($0)]) != $0 }) { faults.append("index") }
        return faults + faultsOfLists()
    }

    private func faultsOfLists() -> [String] {
        var faults: [String] = []
        func compare(_ list: SlotList, _ expected: [UInt32], _ what: String) {
            if members(of: list).sorted() != expected.sorted() { faults.append(what) }
        }
        let loose = slots.occupied.filter { slots.groups[Int($0)] == MessageGroups.none }
        compare(ready, loose.filter { slots.states[Int($0)] == .available }, "ready list")
        compare(ending, slots.occupied.filter { slots.states[Int($0)] == .ending }, "ending list")
        let grouped = Dictionary(grouping: slots.occupied.filter { slots.groups[Int($0)] != MessageGroups.none }) {
            slots.groups[Int($0)]
        }
        if grouped.count != groups.count { faults.append("groups") }
        for (group, own) in grouped {
            let inFlight = own.count { slots.states[Int($0)] == .inFlight }
            if Int(groups.inFlight[Int(group)]) != inFlight { faults.append("in flight in a group") }
            let listed = own.filter {
                let state = slots.states[Int($0)]
                return settings.order == .fifo ? state != .ending : state == .available
            }
            compare(groups.lists[Int(group)], listed, "list of a group")
            let offsets = members(of: groups.lists[Int(group)]).map { slots.offsets[Int($0)] }
            if settings.order == .fifo, offsets != offsets.sorted() { faults.append("order of a group") }
        }
        return faults
    }

    private func members(of list: SlotList) -> [UInt32] {
        var members: [UInt32] = []
        var slot = list.head
        while slot != MessageSlots.none, members.count <= slots.count {
            members.append(slot)
            slot = slots.next[Int(slot)]
        }
        return members
    }
}
