public import ByteBuffers
import Coordinators
public import KafkaModel
public import LogStorage
import Security
public import StorageIO
import Synchronization
public import Telemetry

/// One broker's state: topics, logs, groups. It knows nothing of sockets; the edges call it from their event loops and
/// hear of commits through a `CommitObserver`.
///
/// Blocking: reads of logs may wait for the disk. Everything that changes metadata (such as `createTopic`) blocks for a
/// sync, and must be called on `admin`, whose single thread also serialises such changes.
public final class Broker: Sendable {
    public let options: BrokerOptions
    public let store: LogStore
    public let metadata: any MetadataStore
    public let groups: GroupCoordinator
    public let transactions: TransactionCoordinator
    public let queues: QueueCoordinator
    public let shares: ShareCoordinator
    public let jobs: Jobs
    public let readers = ReaderCalls()
    public let producerIDs: ProducerIDs
    /// From queues to topics, as the configuration has them.
    public let forwarders: Forwarders
    /// From queues to receivers by HTTP, likewise.
    public let subscriptions: Subscriptions
    public let quotas: QuotaKeeper
    public let clusterID: String
    /// Runs blocking work, one piece after the other.
    public let admin: WorkQueue
    /// Runs what may block or take longer than about a millisecond for a connection that waits for it.
    public let workers: WorkerPool
    public let summary: RecoverySummary

    /// A read that waits for the disk keeps a worker and no processor, so there are more of them than a small machine has
    /// processors.
    static let workerThreads = 4

    private let current: Lock<TopicCatalog>
    private let currentAccess: Lock<AccessCatalog>
    private let credentialObservers = Lock<[@Sendable ([ExactString]) -> Void]>([])
    /// Held by who makes the next of `currentAccess`, the wait for the disk included; taken before it. Has the one before: of
    /// many ACLs it is freed by the next change, on that one's thread, when nobody else holds it any more.
    private let changingAccess = Lock<AccessCatalog?>(nil)
    /// Of what is in `currentAccess`, set after it: so whoever sees that nothing has changed needs not to take its lock.
    private let currentRulesNumber = Atomic<UInt64>(0)
    private let currentCredentialsVersion = Atomic<Int64>(0)
    /// Held by who makes the next catalog; taken before `current`.
    private let changing = Lock<Void>(())
    private let serving = Atomic<Bool>(false)
    private let draining = Atomic<Bool>(false)

