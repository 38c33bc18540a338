/// A list of slots, linked through the arrays of `MessageSlots`; a slot is in one list at most.
struct SlotList: Sendable {
    private(set) var head = MessageSlots.none
    private(set) var tail = MessageSlots.none

    var isEmpty: Bool { head == MessageSlots.none }

    mutating func append(_ slot: UInt32, _ slots: inout MessageSlots) {
        slots.previous[Int(slot)] = tail
        slots.next[Int(slot)] = MessageSlots.none
        if isEmpty { head = slot } else { slots.next[Int(tail)] = slot }
        tail = slot
    }

    mutating func unlink(_ slot: UInt32, _ slots: inout MessageSlots) {
        let (before, behind) = (slots.previous[Int(slot)], slots.next[Int(slot)])
        if before == MessageSlots.none { head = behind } else { slots.next[Int(before)] = behind }
        if behind == MessageSlots.none { tail = before } else { slots.previous[Int(behind)] = before }
        slots.previous[Int(slot)] = MessageSlots.none
        slots.next[Int(slot)] = MessageSlots.none
    }

    /// Names the slots as a table calls them that they were copied to.
    mutating func rename(_ newSlots: ContiguousArray<UInt32>) {
        guard !isEmpty else { return }
        head = newSlots[Int(head)]
        tail = newSlots[Int(tail)]
    }
}
