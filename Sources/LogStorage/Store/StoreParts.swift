import ByteBuffers
import StorageIO
import Telemetry

/// What the parts of a store share: where it stands, how it is set, what bounds and counts all of it, and the partitions. The
/// store makes it once and hands it to each part.
struct StoreParts: Sendable {
    /// Makes room among `handles` when it finds no descriptor.
    let fileSystem: any FileSystem
    /// The data folder.
    let folder: String
    let options: LogStoreOptions
    let pool: ChunkPool
    /// Memory of batches that a start found in the journal, which bounds them. Apart from `pool`, because the edges hold back
    /// their input by what that has handed out: a broker that can write none of this to its segment is to serve all the same.
    let replayPool = ChunkPool()
    let handles: SegmentHandles
    let statistics = LogStatistics()
    let metrics: StoreMetrics
    let requests = MaintenanceRequests()
    let registry = PartitionRegistry()
    let threads = StoreThreads()
    let availability: Availability
    let memory: TailMemory
    let producerLimit: ProducerLimit
    let diskSpace: DiskSpace

    init(
        _ fileSystem: any FileSystem, folder: String, options: LogStoreOptions, pool: ChunkPool,
        metrics: MetricsRegistry
    ) {
        self.folder = folder
        self.metrics = StoreMetrics(registry: metrics)
        self.options = options
        self.pool = pool
        handles = SegmentHandles(fileSystem, limit: options.openSegments)
        self.fileSystem = handles.fileSystem
        availability = Availability(folder: folder, statistics: statistics)
        memory = TailMemory(pool: pool, window: WindowBudget(options))
        producerLimit = ProducerLimit(limit: options.maxProducerStates, requests: requests)
        diskSpace = DiskSpace(
            handles.fileSystem, folder: folder, reserveBytes: options.reserveBytes, memory: memory, requests: requests)
    }
}

/// The store and those of its parts that work on all of it. What they share each of them has by its own name.
protocol StorePart: Sendable {
    var parts: StoreParts { get }
}

extension StorePart {
    var fileSystem: any FileSystem { parts.fileSystem }
    var folder: String { parts.folder }
    var options: LogStoreOptions { parts.options }
    var pool: ChunkPool { parts.pool }
    var replayPool: ChunkPool { parts.replayPool }
    var handles: SegmentHandles { parts.handles }
    var statistics: LogStatistics { parts.statistics }
    var metrics: StoreMetrics { parts.metrics }
    var requests: MaintenanceRequests { parts.requests }
    var registry: PartitionRegistry { parts.registry }
    var threads: StoreThreads { parts.threads }
    var availability: Availability { parts.availability }
    var memory: TailMemory { parts.memory }
    var producerLimit: ProducerLimit { parts.producerLimit }
    var diskSpace: DiskSpace { parts.diskSpace }
}
