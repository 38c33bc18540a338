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
/// A transaction is one entry, synced before `transact` returns; a torn last entry is cut at the next start, because
/// nobody was told of it. The file is written anew (atomically) once it is mostly history.
///
/// Limit: one entry holds at most `maxEntryBytes`.
public final class EmbeddedMetadataStore: MetadataStore {
    public static let fileName = "metadata.log"
    static let magic: UInt32 = 0x4d4c_4d44
    static let version: UInt16 = 1
    static let maxEntryBytes = 64 << 20
    /// History below this size is not worth writing anew.
    static let compactionFloor: Int64 = 4 << 20

    private struct State {
        var values: [String: MetadataValue] = [:]
        var revision: Int64 = 0
        var file: any StorageFile
        var size: Int64
        /// Size of the file after it was last written anew.
        var compactedSize: Int64
    }

    private let fileSystem: any FileSystem
    private let path: String
    private let state: Lock<State>

    public init(fileSystem: any FileSystem, folder: String) throws(StorageError) {
        self.fileSystem = fileSystem
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
            let revision = state.revision + 1
            var entry = ByteWriter()
            Self.writeEntry(revision, transaction.changes, to: &entry)
            precondition(entry.count <= Self.maxEntryBytes, "metadata entry of \(entry.count) bytes")
            try state.file.write(entry.bytes, at: state.size)
            try state.file.sync()
            state.size += Int64(entry.count)
            Self.apply(transaction.changes, revision, to: &state)
            if state.size > max(Self.compactionFloor, state.compactedSize * 4) { try compact(&state) }
            return true
        }
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
            let slice = bytes.withUnsafeBytes { ChunkPool.shared.slice(copying: $0) }
            return try replay(slice, into: &state)
        } catch {
            throw StorageError(.corrupt("not the metadata of this version: \(error)"), .read, path: path)
        }
    }

    private static func replay(_ slice: ByteSlice, into state: inout State) throws(DecodeError) -> Int64 {
        var reader = ByteReader(slice)
        guard try reader.uint32() == magic else { throw .invalid("magic", position: 0) }
        guard try reader.uint16() == version else { throw .invalid("version", position: 4) }
        try reader.skip(2)
        var end = Int64(reader.position)
        while reader.remaining >= 8 {
            let length = Int(try reader.uint32())
            let crc = try reader.uint32()
            guard length <= reader.remaining else { break }
            let body = try reader.bytes(length)
            guard CRC32C.checksum(body) == crc else {
                // Torn when it is the last, damaged when something follows it.
                if reader.remaining > 0 { throw .invalid("CRC of an entry", position: Int(end)) }
                break
            }
            var entry = ByteReader(body)
            let revision = try entry.int64()
            var changes: [(key: String, value: [UInt8]?)] = []
            for _ in 0..<(try entry.uint32()) {
                let key = try entry.string(Int(try entry.uint16()))
                let size = try entry.int32()
                changes.append((key, size < 0 ? nil : Array(try entry.bytes(Int(size)))))
            }
            apply(changes, revision, to: &state)
            end = Int64(reader.position)
        }
        withExtendedLifetime(slice) {}
        return end
    }
}
