import BrokerCore
import JobLedger

/// What a file that was begun before has in its topics. It is read once more from its beginning, and these rows are passed over.
///
/// ```
///   rows of the file:   counted by the job's progress │ behind that: of each partition, and of the quarantine, the first ones │ not stored
/// ```
/// A window's rows go to their partitions in the file's order, and a log loses nothing but its end: so of those of one partition the first
/// ones are there. Which partition a row goes to is the same each time, for one without a key as well (`FileUpload.partition`).
struct StoredRows {
    /// Of a row that is not acceptable.
    enum Place {
        case counted, behind, nowhere
    }

    /// Rows from the first, good or not, that the job's progress counts.
    let counted: Int
    /// Of its topic's partitions as they were when it was begun: where they are others now, rows would go elsewhere.
    let partitionCount: Int?
    /// What is behind these is not counted by the progress. They stay the job's until all of that was met.
    let floors: JobFloors
    private var byPartition: [Int64]
    private var inQuarantine: Int64

    init(_ resumed: ResumedJob) {
        counted = Int(clamping: resumed.job.progress.rows)
        floors = resumed.job.floors
        partitionCount = floors.topic?.offsets.count
        (byPartition, inQuarantine) = (resumed.rows, resumed.quarantined)
    }

    /// Nothing is left of what is stored behind the progress.
    var isMet: Bool { inQuarantine == 0 && byPartition.allSatisfy { $0 == 0 } }

    mutating func takeRow(of partition: Int) -> Bool {
        guard byPartition.indices.contains(partition), byPartition[partition] > 0 else { return false }
        byPartition[partition] -= 1
        return true
    }

    mutating func takeQuarantined() -> Bool {
        guard inQuarantine > 0 else { return false }
        inQuarantine -= 1
        return true
    }
}
