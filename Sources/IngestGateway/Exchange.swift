import ByteBuffers
import HTTPWire
import Transport

/// Names an exchange among those of its loop. Once the exchange has ended, nothing has this name any more.
struct ExchangeID: Equatable, Sendable {
    let slot: UInt32
    let generation: UInt32
}

/// One request that is not answered in one go, from the moment at which that is known until its reply is written: its body is on
/// the way, it waits for something, or its reply is made in parts.
///
/// ```
///                     ┌── resumed: on its loop, as the request at hand ──┐
///                     ▼                                                  │
///   receiving ──whole─► handled ──────────── suspended ──► waiting ──────┘
///       │                  ├──────────────── suspended ──► replying ──► ended
///       └── refused ───────┴── answered, gated ──────────► ended
/// ```
/// A request that is whole when its head is read has none: it is handled in the loop's registers and forgotten. Confined to
/// its loop's thread; other threads hold its name, and that of its connection.
///
/// Invalid events: an exchange that ends twice is our bug; one that is resumed after its end is not found, and that is all.
final class Exchange {
    fileprivate(set) var id: ExchangeID
    /// Where it came from, and where its reply goes.
    fileprivate(set) var connection: ConnectionID
    /// The table that it began with.
    fileprivate(set) var routes: RouteTable
    /// Who has made the request; nil: nobody was asked.
    var asker: Asker?
    /// Of a route whose requests are signed.
    var signature: SignedBody?
    /// Of a request to a service of AWS.
    var origin: AWSOrigin?
    /// Its place among its caller's open requests; nil: it counts with nobody's. Whoever works for it has the same.
    private(set) var place: CallerPlace?
    /// Its head as it came, once that is not in the connection's input any more.
    var head: ByteSlice?
    /// The same of HTTP/2.
    var fields: KeptFields?
    /// Its body, once that is whole and not in the connection's input any more.
    var body: ByteSlice?
    /// Its body, while a worker has a window of it.
    var lent: WindowedBody?
    /// The moment at which its body, or the work that it waits for, is given up, in monotonic nanoseconds.
    var deadline: Int64 = 0
    /// Bytes of `InflightBudget` that it holds.
    var reserved = 0
    /// Bytes of the body that there were at the last look of the timer.
    var receivedAtLastLook = 0

    private let requestIDBytes = UnsafeMutableRawPointer.allocate(byteCount: GatewayLoop.maxRequestID, alignment: 8)
    private var requestIDCount = 0
    fileprivate var isTaken = true

    fileprivate init(slot: Int, connection: ConnectionID, routes: RouteTable) {
        id = ExchangeID(slot: UInt32(slot), generation: 0)
        self.connection = connection
        self.routes = routes
    }

    deinit { requestIDBytes.deallocate() }

    /// The correlation id that was chosen when its head was read.
    var requestID: UnsafeRawBufferPointer {
        get { UnsafeRawBufferPointer(start: requestIDBytes, count: requestIDCount) }
        set {
            requestIDCount = newValue.count
            if let source = newValue.baseAddress {
                requestIDBytes.copyMemory(from: source, byteCount: newValue.count)
            }
        }
    }

    fileprivate func end() {
        precondition(isTaken && reserved == 0, "an exchange ends twice, or with \(reserved) bytes of the budget")
        isTaken = false
        id = ExchangeID(slot: id.slot, generation: id.generation &+ 1)
        (head, body) = (nil, nil)
        if let lent {
            lent.giveUp()
            self.lent = nil
        }
        if fields != nil { fields = nil }
        if asker != nil { asker = nil }
        if signature != nil { signature = nil }
        if origin != nil { origin = nil }
        if place != nil { place = nil }
    }

    /// Counts it as one of a caller's requests until its end.
    func count(with share: CallerShare) { place = CallerPlace(share) }

    fileprivate func begin(_ connection: ConnectionID, _ routes: RouteTable) {
        isTaken = true
        self.connection = connection
        // Most often it is the same, and not counted again.
        if self.routes !== routes { self.routes = routes }
        (deadline, receivedAtLastLook) = (0, 0)
    }
}

/// The exchanges of one loop. They are made as they are needed and kept: as many as there ever were at a time, which is at most the
/// loop's connections, and of HTTP/2 the streams of those.
struct ExchangePool {
    private var all: ContiguousArray<Exchange> = []
    /// Slots whose exchange has ended.
    private var free: ContiguousArray<Int> = []

    mutating func take(for connection: ConnectionID, _ routes: RouteTable) -> Exchange {
        guard let slot = free.popLast() else {
            let exchange = Exchange(slot: all.count, connection: connection, routes: routes)
            all.append(exchange)
            return exchange
        }
        all[slot].begin(connection, routes)
        return all[slot]
    }

    mutating func end(_ exchange: Exchange) {
        exchange.end()
        free.append(Int(exchange.id.slot))
    }

    /// Has those that are kept for later go by that table, and keep no other.
    func goBy(_ routes: RouteTable) {
        for slot in free where all[slot].routes !== routes { all[slot].routes = routes }
    }

    /// nil: it has ended.
    subscript(id: ExchangeID) -> Exchange? {
        let slot = Int(id.slot)
        return slot < all.count && all[slot].id == id && all[slot].isTaken ? all[slot] : nil
    }
}
