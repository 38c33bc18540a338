public import KafkaModel

/// A run of producer ids that this broker owns once the claim is durable.
public struct ProducerIDBlock: Equatable, Sendable {
    /// The first id of the block.
    public var first: Int64
    /// How many.
    public var count: Int64

    public init(first: Int64, count: Int64) {
        self.first = first
        self.count = count
    }

    /// Exclusive: where the next block begins. This number is what has to be stored.
    public var end: Int64 { first + count }
}

/// Gives out producer ids, each at most once in the life of a cluster, by claiming them in durable blocks: an id is
/// given only out of a block whose claim is on disk. What a stopped broker had left of its block is lost, which is
/// harmless with 2^63 ids. Source: KIP-98; blocks as in Kafka's ProducerIdsBlock.
///
/// ```
///          claimed, durable            claimed, being stored       free
/// ... ├───────given──────┤next├──┤end        ├──── pending ────┤
/// ```
/// Pure: the caller stores the block that an action names, and comes back with `stored` or `storeFailed`.
public struct ProducerIDAllocator: Sendable {
    public struct Actions: Equatable, Sendable {
        public struct Grant: Equatable, Sendable {
            public var waiter: WaiterID
            /// `nil`: no id can be had now; the client is told COORDINATOR_LOAD_IN_PROGRESS and asks again.
            public var producerID: ProducerID?
        }
        /// Replies that may leave at once.
        public var grants: [Grant] = []
        /// To be stored durably: `end`, by compare-and-swap from `first`. At most one is under way.
        public var store: ProducerIDBlock?
    }

    /// Ids claimed at a time, as many as Kafka's blocks have.
    public static let blockSize: Int64 = 1_000
    /// With fewer ids left than this the next block is claimed, so that producers seldom wait for the disk.
    public static let lowWater: Int64 = 100

    private var next: Int64
    private var end: Int64
    /// A claim that is being stored.
    private var pending: ProducerIDBlock?
    /// A durable block to go on with, behind the current one.
    private var reserve: ProducerIDBlock?
    private var waiting: [WaiterID] = []
    /// Where the next claim begins: nobody owns what comes after, as far as we know.
    private var frontier: Int64

    /// - Parameter frontier: the end of the last block stored, of whoever; 0 in a new cluster.
    public init(frontier: Int64) {
        precondition(frontier >= 0, "producer ids from \(frontier)")
        next = frontier
        end = frontier
        self.frontier = frontier
    }

    /// Asks for an id; the grant may come with a later action.
    public mutating func request(_ waiter: WaiterID) -> Actions {
        waiting.append(waiter)
        return settle()
    }

    /// Returns an id that is at hand and calls for no claim; nil: use `request`.
    public mutating func takeReady() -> ProducerID? {
        guard waiting.isEmpty, end - next > Self.lowWater || reserve != nil else { return nil }
        return take().map { ProducerID($0) }
    }

    /// Takes a block into use that is durable now.
    public mutating func stored(_ block: ProducerIDBlock) -> Actions {
        precondition(pending == block, "block \(block.first) was stored, \(String(describing: pending)) was asked for")
        pending = nil
        frontier = block.end
        if next == end {
            (next, end) = (block.first, block.end)
        } else {
            reserve = block
        }
        return settle()
    }

    /// Gives a block up that could not be stored. Whoever waits is refused; the next request tries again, from
    /// `frontier` when somebody else's claim was in the way (another broker's compare-and-swap won).
    public mutating func storeFailed(_ block: ProducerIDBlock, frontier newFrontier: Int64? = nil) -> Actions {
        precondition(pending == block, "block \(block.first) failed, \(String(describing: pending)) was asked for")
        pending = nil
        frontier = max(frontier, newFrontier ?? frontier)
        var actions = Actions()
        if newFrontier != nil && !waiting.isEmpty { return settle() }
        actions.grants = waiting.map { Actions.Grant(waiter: $0, producerID: nil) }
        waiting = []
        return actions
    }

    private mutating func settle() -> Actions {
        var actions = Actions()
        var served = 0
        while served < waiting.count, let id = take() {
            actions.grants.append(Actions.Grant(waiter: waiting[served], producerID: ProducerID(id)))
            served += 1
        }
        waiting.removeFirst(served)
        if pending == nil, reserve == nil, end - next < Self.lowWater, frontier <= .max - Self.blockSize {
            let block = ProducerIDBlock(first: frontier, count: Self.blockSize)
            pending = block
            actions.store = block
        }
        return actions
    }

    private mutating func take() -> Int64? {
        if next == end, let block = reserve {
            (next, end) = (block.first, block.end)
            reserve = nil
        }
        guard next < end else { return nil }
        next += 1
        return next - 1
    }
}
