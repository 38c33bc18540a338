public import ByteBuffers
import Configuration
import StorageIO
public import Telemetry

extension Node {
    /// Starts a node within a program or a test: over `folder`, on free ports of loopback, with a pool of its own and one
    /// partition each for the offsets of groups and for transactions.
    ///
    /// - Parameter settings: keys and values as on the command line; they go before what is said here.
    /// - Throws: `ConfigurationError` for the settings, and what `start(_:pool:metrics:)` throws.
    public static func start(
        folder: String, _ settings: [String: String] = [:], pool: ChunkPool = ChunkPool(),
        metrics: MetricsRegistry = MetricsRegistry()
    ) throws -> Node {
        try start(folder: folder, settings, on: PosixFileSystem(), pool: pool, metrics: metrics)
    }

    /// The same on a file system of the caller's.
    static func start(
        folder: String, _ settings: [String: String] = [:], on files: any FileSystem, pool: ChunkPool = ChunkPool(),
        metrics: MetricsRegistry = MetricsRegistry()
    ) throws -> Node {
        let values = [
            "log.dirs": folder, "listeners": "127.0.0.1:0", "http.listener": "127.0.0.1:0",
            "offsets.topic.num.partitions": "1", "transaction.state.log.num.partitions": "1",
        ].merging(settings) { $1 }
        let configuration = try Configuration.load(
            file: nil, environment: [:], flags: values.map { (key: $0.key, value: $0.value, flag: "--set") })
        return try start(configuration, on: files, pool: pool, metrics: metrics)
    }
}
