import ByteBuffers
import RecordFormat
public import StorageIO

/// The metadata of a single node, in `metadata.log` of its data folder.
///
/// ```
/// file    "MLMD" | version u16 | 0 u16, then entries
/// entry   length u32 | CRC-32C u32 | revision i64 | change count u32 | changes
/// change  key length u16 | key | value length i32 (-1: removed) | value
/// ```
/// A transaction is one entry, synced before `transact` returns, and before the next one is written. So what follows the
/// last whole entry is torn, nobody was told of it, and it is cut at the next start; unless a whole entry comes after it,
/// which proves damage: the file is refused then, and left as it is. The file is written anew (atomically) once it is
/// mostly history.
///
/// Failure: a write that fails is taken back. After a failed sync, or a failed attempt to write the file anew, what the
/// disk holds is not known: nothing is changed any more until a restart has read it.
///
/// Limit: one entry holds at most `maxEntryBytes`.
public final class EmbeddedMetadataStore: MetadataStore {
    public static let fileName = "metadata.log"
    static let magic: UInt32 = 0x4d4c_4d44
    static let version: UInt16 = 1
    static let maxEntryBytes = 64 << 20
    /// History below this size is not worth writing anew.
    static let compactionFloor: Int64 = 4 << 20
    /// Revision and change count.
    static let smallestBody = 12

    private struct State {
        var values: [String: MetadataValue] = [:]
        var revision: Int64 = 0
        var file: any StorageFile
        var size: Int64
        /// Size of the file after it was last written anew.
        var compactedSize: Int64
        /// Set for good by the failure after which the file's content is not known.
        var failure: StorageError?
    }

    private let fileSystem: any FileSystem
    private let path: String
    private let compactionFloor: Int64
    private let state: Lock<State>

    public convenience init(fileSystem: any FileSystem, folder: String) throws(StorageError) {
        try self.init(fileSystem: fileSystem, folder: folder, compactionFloor: Self.compactionFloor)
    }

    init(fileSystem: any FileSystem, folder: String, compactionFloor: Int64) throws(StorageError) {
        self.fileSystem = fileSystem
        self.compactionFloor = compactionFloor
        path = Path.join(folder, Self.fileName)
        if !fileSystem.exists(path) {
            var header = ByteWriter()
            Self.writeHeader(&header)
            try fileSystem.writeAtomically(path, header.array)
        }
        let bytes = try fileSystem.readWhole(path, limit: 1 << 30)
        let file = try fileSystem.open(path, .readWrite(create: false))
        var state = State(file: file, size: 0, compactedSize: 0)
        state.size = try Self.replay(bytes, into: &state, path: path)
        if state.size < Int64(bytes.count) {
            try file.truncate(to: state.size)
            try file.sync()
        }
        state.compactedSize = state.size
        self.state = Lock(state)
    }

    public var revision: Int64 { state.withLock { $0.revision } }

    public func read(_ key: String) -> MetadataValue? { state.withLock { $0.values[key] } }

    public func read(prefix: String) -> [(key: String, value: MetadataValue)] {
        state.withLock { state in
            state.values.filter { $0.key.hasPrefix(prefix) }.map { ($0.key, $0.value) }
        }.sorted { $0.0 < $1.0 }
    }

    public func transact(_ transaction: MetadataTransaction) throws(StorageError) -> Bool {
        try state.withLock { state throws(StorageError) -> Bool in
            for (key, revision) in transaction.conditions where (state.values[key]?.revision ?? 0) != revision {
                return false
            }
            if transaction.changes.isEmpty { return true }
            if let failure = state.failure { throw failure }
            let revision = state.revision + 1
            var entry = ByteWriter()
            Self.writeEntry(revision, transaction.changes, to: &entry)
            precondition(entry.count <= Self.maxEntryBytes, "metadata entry of \(entry.count) bytes")
            try write(entry.bytes, &state)
            Self.apply(transaction.changes, revision, to: &state)
            if state.size > max(compactionFloor, state.compactedSize * 4) {
                do throws(StorageError) {
                    try compact(&state)
                } catch {
                    // The transaction itself is durable, in the old file and in the new. Which of them has the name
                    // is not known, so neither may be written to.
                    state.failure = error
                }
            }
            return true
        }
    }

    private func write(_ entry: UnsafeRawBufferPointer, _ state: inout State) throws(StorageError) {
        do throws(StorageError) {
            try state.file.write(entry, at: state.size)
        } catch {
            // What was written of it must not stay: behind a shorter entry its rest would look like damage.
            do throws(StorageError) { try state.file.truncate(to: state.size) } catch let second {
                state.failure = second
            }
            throw error
        }
        do throws(StorageError) {
            try state.file.sync()
        } catch {
            state.failure = error
            throw error
        }
        state.size += Int64(entry.count)
    }

