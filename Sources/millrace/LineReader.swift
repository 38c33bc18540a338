import Glibc

/// Lines of a descriptor, without their newlines. A last line without one counts.
struct LineReader {
    private let descriptor: Int32
    private var buffer: [UInt8] = []
    private var start = 0
    private var isAtEnd = false
    private(set) var bytesRead: Int64 = 0

    /// A record must fit a batch that brokers take; a longer line is most likely not text.
    static let maxLineBytes = 64 << 20

    init(descriptor: Int32) { self.descriptor = descriptor }

    /// Whether `next` could give a line, or the end, without waiting for input.
    var hasInput: Bool {
        if isAtEnd || buffer[start...].contains(0x0a) { return true }
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&entry, 1, 0) != 0
    }

    /// The next line; `nil` at the end.
    mutating func next() throws -> [UInt8]? {
        var searched = start
        while true {
            if let newline = buffer[searched...].firstIndex(of: 0x0a) {
                defer { start = newline + 1 }
                return Array(buffer[start..<newline])
            }
            if isAtEnd {
                guard start < buffer.count else { return nil }
                defer { start = buffer.count }
                return Array(buffer[start...])
            }
            if buffer.count - start > Self.maxLineBytes {
                throw CommandFailure("a line is longer than \(Self.maxLineBytes) bytes")
            }
            if start > 0 {
                buffer.removeSubrange(..<start)
                start = 0
            }
            searched = buffer.count
            try fill()
        }
    }

    private mutating func fill() throws {
        let size = 1 << 16
        let old = buffer.count
        buffer.append(contentsOf: repeatElement(0, count: size))
        while true {
            let count = buffer.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress! + old, size) }
            if count < 0 && errno == EINTR {
                if !Interruption.wasRequested { continue }
                // An interruption ends the input; what was read is still written.
                isAtEnd = true
                buffer.removeSubrange(old...)
                return
            }
            guard count >= 0 else { throw CommandFailure("cannot read: " + String(cString: strerror(errno))) }
            buffer.removeSubrange((old + count)...)
            bytesRead += Int64(count)
            isAtEnd = count == 0
            return
        }
    }
}
