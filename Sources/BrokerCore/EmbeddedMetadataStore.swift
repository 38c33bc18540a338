import ByteBuffers
import Glibc
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
/// Each entry is written and synced to `metadata.log`, then to `metadata.copy`, before anybody is told of it. A start
/// takes the newer of the two that are whole, sets a damaged one aside (`.damaged`) and writes it anew from the other.
/// So one damaged file costs nothing; with both damaged the start is refused, as nothing says what topics there were.
///
/// What a start finds may be in the page cache alone, as the process that wrote it may have died before its sync: topics
/// are served and folders removed on its word, so both files are written once more in their place and synced first.
///
/// Failure: a write that fails is taken back. After a failed sync, or a failed attempt to write the file anew, what the
/// disk holds is not known: nothing is changed any more until a restart has read it.
///
/// Limit: one entry holds at most `maxEntryBytes`.
public final class EmbeddedMetadataStore: MetadataStore {
    public static let fileName = "metadata.log"
    public static let copyName = "metadata.copy"
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
        /// Nil once a write to it has failed; the next start makes it again.
        var copy: (any StorageFile)?
        var copySize: Int64 = 0
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
        let copyPath = Path.join(folder, Self.copyName)
        if try !fileSystem.exists(path), try !fileSystem.exists(copyPath) {
            var header = ByteWriter()
            Self.writeHeader(&header)
            try fileSystem.writeAtomically(path, header.array)
        }
        let first = try Self.load(fileSystem, path)
        let second = try Self.load(fileSystem, copyPath)
        var notices: [String] = []
        var newest: Loaded
        switch (first, second) {
        case (.whole(let main), .whole(let copy)): newest = main.revision >= copy.revision ? main : copy
        case (.whole(let main), .missing): newest = main
        case (.whole(let main), .damaged(let error)):
            notices.append("\(error); written anew from \(path)")
            newest = main
        case (.damaged(let error), .whole(let copy)):
            notices.append("\(error); written anew from \(copyPath)")
            newest = copy
        case (.missing, .whole(let copy)):
            notices.append("\(path) is gone; written anew from \(copyPath)")
            newest = copy
        case (.damaged(let error), _), (.missing, .damaged(let error)): throw error
        case (.missing, .missing): throw StorageError(.io(errno: ENOENT), .open, path: path)
        }
        for (found, name) in [(first, path), (second, copyPath)] {
            if case .whole(let loaded) = found, loaded.revision == newest.revision, loaded.size == newest.size {
                try Self.makeDurable(loaded, fileSystem, name)
                continue
            }
            if case .damaged = found { try? fileSystem.rename(name, to: name + ".damaged") }
            let bytes = Self.compacted(newest.values, newest.revision)
            do throws(StorageError) {
                try fileSystem.writeAtomically(name, bytes)
            } catch {
                // A full disk must not keep a broker from reading; what is newest stays as it is.
                guard error.isNoSpace, name == copyPath else { throw error }
                notices.append("no copy of the metadata could be written: \(error)")
            }
        }
        try fileSystem.syncDirectory(folder)
        var state = State(file: try fileSystem.open(path, .readWrite(create: false)), size: 0, compactedSize: 0)
        state.values = newest.values
        state.revision = newest.revision
        state.size = try state.file.size()
        state.compactedSize = state.size
        if let copy = try? fileSystem.open(copyPath, .readWrite(create: false)), let size = try? copy.size() {
            state.copy = copy
            state.copySize = size
        }
        self.notices = notices
        self.state = Lock(state)
    }

    /// What the start found, for the log.
    public let notices: [String]

    private struct Loaded {
        var values: [String: MetadataValue] = [:]
        var revision: Int64 = 0
        /// Bytes of the whole entries.
        var size: Int64 = 0
        var bytes: [UInt8] = []
    }

    private enum Found {
        case missing
        case whole(Loaded)
        case damaged(StorageError)
    }

    private static func load(_ fileSystem: any FileSystem, _ path: String) throws(StorageError) -> Found {
        guard try fileSystem.exists(path) else { return .missing }
        let bytes = try fileSystem.readWhole(path, limit: 1 << 30)
        var loaded = Loaded()
        loaded.bytes = bytes
        do throws(StorageError) {
            loaded.size = try replay(bytes, into: &loaded, path: path)
            return .whole(loaded)
        } catch {
            return .damaged(error)
        }
    }

    /// Cuts what follows the last whole entry (it is torn: nobody was told of it), and makes sure that the rest is on disk.
    /// A sync alone would not do: after one that failed, the kernel takes pages for clean that never got there.
    private static func makeDurable(
        _ loaded: Loaded, _ fileSystem: any FileSystem, _ path: String
    ) throws(StorageError) {
        let file = try fileSystem.open(path, .readWrite(create: false))
        defer { file.close() }
        if loaded.size < Int64(loaded.bytes.count) { try file.truncate(to: loaded.size) }
        do throws(StorageError) {
            try file.write(Array(loaded.bytes[..<Int(loaded.size)]), at: 0)
        } catch {
            // Where even that takes room and there is none, the sync has to do: a full disk must not keep a broker from
            // reading.
            if !error.isNoSpace { throw error }
        }
        try file.sync()
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
        do throws(StorageError) {
            try state.copy?.write(entry, at: state.copySize)
            try state.copy?.sync()
            state.copySize += Int64(entry.count)
        } catch {
            // The entry is durable. A copy with half an entry would look torn, and is behind: it is not used again.
            state.copy = nil
        }
    }

    private func compact(_ state: inout State) throws(StorageError) {
        let bytes = Self.compacted(state.values, state.revision)
        try fileSystem.writeAtomically(path, bytes)
        state.file.close()
        state.file = try fileSystem.open(path, .readWrite(create: false))
        state.size = Int64(bytes.count)
        state.compactedSize = state.size
        guard state.copy != nil else { return }
        let copyPath = Path.join(Path.parent(path), Self.copyName)
        try fileSystem.writeAtomically(copyPath, bytes)
        state.copy = try fileSystem.open(copyPath, .readWrite(create: false))
        state.copySize = state.size
    }

    private static func compacted(_ values: [String: MetadataValue], _ revision: Int64) -> [UInt8] {
        var writer = ByteWriter(capacity: 64 << 10)
        writeHeader(&writer)
        // Each key keeps the revision that wrote it, so entries are written one a revision, oldest first.
        let byRevision = Dictionary(grouping: values, by: { $0.value.revision })
        for revision in byRevision.keys.sorted() {
            writeEntry(revision, byRevision[revision]!.map { ($0.key, $0.value.bytes) }, to: &writer)
        }
        // The store's own revision, which may be that of a removal.
        if revision > 0 { writeEntry(revision, [], to: &writer) }
        return writer.array
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
        apply(changes, revision, &state.values, &state.revision)
    }

    private static func apply(
        _ changes: [(key: String, value: [UInt8]?)], _ revision: Int64, _ values: inout [String: MetadataValue],
        _ newest: inout Int64
    ) {
        for (key, value) in changes {
            values[key] = value.map { MetadataValue(bytes: $0, revision: revision) }
        }
        newest = max(newest, revision)
    }

    /// Applies every whole entry; gives where the last one ends.
    private static func replay(_ bytes: [UInt8], into state: inout Loaded, path: String) throws(StorageError) -> Int64 {
        do {
            return try bytes.withUnsafeBytes { raw throws(DecodeError) in try replay(raw, into: &state) }
        } catch {
            if bytes.count >= 8, bytes[0..<4].elementsEqual([0x4d, 0x4c, 0x4d, 0x44]) {
                let found = UInt16(bytes[4]) << 8 | UInt16(bytes[5])
                if found > version {
                    throw StorageError(
                        .corrupt(
                            "not the metadata of this version: it has format version \(found), this program reads "
                                + "\(version). Start it with the release that wrote it, or a later one"),
                        .read, path: path)
                }
            }
            throw StorageError(.corrupt("not the metadata of this version: \(error)"), .read, path: path)
        }
    }

    private static func replay(_ bytes: UnsafeRawBufferPointer, into state: inout Loaded) throws(DecodeError) -> Int64 {
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
            apply(changes, revision, &state.values, &state.revision)
            end = body.upperBound
        }
        // Byte by byte, as the damage may be in a length. What is looked
        // at is the torn entry, or the rest of a file that is refused.
        for at in end..<bytes.count where wholeEntry(in: bytes, at: at, newerThan: state.revision) != nil {
            throw .invalid("entry, which later ones prove to be damaged and not torn", position: end)
        }
        return Int64(end)
    }

    /// Returns the body of the entry at byte `at`, or nil when there is no whole and undamaged one.
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
