import CSystem

/// The C heap, which keeps what is freed for its own use.
public enum Heap {
    /// Gives the pages of freed memory back to the operating system: some milliseconds, so not on an event loop.
    public static func returnFreeMemory() { millrace_return_free_memory() }

    /// Blocks of at least this are given back when they are freed. Only what unusual requests take is as large: unpacked
    /// batches, long replies.
    private static let largeBlockBytes = 4 << 20
    /// Free memory that each thread's heap may keep at its end.
    private static let keptBytes = 8 << 20

    /// Lets no thread keep more. Without it, each that has unpacked a large batch once keeps up to 64 MiB, which
    /// `returnFreeMemory` does not reach. To be called once, when the process begins.
    public static func boundKeptMemory() { millrace_bound_kept_memory(Int32(largeBlockBytes), Int32(keptBytes)) }
}
