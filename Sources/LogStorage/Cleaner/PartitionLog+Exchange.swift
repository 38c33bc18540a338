import StorageIO

extension PartitionLog {
    /// Finishes what a stop interrupted, before anything else in the folder is looked at. Gives the names that are
    /// there afterwards. Any step may be repeated.
    func finishExchanges(_ names: [String]) throws(StorageError) -> [String] {
        var isChanged = false
        for name in names {
            if name.hasSuffix(".cleaned") {
                try store.fileSystem.remove(Path.join(folder, name))
                isChanged = true
            } else if let range = CleanerName.range(ofExchange: name) {
                // The process that gave it this name may have died before the name was on disk, and the old files go.
                try store.fileSystem.syncDirectory(folder)
                try replaceFiles(range, of: names)
                isChanged = true
            }
        }
        return isChanged ? try store.fileSystem.list(folder) : names
    }

    /// Removes the files of the segments in `range`, then gives the exchange's file the name of the first. The order
    /// holds after any stop, as each step is on disk before the next.
    func replaceFiles(_ range: Range<Int64>, of names: [String]) throws(StorageError) {
        let fileSystem = store.fileSystem
        for name in names {
            guard name.hasSuffix(".log") || name.hasSuffix(".index"), let base = Int64(name.prefix(20)),
                range.contains(base)
            else { continue }
            try fileSystem.remove(Path.join(folder, name))
        }
        try fileSystem.syncDirectory(folder)
        try fileSystem.rename(
            Path.join(folder, CleanerName.exchange(range.lowerBound, range.upperBound)),
            to: Path.join(folder, Segment.name(range.lowerBound, ".log")))
        try fileSystem.syncDirectory(folder)
    }
}
