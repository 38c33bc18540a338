import ByteBuffers
public import Coordinators
import KafkaModel
import LogStorage

/// What groups want to have done outside of their shards' locks, on the broker's workers: target assignments of many members or
/// partitions, and look-ups of the topics that patterns stand for. What does not come about is asked for again
/// (`GroupActions.work`).
extension GroupCoordinator {
    typealias PatternRequest = (groupID: String, isVisible: @Sendable (String) -> Bool)

    /// Look-ups of patterns, one at a time of those that are soon done and one of the others: each of these may keep a processor for a
    /// while, and whoever asks for many would have all groups wait.
    struct PatternQueues {
        private var quick = PatternQueue()
        private var slow = PatternQueue()

        subscript(isSlow isSlow: Bool) -> PatternQueue {
            get { isSlow ? slow : quick }
            _modify {
                if isSlow { yield &slow } else { yield &quick }
            }
        }
    }

    struct PatternQueue {
        private var waiting = FIFO<PatternRequest>()
        private(set) var isBusy = false
        /// More are forgotten, and asked for again.
        static let maxWaiting = 10_000

        /// Gives whether a worker has to begin.
        mutating func add(_ request: PatternRequest) -> Bool {
            if waiting.count < Self.maxWaiting { waiting.append(request) }
            defer { isBusy = true }
            return !isBusy
        }

        mutating func take() -> PatternRequest? {
            guard let next = waiting.first else { return nil }
            waiting.removeFirst()
            return next
        }

        /// Gives whether there are others.
        mutating func end() -> Bool {
            isBusy = !waiting.isEmpty
            return isBusy
        }

        /// No worker takes them now: the next request has them begin.
        mutating func stop() { isBusy = false }
    }

    /// Groups whose assignments are to be made, each once: one that takes long is not begun again meanwhile, however often its group
    /// asks. `maxRunning` at a time, so that workers are left for whatever else there is.
    struct AssignmentQueue {
        private enum Progress {
            case waiting
            case running
            /// Asked for again while it runs.
            case runningAndWanted
        }

        private var waiting = FIFO<ExactString>()
        private var progress: [ExactString: Progress] = [:]
        private var running = 0
        /// Assignments that are made at a time.
        static let maxRunning = 2
        /// More are forgotten, and asked for again.
        static let maxWaiting = 10_000

        /// Gives whether a worker has to begin.
        mutating func add(_ groupID: ExactString) -> Bool {
            switch progress[groupID] {
            case .running, .runningAndWanted:
                progress[groupID] = .runningAndWanted
                return false
            case .waiting: break
            case nil:
                guard waiting.count < Self.maxWaiting else { return false }
                append(groupID)
            }
            guard running < Self.maxRunning else { return false }
            running += 1
            return true
        }

        private mutating func append(_ groupID: ExactString) {
            progress[groupID] = .waiting
            waiting.append(groupID)
        }

        mutating func take() -> ExactString? {
            guard let next = waiting.first else { return nil }
            waiting.removeFirst()
            progress[next] = .running
            return next
        }

        /// Ends a turn, with what was taken in it; gives whether the worker has another.
        mutating func end(_ groupID: ExactString?) -> Bool {
            if let groupID, progress.removeValue(forKey: groupID) == .runningAndWanted { append(groupID) }
            if !waiting.isEmpty { return true }
            running -= 1
            return false
        }

        /// The worker has no other turn. What waits is begun with the next that comes.
        mutating func stop() { running -= 1 }
    }

    func begin(_ work: [GroupWork], isVisible: (@Sendable (String) -> Bool)?) {
        for piece in work {
            switch piece {
            case .assignment(let groupID):
                if assignmentQueue.withLock({ $0.add(ExactString(groupID)) }) { beginAssignment() }
            case .patterns(let groupID, let isSlow):
                // Nobody's rights are all rights; who has some asks again.
                guard let isVisible else { continue }
                if patternQueues.withLock({ $0[isSlow: isSlow].add((groupID, isVisible)) }) { beginLookUp(isSlow) }
            }
        }
    }

    /// One piece of the workers' for each look-up: what else they have to do comes between.
    private func beginLookUp(_ isSlow: Bool) {
        if broker.runOnWorker({ [self] in lookUpPatterns(isSlow) }) { return }
        patternQueues.withLock { $0[isSlow: isSlow].stop() }
    }

    private func lookUpPatterns(_ isSlow: Bool) {
        if let next = patternQueues.withLock({ $0[isSlow: isSlow].take() }),
            let work = read(group: next.groupID, { $0.patternWork(of: next.groupID) }).answer
        {
            if work.isSlow, !isSlow {
                // More patterns have come since it was asked for.
                if patternQueues.withLock({ $0[isSlow: true].add(next) }) { beginLookUp(true) }
            } else {
                lookUp(work, next)
            }
        }
        if patternQueues.withLock({ $0[isSlow: isSlow].end() }) { beginLookUp(isSlow) }
    }

    private func lookUp(_ work: PatternWork, _ request: PatternRequest) {
        let workers = broker.workers
        guard let found = work.run(isVisible: request.isVisible, isStopped: { workers.isStopping }) else { return }
        perform(group: request.groupID) { machine, now in machine.patternsFound(found, now: now) }
        broker.store.kick()
    }

    /// One piece of the workers' for each assignment.
    private func beginAssignment() {
        if broker.runOnWorker({ [self] in makeAssignment() }) { return }
        assignmentQueue.withLock { $0.stop() }
    }

    private func makeAssignment() {
        let groupID = assignmentQueue.withLock { $0.take() }
        if let groupID { assign(groupID.text) }
        if assignmentQueue.withLock({ $0.end(groupID) }) { beginAssignment() }
    }

    private func assign(_ groupID: String) {
        guard let work = read(group: groupID, { $0.assignmentWork(of: groupID) }).answer else { return }
        let workers = broker.workers
        guard let made = work.run(isStopped: { workers.isStopping }) else { return }
        perform(group: groupID) { machine, now in machine.assignmentMade(made, now: now) }
        broker.store.kick()
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
