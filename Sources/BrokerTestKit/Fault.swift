public import StorageIO

/// Something that goes wrong in a `SimulatedFileSystem`: which calls it meets, and what happens to them.
public struct Fault: Sendable {
    public enum Effect: Equatable, Sendable {
        /// The call fails and does nothing. A failed `sync` also loses unsynced data: see the article on crash rules.
        case fail(errno: Int32)
        /// A write puts a seeded part of its bytes into the file, then fails. Other calls: as `fail`.
        case failHalfway(errno: Int32)
        /// The call reports success and does nothing: a disk that lies. A test that still passes with a `sync` like
        /// this would not notice a missing one.
        case pretend
        /// One seeded bit of what a read returns is wrong; the file is not changed. Other calls: nothing happens.
        case flipBit
        /// The call moves the manual clock forward, then goes on.
        case delay(Duration)
    }

    public let effect: Effect
    /// The calls it meets; `nil` is any. `writeDurably` is a `write` followed by a `sync`.
    public var operation: StorageError.Operation?
    /// A part of the path of the calls it meets; `nil` is any.
    public var pathContains: String?
    /// Matching calls that pass before the first one it meets.
    public var skipping: Int
    /// How many calls it meets, one after the other.
    public var times: Int

    public init(
        _ effect: Effect, on operation: StorageError.Operation? = nil, pathContains: String? = nil, skipping: Int = 0,
        times: Int = 1
    ) {
        self.effect = effect
        self.operation = operation
        self.pathContains = pathContains
        self.skipping = skipping
        self.times = times
    }

    /// Whether this fault meets the call; counts it.
    mutating func meets(_ operation: StorageError.Operation, _ path: String) -> Bool {
        if let wanted = self.operation, wanted != operation { return false }
        if let part = pathContains, !path.contains(part) { return false }
        if skipping > 0 {
            skipping -= 1
            return false
        }
        guard times > 0 else { return false }
        times -= 1
        return true
    }
}

/// One call that was made on a `SimulatedFileSystem`.
public struct OperationRecord: Equatable, Sendable, CustomStringConvertible {
    /// Position among all calls, from 0: what `haltAtCall` and the faults count by.
    public let index: Int
    public let operation: StorageError.Operation
    public let path: String
    /// First byte, of a read, a write or a truncation.
    public let offset: Int64?
    public let length: Int?
    /// `nil` where the call succeeded.
    public internal(set) var failure: StorageError.Kind?

    public var description: String {
        var line = "#\(index) \(operation) \(path)"
        if let offset { line += " at \(offset)" }
        if let length { line += " +\(length)" }
        if let failure { line += " -> \(failure)" }
        return line
    }
}
