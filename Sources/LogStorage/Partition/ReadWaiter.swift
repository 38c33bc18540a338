/// Identifies a waiting reader of a partition: its event loop, an id that the loop has chosen, and the partition's
/// place among those that the reader waits for.
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
