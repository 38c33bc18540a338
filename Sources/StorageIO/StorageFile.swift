public import ByteBuffers

/// An open file. Reads and writes name their position, so threads may share a file; two that write the same bytes at
/// the same time are our bug.
///
/// Nothing written is durable before `sync()`. After a failed `sync()` the file is out of service: writes,
/// truncations and syncs throw `.outOfService`, while reads still work, and may show bytes that are not on disk. So
/// it is after any failure of `writeDurably`, where the kernel does not tell a failed write from a failed sync.
public protocol StorageFile: ByteFile {
    var path: String { get }
    /// Opened with O_DIRECT.
    var isDirect: Bool { get }
    /// What memory addresses, offsets and lengths of reads and writes must be multiples of: 1 for a file that is not
    /// direct, otherwise a power of two, 4096 or more. Anything else throws `.unaligned`.
    var directAlignment: Int { get }

    /// Reads until `buffer` is full or the file ends; gives the bytes read. A direct file needs an aligned buffer, and
    /// may end with less than a block.
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(StorageError) -> Int

    /// Like `read`, of bytes that are at hand; nil when it would wait for the device, or cannot be told.
    func readAtOnce(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(StorageError) -> Int?
    /// Whether these bytes, the first of which was read just now and the others not long ago, can be read or sent without waiting
    /// for the device, as far as looks at a few of them tell. False when it cannot be told.
    func isAtHand(from offset: Int64, length: Int) -> Bool

    /// Writes all of `bytes`. After an error an unknown part of them is in the file, and its size may have grown.
    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(StorageError)
    /// Writes all pieces one after the other, starting at `offset`; any number of them.
    func write(gathering pieces: UnsafeBufferPointer<UnsafeRawBufferPointer>, at offset: Int64) throws(StorageError)
    /// Like `write(gathering:at:)`, and these bytes (with the size, if it grew) are durable when it returns: one system
    /// call (RWF_DSYNC) instead of two. Says nothing about other bytes written before.
    func writeDurably(gathering pieces: UnsafeBufferPointer<UnsafeRawBufferPointer>, at offset: Int64)
        throws(StorageError)

    /// Makes bytes and size durable (fdatasync); times of change are not kept.
    func sync() throws(StorageError)
    func size() throws(StorageError) -> Int64
    /// Cuts or extends the file (with zeros). Durable after `sync`.
    func truncate(to size: Int64) throws(StorageError)
    /// Reserves disk space up to `size`, extending the file with zeros; never shrinks it. A later write below `size`
    /// does not fail for want of space. Does not make syncs faster: only bytes written before do (see the article).
    func allocate(upTo size: Int64) throws(StorageError)

    /// Tells the kernel that these cached bytes are not needed soon. Only clean pages are dropped. A hint: no errors.
    func adviseDontNeed(from offset: Int64, length: Int64)
    /// Starts reading these bytes into the page cache. A hint: no errors.
    func readAhead(from offset: Int64, length: Int64)
    /// Starts writing dirty pages of this range without waiting, so that a later `sync` has less to do. A hint: it
    /// promises no durability.
    func startWriting(from offset: Int64, length: Int64)

    /// Closes the descriptor; also done when the last reference is dropped, which is the safe way for a file that
    /// several threads use. Using a closed file is our bug. Does not sync.
    func close()
}

extension StorageFile {
    /// A file without a descriptor, such as a simulated one.
    public var descriptor: Int32 { -1 }

    /// In a file that is in memory everything is at hand.
    public func readAtOnce(
        into buffer: UnsafeMutableRawBufferPointer, at offset: Int64
    ) throws(StorageError) -> Int? { try read(into: buffer, at: offset) }
    public func isAtHand(from offset: Int64, length: Int) -> Bool { true }

    /// Writes slices one after the other, starting at `offset`.
    public func write(_ slices: [ByteSlice], at offset: Int64) throws(StorageError) {
        try withPieces(slices) { pieces throws(StorageError) in try write(gathering: pieces, at: offset) }
    }

    /// Writes slices one after the other; they are durable when it returns.
    public func writeDurably(_ slices: [ByteSlice], at offset: Int64) throws(StorageError) {
        try withPieces(slices) { pieces throws(StorageError) in try writeDurably(gathering: pieces, at: offset) }
    }

    /// Writes these bytes; they are durable when it returns.
    public func writeDurably(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(StorageError) {
        try withUnsafePointer(to: bytes) { pointer throws(StorageError) in
            try writeDurably(gathering: UnsafeBufferPointer(start: pointer, count: 1), at: offset)
        }
    }

    /// Writes an array's bytes.
    public func write(_ bytes: [UInt8], at offset: Int64) throws(StorageError) {
        try bytes.withUnsafeBufferPointer { buffer throws(StorageError) in
            try write(UnsafeRawBufferPointer(buffer), at: offset)
        }
    }

    /// Writes an array's bytes; they are durable when it returns.
    public func writeDurably(_ bytes: [UInt8], at offset: Int64) throws(StorageError) {
        try bytes.withUnsafeBufferPointer { buffer throws(StorageError) in
            try writeDurably(UnsafeRawBufferPointer(buffer), at: offset)
        }
    }

    /// Up to `count` bytes from `offset`, fewer at the end of the file.
    public func read(_ count: Int, at offset: Int64) throws(StorageError) -> [UInt8] {
        var failure: StorageError?
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            do throws(StorageError) {
                initialized = try read(into: UnsafeMutableRawBufferPointer(buffer), at: offset)
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return bytes
    }

    private func withPieces(
        _ slices: [ByteSlice], _ body: (UnsafeBufferPointer<UnsafeRawBufferPointer>) throws(StorageError) -> Void
    ) throws(StorageError) {
        let pieces = slices.map(\.bytes)
        try pieces.withUnsafeBufferPointer { buffer throws(StorageError) in try body(buffer) }
        // The memory behind the pieces lives as long as the slices.
        withExtendedLifetime(slices) {}
    }
}
