import CSystem

/// The C heap, which keeps what is freed for its own use.
public enum Heap {
    /// Gives the pages of freed memory back to the operating system: some milliseconds, so not on an event loop.
    public static func returnFreeMemory() { millrace_return_free_memory() }
}
