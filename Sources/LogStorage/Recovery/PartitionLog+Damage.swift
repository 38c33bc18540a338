import ByteBuffers
public import KafkaModel
import StorageIO

extension PartitionLog {
    /// What is known of this partition's damage.
    public var quarantine: Quarantine { state.withLock { $0.quarantine } }

    /// The first offset behind the damage that holds `offset`; nil when there is none.
    public func endOfDamage(at offset: Offset) -> Offset? {
        state.withLock { state in
            state.quarantine.range(holding: offset.rawValue).map { Offset(min($0.endOffset, state.highWatermark)) }
        }
    }

    /// Records damage that was found; the maintenance thread stores it, or recovery does before it ends. Ignored once
    /// the store is offline after a failed sync: what cannot be read then may be intact in the journal, which the next
    /// start will see.
    func recordDamage(_ ranges: [DamagedRange]) {
        if store.isOffline { return }
        let isNews = state.withLock { state -> Bool in
            var isNews = false
            for range in ranges { isNews = state.quarantine.add(range) || isNews }
            if isNews { state.quarantineIsStored = false }
            return isNews
        }
        if isNews { store.reportDamage(of: self) }
    }

    /// Records behind the log's end may be lost, for the given reason: nothing is appended until `log repair`.
    func quarantineEnd(_ reason: String) {
        state.withLock { state in
            if state.quarantine.endReason == nil { state.quarantine.endReason = reason }
            state.quarantineIsStored = false
        }
        store.reportDamage(of: self)
    }

    /// Stores the quarantine when it has changed.
    func storeQuarantine() throws(StorageError) {
        try io.withLock { writer throws(StorageError) in
            let changed = state.withLock { state -> Quarantine? in
                state.quarantineIsStored || state.isDeleted ? nil : state.quarantine
            }
            guard let changed else { return }
            try changed.store(store.fileSystem, folder: folder)
            writer.folderExists = true
            state.withLock { if $0.quarantine == changed { $0.quarantineIsStored = true } }
        }
    }
}
