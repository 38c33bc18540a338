import ByteBuffers
public import Coordinators
import KafkaModel
import LogStorage

/// What groups want to have done outside of their shards' locks, on the broker's workers: target assignments of many members or
/// partitions, and look-ups of the topics that patterns stand for. What does not come about is asked for again
/// (`GroupActions.work`).
extension GroupCoordinator {
    /// Look-ups of patterns: one at a time, as each may keep a processor for a while.
    struct PatternQueue {
        var waiting = FIFO<(groupID: String, isVisible: @Sendable (String) -> Bool)>()
        var isBusy = false
        /// More are forgotten, and asked for again.
        static let maxWaiting = 10_000
    }

    func begin(_ work: [GroupWork], isVisible: (@Sendable (String) -> Bool)?) {
        for piece in work {
            switch piece {
            case .assignment(let groupID): broker.workers.submit { [self] in assign(groupID) }
            case .patterns(let groupID):
                // Nobody's rights are all rights; who has some asks again.
                guard let isVisible else { continue }
                let isBusy = patternQueue.withLock { queue in
                    if queue.waiting.count < PatternQueue.maxWaiting { queue.waiting.append((groupID, isVisible)) }
                    defer { queue.isBusy = true }
                    return queue.isBusy
                }
                if !isBusy, !broker.workers.submit({ [self] in lookUpPatterns() }) {
                    patternQueue.withLock { $0.isBusy = false }
                }
            }
        }
    }

    private func assign(_ groupID: String) {
        guard let work = read(group: groupID, { $0.assignmentWork(of: groupID) }).answer else { return }
        let made = work.run()
        perform(group: groupID) { machine, now in machine.assignmentMade(made, now: now) }
        broker.store.kick()
    }

    private func lookUpPatterns() {
        while let next = patternQueue.withLock({ queue -> (groupID: String, isVisible: @Sendable (String) -> Bool)? in
            let next = queue.waiting.first
            if next == nil { queue.isBusy = false } else { queue.waiting.removeFirst() }
            return next
        }) {
            guard let work = read(group: next.groupID, { $0.patternWork(of: next.groupID) }).answer else { continue }
            let found = work.run(isVisible: next.isVisible)
            perform(group: next.groupID) { machine, now in machine.patternsFound(found, now: now) }
            broker.store.kick()
        }
    }

    /// The topics that there are, as groups see them.
    public var topics: any GroupTopics { CatalogTopics(broker.catalog) }
}

/// The broker's topics at one moment. Internal ones are there by name, and match no pattern.
struct CatalogTopics: GroupTopics {
    private let catalog: TopicCatalog

    init(_ catalog: TopicCatalog) { self.catalog = catalog }

    var version: Int64 { catalog.version }

    func topic(named name: String) -> GroupTopic? { catalog.topic(named: name).map(Self.topic) }

    func topic(id: TopicID) -> GroupTopic? { catalog.topic(id: id).map(Self.topic) }

    var names: [String] { catalog.topics.lazy.filter { !$0.isInternal }.map(\.name) }

    private static func topic(_ topic: Topic) -> GroupTopic {
        GroupTopic(id: topic.id, name: topic.name, partitionCount: Int32(topic.partitions.count))
    }
}
