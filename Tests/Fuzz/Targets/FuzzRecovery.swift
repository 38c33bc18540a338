import BrokerTestKit
import ByteBuffers
import KafkaModel
import RecordFormat
import StorageIO

@testable import LogStorage

/// `flags u8 | edits`: a small data folder of a killed broker (flag 1: of one that stopped in order) is edited and opened.
/// Each edit: `file u8 | kind u8 | offset u16 | count u8 | bytes`. Flag 2: the CRCs of checkpoint and journal frames are
/// made right afterwards, so that what they protect is reached.
///
/// Recovery may refuse the folder or set parts of it aside. Whatever it opens must be readable to its end, or say why not,
/// take records, and open again.
@Sendable func fuzzRecovery(_ bytes: UnsafeRawBufferPointer) {
    var input = Input(bytes)
    let flags = input.byte()
    let disk = (flags & 1 == 0 ? killed : stopped).crash(keeping: .everything, seed: 1)
    var edits = 0
    while !input.isAtEnd, edits < 16 {
        edit(disk, &input)
        edits += 1
    }
    if flags & 2 != 0 { reseal(disk) }
    guard let store = Store(on: disk) else { return }
    store.readAll()
    store.append()
    store.readAll()
    let again = Store(on: disk.crash(keeping: .everything, seed: 2))
    again?.readAll()
    store.stop()
    if let clean = Store(on: disk.crash(keeping: .everything, seed: 3)) { clean.readAll() }
}

// SAFETY: made once, before they are shared; only copies of them are changed.
private let killed = Store.make(stops: false)
private let stopped = Store.make(stops: true)

/// Three partitions on a simulated disk, without threads.
private final class Store {
    private let store: LogStore
    private let logs: [PartitionLog]

    static var settings: LogSettings {
        var settings = LogSettings.small
        settings.segmentBytes = 3 << 10
        return settings
    }

    init?(on disk: SimulatedFileSystem) {
        let options = LogStoreOptions.small(frameBytes: 8 << 10)
        guard let store = try? LogStore(fileSystem: disk, folder: "/data", options: options) else { return nil }
        self.store = store
        logs = (0..<3).map { place in
            store.addPartition(
                topicID: TopicID(high: 9, low: UInt64(place)), topicName: "t\(place)", partitionIndex: 0,
                settings: Self.settings, leadership: .leader(in: LeaderEpoch(0)))
        }
        guard (try? store.recover()) != nil else { return nil }
    }

    static func make(stops: Bool) -> SimulatedFileSystem {
        let disk = SimulatedFileSystem(seed: 1)
        guard let store = Store(on: disk) else { fatalError("an empty folder was refused") }
        for round in 0..<16 {
            for place in 0..<3 where round % (place + 1) == 0 { store.append(to: place, count: 1 + round % 3) }
            store.store.commitPending()
            if round == 9 { try! store.store.checkpoint() }
            if round == 12 { for log in store.logs { try! log.writeBehind(with: nil) } }
        }
        if stops { store.stop() }
        return disk
    }

    private func append(to place: Int, count: Int) {
        let slice = TestBatch(count: count, valueSize: 150).bytes().withUnsafeBytes {
            ChunkPool.shared.slice(copying: $0)
        }
        // A partition whose end is damaged refuses.
        _ = logs[place].append(slice, origin: .client, nowMs: 1_700_000_000_000)
    }

    func append() {
        for place in 0..<3 { append(to: place, count: 2) }
        store.commitPending()
        try? store.checkpoint()
    }

    func stop() { try? store.stop() }

    /// Reads every partition from its start to its end; each read makes progress or is refused.
    func readAll() {
        for log in logs {
            var next = log.logStartOffset
            let end = log.logEndOffset
            while next < end {
                guard case .success(let records) = log.read(from: next, maxBytes: 1 << 16) else { break }
                let before = next
                for slice in records.slices {
                    var cursor = RecordBatchCursor(slice.bytes)
                    while let header = try? cursor.next() { next = max(next, header.lastOffset + 1) }
                }
                if next == before { break }
            }
        }
    }
}

private func files(_ disk: SimulatedFileSystem, _ folder: String = "/data") -> [String] {
    ((try? disk.list(folder)) ?? []).flatMap { name -> [String] in
        let path = Path.join(folder, name)
        return disk.isDirectory(path) ? files(disk, path) : [path]
    }
}

private func edit(_ disk: SimulatedFileSystem, _ input: inout Input) {
    let all = files(disk)
    let path = all[Int(input.byte()) % max(1, all.count)]
    let kind = input.byte()
    let offset = input.uint16()
    let bytes = Array(input.take(Int(input.byte())))
    guard let file = try? disk.open(path, .readWrite(create: false)), let size = try? file.size() else { return }
    defer { file.close() }
    switch kind % 5 {
    case 0: try? file.truncate(to: Int64(offset) % (size + 1))
    case 1: try? file.truncate(to: size + Int64(offset))
    case 2: try? disk.remove(path)
    // At the end, where the newest is.
    case 3: try? file.write(bytes, at: max(0, size - Int64(offset)))
    default: try? file.write(bytes, at: Int64(offset) % (size + 1))
    }
}

private func reseal(_ disk: SimulatedFileSystem) {
    for path in files(disk) {
        guard var bytes = disk.contents(path) else { continue }
        if path.contains("checkpoint"), bytes.count > 16 {
            let crc = bytes.withUnsafeBytes { CRC32C.checksum(UnsafeRawBufferPointer(rebasing: $0[16...])) }
            bytes.withUnsafeMutableBytes { $0.storeBytes(of: crc.bigEndian, toByteOffset: 12, as: UInt32.self) }
        } else if path.hasSuffix(".journal") {
            bytes.withUnsafeMutableBytes { resealFrames($0) }
        } else {
            continue
        }
        guard let file = try? disk.open(path, .readWrite(create: false)) else { continue }
        try? file.write(bytes, at: 0)
        file.close()
    }
}

private func resealFrames(_ bytes: UnsafeMutableRawBufferPointer) {
    var at = 0
    while at + JournalFormat.headerSize <= bytes.count {
        let length = UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: at + 32, as: UInt32.self))
        let used = JournalFormat.headerSize + Int(length)
        if used <= bytes.count - at, used <= JournalFormat.maxFrame {
            bytes.storeBytes(of: 0, toByteOffset: at + 44, as: UInt32.self)
            let crc = CRC32C.checksum(UnsafeRawBufferPointer(rebasing: bytes[at..<at + used]))
            bytes.storeBytes(of: crc.bigEndian, toByteOffset: at + 44, as: UInt32.self)
        }
        at += JournalFormat.block
    }
}
