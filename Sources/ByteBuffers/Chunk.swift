import CSystem
import Glibc
import Synchronization

/// A block of memory from a `ChunkPool`, aligned to 4 KiB (so that O_DIRECT can write it). It goes back to its pool
/// when the last reference is dropped.
///
/// One thread writes a chunk; a range of it may be read by other threads after it was handed over through a lock, and
/// is not written again from then on.
public final class Chunk: @unchecked Sendable {
    // SAFETY: the memory behind `base` follows the hand-over rule above; everything else is immutable.
    public let base: UnsafeMutableRawPointer
    /// Bytes usable at `base`.
    public let capacity: Int
    @usableFromInline let pool: ChunkPool
    @usableFromInline let sizeClass: Int
    /// Who keeps it for later, in a cache.
    private let keepers = Atomic<Int>(0)

    init(base: UnsafeMutableRawPointer, capacity: Int, pool: ChunkPool, sizeClass: Int) {
        self.base = base
        self.capacity = capacity
        self.pool = pool
        self.sizeClass = sizeClass
    }

    deinit { pool.giveBack(base, capacity: capacity, sizeClass: sizeClass) }

    /// Counts one more who keeps it in a cache; gives whether it is the first, so that the chunk is counted once.
    public func addKeeper() -> Bool { keepers.add(1, ordering: .relaxed).oldValue == 0 }

    /// Counts one less; gives whether it was the last.
    public func removeKeeper() -> Bool { keepers.subtract(1, ordering: .relaxed).newValue == 0 }
}

/// A range of a chunk's bytes, which it keeps alive.
public struct ByteSlice: Sendable {
    public let chunk: Chunk
    /// First byte, from `chunk.base`.
    public let offset: Int
    /// Length in bytes.
    public let count: Int

    @inlinable
    public init(chunk: Chunk, offset: Int, count: Int) {
        precondition(
            offset >= 0 && count >= 0 && offset &+ count <= chunk.capacity,
            "slice \(offset)+\(count) outside its chunk")
        self.chunk = chunk
        self.offset = offset
        self.count = count
    }

    /// The first byte. Valid while the slice (or its chunk) is alive.
    @inlinable public var pointer: UnsafeMutableRawPointer { chunk.base + offset }
    @inlinable public var bytes: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: chunk.base + offset, count: count)
    }

    /// A copy.
    @inlinable public var array: [UInt8] { withExtendedLifetime(chunk) { Array(bytes) } }

    /// Returns part of this slice; `offset` is relative to it.
    @inlinable
    public func slice(_ offset: Int, count: Int) -> ByteSlice {
        precondition(offset >= 0 && count >= 0 && offset &+ count <= self.count, "slice outside its slice")
        return ByteSlice(chunk: chunk, offset: self.offset &+ offset, count: count)
    }
}

/// Pooled memory in power-of-two size classes, each with its own budget of kept blocks, so that one class cannot starve
/// another. A request above the largest class is served exactly and freed after use.
///
/// Under load blocks come back as fast as they are taken, and fresh memory is dear: each of its pages is a fault and is
/// cleared. So much is kept while it is in use, and `decay` lets go of what was not needed since its last call.
///
/// Limits: `classes` has the most that is kept, 188 MiB in all sizes together; what is handed out is not capped here
/// but counted in `outstandingBytes`, by which readers of sockets hold themselves back.
public final class ChunkPool: Sendable {
    /// 4 KiB, 16 KiB, 64 KiB, 256 KiB, 1 MiB, 2 MiB, 4 MiB.
    static let classes: [(size: Int, keep: Int)] = [
        (4 << 10, 1024), (16 << 10, 512), (64 << 10, 256), (256 << 10, 128), (1 << 20, 64), (2 << 20, 16), (4 << 20, 8),
    ]
    static let alignment = 4096

    // SAFETY: pointers in the free lists belong to nobody else.
    private struct FreeList: @unchecked Sendable {
        /// The one given back last is at the end, and is the first to be taken again.
        var blocks: [UnsafeMutableRawPointer] = []
        /// The fewest blocks since the last `decay`: so many were not needed.
        var lowest = 0

        mutating func take() -> UnsafeMutableRawPointer? {
            guard let block = blocks.popLast() else { return nil }
            lowest = min(lowest, blocks.count)
            return block
        }
    }

    private let free: [Lock<FreeList>]
    private let kept = Atomic<Int>(0)
    private let outstanding = Atomic<Int>(0)
    private let cached = Atomic<Int>(0)
    private let reserved = Atomic<Int>(0)

    public init() { free = Self.classes.map { _ in Lock(FreeList()) } }

    /// The pool of the process; tests make their own.
    public static let shared = ChunkPool()

    /// Bytes handed out and not yet given back, without those that a cache holds.
    public var outstandingBytes: Int {
        outstanding.load(ordering: .relaxed) - cached.load(ordering: .relaxed)
    }

    /// Adds bytes that a cache with a bound of its own has taken over from those handed out, or, negative, has let go
    /// of: nobody has to hold back for them.
    public func addCached(_ bytes: Int) { cached.add(bytes, ordering: .relaxed) }

    /// Adds memory outside of the pool that is about to be taken for the work that its chunks hold, or, negative, was
    /// given back. It counts as handed out and is told apart, because whoever takes it has a bound of its own.
    public func addReserved(_ bytes: Int) {
        outstanding.add(bytes, ordering: .relaxed)
        reserved.add(bytes, ordering: .relaxed)
    }

    /// The part of `outstandingBytes` that `addReserved` told of.
    public var reservedBytes: Int { reserved.load(ordering: .relaxed) }

