/// Options that several commands have.
public enum CommonOptions {
    static let help = Switch("help", "h", "Show this help")
    public static let json = Switch("json", nil, "Write JSON for programs")
    /// Only this partition, of those that the topic has.
    public static let partitions = RepeatableOption<Int32>(
        "partition", "p", "N", .integer(from: 0), "Only this partition")

    // MARK: The cluster

    public static let bootstrap = Option(
        "bootstrap", "b", "HOST:PORT,...", .text,
        "Brokers to ask first (default: $MILLRACE_BOOTSTRAP, else localhost:9092)")
    public static let timeout = Option(
        "timeout", nil, "TIME", .time(1...86_400_000, bare: .seconds),
        "Longest wait for an answer, in seconds or with a unit (default: 15)")
    static let connection: [any DeclaredOption] = [bootstrap, timeout]

    // MARK: Producers

    public static let acks = Option<Acknowledgement>(
        "acks", nil, "ACKS", .choice, "Acknowledgement to wait for (default: all)")
    public static let batchBytes = Option(
        "batch-bytes", nil, "BYTES", .bytes(1...(64 << 20)), "Most bytes in a batch (default: 128KiB)")

    /// Which acknowledgement a producer waits for.
    public enum Acknowledgement: String, CaseIterable, Sendable {
        case all
        case leader = "1"
        case nobody = "0"
    }

    /// How a producer compresses its batches.
    public enum Codec: String, CaseIterable, Sendable {
        case none, gzip, snappy, lz4, zstd
    }
}
