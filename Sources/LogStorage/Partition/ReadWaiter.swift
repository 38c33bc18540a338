/// Who wants to be told when a partition's high watermark has moved: an event loop, a name of the loop's choosing, and
/// which of the partitions that it waits for this is.
public struct ReadWaiter: Sendable, Hashable {
    public var loop: Int32
    public var place: Int32
    public var id: UInt64

    public init(loop: Int32, id: UInt64, place: Int32 = 0) {
        self.loop = loop
        self.place = place
        self.id = id
    }
}
