import ByteBuffers
import KafkaModel
import RecordFormat
public import StorageIO

/// Inspects the data folder of a stopped broker by the same rules as recovery, and sets damage aside. Used by `millrace
/// log`.
public struct LogInspection {
    /// One partition's folder.
    public struct Finding: Sendable {
        public var folder: String
        /// What is known already, and what this look found besides.
        public var quarantine: Quarantine
        public var found: [DamagedRange] = []
        public var segments = 0
        public var batches = 0
        public var bytes: Int64 = 0

        /// Everything that is damaged and not repaired.
        public var damaged: [DamagedRange] { quarantine.damaged }
        public var isDamaged: Bool { !quarantine.isEmpty }
    }

    let fileSystem: any FileSystem
    private let dataFolder: String
    private let known: Checkpoint.Loaded
    /// What is wrong with the checkpoint itself.
    public var notices: [String] { known.notices }

    /// Errors: `.corrupt` for a folder of a newer version.
    public init(_ fileSystem: any FileSystem, dataFolder: String) throws(StorageError) {
        let loaded = try Checkpoint.load(fileSystem, folder: dataFolder, keepsDamaged: false)
        self.init(fileSystem, dataFolder: dataFolder, loaded)
    }

    /// For a partition's folder wherever it lies. Outside of a data folder nothing vouches for its bytes.
    public init(_ fileSystem: any FileSystem, partitionFolder: String) throws(StorageError) {
        let partitions = Path.parent(partitionFolder)
        guard Path.name(partitions) == "partitions" else {
            self.init(fileSystem, dataFolder: partitions, Checkpoint.Loaded(isLost: true))
            return
        }
        try self.init(fileSystem, dataFolder: Path.parent(partitions))
    }

    private init(_ fileSystem: any FileSystem, dataFolder: String, _ known: Checkpoint.Loaded) {
        self.fileSystem = fileSystem
        self.dataFolder = dataFolder
        self.known = known
    }

    /// The partitions' folders, in order.
    public func folders() throws(StorageError) -> [String] {
        let partitions = Path.join(dataFolder, "partitions")
        guard try fileSystem.exists(partitions) else { return [] }
        var folders: [String] = []
        for name in try fileSystem.list(partitions) {
            let path = Path.join(partitions, name)
            if try fileSystem.isDirectory(path) { folders.append(path) }
        }
        return folders
    }

    /// Whether a checkpoint tells how far the log in a partition's folder was written.
    public func vouches(for folder: String) -> Bool { entry(of: folder)?.promise != nil }

    /// What a start would know of a partition's folder.
    func entry(of folder: String) -> Checkpoint.Entry? {
        let partition = known.checkpoint.entries.keys.first {
            Path.name(folder).hasSuffix("-\($0.partitionIndex).\($0.topicID)")
        }
        if let partition { return known.entry(of: partition) }
        return known.isLost ? Checkpoint.Entry(isLost: true) : nil
    }

    /// Reads every segment of a partition. What lies behind the checkpoint is left to the broker's next start, which
    /// has the journal to judge it by.
    public func look(at folder: String) throws(StorageError) -> Finding {
        var finding = Finding(
            folder: folder, quarantine: try Quarantine.load(fileSystem, folder: folder) ?? Quarantine())
        let entry = entry(of: folder)
        let bases = try fileSystem.list(folder).compactMap(Segment.baseOffset(ofLogName:)).sorted()
        for (place, base) in bases.enumerated() {
            let next = place + 1 < bases.count ? bases[place + 1] : nil
            try look(at: base, next: next, entry, &finding)
        }
        for range in finding.found { _ = finding.quarantine.add(range) }
        return finding
    }

    private func look(
        at base: Int64, next: Int64?, _ entry: Checkpoint.Entry?, _ finding: inout Finding
    ) throws(StorageError) {
        let file = try fileSystem.open(Path.join(finding.folder, Segment(baseOffset: base).logName), .read)
        defer { file.close() }
        let size = try file.size()
        finding.segments += 1
        finding.bytes += size
        let vouched = Vouched(base, next: next, size: size, entry)
        var batches = 0
        let survey = try survey(file, vouched, entry, gaps: finding.quarantine.gaps) { _, _ in batches += 1 }
        finding.batches += batches
        finding.found += survey.found.damage.filter { !finding.quarantine.hasRepaired($0) }
        if let lost = vouched.lostEnd, finding.found.last?.endOffset != lost.endOffset { finding.found.append(lost) }
    }

    /// Copies each damaged part beside its segment as `<segment>.damaged-<byte>`, and makes it a gap that readers pass
    /// over; the partition takes appends again. Nothing is removed or changed in the segments. Gives what was done, or
    /// with `isDryRun` what would be.
    public func repair(_ finding: Finding, isDryRun: Bool) throws(StorageError) -> [String] {
        var done: [String] = []
        var quarantine = finding.quarantine
        for place in quarantine.ranges.indices where !quarantine.ranges[place].isRepaired {
            let range = quarantine.ranges[place]
            let name = Segment.name(range.segmentBase, ".log")
            if range.endPosition > range.startPosition {
                let aside = Path.join(finding.folder, "\(name).damaged-\(range.startPosition)")
                if !isDryRun {
                    let bytes = try fileSystem.readPart(Path.join(finding.folder, name), range)
                    try fileSystem.writeAtomically(aside, bytes)
                }
                done.append("\(range.endPosition - range.startPosition) bytes of \(name) set aside as \(aside)")
            }
            done.append(
                "offsets \(range.baseOffset) to \(range.endOffset - 1) of \(Path.name(finding.folder)) made a gap: "
                    + range.reason)
            quarantine.ranges[place].isRepaired = true
        }
        if let reason = quarantine.endReason {
            done.append("\(Path.name(finding.folder)) takes appends again; it refused them because \(reason)")
            quarantine.endReason = nil
        }
        if !isDryRun, !done.isEmpty { try quarantine.store(fileSystem, folder: finding.folder) }
        return done
    }
}

extension FileSystem {
    fileprivate func readPart(_ path: String, _ range: DamagedRange) throws(StorageError) -> [UInt8] {
        guard try exists(path) else { return [] }
        let file = try open(path, .read)
        defer { file.close() }
        return try file.read(Int(range.endPosition - range.startPosition), at: range.startPosition)
    }
}
