import ByteBuffers

struct QueuedAppend {
    let log: PartitionLog
    let slice: ByteSlice
    let baseOffset: Int64
    let lastOffset: Int64
}
