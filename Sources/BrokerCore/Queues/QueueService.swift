public import ByteBuffers
public import KafkaModel

/// One queue, as of the moment at which it was looked up.
public struct QueueDescription: Equatable, Sendable {
    public var name: String
    public var topicID: TopicID
    public var partitionCount: Int32
    public var settings: QueueSettings
    public var tags: [String: String]
    /// Milliseconds since 1970.
    public var createdMs: Int64
    public var modifiedMs: Int64
}

/// An answer that may be told once the commits that it rests on are on disk.
public struct QueueOutcome<Answer: Sendable>: Sendable {
    public var answer: Answer
    /// Empty: at once. Where one of them fails, nobody knows what is stored, and nothing may be said of it.
    public var commits: CommitSpan

    public init(_ answer: Answer, _ commits: CommitSpan = CommitSpan()) {
        self.answer = answer
        self.commits = commits
    }
}

/// Queues over topics: the topic `q.<name>` has a queue's messages, and `DeliveryLedger`s who has which of them. What the
/// gateway's own API and the SQS protocol are surfaces of.
///
/// All calls but those that say otherwise may wait for a disk or take longer than about a millisecond: from a worker
/// (`Broker.workers`), not from a loop. Each ends by kicking the store, so its commit is under way. A queue is named in each,
/// and one that was deleted is refused with `notFound`.
public protocol QueueService: AnyObject, Sendable {
    // MARK: Queues. Those that change something wait for the metadata: from `Broker.admin`.

    /// Makes a queue, durably; gives the one that is there when it has the same settings, whatever its tags. A topic of its name that is
    /// there already becomes its log, with the partitions that it has.
    func createQueue(
        _ name: String, _ settings: QueueSettings, partitions: Int32, tags: [String: String]
    ) -> Result<QueueDescription, QueueRefusal>
    /// Changes settings and tags, durably. `order` stays as it is.
    func alterQueue(
        _ name: String, _ change: (inout QueueSettings, inout [String: String]) -> Void
    ) -> Result<QueueDescription, QueueRefusal>
    /// Removes a queue with all its messages. Nil: it is gone.
    func deleteQueue(_ name: String) -> QueueRefusal?

    /// On any thread.
    func queue(named name: String) -> QueueDescription?
    /// By name, in ascending order of the bytes, behind `after`. On any thread.
    func queues(prefix: String, after: String?, limit: Int) -> [QueueDescription]
    /// Names of the queues whose dead letters go to this one, in ascending order. On any thread.
    func deadLetterSources(of name: String) -> [String]

    // MARK: Messages

    /// Appends messages, up to `QueueMessage.maxBatch`; the results are in their order. One that is not acceptable is refused
    /// alone.
    func send(
        _ messages: [QueueMessage], to name: String
    ) -> QueueOutcome<[Result<SentMessage, QueueRefusal>]>

    /// Receives, and waits for messages where that was asked for. `done` is called once, on any thread, perhaps before this
    /// returns; an answer that comes late is that of a queue that has nothing.
    ///
    /// Returns what ends the wait, for whoever learns that nobody wants the answer any more: on any thread, at any time, also after
    /// the answer, when it does nothing. It takes the receive out of the queue and gives its place back; `done` is not called after
    /// it, unless that call was under way already, and messages that were taken for it go back. Nil: `done` was called, and nothing waits.
    @discardableResult
    func receive(
        _ request: QueueReceive, from name: String,
        _ done: @escaping @Sendable (QueueOutcome<QueueReceiveReply>) -> Void
    ) -> (@Sendable () -> Void)?
    /// Gives messages back that were received for somebody who has gone before he got them: that delivery does not count.
    func abandon(_ messages: [ReceivedMessage], in name: String)

    /// Ends messages by their handles. The outcomes are in their order.
    func acknowledge(
        _ handles: [String], in name: String
    ) -> QueueOutcome<Result<[QueueSettlement], QueueRefusal>>
    /// Lets leases end so many milliseconds from now, 0 to 12 hours; 0: at once.
    func changeVisibility(
        _ changes: [(handle: String, visibilityMs: Int64)], in name: String
    ) -> QueueOutcome<Result<[QueueSettlement], QueueRefusal>>
    /// Gives messages back, each after a delay in milliseconds; nil: the queue's backoff.
    func release(
        _ releases: [(handle: String, delayMs: Int64?)], in name: String
    ) -> QueueOutcome<Result<[QueueSettlement], QueueRefusal>>
    /// Gives messages up: to the dead letters, where the queue has some.
    func reject(
        _ handles: [String], in name: String
    ) -> QueueOutcome<Result<[QueueSettlement], QueueRefusal>>

    /// Ends all messages that were sent before.
    func purge(_ name: String) -> QueueOutcome<QueueRefusal?>
    /// Exact at the moment of the call. `oldestSentMs` is looked for in the log only when it is asked for.
    func counts(of name: String, withOldest: Bool) -> QueueOutcome<Result<QueueCounts, QueueRefusal>>
    /// How messages come and go, without the oldest one's time. From the moment at which a ledger is loaded; a queue that nobody asks
    /// something of is not observed, and tells of the time since somebody did.
    func flow(of name: String) -> QueueOutcome<Result<QueueFlow, QueueRefusal>>

    // MARK: Moves of dead letters

    /// Begins to move messages of a queue that has dead letters back to where they were, or to a destination. From `Broker.admin`, as the
    /// topic of jobs may have to be made. Source: SQS, StartMessageMoveTask.
    func startMove(_ order: QueueMoveOrder) -> QueueOutcome<Result<QueueMove, QueueRefusal>>
    /// What a move would do, without doing it. Of a large queue the first messages are looked at alone.
    func rehearseMove(_ order: QueueMoveOrder) -> Result<QueueMoveRehearsal, QueueRefusal>
    /// The newest moves from a queue, newest first, `QueueMove.maxKept` at most. On any thread.
    func moves(from source: String) -> Result<[QueueMove], QueueRefusal>
    /// Ends a move where it is; gives it as it is then, or nil where there is none under way of that id. On any thread.
    func cancelMove(_ id: String) -> QueueMove?
}
