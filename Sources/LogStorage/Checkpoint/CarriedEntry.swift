import ByteBuffers

/// A journal entry that has to outlive its file: of a partition that could not be opened, kept as it was found, or of one
/// whose files do not take it.
struct CarriedEntry {
    let kind: JournalFormat.Kind
    let value: Int64
    let truncations: UInt32
    let slice: ByteSlice?
}
