import BrokerCore
import ByteBuffers
import KafkaModel
import QueueLedger
import Security
import SQSWire

/// Queues: made, listed, changed, and their dead letters moved.
extension SQSCalls {
    func ofQueues(_ request: SQSRequest) throws(SQSError) -> SQSReply {
        switch request {
        case .createQueue(let queue, let attributes, let tags): return try create(queue, attributes, tags)
        case .deleteQueue(let queue):
            _ = try described(queue, .delete)
            if let refusal = queues.deleteQueue(queue.text.text) { throw Self.error(refusal) }
            return .empty
        case .getQueueURL(let queue):
            _ = try described(queue, .describe)
            return .queueURL(address(queue))
        case .listQueues(let prefix, let page): return listQueues(prefix, page)
        case .listDeadLetterSourceQueues(let queue, let page): return try deadLetterSources(of: queue, page)
        case .listQueueTags(let queue):
            let tags = try described(queue, .describe).tags
            return .tags(tags.sorted { $0.key < $1.key }.map { SQSPair(name: $0.key, value: $0.value) })
        case .setQueueAttributes(let queue, let attributes): return try set(attributes, of: queue)
        case .tagQueue(let queue, let tags): return try tag(queue, tags)
        case .untagQueue(let queue, let keys):
            try alter(queue) { _, tags in for key in keys { tags[key] = nil } }
            return .empty
        case .addPermission(let queue, let label, let accounts, let actions):
            let region = region
            return try changePolicy(of: queue) { policy throws(SQSError) in
                try SQSPolicy.adding(
                    label: label, accounts: accounts, actions: actions, to: policy, of: queue, region: region)
            }
        case .removePermission(let queue, let label):
            return try changePolicy(of: queue) { policy throws(SQSError) in
                try SQSPolicy.removing(label: label, from: policy, of: queue)
            }
        case .listMessageMoveTasks(let source, let limit): return try moves(from: source, limit)
        case .cancelMessageMoveTask(let handle): return try cancelMove(handle)
        default: preconditionFailure("a request of messages")
        }
    }

    // MARK: Making and changing

    private func create(
        _ queue: SQSQueueName, _ attributes: SQSQueueAttributes, _ tags: [SQSPair]
    ) throws(SQSError) -> SQSReply {
        try requireCreation(of: queue)
        if let existing = queues.queue(named: queue.text.text) {
            try requireSame(existing, attributes)
            return .queueURL(address(queue))
        }
        var settings = QueueSettings()
        // Groups share a standard queue, where messages have some.
        settings.order = queue.isFIFO ? .fifo : .fair
        SQSQueueForm.apply(attributes, to: &settings)
        try checkRedrive(attributes, of: queue)
        // An id that counts in the whole queue is looked for in one place.
        let isWhole = queue.isFIFO && settings.deduplicationScope == .queue
        let made = queues.createQueue(
            queue.text.text, settings, partitions: isWhole ? 1 : partitions,
            tags: Dictionary(tags.map { ($0.name, $0.value) }) { $1 })
        if case .failure(let refusal) = made {
            // Somebody else was faster.
            guard refusal.kind == .exists, let existing = queues.queue(named: queue.text.text) else {
                throw Self.error(refusal)
            }
            try requireSame(existing, attributes)
        }
        return .queueURL(address(queue))
    }

    /// Attributes that are not asked for may be any. Source: CreateQueue of the API reference.
    private func requireSame(_ existing: QueueDescription, _ asked: SQSQueueAttributes) throws(SQSError) {
        guard let attribute = SQSQueueForm.difference(asked, from: existing.settings, region: region) else { return }
        throw SQSError(
            .queueNameExists,
            "A queue already exists with the same name and a different value for attribute \(attribute.rawValue)")
    }

    private func set(_ attributes: SQSQueueAttributes, of queue: SQSQueueName) throws(SQSError) -> SQSReply {
        let described = try described(queue, .alterConfigs)
        try checkRedrive(attributes, of: queue)
        // A queue that several partitions hold has no place where an id of all of it could be looked for.
        if attributes[.deduplicationScope] == "queue", described.partitionCount > 1 {
            throw SQSError(
                .invalidAttributeValue,
                "Invalid value for the parameter DeduplicationScope: the queue has \(described.partitionCount) partitions."
            )
        }
        try alter(queue) { settings, _ in SQSQueueForm.apply(attributes, to: &settings) }
        return .empty
    }

