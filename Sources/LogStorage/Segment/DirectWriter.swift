import ByteBuffers
import StorageIO

/// Writes long runs to segments past the page cache (O_DIRECT), because their bytes go out once and would only fill pages that
/// are written back and dropped. <doc:OneJournalTwoRoads> has the numbers.
///
/// A direct write covers whole blocks. The block in which the segment's bytes end is filled up with zeros; it stays in memory
/// and the next run writes it again. So a file may end in up to `block - 1` zero bytes that belong to no batch. They are cut
/// when the segment is closed or the store stops, and recovery cuts what a crash left.
///
/// Writing the last block again is safe for the bytes that it already has: they are written with the same values, so even a
/// torn write leaves them as they were.
///
/// Used with the partition's I/O lock held.
struct DirectWriter {
    static let block = 4096
    /// Length of one write.
    static let stagingBytes = 2 << 20

    let pool: ChunkPool

    /// Writes `slices` one after the other at byte `written` of the file.
    ///
    /// `end` holds the bytes before `written` in its block (none when `written` is aligned). Afterwards it holds the
    /// bytes of the new last, unfinished block.
    func write(
        _ slices: [ByteSlice], to file: any StorageFile, at written: Int64, end: inout BlockEnd
    ) throws(StorageError) {
        let staging = pool.chunk(atLeast: Self.stagingBytes)
        var position = written - Int64(end.count)
        var staged = end.count
        end.copy(to: staging.base)
        for slice in slices {
            var done = 0
            while done < slice.count {
                let count = min(slice.count - done, staging.capacity - staged)
                (staging.base + staged).copyMemory(from: slice.pointer + done, byteCount: count)
                staged += count
                done += count
                guard staged == staging.capacity else { continue }
                try file.write(UnsafeRawBufferPointer(start: staging.base, count: staged), at: position)
                position += Int64(staged)
                staged = 0
            }
        }
        let rest = staged % Self.block
        if staged > 0 {
            let padding = rest == 0 ? 0 : Self.block - rest
            (staging.base + staged).initializeMemory(as: UInt8.self, repeating: 0, count: padding)
            try file.write(UnsafeRawBufferPointer(start: staging.base, count: staged + padding), at: position)
        }
        end.set(UnsafeRawBufferPointer(start: staging.base + (staged - rest), count: rest))
    }
}
