import ByteBuffers
import StorageIO

/// The bytes of a segment's last, unfinished block.
struct BlockEnd {
    private let block: Chunk
    private(set) var count: Int

    /// Reads what is before byte `written` in its block.
    init(file: any StorageFile, written: Int64, pool: ChunkPool) throws(StorageError) {
        count = Int(written % Int64(DirectWriter.block))
        block = pool.chunk(atLeast: DirectWriter.block)
        guard count > 0 else { return }
        let room = UnsafeMutableRawBufferPointer(start: block.base, count: count)
        let got = try file.read(into: room, at: written - Int64(count))
        guard got == count else {
            throw StorageError(.corrupt("the file ends before byte \(written)"), .read, path: file.path)
        }
    }

    func copy(to target: UnsafeMutableRawPointer) {
        if count > 0 { target.copyMemory(from: block.base, byteCount: count) }
    }

    mutating func set(_ bytes: UnsafeRawBufferPointer) {
        precondition(bytes.count < DirectWriter.block)
        count = bytes.count
        if count > 0 { block.base.copyMemory(from: bytes.baseAddress!, byteCount: count) }
    }
}
