import Transport

/// The connections whose replies are made in slices, on one loop: all of them together get about a millisecond of a turn,
/// so that everybody else's requests have their turn in between, however many such replies there are.
///
/// Holds each connection at most once, so it is no longer than the loop's connections.
struct SliceQueue {
    /// Nanoseconds of one turn.
    static let turnTime: Int64 = 1_000_000

    private var waiting: [ConnectionID] = []
    /// The turn's beginning, and what was used of it.
    private var turn: Int64 = 0
    private var used: Int64 = 0
    private var isScheduled = false

    /// Whether a new reply may begin at once.
    mutating func mayBegin(in turn: Int64) -> Bool {
        enter(turn)
        return waiting.isEmpty && used < Self.turnTime
    }

    mutating func add(_ connection: ConnectionID) { waiting.append(connection) }

    mutating func charge(_ nanoseconds: Int64) { used += nanoseconds }

    /// Whether the next turn must be asked for; once until `begin`.
    mutating func needsTurn() -> Bool {
        if waiting.isEmpty || isScheduled { return false }
        isScheduled = true
        return true
    }

    /// Returns the connections to work on in this turn, one after the other, while `mayGoOn`.
    mutating func begin(turn: Int64) -> [ConnectionID] {
        enter(turn)
        isScheduled = false
        defer { waiting = [] }
        return waiting
    }

    var mayGoOn: Bool { used < Self.turnTime }

    /// Puts back those that had no turn, in front of those that were added meanwhile.
    mutating func putBack(_ rest: ArraySlice<ConnectionID>) { waiting = Array(rest) + waiting }

    private mutating func enter(_ turn: Int64) {
        if turn != self.turn { (self.turn, used) = (turn, 0) }
    }
}

extension GatewayLoop {
    /// Queues the connection for a later turn, in which it makes a part of its reply.
    func queueSlice(of connection: Connection) {
        slicing.add(connection.id)
        askForTurn(connection.loop)
    }

    private func askForTurn(_ eventLoop: EventLoop) {
        if slicing.needsTurn() { eventLoop.schedule(after: .zero) { self.makeSlices($0) } }
    }

    private func makeSlices(_ eventLoop: EventLoop) {
        let waiting = slicing.begin(turn: eventLoop.now)
        var done = 0
        // One at least, or a turn full of new replies would keep the old ones waiting for ever.
        while done < waiting.count, done == 0 || slicing.mayGoOn {
            if let connection = eventLoop.connection(waiting[done]) {
                if let handler = connection.handler as? HTTPConnection {
                    handler.continueStream(on: connection)
                } else {
                    (connection.handler as? HTTP2Connection)?.continueStream()
                }
            }
            done += 1
        }
        slicing.putBack(waiting[done...])
        askForTurn(eventLoop)
    }
}
