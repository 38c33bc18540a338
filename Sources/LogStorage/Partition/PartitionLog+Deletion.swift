import ByteBuffers
import StorageIO
import Synchronization
import Telemetry

/// Deletes a partition in two steps: first it is marked under its state lock, so that nothing found out about it later
/// puts it on a list again; its files are removed last, when nobody works on them any more.
extension PartitionLog {
    /// Its topic was deleted: nothing is appended or flushed any more.
    public var isBeingDeleted: Bool { state.withLock { $0.isDeleted } }

    /// Marks the partition deleted and gives up what it holds; gives the readers that wait for it.
    func markDeleted() -> [ReadWaiter] {
        let (waiters, wasStuck, wasUncleanable) = state.withLock { state -> ([ReadWaiter], Bool, Bool) in
            state.isDeleted = true
            let wasStuck = state.isStuck
            state.isStuck = false
            let wasUncleanable = state.uncleanableOffset != .max
            state.uncleanableOffset = .max
            state.carried = []
            state.producers = ProducerStates()
            producerLimit.update(&state)
            return (state.takeWaiters(), wasStuck, wasUncleanable)
        }
        if wasStuck { commits.countStuck(-1) }
        if wasUncleanable { store.cleaner.countUncleanable(-1) }
        return waiters
    }

    /// Closes the files and removes them with their folder, after `markDeleted`. What cannot be removed is the next start's; but
    /// the folder that is synced then has the names of others' folders, too, and a sync of it that fails is everybody's.
    func removeFiles() throws(StorageError) {
        do throws(StorageError) { try removeFolder() } catch {
            if error.reach == .folder { commits.fail(error) }
            throw error
        }
    }

    private func removeFolder() throws(StorageError) {
        let began = MonotonicClock.nanoseconds
        defer { StallTrace.note(.removal, from: began, to: MonotonicClock.nanoseconds, name) }
        try io.withLock { writer throws(StorageError) in
            let gone = state.withLock { state in
                for segment in state.segments + state.obsolete { store.handles.retire(segment) }
                for index in state.settled..<state.tail.count {
                    store.memory.subtract(state.tail[index].slice.count)
                }
                let gone = state.letGo(through: .max)
                state.tail.removeFirst(state.tail.count)
                return gone
            }
            store.memory.release(gone)
            writer.direct = nil
            if try store.fileSystem.exists(folder) {
                try store.fileSystem.removeTree(folder)
                try store.fileSystem.syncDirectory(store.partitionsFolder)
            }
        }
    }
}
