import CommandSyntax
import Glibc

/// Standard output, gathered into writes of 64 KiB. One thread uses it.
final class Output {
    // SAFETY: commands write from the main thread only.
    nonisolated(unsafe) static let standard = Output(descriptor: STDOUT_FILENO)

    private let descriptor: Int32
    private var buffer: [UInt8] = []
    private var failure: Int32 = 0
    static let flushAt = 1 << 16

    init(descriptor: Int32) { self.descriptor = descriptor }

    func write(_ text: String) { write(text.utf8) }

    func write(_ bytes: some Sequence<UInt8>) {
        buffer.append(contentsOf: bytes)
        if buffer.count >= Self.flushAt { flush() }
    }

    func write(_ bytes: UnsafeRawBufferPointer) {
        buffer.append(contentsOf: bytes)
        if buffer.count >= Self.flushAt { flush() }
    }

    /// One JSON document and a newline.
    func writeJSON(_ body: (inout JSONWriter) throws -> Void) rethrows {
        var json = JSONWriter()
        try body(&json)
        write(json.bytes)
        write("\n")
    }

    /// Whether everything so far could be written, and somebody still reads.
    var isIntact: Bool { failure == 0 }

    /// Looks whether the reader of a pipe has gone, which a write would only find out later.
    func checkReader() {
        var entry = pollfd(fd: descriptor, events: 0, revents: 0)
        if poll(&entry, 1, 0) > 0, entry.revents & Int16(POLLERR) != 0, failure == 0 { failure = EPIPE }
    }

    func flush() {
        var start = 0
        while start < buffer.count, failure == 0 {
            let written = buffer.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress! + start, $0.count - start) }
            if written < 0 {
                if errno != EINTR { failure = errno }
            } else {
                start += written
            }
        }
        buffer.removeAll(keepingCapacity: true)
    }

    func finish() throws {
        flush()
        // `millrace consume … | head`: who reads no more has what they wanted.
        if failure != 0 && failure != EPIPE {
            throw CommandFailure("cannot write the output: " + String(cString: strerror(failure)))
        }
    }
}

/// Standard error: complaints, and progress for a person who looks on.
enum Terminal {
    static let showsProgress = isatty(STDERR_FILENO) == 1

    /// `text` may hold what a broker says.
    static func complain(_ text: String) {
        clearProgress()
        var line = Array((TerminalText.escaped(text, keepsLines: true) + "\n").utf8)
        _ = Glibc.write(STDERR_FILENO, &line, line.count)
    }

    // SAFETY: commands report progress from the main thread only.
    nonisolated(unsafe) private static var lastProgress: Int64 = 0
    nonisolated(unsafe) private static var hasProgress = false

    /// Replaces the progress line, at most ten times a second, and only on a terminal.
    static func progress(_ text: @autoclosure () -> String) {
        guard showsProgress else { return }
        let now = Clock.milliseconds
        guard now - lastProgress >= 100 else { return }
        lastProgress = now
        hasProgress = true
        var line = Array(("\r\u{1b}[K" + text()).utf8)
        _ = Glibc.write(STDERR_FILENO, &line, line.count)
    }

    static func clearProgress() {
        guard hasProgress else { return }
        hasProgress = false
        var line = Array("\r\u{1b}[K".utf8)
        _ = Glibc.write(STDERR_FILENO, &line, line.count)
    }
}

enum Clock {
    /// Monotonic.
    static var milliseconds: Int64 { nanoseconds / 1_000_000 }

    static var nanoseconds: Int64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}