    /// Opens the data folder: metadata, logs, journal, committed offsets. When it returns everything acknowledged before
    /// is readable again. `start` begins to commit. A start that fails leaves no thread, and the folder to others.
    ///
    /// - Parameter pool: memory for what is read and kept; the edges' own, whose input waits for all that it has handed out.
    /// Errors: `.lockedByAnother` when another broker has the folder; `.corrupt` with file and position when neither
    /// the metadata nor its copy can be read, or a file is of a newer version. Damage of logs does not stop the start.
    public init(
        fileSystem: any FileSystem, folder: String, options: BrokerOptions = BrokerOptions(),
        pool: ChunkPool = .shared, metrics: MetricsRegistry = MetricsRegistry()
    ) throws(StorageError) {
        self.options = options
        quotas = QuotaKeeper(options.quotas)
        try fileSystem.createDirectoryDurably(folder)
        store = try LogStore(
            fileSystem: fileSystem, folder: folder, options: options.store, pool: pool, metrics: metrics)
        admin = WorkQueue(name: "admin")
        workers = WorkerPool(name: "worker", threads: Self.workerThreads)
        // The folder's lock is taken before anything in it is read.
        try store.lockFolder()
        do throws(StorageError) {
            let metadata = try EmbeddedMetadataStore(fileSystem: fileSystem, folder: folder)
            self.metadata = metadata
            clusterID = try Self.clusterID(of: metadata)
            let access = try Self.access(in: metadata, folder, options.access)
            currentAccess = Lock(access)
            quotas.take(access.quotas, version: access.quotasVersion)
            let topics = try Self.topics(in: metadata, folder, store: store, defaults: options.topicDefaults)
            let report = RecoveryReport()
            summary = try store.recover { report.show($0) }
            report.show(summary, notices: metadata.notices)
            current = Lock(TopicCatalog(topics, version: metadata.revision))
            producerIDs = ProducerIDs(metadata: metadata)
            groups = GroupCoordinator(
                settings: options.groups, own: try OwnGroupSettings(in: metadata, folder, options.groups),
                rewriteFloor: options.offsetsRewriteFloor)
            transactions = TransactionCoordinator(settings: options.transactions)
            queues = QueueCoordinator(clock: options.queueClock, steadyClock: options.queueSteadyClock)
            shares = ShareCoordinator(
                maxSessions: options.groups.maxShareSessions, clock: options.queueClock,
                steadyClock: options.queueSteadyClock)
            jobs = Jobs()
            forwarders = Forwarders(metrics: metrics)
            subscriptions = Subscriptions(metrics: metrics)
            groups.attach(self)
            transactions.attach(self)
            queues.attach(self)
            shares.attach(self)
            jobs.attach(self)
            forwarders.attach(self)
            subscriptions.attach(self)
            try groups.open()
            transactions.open()
            try queues.open()
            shares.open()
            jobs.open()
            for topic in catalog.topics { becomeOnlyLeader(of: topic.partitions) }
        } catch {
            admin.stop()
            // Not `store.stop`: what is recovered in part must not become a checkpoint.
            store.unlockFolder()
            throw error
        }
        tellVersions(of: access)
        removeLeftovers(fileSystem, folder)
        quotas.showMetrics(in: metrics)
    }

    /// Begins to commit and to run timers.
    public func start() {
        store.start()
        groups.start()
        transactions.start()
        queues.start()
        shares.start()
        jobs.start()
        serving.store(true, ordering: .sequentiallyConsistent)
    }

    /// Refuses new work from now on (`isReady` is false); what is under way goes on, but for receives that wait for messages of a
    /// queue, and fetches that wait for records of a share group: they are answered with none.
    public func drain() {
        draining.store(true, ordering: .sequentiallyConsistent)
        queues.endWaits()
        shares.endWaits()
    }

    /// Commits what is queued, makes a checkpoint, ends the threads.
    public func stop() throws(StorageError) {
        drain()
        // Before the threads that they wait for.
        subscriptions.stop()
        forwarders.stop()
        workers.stop()
        admin.stop()
        jobs.stop()
        shares.stop()
        queues.stop()
        transactions.stop()
        groups.stop()
        try store.stop()
    }

    /// Has a worker run a piece of a coordinator's. The piece holds the broker until it has run, as coordinators do not: one that is
    /// let go without `stop` may have pieces left. Gives false like `WorkerPool.submit`.
    @discardableResult
    func runOnWorker(_ piece: @escaping @Sendable () -> Void) -> Bool {
        workers.submit { [self] in withExtendedLifetime(self) { piece() } }
    }

    /// Writes can be committed: started, not draining, the data folder takes appends.
    public var isReady: Bool {
        serving.load(ordering: .acquiring) && !draining.load(ordering: .acquiring) && store.refusal == nil
    }

    public var isDraining: Bool { draining.load(ordering: .acquiring) }

    // MARK: Topics

    public var catalog: TopicCatalog { current.withLock { $0 } }

    /// Makes the next catalog and publishes it. Only the exchange happens under `current`, which every request locks.
    /// Everything that may take long is outside of it: the change itself, the wait for the metadata's revision (whose
    /// lock is held during a sync), and the release of the old catalog.
    func replaceCatalog(_ change: (_ catalog: TopicCatalog, _ version: Int64) -> TopicCatalog) {
        changing.withLock { _ in
            let next = change(catalog, metadata.revision)
            let old = current.withLock { catalog in
                defer { catalog = next }
                return catalog
            }
            withExtendedLifetime(old) {}
        }
    }

