import ByteBuffers

extension SimulatedFileSystem {
    /// What a power failure at this moment would leave: everything synced, and what `keeping` says of the rest. Files,
    /// locks and faults are gone; settings (`capacity`, direct I/O) and the clock are the same.
    ///
    /// This file system is not changed, so many crashes of the same moment can be tried. `seed` names one of them; by
    /// default each call gives another, drawn from this file system's own seed.
    public func crash(keeping: Keeping = .random, seed: UInt64? = nil) -> SimulatedFileSystem {
        disk.withLock { disk in
            let seed = seed ?? disk.random.next()
            var choices = CrashChoices(keeping: keeping, random: SeededRandom(seed: seed))
            var after = SimulatedDisk(random: choices.random.fork())
            after.capacity = disk.capacity
            after.wallClockMs = disk.wallClockMs
            after.supportsDirect = disk.supportsDirect
            after.directAlignment = disk.directAlignment
            after.root = choices.survivor(of: disk.root, surviving: choices.survivingChanges(disk.root))
            Self.eachFile(after.root) { after.usedPages += $0.pages.count }
            return SimulatedFileSystem(seed: seed, clock: clock, disk: after)
        }
    }

    /// What the next process finds when this one is killed at this moment and the machine lives on: every byte and name
    /// as it was last seen. What was not synced still is not, so a later `crash` may lose it, and what a failed sync
    /// dropped is still read as written. Open files, locks and faults are gone, settings and the clock are the same.
    ///
    /// This file system is not changed. With `haltAtCall` the process dies in the middle of a call.
    public func kill() -> SimulatedFileSystem {
        disk.withLock { disk in
            let seed = disk.random.next()
            var after = SimulatedDisk(random: SeededRandom(seed: seed))
            after.capacity = disk.capacity
            after.supportsDirect = disk.supportsDirect
            after.directAlignment = disk.directAlignment
            after.sequence = disk.sequence
            var copies = NodeCopies()
            after.root = copies.copy(of: disk.root)
            Self.eachFile(after.root) { after.usedPages += $0.pages.count }
            return SimulatedFileSystem(seed: seed, clock: clock, disk: after)
        }
    }
}

/// Copies a tree with its unsynced past, each node once, however many names and changes lead to it.
private struct NodeCopies {
    private var files: [ObjectIdentifier: FileNode] = [:]
    private var folders: [ObjectIdentifier: FolderNode] = [:]

    mutating func copy(of folder: FolderNode) -> FolderNode {
        if let known = folders[ObjectIdentifier(folder)] { return known }
        let result = FolderNode()
        folders[ObjectIdentifier(folder)] = result
        for (name, node) in folder.names { result.names[name] = copy(of: node) }
        for (name, node) in folder.synced { result.synced[name] = copy(of: node) }
        for change in folder.changes {
            result.changes.append(
                FolderNode.Change(
                    sequence: change.sequence, name: change.name, node: change.node.map { copy(of: $0) },
                    other: change.other.map { copy(of: $0) }))
        }
        return result
    }

    private mutating func copy(of node: SimulatedNode) -> SimulatedNode {
        switch node {
        case .folder(let folder): return .folder(copy(of: folder))
        case .file(let file):
            let known = files[ObjectIdentifier(file)] ?? file.copyWithoutReaders()
            files[ObjectIdentifier(file)] = known
            return .file(known)
        }
    }
}

/// Decides, for one crash, what of the unsynced survives.
struct CrashChoices {
    let keeping: SimulatedFileSystem.Keeping
    var random: SeededRandom

    // MARK: Names

    /// For each folder, how many of its unsynced changes survive. Within a folder they survive in order; a rename
    /// between two folders survives in both or in neither.
    mutating func survivingChanges(_ root: FolderNode) -> [ObjectIdentifier: Int] {
        var surviving: [ObjectIdentifier: Int] = [:]
        var folders: [FolderNode] = []
        var seen: Set<ObjectIdentifier> = []
        // Every folder that may be reachable afterwards: by a synced name, or by one that may or may not survive.
        func visit(_ folder: FolderNode) {
            guard seen.insert(ObjectIdentifier(folder)).inserted else { return }
            folders.append(folder)
            for name in folder.synced.keys.sorted() {
                if case .folder(let inner)? = folder.synced[name] { visit(inner) }
            }
            for change in folder.changes {
                if case .folder(let inner)? = change.node { visit(inner) }
                if let other = change.other { visit(other) }
            }
        }
        visit(root)
        for folder in folders { surviving[ObjectIdentifier(folder)] = prefix(folder.changes.count) }

        var isSettled = false
        while !isSettled {
            isSettled = true
            for folder in folders {
                for change in folder.changes.prefix(surviving[ObjectIdentifier(folder)]!) {
                    guard let other = change.other else { continue }
                    let needed = other.changes.prefix { $0.sequence <= change.sequence }.count
                    if surviving[ObjectIdentifier(other)]! < needed {
                        surviving[ObjectIdentifier(other)] = needed
                        isSettled = false
                    }
                }
            }
            // Both halves of a rename within one folder belong together.
            for folder in folders {
                let kept = surviving[ObjectIdentifier(folder)]!
                guard kept > 0 else { continue }
                let whole = folder.changes.prefix { $0.sequence <= folder.changes[kept - 1].sequence }.count
                if whole != kept {
                    surviving[ObjectIdentifier(folder)] = whole
                    isSettled = false
                }
            }
        }
        return surviving
    }

