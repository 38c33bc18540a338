import ByteBuffers
import Glibc
import StorageIO

/// An open file of a `SimulatedFileSystem`.
final class SimulatedFile: StorageFile, @unchecked Sendable {
    // SAFETY: `node` and the variables are only touched under the file system's lock.
    private let node: FileNode
    private var isOpen = true
    /// The errno of the first failed sync that this file heard of.
    private var failure: Int32?
    /// Failed syncs of the node, by whomever, that this file was told of.
    private var seenFailures: Int

    private let fileSystem: SimulatedFileSystem
    let path: String
    let isDirect: Bool
    let directAlignment: Int
    private let isWritable: Bool

    /// `node.openFiles` already counts this file.
    init(
        fileSystem: SimulatedFileSystem, node: FileNode, path: String, isDirect: Bool, alignment: Int, isWritable: Bool
    ) {
        self.fileSystem = fileSystem
        self.node = node
        self.path = path
        self.isDirect = isDirect
        self.directAlignment = alignment
        self.isWritable = isWritable
        seenFailures = fileSystem.disk.withLock { _ in node.failedSyncs }
    }

    deinit { close() }

    func close() {
        fileSystem.disk.withLock { disk in
            guard isOpen else { return }
            isOpen = false
            node.openFiles -= 1
            disk.openFiles -= 1
            disk.releaseIfUnused(node)
        }
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(StorageError) -> Int {
        guard buffer.count > 0, let base = buffer.baseAddress else { return 0 }
        try checkAlignment(base, buffer.count, offset, .read)
        return try fileSystem.disk.withLock { disk throws(StorageError) in
            let verdict = try begin(.read, &disk, at: offset, length: buffer.count)
            switch verdict {
            case .fail(let errno), .failHalfway(let errno): throw disk.failure(errno, .read, path)
            case .halt: throw disk.failure(EIO, .read, path)
            case .proceed, .pretend, .flipBit: break
            }
            let count = node.read(into: buffer, at: offset)
            if case .flipBit = verdict, count > 0 {
                buffer[disk.random.below(count)] ^= 1 << UInt8(disk.random.below(8))
            }
            return count
        }
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(StorageError) {
        guard bytes.count > 0 else { return }
        try withUnsafePointer(to: bytes) { pointer throws(StorageError) in
            try put(UnsafeBufferPointer(start: pointer, count: 1), at: offset, durable: false)
        }
    }

    func write(gathering pieces: UnsafeBufferPointer<UnsafeRawBufferPointer>, at offset: Int64) throws(StorageError) {
        try put(pieces, at: offset, durable: false)
    }

    func writeDurably(gathering pieces: UnsafeBufferPointer<UnsafeRawBufferPointer>, at offset: Int64)
        throws(StorageError)
    {
        try put(pieces, at: offset, durable: true)
    }

    private func put(
        _ pieces: UnsafeBufferPointer<UnsafeRawBufferPointer>, at offset: Int64, durable: Bool
    ) throws(StorageError) {
        let length = pieces.reduce(0) { $0 + $1.count }
        for piece in pieces where piece.count > 0 {
            try checkAlignment(piece.baseAddress, piece.count, offset, .write)
        }
        try fileSystem.disk.withLock { disk throws(StorageError) in
            let verdict = try begin(.write, &disk, at: offset, length: length)
            try checkWritable(.write, &disk)
            switch verdict {
            case .fail(let errno):
                if durable { fail(errno, &disk) }
                throw disk.failure(errno, .write, path)
            case .failHalfway(let errno):
                // Direct writes stop at whole blocks.
                let part = disk.random.number(in: 0...length) / directAlignment * directAlignment
                store(pieces, at: offset, limit: part, &disk)
                if durable { fail(errno, &disk) }
                throw disk.failure(errno, .write, path)
            case .halt:
                store(pieces, at: offset, limit: length, &disk)
                throw disk.failure(EIO, .write, path)
            case .pretend: return
            case .proceed, .flipBit: break
            }
            let fitting = fittingLength(offset, length, disk)
            store(pieces, at: offset, limit: fitting, &disk)
            if fitting < length {
                if durable { failure = failure ?? ENOSPC }
                throw disk.failure(ENOSPC, .write, path)
            }
            // A durable write counts as two calls, so that faults of a sync meet it, too.
            if durable {
                try flush(begin(.sync, &disk, at: offset, length: length), &disk) { node.syncRange(offset, length) }
            }
        }
    }

    private func store(
        _ pieces: UnsafeBufferPointer<UnsafeRawBufferPointer>, at offset: Int64, limit: Int, _ disk: inout SimulatedDisk
    ) {
        disk.changing(node) {
            var done = 0
            for piece in pieces where done < limit {
                let count = min(piece.count, limit - done)
                node.write(UnsafeRawBufferPointer(start: piece.baseAddress, count: count), at: offset + Int64(done))
                done += count
            }
        }
    }

    /// How much of a write fits on the disk.
    private func fittingLength(_ offset: Int64, _ length: Int, _ disk: SimulatedDisk) -> Int {
        let free = disk.freePages
        if node.missingPages(offset, length) <= free { return length }
        var missing = 0
        var fitting = 0
        FileNode.eachPage(offset, length) { page, _, count, done in
            if node.pages[page] == nil { missing += 1 }
            if missing <= free { fitting = done + count }
        }
        return fitting / directAlignment * directAlignment
    }

    func sync() throws(StorageError) {
        try fileSystem.disk.withLock { disk throws(StorageError) in
            let verdict = try begin(.sync, &disk)
            try checkWritable(.sync, &disk)
            try flush(verdict, &disk) { node.sync() }
        }
    }

    private func flush(
        _ verdict: SimulatedDisk.Verdict, _ disk: inout SimulatedDisk, _ body: () -> Void
    ) throws(StorageError) {
        switch verdict {
        case .fail(let errno), .failHalfway(let errno):
            fail(errno, &disk)
            throw disk.failure(errno, .sync, path)
        case .halt: throw disk.failure(EIO, .sync, path)
        case .pretend: return
        case .proceed, .flipBit: break
        }
        if node.failedSyncs > seenFailures {
            // Somebody else's sync of this file failed since this one was opened: it is told, too.
            seenFailures = node.failedSyncs
            failure = node.lastFailure
            throw disk.failure(node.lastFailure, .sync, path)
        }
        body()
    }

    func size() throws(StorageError) -> Int64 {
        try fileSystem.disk.withLock { disk throws(StorageError) in
            switch try begin(.size, &disk) {
            case .fail(let errno), .failHalfway(let errno): throw disk.failure(errno, .size, path)
            case .halt: throw disk.failure(EIO, .size, path)
            case .proceed, .pretend, .flipBit: return node.size
            }
        }
    }

    func truncate(to size: Int64) throws(StorageError) {
        try change(.truncate, at: size) { disk in
            disk.changing(node) { node.truncate(to: size) }
            return nil
        }
    }

    func allocate(upTo size: Int64) throws(StorageError) {
        try change(.allocate, at: size) { disk in
            if node.missingPages(0, Int(size)) > disk.freePages { return ENOSPC }
            disk.changing(node) { node.allocate(upTo: size) }
            return nil
        }
    }

    /// A call that changes the size; `body` gives an errno, or `nil`.
    private func change(
        _ operation: StorageError.Operation, at size: Int64, _ body: (inout SimulatedDisk) -> Int32?
    ) throws(StorageError) {
        try fileSystem.disk.withLock { disk throws(StorageError) in
            let verdict = try begin(operation, &disk, at: size)
            try checkWritable(operation, &disk)
            switch verdict {
            case .fail(let errno), .failHalfway(let errno): throw disk.failure(errno, operation, path)
            case .halt:
                _ = body(&disk)
                throw disk.failure(EIO, operation, path)
            case .pretend: return
            case .proceed, .flipBit: if let errno = body(&disk) { throw disk.failure(errno, operation, path) }
            }
        }
    }

    // Hints change nothing that could be seen.
    func adviseDontNeed(from offset: Int64, length: Int64) {}
    func readAhead(from offset: Int64, length: Int64) {}
    func startWriting(from offset: Int64, length: Int64) {}

    private func begin(
        _ operation: StorageError.Operation, _ disk: inout SimulatedDisk, at offset: Int64? = nil, length: Int? = nil
    ) throws(StorageError) -> SimulatedDisk.Verdict {
        precondition(isOpen, "\(path) is used after close")
        return try disk.begin(operation, path, at: offset, length: length, clock: fileSystem.clock)
    }

    private func checkWritable(
        _ operation: StorageError.Operation, _ disk: inout SimulatedDisk
    ) throws(StorageError) {
        if let failure { throw disk.failure(.outOfService(errno: failure), operation, path) }
        if !isWritable, operation != .sync { throw disk.failure(EBADF, operation, path) }
    }

    /// A sync of this file failed.
    private func fail(_ errno: Int32, _ disk: inout SimulatedDisk) {
        node.failSync(errno, &disk.random)
        seenFailures = node.failedSyncs
        failure = errno
    }

    private func checkAlignment(
        _ base: UnsafeRawPointer?, _ count: Int, _ offset: Int64, _ operation: StorageError.Operation
    ) throws(StorageError) {
        guard isDirect else { return }
        let all = UInt(bitPattern: base) | UInt(bitPattern: count) | UInt(truncatingIfNeeded: offset)
        if all % UInt(directAlignment) != 0 {
            throw StorageError(.unaligned(required: directAlignment), operation, path: path)
        }
    }
}
