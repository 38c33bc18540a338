import ByteBuffers
import KafkaModel
public import RecordFormat
public import StorageIO

/// One segment at a time, as `millrace log verify` and `log dump` show it. What is a batch, what is damage and what a
/// torn write left is decided by `SegmentWalk`, as at a start of the broker.
extension LogInspection {
    /// What the file of a segment holds.
    public struct SegmentFinding: Sendable {
        public var baseOffset: Int64
        /// Of the file.
        public var name: String { Segment.name(baseOffset, ".log") }
        /// In bytes.
        public var size: Int64 = 0
        public var batches = 0
        public var records: Int64 = 0
        /// Where no batch is, by ascending position.
        public var places: [Place] = []

        public var isDamaged: Bool { places.contains { $0.kind == .damage } }
    }

    /// Bytes of a segment that are no batch.
    public struct Place: Sendable, Equatable {
        public enum Kind: Sendable {
            /// Zeros that a direct write fills its last block with.
            case padding
            /// A write that was torn, and never acknowledged: the next start cuts it.
            case torn
            /// Damage that `log repair` has set aside.
            case repaired
            /// Bytes that are not what was written.
            case damage
        }

        public var kind: Kind
        public var position: Int64
        /// For a person.
        public var reason: String

        public init(kind: Kind, position: Int64, reason: String) {
            self.kind = kind
            self.position = position
            self.reason = reason
        }
    }

    /// Walks every segment of a partition's folder, and hands each whole batch to `body`, with its byte in the segment's
    /// file. The batch is valid during the call.
    ///
    /// - Parameter only: the segment with this base offset alone.
    public func segments(
        of folder: String, only: Int64? = nil, _ body: (RecordBatchHeader, Int64, _ baseOffset: Int64) -> Void
    ) throws(StorageError) -> [SegmentFinding] {
        let quarantine = try Quarantine.load(fileSystem, folder: folder) ?? Quarantine()
        let entry = entry(of: folder)
        let bases = try fileSystem.list(folder).compactMap(Segment.baseOffset(ofLogName:)).sorted()
        var findings: [SegmentFinding] = []
        for (place, base) in bases.enumerated() where only == nil || only == base {
            let next = place + 1 < bases.count ? bases[place + 1] : nil
            findings.append(
                try segment(base, next: next, in: folder, entry, quarantine) { body($0, $1, base) })
        }
        return findings
    }

    private func segment(
        _ base: Int64, next: Int64?, in folder: String, _ entry: Checkpoint.Entry?, _ quarantine: Quarantine,
        _ body: (RecordBatchHeader, Int64) -> Void
    ) throws(StorageError) -> SegmentFinding {
        let file = try fileSystem.open(Path.join(folder, Segment(baseOffset: base).logName), .read)
        defer { file.close() }
        var finding = SegmentFinding(baseOffset: base, size: try file.size())
        let vouched = Vouched(base, next: next, size: finding.size, entry)
        var batches = 0
        var records: Int64 = 0
        let count = { (header: RecordBatchHeader, position: Int64) in
            batches += 1
            records += Int64(header.recordCount)
            body(header, position)
        }
        let survey = try survey(file, vouched, entry, gaps: quarantine.gaps, count)
        var places = survey.found.places(of: finding.size, quarantine)
        if let lost = vouched.lostEnd, survey.found.damage.last?.endOffset != lost.endOffset {
            places.append(.damage(lost, isRepaired: quarantine.hasRepaired(lost)))
        }
        if survey.found.tail == .batches || survey.found.tail == .damage {
            let rest = try rest(file, vouched, entry, gaps: quarantine.gaps, expected: survey.expected, count)
            places += rest.places(of: finding.size, quarantine)
        }
        finding.places = places
        finding.batches = batches
        finding.records = records
        return finding
    }

    /// Judges what lies behind the bytes that are vouched for, without the journal that a start would ask.
    private func rest(
        _ file: any StorageFile, _ vouched: Vouched, _ entry: Checkpoint.Entry?, gaps: [Range<Int64>],
        expected: Int64?, _ body: (RecordBatchHeader, Int64) -> Void
    ) throws(StorageError) -> SegmentWalk.Survey {
        var expected = expected
        var read: Int64 = 0
        return try walk(entry, gaps: gaps)
            .unvouched(vouched.base, next: vouched.next, isRebuilt: entry?.isLost ?? false)
            .survey(
                file, segmentBase: vouched.base, from: vouched.end, to: vouched.size, expected: &expected,
                limit: vouched.next, pool: .shared, read: &read, body)
    }

