import CSystem
import Glibc
import Synchronization

/// A file behind a descriptor. A sync that failed is remembered, and nothing is written afterwards.
final class PosixFile: StorageFile {
    let path: String
    let isDirect: Bool
    let directAlignment: Int
    /// -1 once closed.
    private let current: Atomic<Int32>
    private let syncs = SyncTurns()

    /// The file system cannot tell what is at hand: it is not asked again.
    private let cannotTell = Atomic<Bool>(false)

    /// Pieces that one system call takes (UIO_MAXIOV of Linux).
    private static let maxPieces = 1024
    /// A direct file is aligned to a page at least, whatever smaller sectors the disk has: that is the block of the
    /// usual file systems, below which a direct write waits for all others, and it stays right when the disk is
    /// exchanged. Also taken where the kernel (before 6.1) does not tell.
    private static let minimumAlignment = 4096

    init(descriptor: Int32, path: String, isDirect: Bool) {
        current = Atomic(descriptor)
        self.path = path
        self.isDirect = isDirect
        guard isDirect else {
            directAlignment = 1
            return
        }
        var memory: UInt32 = 0
        var offset: UInt32 = 0
        _ = cstorage_direct_alignment(descriptor, &memory, &offset)
        directAlignment = max(Int(memory), Int(offset), Self.minimumAlignment)
    }

    deinit { close() }

    var descriptor: Int32 { open }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(StorageError) -> Int {
        guard buffer.count > 0, let base = buffer.baseAddress else { return 0 }
        let descriptor = open
        try checkAlignment(base, buffer.count, offset, .read)
        var done = 0
        while done < buffer.count {
            let got = try checked(.read, path) {
                cstorage_pread(descriptor, base + done, UInt64(buffer.count - done), offset + Int64(done))
            }
            done += Int(got)
            // A direct read that ends inside a block has met the end of the file; asking on from there is not aligned.
            if got == 0 || (isDirect && Int(got) % directAlignment != 0) { break }
        }
        return done
    }