    /// Whether the queue for dead letters is there, of the same kind, takes those of this queue, and may be written to by who says so:
    /// else dead letters would be a way to write where one may not.
    private func checkRedrive(_ attributes: SQSQueueAttributes, of queue: SQSQueueName) throws(SQSError) {
        guard let redrive = attributes.redrive else { return }
        func refusal(_ reason: String) -> SQSError {
            .invalid(attributes[.redrivePolicy] ?? "", SQSQueueAttribute.redrivePolicy.rawValue, reason)
        }
        let target = redrive.deadLetterQueue
        guard allows(.describe, topic(of: target)), let found = queues.queue(named: target.text.text) else {
            throw refusal("Dead letter target does not exist.")
        }
        guard target != queue else { throw refusal("A queue is not its own dead letter target.") }
        guard found.isFIFO == queue.isFIFO else {
            throw refusal("Dead-letter queue must be same type of queue as the source.")
        }
        if let text = SQSQueueForm.kept(.redriveAllowPolicy, found.settings),
            let kept = try? SQSQueueAttributes([
                SQSPair(name: SQSQueueAttribute.redriveAllowPolicy.rawValue, value: text)
            ]), let permission = kept.redrivePermission, !permission.allows(queue)
        {
            throw refusal("The dead letter target's RedriveAllowPolicy does not allow this queue.")
        }
        try require(.write, target)
    }

    private func tag(_ queue: SQSQueueName, _ added: [SQSPair]) throws(SQSError) -> SQSReply {
        let described = try described(queue, .alterConfigs)
        let names = Set(described.tags.keys).union(added.map(\.name))
        guard names.count <= SQSLimits.maxTags else {
            throw SQSError(
                .invalidParameterValue, "Too many tags: a queue has at most \(SQSLimits.maxTags).")
        }
        try alter(queue) { _, tags in for tag in added { tags[tag.name] = tag.value } }
        return .empty
    }

    private func alter(
        _ queue: SQSQueueName, _ change: (inout QueueSettings, inout [String: String]) -> Void
    ) throws(SQSError) {
        try require(.alterConfigs, queue)
        if case .failure(let refusal) = queues.alterQueue(queue.text.text, change) { throw Self.error(refusal) }
    }

    private func changePolicy(
        of queue: SQSQueueName, _ change: (String?) throws(SQSError) -> String
    ) throws(SQSError) -> SQSReply {
        let described = try described(queue, .alterConfigs)
        let policy = try change(SQSQueueForm.kept(.policy, described.settings))
        let attributes = try SQSQueueAttributes([SQSPair(name: SQSQueueAttribute.policy.rawValue, value: policy)])
        try alter(queue) { settings, _ in SQSQueueForm.apply(attributes, to: &settings) }
        return .empty
    }

    // MARK: Lists

    /// Those that who asks may see. A page is filled up from behind the ones that he may not.
    private func listQueues(_ prefix: String, _ page: SQSPage) -> SQSReply {
        let found = queues.visibleQueues(prefix: prefix, after: page.after, limit: page.limit) { name in
            SQSQueueName(name).map { allows(.describe, topic(of: $0)) } ?? false
        }
        let next = page.isPaged ? found.next.map { SQSPage.token(after: $0) } : nil
        return .queueURLs(found.names.compactMap { SQSQueueName($0) }.map(address), next: next)
    }

    private func deadLetterSources(of queue: SQSQueueName, _ page: SQSPage) throws(SQSError) -> SQSReply {
        _ = try described(queue, .describe)
        let all = queues.deadLetterSources(of: queue.text.text).compactMap { SQSQueueName($0) }
        let behind = all.filter { name in
            allows(.describe, topic(of: name)) && (page.after.map { ExactString($0) < name.text } ?? true)
        }
        let (urls, token) = part(of: behind, page)
        return .deadLetterSources(urls, next: token)
    }

