import ByteBuffers
public import LogStorage

/// Passes on what partitions tell readers that wait for growth and are no connections of the Kafka edge: those of an event loop have a
/// listener together.
public final class ReaderCalls: Sendable {
    private let listeners = Lock<[Int32: @Sendable ([ReadWaiter]) -> Void]>([:])

    /// `ReadWaiter.loop` of the readers of the loop at `index`: below all that others use.
    public static func loop(_ index: Int) -> Int32 { first - Int32(index) }

    private static let first = ShareCoordinator.waiterLoop - 1

    /// Has `listener` told of them, on any thread; it returns quickly. In the place of the one before; nil: nobody is told.
    public func listen(at index: Int, _ listener: (@Sendable ([ReadWaiter]) -> Void)?) {
        listeners.withLock { $0[Self.loop(index)] = listener }
    }

    /// Whether it is for a listener here.
    public static func has(_ waiter: ReadWaiter) -> Bool { waiter.loop <= first }

    /// Tells of those of `woken` that are for listeners here. Called by who hears of commits, on any thread.
    public func committed(_ woken: [ReadWaiter]) {
        var loops: [Int32: [ReadWaiter]] = [:]
        for waiter in woken where Self.has(waiter) { loops[waiter.loop, default: []].append(waiter) }
        for (loop, waiters) in loops { listeners.withLock { $0[loop] }?(waiters) }
    }
}