    mutating func survivor(of folder: FolderNode, surviving: [ObjectIdentifier: Int]) -> FolderNode {
        var names = folder.synced
        for change in folder.changes.prefix(surviving[ObjectIdentifier(folder)]!) { names[change.name] = change.node }
        let result = FolderNode()
        for name in names.keys.sorted() {
            switch names[name]! {
            case .file(let file): result.names[name] = .file(survivor(of: file))
            case .folder(let inner): result.names[name] = .folder(survivor(of: inner, surviving: surviving))
            }
        }
        result.synced = result.names
        return result
    }

    /// How many of `count` changes in a row survive.
    private mutating func prefix(_ count: Int) -> Int {
        switch keeping {
        case .nothing: return 0
        case .everything: return count
        case .random:
            // The ends are as likely as all of the middle: they are what code forgets.
            switch random.below(4) {
            case 0: return 0
            case 1: return count
            default: return random.number(in: 0...count)
            }
        }
    }

    // MARK: Bytes

    /// How a file's dirty sectors fare, chosen once per file so that extremes are as likely as mixtures.
    private enum Fate {
        case none, all
        /// Written in order up to this sector of the file.
        case upTo(Int)
        /// Each on its own, with this probability.
        case each(Double)
    }

    mutating func survivor(of file: FileNode) -> FileNode {
        let result = FileNode()
        result.names = 1
        result.modifiedMs = file.modifiedMs

        // Undo the cuts that do not survive, newest first: what each cut off is there again.
        var pages = file.pages
        let kept = prefix(file.truncations.count)
        for truncation in file.truncations[kept...].reversed() {
            let first = Int(truncation.cut / Int64(SimulatedPage.size))
            for page in pages.keys where page >= first { pages[page] = nil }
            pages.merge(truncation.pages) { _, cutOff in cutOff }
        }
        // The file grew from `from` to `to` since the last cut that survives (a file that shrank by growing does not
        // exist, but an extension that was synced before may leave from above to: then it is `to`).
        let from = kept > 0 ? file.truncations[kept - 1].cut : file.syncedSize
        let to = kept < file.truncations.count ? file.truncations[kept].sizeBefore : file.size
        result.size = size(from: min(from, to), to: to)
        result.syncedSize = result.size

        let dirty = pages.filter { $0.value.dirty != 0 }.keys
        let fate = fate(pages: (dirty.min() ?? 0)...(dirty.max() ?? 0))
        for page in pages.keys.sorted() where Int64(page) * Int64(SimulatedPage.size) < result.size {
            var bytes = pages[page]!.afterCrash { sector, between in
                choose(fate, sector: page * SimulatedPage.sectors + sector, between: between)
            }
            let end = result.size - Int64(page) * Int64(SimulatedPage.size)
            if end < Int64(SimulatedPage.size) {
                for index in Int(end)..<SimulatedPage.size { bytes[index] = 0 }
            }
            result.pages[page] = SimulatedPage(synced: bytes)
        }
        return result
    }

    private mutating func size(from: Int64, to: Int64) -> Int64 {
        switch keeping {
        case .nothing: return from
        case .everything: return to
        case .random:
            switch random.below(4) {
            case 0: return from
            case 1: return to
            case 2:
                // The size follows whole pages as they are written.
                let page = Int64(SimulatedPage.size)
                return max(from, min(to, Int64.random(in: from...to, using: &random) / page * page))
            default: return Int64.random(in: from...to, using: &random)
            }
        }
    }

    /// `pages` are the first and the last one with dirty sectors.
    private mutating func fate(pages: ClosedRange<Int>) -> Fate {
        switch keeping {
        case .nothing: return .none
        case .everything: return .all
        case .random:
            switch random.below(6) {
            case 0: return .none
            case 1: return .all
            case 2, 3:
                let first = pages.lowerBound * SimulatedPage.sectors
                let end = (pages.upperBound + 1) * SimulatedPage.sectors
                return .upTo(random.number(in: first...end))
            default: return .each(random.pick([0.1, 0.5, 0.9]))
            }
        }
    }

    private mutating func choose(_ fate: Fate, sector: Int, between: Int) -> SimulatedPage.Survivor {
        let survives =
            switch fate {
            case .none: false
            case .all: true
            case .upTo(let limit): sector < limit
            case .each(let probability): random.chance(probability)
            }
        guard survives else { return .synced }
        if case .each = fate, between > 0, random.chance(0.25) { return .between(random.below(between)) }
        return .newest
    }
}