    /// One page of what is left, and the token of the one behind it where pages were asked for.
    private func part(of names: [SQSQueueName], _ page: SQSPage) -> (urls: [String], token: String?) {
        let shown = names.prefix(page.limit)
        let isMore = names.count > shown.count && page.isPaged
        return (shown.map(address), isMore ? shown.last.map { SQSPage.token(after: $0.text.text) } : nil)
    }

    // MARK: Moves of dead letters

    func startMove(
        from source: SQSQueueName, to destination: SQSQueueName?, _ rate: Int?
    ) throws(SQSError) -> Answer {
        try requireResource(source)
        try require(.read, source)
        let origins = queues.deadLetterSources(of: source.text.text).compactMap { SQSQueueName($0) }
        guard !origins.isEmpty else {
            throw SQSError(
                .invalidParameterValue, "Source queue must be configured as a Dead Letter Queue.")
        }
        if let destination {
            try requireResource(destination)
            try require(.write, destination)
        } else {
            for origin in origins { try require(.write, origin) }
        }
        var order = QueueMoveOrder(from: source.text.text, to: destination?.text.text, perSecond: rate)
        if destination == nil { order.origins = Set(origins.map { ExactString($0.text.text) }) }
        (order.route, order.owner) = ("StartMessageMoveTask", owner)
        let outcome = queues.startMove(order)
        switch outcome.answer {
        case .success(let move):
            return QueueOutcome(.success(.moveStarted(handle: Self.handle(of: move))), outcome.commits)
        case .failure(let refusal): throw Self.error(refusal)
        }
    }

    private func moves(from source: SQSQueueName, _ limit: Int) throws(SQSError) -> SQSReply {
        try requireResource(source)
        try require(.read, source)
        switch queues.moves(from: source.text.text) {
        case .success(let moves): return .moveTasks(moves.prefix(limit).map(task))
        case .failure(let refusal): throw Self.error(refusal)
        }
    }

    private func cancelMove(_ handle: String) throws(SQSError) -> SQSReply {
        guard let (source, id) = Self.move(ofHandle: handle), allows(.read, topic(of: source)),
            (try? queues.moves(from: source.text.text).get())?.contains(where: { $0.id == id }) == true,
            let cancelled = queues.cancelMove(id)
        else { throw SQSError(.resourceNotFound, "Task does not exist.") }
        return .moveCancelled(moved: cancelled.moved)
    }

    /// The source and the move's id: who may end a move is who may read its source.
    private static func handle(of move: QueueMove) -> String {
        Base64.encodeURL(Array("\(move.source)/\(move.id)".utf8))
    }

    private static func move(ofHandle handle: String) -> (source: SQSQueueName, id: String)? {
        guard let bytes = Base64.decodeURL(Array(handle.utf8)), let text = String(validating: bytes, as: UTF8.self),
            let slash = text.firstIndex(of: "/"), let source = SQSQueueName(String(text[..<slash]))
        else { return nil }
        return (source, String(text[text.index(after: slash)...]))
    }

    /// Of these requests a queue that is not there is a resource.
    private func requireResource(_ queue: SQSQueueName) throws(SQSError) {
        guard allows(.describe, topic(of: queue)), queues.queue(named: queue.text.text) != nil else {
            throw SQSError(
                .resourceNotFound,
                "The resource that you specified for the SourceArn or DestinationArn parameter doesn't exist.")
        }
    }

    private func task(_ move: QueueMove) -> SQSMoveTask {
        let status: SQSMoveTask.Status =
            switch move.state {
            case .running: .running
            case .completed: .completed
            case .cancelling: .cancelling
            case .cancelled: .cancelled
            case .failed: .failed
            }
        func resource(_ name: String) -> String { "arn:aws:sqs:\(region):\(SQSQueueName.account):\(name)" }
        var task = SQSMoveTask(
            status: status, sourceARN: resource(move.source), moved: move.moved, startedMs: move.startedMs)
        task.handle = move.state == .running ? Self.handle(of: move) : nil
        task.destinationARN = move.destination.map(resource)
        task.rate = move.perSecond
        task.toMove = move.expected
        task.failure = move.failure
        return task
    }
}