    /// Returns the capacity of a chunk of at least `minimum` bytes.
    public static func capacity(atLeast minimum: Int) -> Int {
        classes.first { $0.size >= minimum }?.size ?? (minimum + alignment - 1) & ~(alignment - 1)
    }

    /// Returns a chunk of at least `minimum` bytes; its content is undefined.
    public func chunk(atLeast minimum: Int) -> Chunk {
        precondition(minimum >= 0)
        if let index = Self.classes.firstIndex(where: { $0.size >= minimum }) {
            let size = Self.classes[index].size
            outstanding.add(size, ordering: .relaxed)
            let reused = free[index].withLock { $0.take() }
            if reused != nil { kept.subtract(size, ordering: .relaxed) }
            return Chunk(base: reused ?? Self.allocate(size), capacity: size, pool: self, sizeClass: index)
        }
        let size = Self.capacity(atLeast: minimum)
        outstanding.add(size, ordering: .relaxed)
        return Chunk(base: Self.allocate(size), capacity: size, pool: self, sizeClass: -1)
    }

    /// Whether a chunk came from here, and is counted here.
    @inlinable public func owns(_ chunk: Chunk) -> Bool { chunk.pool === self }

    /// Returns a chunk's worth of `bytes`, copied.
    public func slice(copying bytes: UnsafeRawBufferPointer) -> ByteSlice {
        let chunk = chunk(atLeast: bytes.count)
        if let source = bytes.baseAddress { chunk.base.copyMemory(from: source, byteCount: bytes.count) }
        return ByteSlice(chunk: chunk, offset: 0, count: bytes.count)
    }

    /// Frees every kept block and gives the memory back to the operating system; called after a burst of work that does not
    /// come again.
    public func trim() {
        for (index, list) in free.enumerated() {
            let blocks = list.withLock { state in
                defer { state = FreeList() }
                return state.blocks
            }
            letGo(blocks, size: Self.classes[index].size)
        }
        millrace_return_free_memory()
    }

    /// Bytes of kept blocks.
    public var keptBytes: Int { kept.load(ordering: .relaxed) }

    /// Frees half of the blocks that nobody has needed since the last call, so that a burst's memory is given back within
    /// a few calls and a steady load's is kept. To be called about once a second while `keptBytes` is worth it.
    public func decay() {
        var smallBytes = 0
        for (index, list) in free.enumerated() {
            let size = Self.classes[index].size
            let blocks = list.withLock { state in
                let count = (state.lowest + 1) / 2
                defer {
                    state.blocks.removeFirst(count)
                    state.lowest = state.blocks.count
                }
                return Array(state.blocks.prefix(count))
            }
            letGo(blocks, size: size)
            if size < Self.mappedSize { smallBytes += blocks.count * size }
        }
        // Walks through the whole heap: not for a few blocks that come and go with a steady load.
        if smallBytes >= Self.worthTrimming { millrace_return_free_memory() }
    }

    private func letGo(_ blocks: [UnsafeMutableRawPointer], size: Int) {
        kept.subtract(blocks.count * size, ordering: .relaxed)
        for block in blocks { Self.deallocate(block, size) }
    }

    fileprivate func giveBack(_ base: UnsafeMutableRawPointer, capacity: Int, sizeClass: Int) {
        outstanding.subtract(capacity, ordering: .relaxed)
        if sizeClass >= 0 {
            let isKept = free[sizeClass].withLock { state in
                if state.blocks.count >= Self.classes[sizeClass].keep { return false }
                state.blocks.append(base)
                return true
            }
            if isKept {
                kept.add(capacity, ordering: .relaxed)
                return
            }
        }
        Self.deallocate(base, capacity)
    }

    /// From this size on a block is a mapping of its own: freeing it gives its pages back at once, and leaves no holes in
    /// the heap.
    private static let mappedSize = 256 << 10
    /// Small blocks freed together, in bytes, after which the heap's free pages are given back.
    private static let worthTrimming = 1 << 20

    private static func allocate(_ size: Int) -> UnsafeMutableRawPointer {
        if size < mappedSize { return .allocate(byteCount: size, alignment: alignment) }
        let block = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let block, block != MAP_FAILED else { fatalError("out of memory: \(size) bytes, errno \(errno)") }
        return block
    }

    private static func deallocate(_ block: UnsafeMutableRawPointer, _ size: Int) {
        if size < mappedSize { return block.deallocate() }
        let result = munmap(block, size)
        precondition(result == 0, "munmap failed with errno \(errno)")
    }
}

/// Copies many short pieces into few chunks, one behind the other. A chunk lives as long as one of its slices.
public struct SlicePacker {
    private let pool: ChunkPool
    private var chunk: Chunk?
    private var used = 0

    /// A chunk's size; a piece above a quarter of it has one of its own.
    static let chunkBytes = 256 << 10

    public init(pool: ChunkPool) { self.pool = pool }

    /// Returns a slice with a copy of `bytes`.
    public mutating func slice(copying bytes: UnsafeRawBufferPointer) -> ByteSlice {
        if bytes.count > Self.chunkBytes / 4 { return pool.slice(copying: bytes) }
        if chunk == nil || used + bytes.count > Self.chunkBytes {
            chunk = pool.chunk(atLeast: Self.chunkBytes)
            used = 0
        }
        let slice = ByteSlice(chunk: chunk!, offset: used, count: bytes.count)
        if let source = bytes.baseAddress { slice.pointer.copyMemory(from: source, byteCount: bytes.count) }
        // Headers are read in place: each piece begins where integers may.
        used += (bytes.count + 7) & ~7
        return slice
    }
}
