extension TLSStream {
    /// A client's hello has 300 to 2,000 bytes, its certificates at most `TLSContext.maxPeerChainBytes`. More before the
    /// handshake is over: refused.
    static let maxHandshakeBytes = 64 << 10
    /// Handshake messages behind the handshake (TLS 1.3: new keys) that data has not made up for; each costs 20 to 50 us and an answer.
    /// More: refused. Clients take new keys after gigabytes.
    static let maxKeyUpdates = 16
    /// Data that makes up for one of them.
    static let bytesPerKeyUpdate = 1024
    /// A call of `receive` ends where it has cost so much (`StreamResult.more`), about 50 us: its peer may send as fast as we read.
    static let maxCost = 64 << 10
    /// What a record costs beside its bytes, in bytes: one of a single byte takes as long as 250 bytes of a long one.
    static let recordCost = 256
    /// Unsent records at which no more are made, behind the handshake: one chunk. What `room` allows leaves space in it for 34 answers
    /// that libssl gives by itself. More: the connection ends, for its peer makes us answer and does not read.
    static let maxUnsent = unsentChunk
    /// Plain text of a record: four of them fit into a chunk of 64 KiB with what TLS adds.
    static let largestRecord = 16_128
    /// What a record is longer than its plain text, at most.
    static let recordOverhead = 64
    static let unsentChunk = 64 << 10
    /// A connection whose certificate a new list has revoked ends so long after the list was read, at most: a look is a microsecond of
    /// the loop's.
    static let revocationReviewSeconds: Int64 = 5
    /// What is read of the socket at once while much comes.
    static let stagedChunk = 64 << 10
    /// Room for plain text below which nothing is staged: most of the chunk would stay in it. More than is given when memory is scarce.
    static let leastStagedRoom = 32 << 10
    /// libssl's own buffer: a record with all that the protocol may add to it, and what makes it aligned.
    static let readBuffer = 17 << 10

    /// What ends a connection although each record of it is sound.
    enum Excess {
        case handshakeMessages, renegotiation, unsent

        var problem: String {
            switch self {
            case .handshakeMessages: "more than \(TLSStream.maxKeyUpdates) new keys with little data"
            case .renegotiation: "renegotiation"
            case .unsent: "answers to new keys are not read"
            }
        }
    }
}
