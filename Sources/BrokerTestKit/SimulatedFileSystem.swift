import ByteBuffers
import Glibc
public import StorageIO

/// A file system in memory that knows what was synced. `crash(keeping:)` gives what a power failure would leave, `kill`
/// what a dead process leaves; faults make any call fail; the same seed and the same calls give the same outcome. <doc:CrashRules> has the rules and their
/// sources.
///
/// Any thread may use it, but only a test that makes its calls from one thread can be replayed.
public final class SimulatedFileSystem: FileSystem, CustomStringConvertible {
    /// Of what a crash keeps, beside what was synced.
    public enum Keeping: Equatable, Sendable {
        /// Nothing: only what was synced is there.
        case nothing
        /// All of it, as if every write had reached the disk at once.
        case everything
        /// A seeded part: names, sizes and sectors are lost, torn and reordered.
        case random
    }

    public let seed: UInt64
    /// Moved on by faults of the kind `.delay`.
    public let clock: ManualClock?
    let disk: Lock<SimulatedDisk>

    /// An empty file system of unlimited size.
    public convenience init(seed: UInt64 = 1, clock: ManualClock? = nil) {
        self.init(seed: seed, clock: clock, disk: SimulatedDisk(random: SeededRandom(seed: seed)))
    }

    init(seed: UInt64, clock: ManualClock?, disk: SimulatedDisk) {
        self.seed = seed
        self.clock = clock
        self.disk = Lock(disk)
    }

    public var description: String {
        disk.withLock { "simulated file system, seed \(seed), \($0.calls) calls\($0.isHalted ? ", halted" : "")" }
    }

    // MARK: What a test arranges

    /// Bytes that fit; `nil` is no limit. A write beyond it stores what fits and fails with ENOSPC.
    public var capacity: Int64? {
        get { disk.withLock { $0.capacity } }
        set { disk.withLock { $0.capacity = newValue } }
    }

    /// Files that may be open at a time, as the limit of a process's descriptors; `nil` is no limit. Beyond it, calls that
    /// need a descriptor fail with EMFILE.
    public var openLimit: Int? {
        get { disk.withLock { $0.openLimit } }
        set { disk.withLock { $0.openLimit = newValue } }
    }
    public var openFiles: Int { disk.withLock { $0.openFiles } }

    /// The time that files get that are changed now.
    public var wallClockMs: Int64 {
        get { disk.withLock { $0.wallClockMs } }
        set { disk.withLock { $0.wallClockMs = newValue } }
    }

    /// Whether files can be opened with `direct`; and what those are aligned to (a power of two, at most 4096).
    public var supportsDirect: Bool {
        get { disk.withLock { $0.supportsDirect } }
        set { disk.withLock { $0.supportsDirect = newValue } }
    }
    public var directAlignment: Int {
        get { disk.withLock { $0.directAlignment } }
        set { disk.withLock { $0.directAlignment = newValue } }
    }

    /// Adds a fault. Of several that meet a call the one added first decides; `.delay` lets the others see it, too.
    public func inject(_ fault: Fault) { disk.withLock { $0.faults.append(fault) } }
    public func removeFaults() { disk.withLock { $0.faults = [] } }

    /// Calls made so far; those that cannot fail (`isDirectory`, hints, `close`) do not count.
    public var callCount: Int { disk.withLock { $0.calls } }

    /// Cuts the power during call number `index` (as `callCount` counts, from 0): a write, a new name or a cut of it
    /// may survive like any other that was not synced, a sync has done nothing, and it and all later calls fail with
    /// EIO. A test runs until it notices, then goes on with `crash`.
    public func haltAtCall(_ index: Int) { disk.withLock { $0.haltAt = index } }
    /// Cuts the power now.
    public func halt() { disk.withLock { $0.isHalted = true } }
    public var isHalted: Bool { disk.withLock { $0.isHalted } }

    /// The newest calls, oldest first (at most 10,000).
    public var operations: [OperationRecord] { disk.withLock { $0.records } }

    // MARK: What a test looks at and damages

    /// Bytes that readers see; `nil` where no such file is.
    public func contents(_ path: String) -> [UInt8]? {
        disk.withLock { disk in
            guard let file = disk.file(path) else { return nil }
            return [UInt8](unsafeUninitializedCapacity: Int(file.size)) { buffer, count in
                count = file.read(into: UnsafeMutableRawBufferPointer(buffer), at: 0)
            }
        }
    }

    /// Whether the bytes and the size of a file would survive a crash; its name is another matter.
    public func isSynced(_ path: String) -> Bool { disk.withLock { $0.file(path)?.isSynced ?? false } }

    /// Turns one bit of a file, for readers and on disk: damage that the device did not notice.
    public func flipBit(_ path: String, at offset: Int64, bit: Int = 0) {
        disk.withLock { disk in
            guard let file = disk.file(path), offset >= 0, offset < file.size else {
                preconditionFailure("no byte \(offset) in \(path)")
            }
            let page = Int(offset) / SimulatedPage.size
            let within = Int(offset) % SimulatedPage.size
            disk.changing(file) { file.pages[page, default: SimulatedPage()].damage(at: within, xor: 1 << UInt8(bit)) }
        }
    }

    /// Drops clean pages from the cache: what a failed sync lost can no longer be read.
    public func dropCaches() {
        disk.withLock { disk in Self.eachFile(disk.root) { $0.evict() } }
    }

    /// Bytes that files take, in whole pages.
    public var usedBytes: Int64 { disk.withLock { Int64($0.usedPages * SimulatedPage.size) } }

    static func eachFile(_ folder: FolderNode, _ body: (FileNode) -> Void) {
        for (_, node) in folder.names.sorted(by: { $0.key < $1.key }) {
            switch node {
            case .file(let file): body(file)
            case .folder(let inner): eachFile(inner, body)
            }
        }
    }
}
