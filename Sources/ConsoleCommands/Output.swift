import CommandSyntax
import Glibc

/// A command's results, gathered into writes of 64 KiB. One thread uses it.
final class Output {
    private let descriptor: Int32
    private var buffer: [UInt8] = []
    /// The errno of the first write that failed; nothing is written behind it.
    private var failure: Int32 = 0
    private static let flushAt = 1 << 16

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

    /// Writes one JSON document and a newline.
    func writeJSON(_ body: (inout JSONWriter) throws -> Void) rethrows {
        var json = JSONWriter()
        try body(&json)
        write(json.bytes)
        write("\n")
    }

    /// Whether everything so far could be written, and somebody still reads.
    var isIntact: Bool { failure == 0 }

    /// Looks whether the reader of a pipe has gone, which otherwise only the next write finds out.
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

    /// Writes what is left. A reader that has gone (`millrace consume … | head`) has what it wanted: that is no error.
    func finish() throws {
        flush()
        if failure != 0 && failure != EPIPE {
            throw CommandFailure("cannot write the output: " + String(cString: strerror(failure)))
        }
    }
}
