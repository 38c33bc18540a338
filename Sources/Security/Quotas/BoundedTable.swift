/// What is kept of each of many whose names their peers choose: no more than so many, and at the bound a newcomer costs a few looks,
/// not a look through all.
///
/// The names stand in a ring. At the bound a hand goes on over those that are needed and stops at the first that is spare, whose place
/// the newcomer takes; after so many looks it takes the place that the hand has come to, spare or not.
public struct BoundedTable<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    /// Of each newcomer at the bound.
    static var looks: Int { 8 }

    public let maxCount: Int
    private var values: [Key: Value] = [:]
    private var ring: ContiguousArray<Key> = []
    private var hand = 0

    public init(maxCount: Int) { self.maxCount = maxCount }

    public var count: Int { values.count }

    public subscript(key: Key) -> Value? { values[key] }

    /// Replaces the value of a key that is there, or adds it.
    ///
    /// - Parameter isSpare: whether it changes nothing to forget such a value.
    public mutating func set(_ value: Value, for key: Key, isSpare: (Value) -> Bool) {
        if values.updateValue(value, forKey: key) != nil { return }
        guard ring.count == maxCount else { return ring.append(key) }
        var looks = Self.looks
        while looks > 0, let found = values[ring[hand]], !isSpare(found) {
            looks -= 1
            hand = (hand + 1) % maxCount
        }
        values[ring[hand]] = nil
        ring[hand] = key
        hand = (hand + 1) % maxCount
    }
}