    // MARK: Access

    /// Who may do what, as of now. A change is in it before it is answered.
    public var access: AccessCatalog { currentAccess.withLock { $0 } }

    /// Makes a change of who may do what, one at a time: `change` gets what is in force, makes its change durable, and returns
    /// what is in force then, or nil where it changed nothing. Only the exchange happens under the lock that requests take.
    func changeAccess<Result>(_ change: (AccessCatalog) -> (result: Result, next: AccessCatalog?)) -> Result {
        changingAccess.withLock { previous in
            let before = access
            let (result, next) = change(before)
            guard let next else { return result }
            currentAccess.withLock { $0 = next }
            if next.quotasVersion != before.quotasVersion { quotas.take(next.quotas, version: next.quotasVersion) }
            tellVersions(of: next)
            // Who asked just now has `before` for a moment still, and would be the one to free it: it is kept until the next
            // change. The one before that goes here.
            previous = before
            return result
        }
    }

    private func tellVersions(of access: AccessCatalog) {
        currentRulesNumber.store(access.rules.number, ordering: .releasing)
        currentCredentialsVersion.store(access.credentialsVersion, ordering: .releasing)
    }

    /// The number of the rules in ``access``, which are these or later ones. A change has it before it is answered.
    public var rulesNumber: UInt64 { currentRulesNumber.load(ordering: .acquiring) }

    /// The same of its `credentialsVersion`.
    public var credentialsVersion: Int64 { currentCredentialsVersion.load(ordering: .acquiring) }

    /// Calls `changed` with the users whose credentials have changed or gone, when ``access`` has the change and before it is
    /// answered, from the admin thread; it must not wait.
    public func observeCredentials(_ changed: @escaping @Sendable ([ExactString]) -> Void) {
        credentialObservers.withLock { $0.append(changed) }
    }

    func tellOfCredentials(_ users: [ExactString]) {
        for observer in credentialObservers.withLock({ $0 }) { observer(users) }
    }

    private static func topics(
        in metadata: EmbeddedMetadataStore, _ folder: String, store: LogStore, defaults: [String: String]
    ) throws(StorageError) -> [Topic] {
        var topics: [Topic] = []
        for (key, value) in metadata.read(prefix: TopicRecord.prefix) {
            let record = try TopicRecord(value.bytes, key: key, folder: folder)
            topics.append(topic(record, store: store, defaults: defaults))
        }
        return topics
    }

    static func topic(_ record: TopicRecord, store: LogStore, defaults: [String: String]) -> Topic {
        var own = record.settings
        // An offsets topic that was created before compaction existed has no policy of its own.
        if record.name == Topic.offsetsTopicName, own["cleanup.policy"] == nil { own["cleanup.policy"] = "compact" }
        let settings = TopicSettings(overrides: own, brokerDefaults: defaults)
        let partitions = (0..<record.partitionCount).map { index in
            store.addPartition(
                topicID: record.id, topicName: record.name, partitionIndex: index, settings: settings.log,
                leadership: .follower(in: LeaderEpoch(0)))
        }
        return Topic(name: record.name, id: record.id, partitions: partitions, settings: settings)
    }

    private static func clusterID(of metadata: any MetadataStore) throws(StorageError) -> String {
        let key = "cluster/id"
        if let value = metadata.read(key) { return String(decoding: value.bytes, as: UTF8.self) }
        let id = TopicID.random().description
        var transaction = MetadataTransaction()
        transaction.conditions = [(key, 0)]
        transaction.changes = [(key, Array(id.utf8))]
        _ = try metadata.transact(transaction)
        return id
    }

    /// Removes folders of partitions whose deletion was interrupted by a stop.
    private func removeLeftovers(_ fileSystem: any FileSystem, _ folder: String) {
        let known = Set(catalog.topics.flatMap { $0.partitions.map(\.folderName) })
        admin.submit { [store] in store.removeFolders(except: known) }
    }
}
