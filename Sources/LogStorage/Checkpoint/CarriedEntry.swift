import ByteBuffers

/// A journal entry of a partition that could not be opened: kept as it was found.
struct CarriedEntry {
    let kind: JournalFormat.Kind
    let value: Int64
    let truncations: UInt32
    let slice: ByteSlice?
}
