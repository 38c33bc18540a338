internal import ByteBuffers

/// Where the ledger is in its log: which snapshot its changes follow, and how many there are.
///
/// A log that was compacted has, in this order: leftovers of older epochs, which the next snapshot replaces; the newest
/// whole snapshot; the changes of its epoch; perhaps the first parts of a snapshot that a crash cut off, which nothing
/// follows but further changes of the old epoch.
struct LedgerJournal: Sendable {
    /// Of the snapshot that the changes follow; 0: none was written yet.
    private(set) var epoch: Int64 = 0
    /// Of the next change.
    private(set) var number: UInt32 = 0
    /// Bytes of the changes since the snapshot, and of the snapshot.
    private var changeBytes = 0
    private var snapshotBytes = 0

    /// While loading: the parts so far of the snapshot that is being read.
    private var parts: [SnapshotPart] = []
    private var partsEpoch: Int64 = 0
    private var partsBytes = 0
    /// The highest epoch that a change named.
    private var newestEpoch: Int64 = 0

    /// Changes up to so many bytes are not worth a snapshot.
    private static let snapshotFloorBytes = 64 << 10

    /// Whether the changes take twice the snapshot's bytes: then a new one makes the log shorter, and costs each change
    /// what it costs itself.
    var wantsSnapshot: Bool { changeBytes > max(Self.snapshotFloorBytes, 2 * snapshotBytes) }

    mutating func appended(_ record: LedgerRecord) {
        number += 1
        changeBytes += record.approximateBytes
    }

    mutating func snapshotAppended(bytes: Int) {
        epoch += 1
        number = 0
        changeBytes = 0
        snapshotBytes = bytes
    }

    // MARK: Reading back

    /// Says whether a change is one of the snapshot that the state is of.
    mutating func replays(_ key: LedgerKey, epoch: Int64, bytes: Int) -> Bool {
        parts = []
        newestEpoch = max(newestEpoch, epoch)
        guard epoch == self.epoch else { return false }
        number = max(number, key.number &+ 1)
        changeBytes += bytes
        return true
    }

    /// Takes one part; returns all once the last one is there.
    mutating func collect(
        _ part: SnapshotPart, _ key: LedgerKey, epoch: Int64, bytes: Int
    ) throws(DecodeError) -> [SnapshotPart]? {
        guard part.index == Int(key.number) else {
            throw .invalid("part of a snapshot under another's key", position: 0)
        }
        if part.index == 0 {
            (parts, partsEpoch, partsBytes) = ([], epoch, 0)
        } else if parts.count != part.index || partsEpoch != epoch || parts[0].partCount != part.partCount {
            // Left over from an older snapshot that had more parts.
            parts = []
            return nil
        }
        parts.append(part)
        partsBytes += bytes
        guard parts.count == part.partCount else { return nil }
        defer { parts = [] }
        guard epoch > self.epoch else { return nil }
        (self.epoch, number, changeBytes, snapshotBytes) = (epoch, 0, 0, partsBytes)
        return parts
    }

    /// - Throws: changes were met whose snapshot was not.
    mutating func finishReplay() throws(DecodeError) {
        parts = []
        guard newestEpoch <= epoch else { throw .invalid("changes without their snapshot", position: 0) }
    }
}

extension LedgerRecord {
    /// Bytes of its value and key, about.
    fileprivate var approximateBytes: Int {
        switch self {
        case .leased(let lease): 64 + 8 * lease.ranges.count
        case .ended(let ranges, _), .released(let ranges, _, _), .extended(let ranges, _), .rejected(let ranges):
            48 + 6 * ranges.count
        case .started: 48
        }
    }
}
