import ByteBuffers
import Coordinators
import KafkaModel
import LogStorage
import RecordFormat
import StorageIO
import Telemetry

/// Loading, and keeping the state at what the log will have after any stop (`StateCoordinator`). Parked requests of a shard that is
/// suspended or unloaded are told NOT_COORDINATOR.
///
/// What a commit left out may be written later or never: until that is decided nobody is told either. On an offline folder
/// nothing more will be written, so groups are served what is on disk, once and for good (`isReverted`).
extension GroupCoordinator: StateCoordinator {
    static let suspendedMessage: StaticString = "groups are not served until their log works again"
    static let resumedMessage: StaticString = "groups are served"

    var isActive: Bool { wiring.withLock { $0!.isActive } }

    /// Makes the offsets topic when it is missing. Its groups are served once this node leads its partitions.
    func open() throws(StorageError) {
        let broker = broker
        let topic: Topic
        if let existing = broker.catalog.topic(named: Topic.offsetsTopicName) {
            topic = existing
        } else {
            let made = broker.createTopic(
                Topic.offsetsTopicName, isOwn: true, partitions: broker.options.offsetsPartitions,
                settings: ["cleanup.policy": "compact", "compression.type": "producer", "segment.bytes": "104857600"])
            switch made {
            case .success(let new): topic = new
            case .failure(let refusal):
                throw StorageError(.corrupt(refusal.message), .write, path: Topic.offsetsTopicName)
            }
        }
        let shards = topic.partitions.map { log in
            var machine = GroupShard(settings: settings)
            _ = machine.unload(now: BrokerClock.now())
            return Lock(Shard(machine: machine, log: log))
        }
        wiring.withLock { $0!.shards = shards }
    }

    /// Forgets the groups of a partition of the offsets topic. Whoever waits in them is told NOT_COORDINATOR, as is who
    /// asks from now on.
    func unload(_ log: PartitionLog) {
        guard let shard = shard(of: log) else { return }
        let replies = shard.withLock { shard -> [GroupActions.Reply] in
            guard shard.term != nil else { return [] }
            let replies = shard.machine.unload(now: BrokerClock.now()).replies
            shard.term = nil
            shard.ticket = 0
            shard.rewrite = LogRewrite()
            shard.isSuspended = false
            shard.missedDeletions = []
            count(&shard)
            return replies
        }
        deliver(Outcome(replies: replies))
    }

    /// Serves a shard whose log was replayed: sessions of the members that were recorded begin.
    func begin(_ shard: Lock<Shard>) {
        let outcome = run(shard, isBeginning: true) { machine, now in machine.loaded(now: now) }
        deliver(outcome)
        begin(outcome.work, isVisible: nil)
        sweepMissed(in: shard)
    }

    // MARK: What the log did not take

    /// Brings the shard in line with its log before anything is asked of it: where the log has lost what was appended,
    /// or may have, the state has lost it, too. Returns replies to requests that were parked.
    func followLog(_ shard: inout Shard, _ now: CoordinatorTime) -> [GroupActions.Reply] {
        let store = broker.store
        if shard.term == nil { return [] }
        if store.isOffline { return revert(&shard, now) }
        return shard.follow(store) ? [] : suspend(&shard, now)
    }

    /// Makes the state from the log again, after the log has refused an append that the state had taken in.
    func readBack(_ shard: inout Shard, _ now: CoordinatorTime) -> [GroupActions.Reply] {
        if broker.store.isOffline { return revert(&shard, now) }
        if shard.log.hasLeftOutAppends { return suspend(&shard, now) }
        // The log goes on later, with all that was appended to it.
        return replayAnew(&shard, .appended, now)
    }

    /// Goes back to what is on disk, once the folder is offline: throws the state away that the log does not have, and
    /// replays what it has. This happens once, as nothing is appended from then on. Requests that were parked are told
    /// to look for their coordinator again; these replies are returned.
    private func revert(_ shard: inout Shard, _ now: CoordinatorTime) -> [GroupActions.Reply] {
        guard !shard.isReverted, !shard.isSuspended else { return [] }
        shard.isReverted = true
        // The append that its replies waited for has failed or is on disk.
        shard.ticket = 0
        return replayAnew(&shard, .committed, now)
    }

    /// Throws the shard's state away and replays its log, or suspends it where that cannot be read. Returns replies to the
    /// requests that were parked.
    private func replayAnew(
        _ shard: inout Shard, _ visibility: PartitionLog.Visibility, _ now: CoordinatorTime
    ) -> [GroupActions.Reply] {
        let replies = forget(&shard, now)
        shard.beginLoading()
        do throws(StorageError) {
            _ = try Shard.replay(shard.log, visibility, into: &shard.machine)
            _ = shard.machine.loaded(now: now)
            shard.renumberMissedDeletions()
        } catch {
            Log.error("groups cannot be read back", "partition", shard.log.name, "reason", error)
            return replies + suspend(&shard, now)
        }
        return replies
    }

    private func suspend(_ shard: inout Shard, _ now: CoordinatorTime) -> [GroupActions.Reply] {
        guard !shard.isSuspended else { return [] }
        let replies = forget(&shard, now)
        suspendEmptied(&shard)
        return replies
    }

    private func forget(_ shard: inout Shard, _ now: CoordinatorTime) -> [GroupActions.Reply] {
        let replies = shard.machine.unload(now: now).replies
        // Its walk was through what is forgotten.
        shard.rewrite.writing = nil
        return replies
    }
}