    private func compact(_ state: inout State) throws(StorageError) {
        var writer = ByteWriter(capacity: 64 << 10)
        Self.writeHeader(&writer)
        // Each key keeps the revision that wrote it, so entries are written one a revision, oldest first.
        let byRevision = Dictionary(grouping: state.values, by: { $0.value.revision })
        for revision in byRevision.keys.sorted() {
            Self.writeEntry(revision, byRevision[revision]!.map { ($0.key, $0.value.bytes) }, to: &writer)
        }
        // The store's own revision, which may be that of a removal.
        Self.writeEntry(state.revision, [], to: &writer)
        try fileSystem.writeAtomically(path, writer.array)
        state.file.close()
        state.file = try fileSystem.open(path, .readWrite(create: false))
        state.size = Int64(writer.count)
        state.compactedSize = state.size
    }

    // MARK: Format

    private static func writeHeader(_ writer: inout ByteWriter) {
        writer.uint32(magic)
        writer.uint16(version)
        writer.uint16(0)
    }

    private static func writeEntry(
        _ revision: Int64, _ changes: [(key: String, value: [UInt8]?)], to writer: inout ByteWriter
    ) {
        let start = writer.count
        writer.uint32(0)
        writer.uint32(0)
        writer.int64(revision)
        writer.uint32(UInt32(changes.count))
        for (key, value) in changes {
            writer.uint16(UInt16(key.utf8.count))
            writer.utf8(key)
            writer.int32(value.map { Int32($0.count) } ?? -1)
            if let value { writer.bytes(value) }
        }
        writer.overwrite(UInt32(writer.count - start - 8), at: start)
        let body = UnsafeRawBufferPointer(rebasing: writer.bytes[(start + 8)...])
        writer.overwrite(CRC32C.checksum(body), at: start + 4)
    }

    private static func apply(_ changes: [(key: String, value: [UInt8]?)], _ revision: Int64, to state: inout State) {
        for (key, value) in changes {
            state.values[key] = value.map { MetadataValue(bytes: $0, revision: revision) }
        }
        state.revision = max(state.revision, revision)
    }

    /// Applies every whole entry; gives where the last one ends.
    private static func replay(_ bytes: [UInt8], into state: inout State, path: String) throws(StorageError) -> Int64 {
        do {
            return try bytes.withUnsafeBytes { raw throws(DecodeError) in try replay(raw, into: &state) }
        } catch {
            throw StorageError(.corrupt("not the metadata of this version: \(error)"), .read, path: path)
        }
    }

    private static func replay(_ bytes: UnsafeRawBufferPointer, into state: inout State) throws(DecodeError) -> Int64 {
        var reader = ByteReader(bytes)
        guard try reader.uint32() == magic else { throw .invalid("magic", position: 0) }
        guard try reader.uint16() == version else { throw .invalid("version", position: 4) }
        try reader.skip(2)
        var end = reader.position
        while let body = wholeEntry(in: bytes, at: end) {
            var entry = ByteReader(UnsafeRawBufferPointer(rebasing: bytes[body]))
            let revision = try entry.int64()
            var changes: [(key: String, value: [UInt8]?)] = []
            for _ in 0..<(try entry.uint32()) {
                let key = try entry.string(Int(try entry.uint16()))
                let size = try entry.int32()
                changes.append((key, size < 0 ? nil : Array(try entry.bytes(Int(size)))))
            }
            apply(changes, revision, to: &state)
            end = body.upperBound
        }
        // Byte by byte, as the damage may be in a length. What is looked
        // at is the torn entry, or the rest of a file that is refused.
        for at in end..<bytes.count where wholeEntry(in: bytes, at: at, newerThan: state.revision) != nil {
            throw .invalid("entry, which later ones prove to be damaged and not torn", position: end)
        }
        return Int64(end)
    }

    /// The body of the entry at byte `at`, or nil when there is no whole and undamaged one.
    private static func wholeEntry(
        in bytes: UnsafeRawBufferPointer, at: Int, newerThan oldest: Int64 = -1
    ) -> Range<Int>? {
        let start = at + 8
        guard bytes.count - start >= smallestBody else { return nil }
        let length = Int(UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt32.self)))
        guard length >= smallestBody, length <= bytes.count - start else { return nil }
        // Before the checksum, which is the costly part.
        guard Int64(bigEndian: bytes.loadUnaligned(fromByteOffset: start, as: Int64.self)) > oldest else { return nil }
        let crc = UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: at + 4, as: UInt32.self))
        let body = start..<start + length
        return CRC32C.checksum(UnsafeRawBufferPointer(rebasing: bytes[body])) == crc ? body : nil
    }
}
