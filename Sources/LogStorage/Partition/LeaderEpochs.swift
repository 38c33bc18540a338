import ByteBuffers
import KafkaModel

/// Which leader epoch began at which offset, oldest first. Source: KIP-101, KIP-279.
public struct LeaderEpochs: Sendable, Equatable {
    struct Entry: Sendable, Equatable {
        var epoch: Int32
        var startOffset: Int64
    }

    private(set) var entries: [Entry] = []

    public init() {}

    var latest: Int32? { entries.last?.epoch }

    /// Notes that records from `startOffset` on carry `epoch`. An epoch that is not newer than the latest is ignored.
    mutating func begin(_ epoch: Int32, at startOffset: Int64) {
        if let last = entries.last, last.epoch >= epoch { return }
        // An epoch that wrote nothing leaves no trace.
        while let last = entries.last, last.startOffset >= startOffset { entries.removeLast() }
        entries.append(Entry(epoch: epoch, startOffset: startOffset))
    }

    /// The largest epoch not above `requested`, and the offset (exclusive) at which it ended.
    /// An epoch before all known ones ended where they begin; (-1, -1) when it is newer than the latest, or none is known.
    public func end(of requested: Int32, logEndOffset: Int64) -> (epoch: Int32, endOffset: Int64) {
        guard requested >= 0, let latest = entries.last else { return (-1, -1) }
        if requested == latest.epoch { return (latest.epoch, logEndOffset) }
        if requested > latest.epoch { return (-1, -1) }
        guard let next = entries.firstIndex(where: { $0.epoch > requested }) else { return (-1, -1) }
        if next == 0 { return (requested, entries[0].startOffset) }
        return (entries[next - 1].epoch, entries[next].startOffset)
    }

    /// The epoch of the record at `offset`, or -1.
    public func epoch(at offset: Int64) -> Int32 {
        entries.last(where: { $0.startOffset <= offset })?.epoch ?? -1
    }

    /// Drops what lies wholly below the log's start, keeping the epoch in force there.
    mutating func truncateStart(to offset: Int64) {
        guard let kept = entries.lastIndex(where: { $0.startOffset <= offset }) else { return }
        entries.removeFirst(kept)
        entries[0].startOffset = max(entries[0].startOffset, offset)
    }

    mutating func truncateEnd(to offset: Int64) {
        while let last = entries.last, last.startOffset >= offset { entries.removeLast() }
    }

    func encode(to writer: inout ByteWriter) {
        writer.int32(Int32(entries.count))
        for entry in entries {
            writer.int32(entry.epoch)
            writer.int64(entry.startOffset)
        }
    }

    init(from reader: inout ByteReader) throws(DecodeError) {
        let count = try reader.int32()
        guard count >= 0, Int(count) * 12 <= reader.remaining else {
            throw .invalid("leader epoch count", position: reader.position)
        }
        for _ in 0..<count {
            entries.append(Entry(epoch: try reader.int32(), startOffset: try reader.int64()))
        }
    }
}
