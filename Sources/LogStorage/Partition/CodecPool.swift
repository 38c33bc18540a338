import ByteBuffers
import RecordFormat

/// Codecs' working memory, lent to one thread at a time.
final class CodecPool: Sendable {
    /// How many unused contexts are kept; a decoder may hold several MiB.
    static let maxKept = 4

    private struct Kept: @unchecked Sendable {
        // SAFETY: a context is in the list or with the one that took it, and the list is behind a lock.
        var contexts: [CompressionContext] = []
    }

    private let kept = Lock(Kept())

    func take() -> CompressionContext { kept.withLock { $0.contexts.popLast() } ?? CompressionContext() }

    func give(_ context: CompressionContext) {
        let boxed = Kept(contexts: [context])
        kept.withLock { if $0.contexts.count < Self.maxKept { $0.contexts += boxed.contexts } }
    }
}
