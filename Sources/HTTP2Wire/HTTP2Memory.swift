internal import CNGHTTP2
internal import Glibc

/// The memory in which sessions of one thread put frames together: 16 KiB that each session would have for itself, and need only while it
/// is asked for output.
///
/// Proof that they may share it: a session writes a frame into it and hands out the whole of it in one call (`HTTP2Session.nextOutput`),
/// the caller copies it before he asks any session again, and the library begins the next frame at its start. What of a frame does not
/// fit (fields of more than 16 KiB) is in further pieces, which are the session's own. Confined to one thread.
public final class HTTP2FrameSpace {
    fileprivate static let byteCount = 24 << 10
    fileprivate let start = UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: 16)

    public init() {}

    deinit { start.deallocate() }
}

/// Where a session's library has its memory from: from `malloc`, but for two pieces that it takes when it is made and that idle connections
/// would hold in vain.
///
/// - the one in which frames are put together is `HTTP2FrameSpace`;
/// - the table of streams, a page, is given back to the kernel while it has none (`rest`).
///
/// Which pieces those are shows their size; a library that takes others costs the memory and nothing else.
final class HTTP2Memory {
    private let space: HTTP2FrameSpace
    /// Bytes of `space` that are in use; 0: it is not in use.
    private var shared = 0
    /// The table of streams.
    private var page: UnsafeMutableRawPointer?
    /// The session is being made.
    private var isBeginning = true

    /// A piece of the library's that is longer is the one for frames.
    private static let longestOther = 16 << 10
    private static let pageBytes = Int(getpagesize())

    init(_ space: HTTP2FrameSpace) { self.space = space }

    /// Makes a session by it.
    func begin(_ make: (UnsafeMutablePointer<nghttp2_mem>) -> Int32) -> Int32 {
        var calls = nghttp2_mem()
        calls.mem_user_data = Unmanaged.passUnretained(self).toOpaque()
        calls.malloc = { count, own in HTTP2Memory.own(own).allocate(count) }
        calls.free = { piece, own in HTTP2Memory.own(own).free(piece) }
        calls.calloc = { count, size, own in HTTP2Memory.own(own).allocateZeros(count, size) }
        calls.realloc = { piece, count, own in HTTP2Memory.own(own).reallocate(piece, count) }
        defer { isBeginning = false }
        return make(&calls)
    }

    /// Gives back what a session without streams does not need. It is there again, as it was, when it is used.
    func rest() {
        guard let page else { return }
        let words = page.assumingMemoryBound(to: UInt.self)
        for index in 0..<Self.pageBytes / MemoryLayout<UInt>.size where words[index] != 0 { return }
        // A page of zeros that the kernel takes is a page of zeros when it is looked at again.
        _ = madvise(page, Self.pageBytes, MADV_DONTNEED)
    }

    private static func own(_ user: UnsafeMutableRawPointer?) -> HTTP2Memory {
        Unmanaged<HTTP2Memory>.fromOpaque(user!).takeUnretainedValue()
    }

    private func allocate(_ count: Int) -> UnsafeMutableRawPointer? {
        guard isBeginning, shared == 0, count > Self.longestOther, count <= HTTP2FrameSpace.byteCount else { return malloc(count) }
        shared = count
        return space.start
    }

    private func allocateZeros(_ count: Int, _ size: Int) -> UnsafeMutableRawPointer? {
        guard isBeginning, page == nil, count * size == Self.pageBytes else { return calloc(count, size) }
        page = aligned_alloc(Self.pageBytes, Self.pageBytes)
        page?.initializeMemory(as: UInt8.self, repeating: 0, count: Self.pageBytes)
        return page
    }

    private func reallocate(_ piece: UnsafeMutableRawPointer?, _ count: Int) -> UnsafeMutableRawPointer? {
        guard let piece else { return allocate(count) }
        if piece == page { page = nil }
        guard piece == space.start else { return realloc(piece, count) }
        guard let own = malloc(count) else { return nil }
        own.copyMemory(from: space.start, byteCount: min(count, shared))
        shared = 0
        return own
    }

    private func free(_ piece: UnsafeMutableRawPointer?) {
        guard let piece else { return }
        if piece == space.start { return shared = 0 }
        if piece == page { page = nil }
        Glibc.free(piece)
    }
}
