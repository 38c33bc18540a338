internal import ByteBuffers

/// What the connections of a listener share on one event loop, so that a request takes no memory and gives none back: libssl's two
/// buffers stay with some that were at work, and one chunk for records passes from hand to hand.
///
/// ```
///   places   [ A ][ B ][ C ][ - ]      D comes to work: it takes the place at which it is A's turn,
///              ▲ next                  and A's buffers go back to libssl's memory; an idle A needs none
/// ```
/// Who has a place keeps it until its turn comes round or its connection ends, at work or not: while no more than `places` connections
/// are at work nothing is exchanged. Confined to the loop, with all its streams.
final class LoopBuffers: @unchecked Sendable {
    // SAFETY: made, asked and let go of by the loop alone; others only hold it.
    /// Connections that keep libssl's buffers while nothing of a record is in them; 34 KiB each. More: the buffers of one go
    /// with each request of another, as `SSL_MODE_RELEASE_BUFFERS` does it with each record.
    static let places = 64
    /// The largest chunk that is kept for the next records.
    static let largestSpare = 16 << 10

    private let pool: ChunkPool
    private var spare: Chunk?
    // A stream leaves its place when its connection ends, so none of these is of one that has gone.
    private var holders: [Unmanaged<TLSStream>?] = []
    private var empty: [Int] = []
    /// Whose turn it is.
    private var next = 0

    init(pool: ChunkPool) { self.pool = pool }

    deinit { count(-(spare?.capacity ?? 0)) }

    // MARK: Libssl's buffers

    /// Gives the stream a place, an empty one if there is one. Returns its number.
    func take(for stream: TLSStream) -> Int {
        let stream = Unmanaged.passUnretained(stream)
        if holders.count < Self.places, empty.isEmpty {
            holders.append(stream)
            return holders.count - 1
        }
        let place = empty.popLast() ?? next
        if let holder = holders[place] {
            next = (place + 1) % Self.places
            holder._withUnsafeGuaranteedRef { $0.losePlace() }
        }
        holders[place] = stream
        return place
    }

    /// Empties the place of a stream that needs none any more.
    func leave(_ place: Int) {
        holders[place] = nil
        empty.append(place)
    }

    // MARK: Records for the socket

    /// Room for at least `count` bytes.
    func chunk(atLeast count: Int) -> Chunk {
        guard let kept = spare, kept.capacity >= count else { return pool.chunk(atLeast: count) }
        spare = nil
        self.count(-kept.capacity)
        return kept
    }

    /// Keeps a chunk that is done with, in place of a smaller one.
    func giveBack(_ chunk: Chunk) {
        guard chunk.capacity <= Self.largestSpare, chunk.capacity > spare?.capacity ?? 0 else { return }
        count(chunk.capacity - (spare?.capacity ?? 0))
        spare = chunk
    }

    /// Nobody has to hold back for what is kept.
    private func count(_ bytes: Int) { if bytes != 0 { pool.addCached(bytes) } }
}