    /// Shows the batches of one segment's file whose headers may stand where they stand, damaged or not, until `body`
    /// gives false. Gives where that ends before the file does.
    public static func batches(
        of file: any StorageFile, isLast: Bool, while body: (RecordBatchHeader, Int64) -> Bool
    ) throws(StorageError) -> Place? {
        var walk = SegmentWalk(isContiguous: false, verifies: false)
        walk.readsWholeBatches = true
        let size = try file.size()
        var expected: Int64?
        var read: Int64 = 0
        guard
            case .broken(let at) = try walk.run(
                file, from: 0, to: size, expected: &expected, pool: .shared, read: &read, while: body)
        else { return nil }
        if try SegmentWalk.isPadding(file, from: at, to: size) { return .padding(at, of: size) }
        if isLast, try SegmentWalk.isTorn(file, from: at, to: size) { return .torn(at, of: size) }
        return Place(kind: .damage, position: at, reason: "no whole record batch")
    }
}

extension LogInspection.Place {
    fileprivate static func padding(_ position: Int64, of size: Int64) -> Self {
        Self(kind: .padding, position: position, reason: "\(size - position) zero bytes behind the last batch")
    }

    fileprivate static func torn(_ position: Int64, of size: Int64) -> Self {
        Self(
            kind: .torn, position: position,
            reason: "the torn end of a write, \(size - position) bytes; the next start cuts it")
    }

    fileprivate static func damage(_ range: DamagedRange, isRepaired: Bool) -> Self {
        Self(kind: isRepaired ? .repaired : .damage, position: range.startPosition, reason: range.reason)
    }
}

extension SegmentWalk.Survey {
    fileprivate func places(of size: Int64, _ quarantine: Quarantine) -> [LogInspection.Place] {
        let places = damage.map { LogInspection.Place.damage($0, isRepaired: quarantine.hasRepaired($0)) }
        return switch tail {
        case .batches, .damage: places
        case .padding(let at): places + [.padding(at, of: size)]
        case .torn(let at): places + [.torn(at, of: size)]
        }
    }
}

extension LogInspection {
    /// The part of a segment's file that a checkpoint vouches for.
    struct Vouched {
        let base: Int64
        let next: Int64?
        let size: Int64
        /// Exclusive, in bytes. 0: nothing is vouched for yet.
        let end: Int64
        /// The offset that follows the last vouched batch.
        let limit: Int64
        /// What is missing behind the file's end.
        let lostEnd: DamagedRange?

        init(_ base: Int64, next: Int64?, size: Int64, _ entry: Checkpoint.Entry?) {
            self.base = base
            self.next = next
            self.size = size
            guard let promise = entry?.promise, base <= promise.segmentBase else {
                (end, limit, lostEnd) = (0, next ?? .max, nil)
                return
            }
            guard base == promise.segmentBase else {
                (end, limit, lostEnd) = (size, next ?? promise.endOffset, nil)
                return
            }
            end = min(size, promise.position)
            limit = promise.endOffset
            lostEnd =
                size >= promise.position
                ? nil
                : DamagedRange(
                    segmentBase: base, startPosition: size, endPosition: size, baseOffset: promise.endOffset - 1,
                    endOffset: promise.endOffset, reason: "\(size) bytes where \(promise.position) had been synced")
        }
    }

    /// What stands in the vouched part, and the offset that follows it.
    func survey(
        _ file: any StorageFile, _ vouched: Vouched, _ entry: Checkpoint.Entry?, gaps: [Range<Int64>],
        _ body: (RecordBatchHeader, Int64) -> Void
    ) throws(StorageError) -> (found: SegmentWalk.Survey, expected: Int64?) {
        var expected: Int64? = vouched.base
        guard vouched.end > 0 else { return (SegmentWalk.Survey(), expected) }
        var walk = walk(entry, gaps: gaps)
        walk.maxEpoch = max(0, entry?.epochs.latest ?? .max)
        var read: Int64 = 0
        let isWhole = vouched.base < entry?.segmentBase ?? .min
        let found = try walk.vouched(vouched.base, limit: vouched.limit, isWhole: isWhole).survey(
            file, segmentBase: vouched.base, from: 0, to: vouched.end, expected: &expected, limit: vouched.limit,
            pool: .shared, read: &read, body)
        return (found, expected)
    }

    /// The rules of a start that knows no more than the checkpoint: whether a log was ever compacted is not known without one.
    private func walk(_ entry: Checkpoint.Entry?, gaps: [Range<Int64>]) -> SegmentWalk {
        SegmentWalk(isContiguous: !(entry?.promise?.mayHaveGaps ?? true), gaps: gaps, verifies: true)
    }
}

extension Quarantine {
    /// Whether `log repair` has set this range aside.
    func hasRepaired(_ range: DamagedRange) -> Bool {
        ranges.contains {
            $0.isRepaired && $0.baseOffset <= range.baseOffset && range.endOffset <= $0.endOffset
        }
    }
}
