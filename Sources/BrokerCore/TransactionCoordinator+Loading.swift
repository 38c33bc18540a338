import ByteBuffers
import Coordinators
import KafkaModel
import LogStorage
import RecordFormat
import StorageIO
import Telemetry

/// Loading: a shard is what its log has. One whose log cannot be read, or may lose what was appended last, answers
/// COORDINATOR_LOAD_IN_PROGRESS until it has been replayed anew, by the coordinator's thread.
extension TransactionCoordinator: PartitionStateOwner {
    /// Takes up the topic where it is there already.
    func open() {
        guard let topic = broker.catalog.topic(named: Topic.transactionsTopicName) else { return }
        serve(topic)
    }

    func load(_ log: PartitionLog) {
        guard let shard = shard(of: log) else { return }
        let isNew = shard.withLock { shard -> Bool in
            let isServed = shard.term != nil
            shard.term = log.leaderEpoch
            if !isServed {
                shard.isSuspended = true
                shard.resumption.reset()
                shard.resumeAtMs = 0
            }
            return !isServed
        }
        guard isNew, let reason = resume(shard) else { return }
        Log.error("transactions are not coordinated until their log works again", "partition", log.name, "reason", reason)
        signal.raise()
    }

    func unload(_ log: PartitionLog) {
        shard(of: log)?.withLock { shard in
            shard.term = nil
            shard.isSuspended = false
            shard.giveUp()
            count(&shard)
        }
    }

    private func shard(of log: PartitionLog) -> Lock<Shard>? {
        let shards = shards
        let index = Int(log.partitionIndex)
        return shards.indices.contains(index) ? shards[index] : nil
    }

    /// Serves a shard that was replayed: what was decided before is ended.
    func begin(_ shard: Lock<Shard>) {
        let origin = shard
        let ends = shard.withLock { shard -> [EndingTransaction] in
            guard shard.machine.phase == .loading else { return [] }
            // What was replayed may be on its way to the disk still.
            shard.newest = Offset(max(0, shard.log.logEndOffset.rawValue - 1))
            return shard.machine.loaded().ends.map { EndingTransaction($0, decidedIn: shard, origin) }
        }
        if !ends.isEmpty { wait(for: 0) { $0.ends += ends } }
    }

    /// Loads the shards whose log works again. Gives when others are to be tried; nil where none waits.
    func resumeSuspended(_ nowMs: Int64) -> Int64? {
        var next: Int64?
        for shard in shards {
            let atMs = shard.withLock { $0.isSuspended && $0.term != nil ? $0.resumeAtMs : nil }
            guard var atMs else { continue }
            if atMs <= nowMs {
                if resume(shard) == nil {
                    Log.info("transactions are coordinated again", "partition", shard.withLock { $0.log.name })
                    continue
                }
                atMs = shard.withLock { shard in
                    shard.resumeAtMs = nowMs + shard.resumption.failed()
                    return shard.resumeAtMs
                }
            }
            next = min(next ?? .max, atMs)
        }
        return next
    }

    /// Replays a suspended shard's log and serves it. Returns why that cannot be done yet, or nil.
    private func resume(_ shard: Lock<Shard>) -> String? {
        let (log, term) = shard.withLock { ($0.log, $0.term) }
        if log.unavailability != nil || log.hasLeftOutAppends { return "it is not available" }
        guard let term else { return nil }
        var machine = TransactionShard(settings: settings)
        machine.beginLoading(epoch: term.rawValue)
        do throws(StorageError) {
            // All that was appended is on disk or on its way; nothing is appended to a suspended shard's log.
            try Self.replay(log, into: &machine)
        } catch {
            return "\(error)"
        }
        let isServed = shard.withLock { shard in
            // Resigned meanwhile, and perhaps taken up again.
            guard shard.isSuspended, shard.term == term else { return false }
            shard.machine = machine
            shard.isSuspended = false
            shard.resumption.reset()
            shard.resumeAtMs = 0
            count(&shard)
            return true
        }
        // What is loaded before the coordinator serves begins with it.
        guard isServed, wiring.withLock({ $0!.isActive }) else { return nil }
        begin(shard)
        return nil
    }

    /// Feeds the log to the machine. Damage loses the ids that it hit, which is reported elsewhere: they begin anew, and what
    /// they have left open is ended by an administrator.
    private static func replay(_ log: PartitionLog, into machine: inout TransactionShard) throws(StorageError) {
        var offset = log.logStartOffset
        var records = RecordIterator()
        while offset < log.logEndOffset {
            let fetched: FetchedRecords
            switch log.read(from: offset, maxBytes: 1 << 20, visibility: .appended) {
            case .success(let found): fetched = found
            case .failure(let refusal):
                if let next = log.endOfDamage(at: offset) {
                    offset = next
                    continue
                }
                throw StorageError(.corrupt("\(refusal)"), .read, path: log.folderName)
            }
            guard fetched.byteCount > 0 else { return }
            for slice in fetched.slices {
                var cursor = RecordBatchCursor(slice.bytes)
                do {
                    while let batch = try cursor.next() {
                        try records.open(batch)
                        while let record = try records.next() {
                            guard record.offset >= offset, !batch.isControl, let key = record.key else { continue }
                            try machine.replay(key: key, value: record.value)
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
    }
}
