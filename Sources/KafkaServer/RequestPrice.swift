import BrokerCore
import ByteBuffers
import KafkaWire

/// How much larger than itself a request can become in memory, by API: bytes for each byte of its frame, at the shortest
/// entries that decode. What is charged for a request that is too long to be decoded by the event loop.
struct RequestPrice: Sendable {
    var decoded: Int

    func charge(frameBytes: Int) -> Int { min(RequestLimits.decodedBytes, frameBytes * decoded) }
}

/// Memory that entries of a reply take: each as a struct and, twice, encoded.
struct ReplyPrice {
    /// Bytes so far.
    private(set) var bytes = 0

    /// Adds `count` entries whose strings and lists have `text` bytes each on the average. What is as long as the
    /// client makes it is added apart (`add(text:)`); what stands in the request itself `API.answer` adds for all.
    mutating func add<Entry: KafkaStructure>(_ count: Int, _ type: Entry.Type, text: Int) {
        bytes += count * (MemoryLayout<Entry>.stride + 2 * (text + Self.fixedFields))
    }

    mutating func add(bytes more: Int) { bytes += more }

    /// Adds bytes that the broker keeps anyway, and that stand twice in the reply, encoded.
    mutating func add(text: Int) { bytes += 2 * text }

    /// The integers of an entry and its lengths, about.
    private static let fixedFields = 32
}

/// Room for entries that can be large: what does not fit any more is answered with an error.
struct ReplyRoom {
    /// Half of a reply; the other half is for the entries themselves, in which the errors stand.
    static let bytes = RequestLimits.replyBytes / 2
    private var left = Self.bytes

    /// Whether an entry of so many bytes of memory, in all its forms, still fits.
    mutating func take(_ bytes: Int) -> Bool {
        guard bytes <= left else { return false }
        left -= bytes
        return true
    }

    static let refusal = "the reply would be longer than this broker sends; ask for fewer at a time"
}

/// All that an answer is made from, besides the request: it may be made on any thread.
struct AnswerContext: Sendable {
    let broker: Broker
    let ticket: ReplyTicket
    /// What the client may do.
    var permissions = Permissions.all
    /// What it was let in by; nil where nobody is asked.
    var standing: Standing?
    /// Of requests that change something (`AuditedRequest`), where there is an audit.
    var auditor: Auditor?
    /// This broker as the client should know it; without an address where the API does not tell it.
    var node: BrokerNode

    var version: Int16 { ticket.version }
}

/// This broker in a reply that names it: Metadata, FindCoordinator, DescribeQuorum, DescribeCluster.
struct BrokerNode: Sendable {
    var id: Int32
    var host = ""
    var port: Int32 = 0
}

/// The reply to a request, and the commits that it must not leave before.
struct Answer<Response: KafkaResponse>: Sendable {
    var response: Response
    var commits = CommitSpan()
}

/// A reply that was made elsewhere.
enum PreparedReply: Sendable {
    case reply(ByteSlice, commits: CommitSpan)
    /// The connection is closed for this reason.
    case refused(String)

    /// Encodes, on any thread, a reply that was priced at `bytes` of memory in all its forms.
    init(_ answer: Answer<some KafkaResponse>, _ ticket: ReplyTicket, priced bytes: Int, pool: ChunkPool) {
        // The encoder has a third of that: the struct takes the rest, and the copy in the output as much again.
        self.init(answer, ticket, expected: bytes / 3, pool: pool)
    }

    /// Encodes, on any thread, a reply that is about `expected` bytes long.
    init(_ answer: Answer<some KafkaResponse>, _ ticket: ReplyTicket, expected: Int, pool: ChunkPool) {
        var writer = ByteWriter(capacity: max(expected, 1024), limit: RequestLimits.encodedReplyBytes)
        KafkaConnection.encode(answer.response, to: &writer, ticket)
        if writer.isOverLimit {
            self = .refused("a reply of more than \(RequestLimits.encodedReplyBytes) bytes")
            return
        }
        self = .reply(pool.slice(copying: writer.bytes), commits: answer.commits)
    }
}

/// A request that another thread decodes.
struct HeldRequest: @unchecked Sendable {
    // SAFETY: the reader points into `frame`, which this keeps alive, and whose bytes nobody writes any more.
    let request: Request

    init(_ request: borrowing Request) { self.request = copy request }
}
