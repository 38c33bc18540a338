import ByteBuffers
import HTTPWire
import Security

/// What stands behind a route; a file each.
///
///     head whole ─► wish: by the head alone ─► refused: the problem, before a byte of the body is waited for
///                                          ├─► nothing: no body is looked at
///                                          ├─► streamed: piece by piece to a `BodyReader`, which handles the request
///                                          └─► collected: up to so many bytes, in one piece
///                ─► handle: the whole body ─► answered: the reply stands in the loop's registers
///                                          ├─► gated: so it does, and may leave once a commit is on disk
///                                          └─► suspended: the reply is made later
///
/// A type without values: what an endpoint works on are the registers of the loop, and what it is told by configuration
/// stands in its row. So a row names a type, a call of it counts no references, and an endpoint keeps nothing between two
/// requests but what it has given a name for (`Suspension`).
protocol HTTPEndpoint: SendableMetatype {
    /// The query's parameters; nil: any, for probes and scrapers append their own. One that the path has a place for is not
    /// taken from the query as well.
    static var parameters: [StaticString]? { get }
    /// The fields that it takes and others do not; see Refusals.swift.
    static var fields: KnownFields { get }
    /// Where the events of a body go; nil: it takes none.
    static var target: EventTarget? { get }
    /// What who asks has to be allowed.
    static var access: EndpointAccess { get }
    /// Whether `handle` takes a window of a body as well (`GatewayLoop.window`).
    static var takesWindows: Bool { get }
    /// Whether a body is a file, or a form with one: it is taken in windows, as a job.
    static var takesFiles: Bool { get }

    /// What the description of the routes says of it.
    static var operation: OperationText { get }

    /// Says what is to become of the body. Called once a request, with its head at hand.
    static func wish(on loop: GatewayLoop) -> BodyWish
    /// Handles the request at hand, whose body is whole. `body` is a range of the connection's input or of a copy, and ends with
    /// the call.
    static func handle(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion
}

/// What ACLs have to allow: on the topic of the path, or of the row, or on the cluster.
enum EndpointAccess {
    case nothing
    case topic(AclOperation)
    /// On the topic that the query names.
    case topicOfQuery(AclOperation)
    /// The same of the topic of the path's queue.
    case queue(AclOperation)
    /// Of that, by the request's method: to describe, to create or alter, to delete.
    case queueByMethod
    case cluster(AclOperation)
}

enum EventTarget {
    /// The path has a place for the topic's name.
    case path
    /// The row names the topic.
    case row
    /// The query has a parameter for it.
    case query
}

/// What an endpoint wants of a body.
enum BodyWish {
    /// Nothing: one that comes is read, for the next request stands behind it, and not looked at.
    case nothing
    /// All of it in one piece; a longer one is answered 413, or is taken in windows (`GatewayLoop.takesWindows`).
    case collected(upTo: Int)
    /// Each piece as it comes; more than so many bytes are answered 413.
    case streamed(any BodyReader, upTo: Int)
    /// That is not known before who asks is.
    case unknown(CredentialCheck)
    /// Nothing, and nothing of it may be waited for.
    case refused(Problem)
}

/// What the handling of a request has led to.
enum Completion {
    /// `GatewayLoop.reply` and `GatewayLoop.out` hold the answer.
    case answered
    /// They do, and it may leave when these commits are on disk; until then `bytes` of events wait in memory.
    case gated(CommitSpan, bytes: Int)
    case suspended(Suspension)
}

/// What a request waits for that is not answered in one go.
enum Suspension {
    /// Work that blocks, on another thread.
    case work(any ExchangeWork)
    /// The answer is made in slices.
    case records(RecordsReply)
    /// The body is here, and is too long to be handled in one piece.
    case windows(WindowedBody)
}

extension HTTPEndpoint {
    static var parameters: [StaticString]? { nil }
    static var fields: KnownFields { KnownFields() }
    static var target: EventTarget? { nil }
    static var takesWindows: Bool { false }
    static var takesFiles: Bool { false }

    static func wish(on loop: GatewayLoop) -> BodyWish { .nothing }
}