    func readAtOnce(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(StorageError) -> Int? {
        guard buffer.count > 0, let base = buffer.baseAddress else { return 0 }
        guard !isDirect, !cannotTell.load(ordering: .relaxed) else { return nil }
        let descriptor = open
        var done = 0
        while done < buffer.count {
            let got = cstorage_pread_at_once(
                descriptor, base + done, UInt64(buffer.count - done), offset + Int64(done))
            switch Int32(truncatingIfNeeded: -got) {
            case EINTR: continue
            case EAGAIN: return nil
            case EOPNOTSUPP, ENOSYS:
                cannotTell.store(true, ordering: .relaxed)
                return nil
            case let errno where errno > 0: throw StorageError(.io(errno: errno), .read, path: path)
            default: done += Int(got)
            }
            if got == 0 { break }
        }
        return done
    }

    /// Bytes from one look to the next. What was read in one go is dropped by the kernel in one go, its front first, so a few
    /// looks see it. To ask for each page (cachestat) took 8 us a MiB, a twentieth of what sending it takes; a look takes 0.7.
    private static let lookInterval = 512 << 10

    func isAtHand(from offset: Int64, length: Int) -> Bool {
        guard !isDirect, !cannotTell.load(ordering: .relaxed) else { return false }
        var byte: UInt8 = 0
        return withUnsafeMutableBytes(of: &byte) { buffer in
            var at = 0
            while at < length - 1 {
                at = min(at + Self.lookInterval, length - 1)
                guard let got = try? readAtOnce(into: buffer, at: offset + Int64(at)), got == 1 else { return false }
            }
            return true
        }
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(StorageError) {
        guard bytes.count > 0, let base = bytes.baseAddress else { return }
        let descriptor = try writable(.write)
        try checkAlignment(base, bytes.count, offset, .write)
        var done = 0
        while done < bytes.count {
            let put = try checked(.write, path) {
                cstorage_pwrite(descriptor, base + done, UInt64(bytes.count - done), offset + Int64(done))
            }
            done += try progress(Int(put))
        }
    }

    func write(gathering pieces: UnsafeBufferPointer<UnsafeRawBufferPointer>, at offset: Int64) throws(StorageError) {
        try gather(pieces, at: offset, durable: false)
    }

    func writeDurably(gathering pieces: UnsafeBufferPointer<UnsafeRawBufferPointer>, at offset: Int64)
        throws(StorageError)
    {
        // Whether it was the write or its sync that failed cannot be told apart.
        try syncs.take(.write, path) { () throws(StorageError) in try gather(pieces, at: offset, durable: true) }
    }

    private func gather(
        _ pieces: UnsafeBufferPointer<UnsafeRawBufferPointer>, at offset: Int64, durable: Bool
    ) throws(StorageError) {
        let descriptor = try writable(.write)
        for piece in pieces where piece.count > 0 {
            try checkAlignment(piece.baseAddress!, piece.count, offset, .write)
        }
        let capacity = min(pieces.count, Self.maxPieces)
        let vector = UnsafeMutablePointer<iovec>.allocate(capacity: max(capacity, 1))
        defer { vector.deallocate() }

        var position = offset
        // The next byte to write: the piece it is in, and how much of that one is done.
        var index = 0
        var done = 0
        while true {
            var parts = 0
            var at = index
            while at < pieces.count, parts < capacity {
                let piece = pieces[at]
                let skipped = at == index ? done : 0
                if piece.count > skipped {
                    let start = UnsafeMutableRawPointer(mutating: piece.baseAddress! + skipped)
                    (vector + parts).initialize(to: iovec(iov_base: start, iov_len: piece.count - skipped))
                    parts += 1
                }
                at += 1
            }
            if parts == 0 { return }
            let result = try checked(.write, path) {
                cstorage_pwritev(descriptor, vector, Int32(parts), position, durable)
            }
            let put = try progress(Int(result))
            position += Int64(put)
            // Usually everything up to `at` is written; after a short write the kernel stopped inside some piece.
            done += put
            while index < at, done >= pieces[index].count {
                done -= pieces[index].count
                index += 1
            }
        }
    }

    /// How far a write got that the kernel says took `put` bytes. A direct file goes on from the last whole block.
    private func progress(_ put: Int) throws(StorageError) -> Int {
        let kept = isDirect ? put / directAlignment * directAlignment : put
        // A device that takes nothing and names no reason would keep us here for ever.
        if kept == 0 { throw StorageError(.io(errno: EIO), .write, path: path) }
        return kept
    }

    func sync() throws(StorageError) {
        let descriptor = open
        try syncs.take(.sync, path) { () throws(StorageError) in
            // An interrupted sync has lost nothing and is made again; any other failure is final.
            _ = try checked(.sync, path) { cstorage_fdatasync(descriptor) }
        }
    }

    func size() throws(StorageError) -> Int64 {
        let descriptor = open
        return try checked(.size, path) { cstorage_size(descriptor) }
    }

    func truncate(to size: Int64) throws(StorageError) {
        let descriptor = try writable(.truncate)
        _ = try checked(.truncate, path) { cstorage_truncate(descriptor, size) }
    }

    func allocate(upTo size: Int64) throws(StorageError) {
        let descriptor = try writable(.allocate)
        guard size > 0 else { return }
        _ = try checked(.allocate, path) { cstorage_allocate(descriptor, 0, size) }
    }

    func adviseDontNeed(from offset: Int64, length: Int64) { _ = cstorage_advise(open, offset, length, false) }
    func readAhead(from offset: Int64, length: Int64) { _ = cstorage_advise(open, offset, length, true) }
    func startWriting(from offset: Int64, length: Int64) { _ = cstorage_start_writing(open, offset, length) }

    func close() {
        let descriptor = current.exchange(-1, ordering: .acquiringAndReleasing)
        // Linux frees the descriptor whatever close says, and durability was sync's affair: nothing to do on an error.
        if descriptor >= 0 { _ = cstorage_close(descriptor) }
    }

    private var open: Int32 {
        let descriptor = current.load(ordering: .relaxed)
        precondition(descriptor >= 0, "\(path) is used after close")
        return descriptor
    }

    private func writable(_ operation: StorageError.Operation) throws(StorageError) -> Int32 {
        try syncs.check(operation, path)
        return open
    }

    private func checkAlignment(
        _ base: UnsafeRawPointer, _ count: Int, _ offset: Int64, _ operation: StorageError.Operation
    ) throws(StorageError) {
        guard isDirect else { return }
        let all = UInt(bitPattern: base) | UInt(bitPattern: count) | UInt(truncatingIfNeeded: offset)
        if all % UInt(directAlignment) != 0 {
            throw StorageError(.unaligned(required: directAlignment), operation, path: path)
        }
    }
}

/// An flock(2) lock; it belongs to the open file, so a second lock in the same process is refused, too.
final class PosixFileLock: FileLock {
    let path: String
    private let descriptor: Atomic<Int32>

    init(descriptor: Int32, path: String) {
        self.descriptor = Atomic(descriptor)
        self.path = path
    }

    deinit { release() }

    func release() {
        let descriptor = descriptor.exchange(-1, ordering: .acquiringAndReleasing)
        if descriptor >= 0 { _ = cstorage_close(descriptor) }
    }
}
