import ByteBuffers
import Coordinators
import KafkaModel
import LogStorage
import RecordFormat
import StorageIO
import Telemetry

/// Loading, and keeping the state at what the log will have after any stop.
///
/// ```
///             the log cannot be read, or a commit left out what was appended
///   serving ──────────────────────────────────────────────────────────────────► suspended
///      ▲           (parked requests: NOT_COORDINATOR, everything is forgotten)      │ COORDINATOR_LOAD_IN_PROGRESS
///      └────────────────────────────────────────────────────────────────────────────┘
///             the log is readable and all of it is on disk: replayed anew, by the timer thread
/// ```
/// A shard whose partition this node does not lead is neither: `load` suspends it until its log was replayed, `unload` forgets
/// it, and requests are told NOT_COORDINATOR.
///
/// What a commit left out may be written later or never: until that is decided nobody is told either. On an offline folder
/// nothing more will be written, so groups are served what is on disk, once and for good (`isReverted`).
extension GroupCoordinator: PartitionStateOwner {
    /// Makes the offsets topic when it is missing. Its groups are served once this node leads its partitions.
    func open() throws(StorageError) {
        let broker = broker
        let topic: Topic
        if let existing = broker.catalog.topic(named: Topic.offsetsTopicName) {
            topic = existing
        } else {
            let made = broker.createTopic(
                Topic.offsetsTopicName, partitions: broker.options.offsetsPartitions,
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

    /// Serves the groups of a partition of the offsets topic. Those of a log that cannot be read are told that they are
    /// being loaded until it can: half of its commits would send consumers back to where they were long ago.
    func load(_ log: PartitionLog) {
        guard let shard = shard(of: log) else { return }
        let empty = shard.withLock { shard -> GroupShard? in
            let isServed = shard.term != nil
            shard.term = log.leaderEpoch
            if isServed { return nil }
            shard.isSuspended = true
            shard.machine.beginLoading()
            return shard.machine
        }
        guard let empty, let reason = resume(shard, log, empty) else { return }
        Log.error("groups are not served until their log works again", "partition", log.name, "reason", reason)
        // The timer thread looks for that from now on.
        signal.raise()
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

    /// Returns the log's shard; nil before `open`, or for a partition that `open` did not see.
    private func shard(of log: PartitionLog) -> Lock<Shard>? {
        let shards = shards
        let index = Int(log.partitionIndex)
        return shards.indices.contains(index) ? shards[index] : nil
    }

    /// Feeds the log to the machine; gives the bytes read.
    static func replay(
        _ log: PartitionLog, _ visibility: PartitionLog.Visibility = .committed, into machine: inout GroupShard
    ) throws(StorageError) -> Int64 {
        var bytes: Int64 = 0
        var offset = log.logStartOffset
        var records = RecordIterator()
        let end = visibility == .committed ? log.highWatermark : log.logEndOffset
        while offset < end {
            let fetched: FetchedRecords
            switch log.read(from: offset, maxBytes: 1 << 20, visibility: visibility) {
            case .success(let found): fetched = found
            case .failure(let refusal):
                // Damage loses only the commits that it hit. For those, the group's earlier offsets are still known,
                // which only means that some records are consumed again; the damage itself is reported elsewhere.
                if let next = log.endOfDamage(at: offset) {
                    offset = next
                    continue
                }
                throw StorageError(.corrupt("\(refusal)"), .read, path: log.folderName)
            }
            guard fetched.byteCount > 0 else { return bytes }
            bytes += Int64(fetched.byteCount)
            for slice in fetched.slices {
                var cursor = RecordBatchCursor(slice.bytes)
                do {
                    while let batch = try cursor.next() {
                        try records.open(batch)
                        let producerID = batch.isTransactional ? batch.producerID : .none
                        while let record = try records.next() {
                            guard record.offset >= offset, let key = record.key else { continue }
                            if batch.isControl {
                                guard let marker = EndTransactionMarker(record) else { continue }
                                machine.replayTransactionEnd(of: producerID, committed: marker.isCommit)
                            } else {
                                try machine.replay(key: key, value: record.value, producerID: producerID)
                            }
                        }
                        offset = batch.lastOffset + 1
                    }
                } catch {
                    throw StorageError(
                        .corrupt("record at offset \(offset.rawValue) or after it: \(error)"), .read,
                        path: log.folderName)
                }
            }
        }
        return bytes
    }

    /// Serves a shard whose log was replayed: sessions of the members that were recorded begin.
    func begin(_ shard: Lock<Shard>) {
        deliver(run(shard) { machine, now in machine.phase == .loading ? machine.loaded(now: now) : GroupActions() })
    }

    // MARK: What the log did not take

    /// Brings the shard in line with its log before anything is asked of it: where the log has lost what was appended,
    /// or may have, the state has lost it, too. Returns replies to requests that were parked.
    func followLog(_ shard: inout Shard, _ now: CoordinatorTime) -> [GroupActions.Reply] {
        let store = broker.store
        if shard.term == nil { return [] }
        if store.isOffline { return revert(&shard, now) }
        // In this order: who sees a ticket durable sees what its commit left out.
        let durable = store.durableTicket
        if shard.log.hasLeftOutAppends { return suspend(&shard, now) }
        // All of the shard's appends are on disk, though others' of the same commit may have failed.
        if shard.ticket <= durable { shard.ticket = 0 }
        return []
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
        do throws(StorageError) {
            _ = try Self.replay(shard.log, visibility, into: &shard.machine)
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
        shard.isSuspended = true
        // Whoever waits for it has been told that it failed.
        shard.ticket = 0
        Log.error("groups are not served until their log works again", "partition", shard.log.name)
        // The timer thread looks for the end of it from now on.
        signal.raise()
        return forget(&shard, now)
    }

    private func forget(_ shard: inout Shard, _ now: CoordinatorTime) -> [GroupActions.Reply] {
        let replies = shard.machine.unload(now: now).replies
        shard.machine.beginLoading()
        // Its walk was through what is forgotten.
        shard.rewrite.writing = nil
        return replies
    }

    // MARK: Loading again

    /// Loads the shards whose log works again. Gives whether others still wait. On the timer thread: requests are told that
    /// their groups are being loaded, and do not wait for it.
    func resumeSuspended() -> Bool {
        var waits = false
        for shard in shards {
            let suspended = shard.withLock { $0.isSuspended ? ($0.log, $0.machine) : nil }
            guard let (log, machine) = suspended else { continue }
            if resume(shard, log, machine) != nil { waits = true }
        }
        return waits
    }

    /// Replays a suspended shard's log and serves it. Returns why that cannot be done yet, or nil.
    private func resume(_ shard: Lock<Shard>, _ log: PartitionLog, _ empty: GroupShard) -> String? {
        if log.unavailability != nil || log.hasLeftOutAppends { return "it is not available" }
        let term = shard.withLock { $0.term }
        var machine = empty
        let bytes: Int64
        do throws(StorageError) {
            // All that was appended is on disk or on its way; nothing is appended to a suspended shard's log.
            bytes = try Self.replay(log, .appended, into: &machine)
        } catch {
            return "\(error)"
        }
        let isServed = shard.withLock { shard in
            // Resigned meanwhile, and perhaps taken up again.
            guard shard.isSuspended, shard.term == term else { return false }
            shard.machine = machine
            shard.rewrite.logBytes = bytes
            shard.isSuspended = false
            shard.renumberMissedDeletions()
            return true
        }
        // What is loaded before the coordinator serves begins with it.
        guard isServed, wiring.withLock({ $0!.isActive }) else { return nil }
        begin(shard)
        sweepMissed(in: shard)
        Log.info("groups are served", "partition", log.name)
        return nil
    }
}
