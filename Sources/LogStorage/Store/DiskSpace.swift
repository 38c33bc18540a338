import ByteBuffers
import StorageIO
import Synchronization

/// How much room the data folder's disk has, and whether clients' appends are refused for want of it.
///
/// Below the reserve clients' appends are refused; reads, deletes, retention and the broker's own records go on, and use
/// the reserve. The free space is looked at every second, and whenever as much was committed as might have used up an
/// eighth of what was free above the reserve: a fast writer cannot get past it between two looks. What is in the journal
/// and not yet in its segments counts as used, because write-behind will take that room without anybody appending.
///
/// All fields are atomic, and several threads may look at the same time. What a look decides, it decides by its own numbers,
/// and by whether appends are refused just then; where two cross, the one that ends last stands until the next, a second later.
/// Who shows the numbers to people may see those of two looks together.
final class DiskSpace: Sendable {
    private let fileSystem: any FileSystem
    private let folder: String
    private let reserveBytes: Int64
    private let memory: TailMemory
    private let requests: MaintenanceRequests

    private let isRefusing = Atomic<Bool>(false)
    /// Bytes that may be committed before the next look.
    private let allowance = Atomic<Int>(0)
    /// Free bytes at the last look, all that the disk has, and the bytes of the free ones that write-behind was still to take.
    private let lastFree = Atomic<Int>(0)
    private let lastTotal = Atomic<Int>(0)
    private let lastOwed = Atomic<Int>(0)

    /// At most this is committed between two looks, and at least this.
    static let maxAllowance = 64 << 20
    static let minAllowance = 1 << 20

    init(
        _ fileSystem: any FileSystem, folder: String, reserveBytes: Int64, memory: TailMemory,
        requests: MaintenanceRequests
    ) {
        self.fileSystem = fileSystem
        self.folder = folder
        self.reserveBytes = reserveBytes
        self.memory = memory
        self.requests = requests
    }

    /// Clients' appends are refused.
    var isFull: Bool { isRefusing.load(ordering: .relaxed) }
    /// Free bytes at the last look.
    var freeBytes: Int { lastFree.load(ordering: .relaxed) }
    /// What was not free of all then: 0 to 1.
    var usedRatio: Double {
        let total = lastTotal.load(ordering: .relaxed)
        return total > 0 ? max(0, 1 - Double(freeBytes) / Double(total)) : 0
    }

    /// What an operator and a client are told while the disk is nearly full; nil while it is not.
    var fullness: String? {
        guard isFull else { return nil }
        let owed = lastOwed.load(ordering: .relaxed)
        let less = owed > 0 ? "\(owed) of them for what only the journal has, " : ""
        return
            "the disk of the data folder has \(freeBytes) bytes free, \(less)less than the reserve "
            + "of \(reserveBytes) bytes; free space, lower retention or delete topics"
    }

    /// Looks at the free space. Below the reserve appends are refused; they are taken again with an eighth to spare. Returns
    /// the bytes above the reserve; nil where the file system does not say.
    @discardableResult
    func check() -> Int64? {
        guard let (bytes, total) = try? fileSystem.freeBytes(folder) else { return nil }
        let owed = max(0, memory.unsettledBytes)
        lastFree.store(Int(clamping: bytes), ordering: .relaxed)
        lastTotal.store(Int(clamping: total), ordering: .relaxed)
        lastOwed.store(owed, ordering: .relaxed)
        let free = bytes - Int64(owed)
        let above = max(0, free - reserveBytes)
        allowance.store(
            max(Self.minAllowance, min(Self.maxAllowance, Int(clamping: above / 8))), ordering: .relaxed)
        // Nothing above a reserve of nothing is full, too.
        setFull(isFull ? free <= reserveBytes / 8 * 9 : free <= reserveBytes)
        return free - reserveBytes
    }

    /// Counts bytes that are about to be committed. Looks at the free space when the allowance is used up, and returns what
    /// `check` says then, else nil.
    func use(_ bytes: Int) -> Int64? {
        allowance.subtract(bytes, ordering: .relaxed).newValue > 0 ? nil : check()
    }

    /// Looks at the free space before the next commit, whatever the allowance is. For tests.
    func expireAllowance() { allowance.store(0, ordering: .relaxed) }

    /// Says that the disk is full, as a call that met ENOSPC knows, or that it is not.
    func setFull(_ full: Bool) {
        guard isRefusing.exchange(full, ordering: .sequentiallyConsistent) != full else { return }
        // The maintaining thread looks every second from now on, until there is room again.
        if full { requests.wake() }
    }
}
