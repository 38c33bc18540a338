import Glibc

/// What a name in a simulated folder leads to.
enum SimulatedNode {
    case file(FileNode)
    case folder(FolderNode)

    var identity: ObjectIdentifier {
        switch self {
        case .file(let file): ObjectIdentifier(file)
        case .folder(let folder): ObjectIdentifier(folder)
        }
    }
}

/// A file's content and its unsynced past. Only touched under the file system's lock.
final class FileNode {
    /// A cut that no sync has made durable, with what it cut off, so that a crash can bring it back.
    struct Truncation {
        let cut: Int64
        let sizeBefore: Int64
        /// Pages from the one that holds `cut` on, as they were.
        let pages: [Int: SimulatedPage]
    }

    var pages: [Int: SimulatedPage] = [:]
    var size: Int64 = 0
    /// The size that is surely on disk, before any of `truncations`.
    var syncedSize: Int64 = 0
    /// Pages that differ from the disk, or did before a failed sync.
    var dirtyPages: Set<Int> = []
    /// Oldest first.
    var truncations: [Truncation] = []

    /// Names and open files that refer to this; its space is free when both are none.
    var names = 0
    var openFiles = 0
    /// How many syncs failed, and how: every file that was open then learns of it once.
    var failedSyncs = 0
    /// When its bytes last changed, by the file system's `wallClockMs`.
    var modifiedMs: Int64 = 0
    var lastFailure: Int32 = 0

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) -> Int {
        let count = Int(max(0, min(Int64(buffer.count), size - offset)))
        Self.eachPage(offset, count) { page, start, length, done in
            let target = buffer.baseAddress! + done
            if let held = pages[page] {
                held.bytes.withUnsafeBytes { target.copyMemory(from: $0.baseAddress! + start, byteCount: length) }
            } else {
                memset(target, 0, length)
            }
        }
        return count
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) {
        guard let base = bytes.baseAddress, bytes.count > 0 else { return }
        Self.eachPage(offset, bytes.count) { page, start, length, done in
            let piece = UnsafeRawBufferPointer(start: base + done, count: length)
            pages[page, default: SimulatedPage()].write(piece, at: start)
            dirtyPages.insert(page)
        }
        size = max(size, offset + Int64(bytes.count))
    }

    /// Pages that a write would add.
    func missingPages(_ offset: Int64, _ count: Int) -> Int {
        var missing = 0
        Self.eachPage(offset, count) { page, _, _, _ in if pages[page] == nil { missing += 1 } }
        return missing
    }

    func truncate(to newSize: Int64) {
        if newSize < size {
            let first = Int(newSize / Int64(SimulatedPage.size))
            let within = Int(newSize % Int64(SimulatedPage.size))
            let cutOff = pages.filter { $0.key >= first }
            truncations.append(Truncation(cut: newSize, sizeBefore: size, pages: cutOff))
            for page in cutOff.keys where page > first || within == 0 {
                pages[page] = nil
                dirtyPages.remove(page)
            }
            if within > 0 { pages[first]?.cut(at: within) }
        }
        size = newSize
    }

    func allocate(upTo newSize: Int64) {
        guard newSize > 0 else { return }
        for page in 0...Int((newSize - 1) / Int64(SimulatedPage.size)) where pages[page] == nil {
            pages[page] = SimulatedPage()
        }
        size = max(size, newSize)
    }

    func sync() {
        for page in dirtyPages { pages[page]?.sync() }
        dirtyPages = dirtyPages.filter { pages[$0]?.lost ?? 0 != 0 }
        truncations = []
        syncedSize = size
    }

    /// Makes these bytes durable, with as much of the size as they need, and earlier cuts; other dirty pages stay
    /// dirty. The rest of the first and the last page is written, too, as the page cache does.
    func syncRange(_ offset: Int64, _ count: Int) {
        Self.eachPage(offset, count) { page, _, _, _ in
            pages[page]?.sync()
            if pages[page]?.lost ?? 0 == 0 { dirtyPages.remove(page) }
        }
        let uncut = truncations.reduce(syncedSize) { min($0, $1.cut) }
        truncations = []
        syncedSize = min(size, max(uncut, offset + Int64(count)))
    }

    /// A sync that failed after writing some of the pages; size and cuts stay unsynced.
    func failSync(_ errno: Int32, _ random: inout SeededRandom) {
        for page in dirtyPages.sorted() { pages[page]?.failSync(&random) }
        dirtyPages = dirtyPages.filter { pages[$0]?.lost ?? 0 != 0 }
        failedSyncs += 1
        lastFailure = errno
    }

    func evict() {
        for page in dirtyPages { pages[page]?.evict() }
        dirtyPages = dirtyPages.filter { pages[$0]?.dirty ?? 0 != 0 }
    }

    /// The same file when every process that had it open is gone.
    func copyWithoutReaders() -> FileNode {
        let copy = FileNode()
        copy.pages = pages
        copy.size = size
        copy.syncedSize = syncedSize
        copy.dirtyPages = dirtyPages
        copy.truncations = truncations
        copy.names = names
        copy.failedSyncs = failedSyncs
        copy.lastFailure = lastFailure
        return copy
    }

    var isSynced: Bool { dirtyPages.isEmpty && truncations.isEmpty && size == syncedSize }

    static func eachPage(
        _ offset: Int64, _ count: Int, _ body: (_ page: Int, _ start: Int, _ length: Int, _ done: Int) -> Void
    ) {
        var done = 0
        while done < count {
            let at = Int(offset) + done
            let start = at % SimulatedPage.size
            let length = min(count - done, SimulatedPage.size - start)
            body(at / SimulatedPage.size, start, length, done)
            done += length
        }
    }
}

/// A folder's names, and the changes to them that no `syncDirectory` has made durable.
final class FolderNode {
    /// One name set or (nil) removed. Changes of one call share `sequence`: they survive together, also across folders.
    struct Change {
        let sequence: Int
        let name: String
        let node: SimulatedNode?
        /// The other folder of a rename between two.
        let other: FolderNode?
    }

    var names: [String: SimulatedNode] = [:]
    var synced: [String: SimulatedNode] = [:]
    /// Oldest first.
    var changes: [Change] = []

    func set(_ name: String, _ node: SimulatedNode?, sequence: Int, other: FolderNode? = nil) {
        names[name] = node
        changes.append(Change(sequence: sequence, name: name, node: node, other: other))
    }

    /// Makes all changes up to this call durable, with those that share a call with them in other folders.
    func sync(upTo sequence: Int = .max) {
        let due = changes.prefix { $0.sequence <= sequence }
        changes.removeFirst(due.count)
        for change in due {
            synced[change.name] = change.node
        }
        for change in due { change.other?.sync(upTo: change.sequence) }
    }
}
