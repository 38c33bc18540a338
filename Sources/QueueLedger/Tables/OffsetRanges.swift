internal import KafkaModel

/// A set of offsets as ranges in ascending order, in blocks: a change in the middle moves one block, not all behind it.
struct OffsetRanges: Sendable {
    private var blocks: [[Range<Int64>]]
    private static let maxBlock = 256

    /// Makes the set of all offsets from `start` on.
    init(from start: Int64) { blocks = [[start..<OffsetRange.maxOffset.rawValue + 1]] }

    /// Makes a set of ranges that ascend and do not touch.
    init(_ ranges: [Range<Int64>]) {
        blocks = stride(from: 0, to: ranges.count, by: Self.maxBlock / 2).map {
            Array(ranges[$0..<min($0 + Self.maxBlock / 2, ranges.count)])
        }
    }

    func contains(_ offset: Int64) -> Bool {
        guard let block = block(of: offset) else { return false }
        var (low, high) = (0, blocks[block].count)
        while low < high {
            let middle = (low + high) / 2
            if blocks[block][middle].upperBound <= offset { low = middle + 1 } else { high = middle }
        }
        return low < blocks[block].count && blocks[block][low].contains(offset)
    }

    /// Returns the part of `wanted` that is in the set.
    func overlap(with wanted: Range<Int64>) -> [Range<Int64>] {
        var parts: [Range<Int64>] = []
        var at = block(of: wanted.lowerBound) ?? 0
        while at < blocks.count, blocks[at][0].lowerBound < wanted.upperBound {
            for range in blocks[at] where range.overlaps(wanted) { parts.append(range.clamped(to: wanted)) }
            at += 1
        }
        return parts
    }

    mutating func remove(_ removed: Range<Int64>) {
        guard !removed.isEmpty, !blocks.isEmpty else { return }
        var at = block(of: removed.lowerBound) ?? 0
        while at < blocks.count, blocks[at][0].lowerBound < removed.upperBound {
            removeFromBlock(at, removed)
            if blocks[at].isEmpty {
                blocks.remove(at: at)
                continue
            }
            if blocks[at].count > Self.maxBlock {
                let half = blocks[at].count / 2
                blocks.insert(Array(blocks[at][half...]), at: at + 1)
                blocks[at].removeLast(blocks[at].count - half)
            }
            at += 1
        }
    }

    private mutating func removeFromBlock(_ block: Int, _ removed: Range<Int64>) {
        var (low, high) = (0, blocks[block].count)
        while low < high {
            let middle = (low + high) / 2
            if blocks[block][middle].upperBound <= removed.lowerBound { low = middle + 1 } else { high = middle }
        }
        var end = low
        var rest: [Range<Int64>] = []
        while end < blocks[block].count, blocks[block][end].lowerBound < removed.upperBound {
            let range = blocks[block][end]
            if range.lowerBound < removed.lowerBound { rest.append(range.lowerBound..<removed.lowerBound) }
            if removed.upperBound < range.upperBound { rest.append(removed.upperBound..<range.upperBound) }
            end += 1
        }
        blocks[block].replaceSubrange(low..<end, with: rest)
    }

    /// The last block that begins at or before the offset.
    private func block(of offset: Int64) -> Int? {
        var (low, high) = (0, blocks.count)
        while low < high {
            let middle = (low + high) / 2
            if blocks[middle][0].lowerBound <= offset { low = middle + 1 } else { high = middle }
        }
        return low == 0 ? nil : low - 1
    }
}
