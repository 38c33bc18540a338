/// The names by which an exchange of segments is known, so that recovery can finish it: see <doc:Compaction>.
enum CleanerName {
    /// Being written.
    static func unfinished(_ baseOffset: Int64) -> String { Segment.name(baseOffset, ".cleaned") }

    /// Whole and synced: stands for all segments from `baseOffset` up to `endOffset`, exclusive.
    static func exchange(_ baseOffset: Int64, _ endOffset: Int64) -> String {
        Segment.name(baseOffset, "-") + Segment.name(endOffset, ".swap")
    }

    /// The range in an exchange's name; nil for another name.
    static func range(ofExchange name: String) -> Range<Int64>? {
        guard name.hasSuffix(".swap"), name.utf8.count == 46 else { return nil }
        let parts = name.dropLast(5).split(separator: "-")
        guard parts.count == 2, let base = Int64(parts[0]), let end = Int64(parts[1]), base < end else { return nil }
        return base..<end
    }
}
