import Glibc

/// 4 KiB of a simulated file: what readers see, and what the disk may hold of each 512-byte sector.
///
/// ```
/// bytes    what a read returns
/// before   what is surely on disk; nil while that is the same as `bytes`
/// dirty    sectors written since the last sync: on disk is `before`, `bytes` or one of `between`
/// lost     sectors that a failed sync dropped: on disk is `before`, and no later sync writes them
/// ```
/// Arrays are shared until written, so a copy of a file system costs little.
struct SimulatedPage {
    static let size = 4096
    static let sectorSize = 512
    static let sectors = size / sectorSize
    static let zeros = [UInt8](repeating: 0, count: size)
    /// Versions kept of a page's sectors between the synced one and the newest; the oldest goes first.
    static let maxBetween = 8

    struct Version {
        let sector: Int
        let bytes: [UInt8]
    }

    private(set) var bytes: [UInt8] = zeros
    private(set) var before: [UInt8]?
    private(set) var dirty: UInt8 = 0
    private(set) var lost: UInt8 = 0
    private(set) var between: [Version] = []

    init() {}

    /// A page that is on disk as it is.
    init(synced bytes: [UInt8]) { self.bytes = bytes }

    static func byteRange(ofSector sector: Int) -> Range<Int> { sector * sectorSize..<(sector + 1) * sectorSize }

    mutating func write(_ source: UnsafeRawBufferPointer, at start: Int) {
        if before == nil { before = bytes }
        let sectors = start / Self.sectorSize...(start + source.count - 1) / Self.sectorSize
        for sector in sectors where dirty & (1 << sector) != 0 {
            if between.count == Self.maxBetween { between.removeFirst() }
            between.append(Version(sector: sector, bytes: Array(bytes[Self.byteRange(ofSector: sector)])))
        }
        for sector in sectors {
            dirty |= 1 << sector
            lost &= ~(1 << sector)
        }
        if source.count == Self.size, Self.isZero(source) {
            // Files that are written ahead with zeros share one page.
            bytes = Self.zeros
        } else {
            bytes.withUnsafeMutableBytes {
                $0.baseAddress!.advanced(by: start).copyMemory(from: source.baseAddress!, byteCount: source.count)
            }
        }
    }

    /// The file was cut at `start` of this page: the rest is zero in every version that may be on disk.
    mutating func cut(at start: Int) {
        Self.zero(&bytes, from: start)
        if before != nil { Self.zero(&before!, from: start) }
        between = between.map { version in
            var bytes = version.bytes
            Self.zero(&bytes, from: max(0, min(Self.sectorSize, start - version.sector * Self.sectorSize)))
            return Version(sector: version.sector, bytes: bytes)
        }
    }

    /// Dirty sectors reach the disk.
    mutating func sync() {
        if lost == 0 {
            before = nil
        } else {
            for sector in 0..<Self.sectors where dirty & (1 << sector) != 0 { keep(sector) }
        }
        dirty = 0
        between = []
    }

    /// The sync failed: each dirty sector reached the disk or is dropped. The page counts as clean from now on.
    mutating func failSync(_ random: inout SeededRandom) {
        for sector in 0..<Self.sectors where dirty & (1 << sector) != 0 {
            if random.chance(0.5) { keep(sector) } else { lost |= 1 << sector }
        }
        if lost == 0 { before = nil }
        dirty = 0
        between = []
    }

    /// The page is read from disk again: what was lost is seen to be.
    mutating func evict() {
        guard lost != 0, let before else { return }
        for sector in 0..<Self.sectors where lost & (1 << sector) != 0 {
            let range = Self.byteRange(ofSector: sector)
            bytes.replaceSubrange(range, with: before[range])
        }
        lost = 0
        if dirty == 0 { self.before = nil }
    }

    /// Turns bits, on disk and in every version.
    mutating func damage(at offset: Int, xor mask: UInt8) {
        bytes[offset] ^= mask
        before?[offset] ^= mask
    }

    /// What a crash leaves: for each dirty sector `choose` says which version survives.
    func afterCrash(_ choose: (_ sector: Int, _ between: Int) -> Survivor) -> [UInt8] {
        guard var result = before else { return bytes }
        for sector in 0..<Self.sectors where dirty & (1 << sector) != 0 {
            let range = Self.byteRange(ofSector: sector)
            let versions = between.filter { $0.sector == sector }
            switch choose(sector, versions.count) {
            case .synced: break
            case .between(let index): result.replaceSubrange(range, with: versions[index].bytes)
            case .newest: result.replaceSubrange(range, with: bytes[range])
            }
        }
        return result
    }

    enum Survivor {
        case synced, newest
        case between(Int)
    }

    private mutating func keep(_ sector: Int) {
        let range = Self.byteRange(ofSector: sector)
        before!.replaceSubrange(range, with: bytes[range])
    }

    private static func zero(_ bytes: inout [UInt8], from start: Int) {
        guard start < bytes.count else { return }
        bytes.withUnsafeMutableBytes { memory in
            _ = memset(memory.baseAddress! + start, 0, memory.count - start)
        }
    }

    private static func isZero(_ source: UnsafeRawBufferPointer) -> Bool {
        zeros.withUnsafeBytes { memcmp($0.baseAddress!, source.baseAddress!, source.count) == 0 }
    }
}
