import ByteBuffers
import StorageIO

/// The entries of a stored index, looked up in its file.
struct StoredIndex {
    let file: any StorageFile
    let count: Int

    /// The last entry for which `belongs` holds, given that it holds for all before it.
    func last(where belongs: (IndexEntry) -> Bool) throws(StorageError) -> IndexEntry {
        var found = IndexEntry.origin
        // The last entry read that belongs is the one before the index found, so it need not be read again.
        _ = try (0..<count).partitioningIndex { (index) throws(StorageError) in
            let entry = try entry(index)
            if belongs(entry) { found = entry }
            return !belongs(entry)
        }
        return found
    }

    /// The first of `number` aborted transactions for which `belongs` holds, given that it holds for all behind it.
    func firstAborted(of number: Int, where belongs: (AbortedTransaction) -> Bool) throws(StorageError) -> Int {
        try (0..<number).partitioningIndex { (place) throws(StorageError) in
            belongs(try aborted(place..<place + 1)[0])
        }
    }

    /// The aborted transactions at these places.
    func aborted(_ places: Range<Int>) throws(StorageError) -> [AbortedTransaction] {
        let start = SegmentIndex.headerSize + count * IndexEntry.encodedSize
        let bytes = try file.read(
            places.count * AbortedTransaction.encodedSize,
            at: Int64(start + places.lowerBound * AbortedTransaction.encodedSize))
        do {
            return try bytes.withUnsafeBytes { raw throws(DecodeError) in
                var reader = ByteReader(raw)
                var found: [AbortedTransaction] = []
                for _ in places { found.append(try AbortedTransaction(from: &reader)) }
                return found
            }
        } catch {
            throw StorageError(.corrupt("the index is shorter than its header says"), .read, path: file.path)
        }
    }

    private func entry(_ index: Int) throws(StorageError) -> IndexEntry {
        let at = Int64(SegmentIndex.headerSize + index * IndexEntry.encodedSize)
        let bytes = try file.read(IndexEntry.encodedSize, at: at)
        do {
            return try bytes.withUnsafeBytes { raw throws(DecodeError) in
                var reader = ByteReader(raw)
                return IndexEntry(
                    relativeOffset: try reader.uint32(), position: try reader.uint32(),
                    maxTimestampBefore: try reader.int64())
            }
        } catch {
            throw StorageError(.corrupt("the index is shorter than its header says"), .read, path: file.path)
        }
    }
}
