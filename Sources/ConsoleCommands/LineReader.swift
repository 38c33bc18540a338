import Glibc

/// Lines of a descriptor, without their newlines. A last line without one counts, unless a signal ended the input before
/// the rest of it came.
struct LineReader {
    private let descriptor: Int32
    /// Closed with the reader; standard input is not ours to close.
    private let isOwned: Bool
    private let interruption: Interruption
    private var buffer: [UInt8] = []
    private var start = 0
    private var isAtEnd = false
    /// It was a signal that ended the input.
    private var wasCut = false
    private(set) var bytesRead: Int64 = 0

    /// A record must fit a batch that brokers take; a longer line is most likely not text.
    static let maxLineBytes = 64 << 20

    init(descriptor: Int32, isOwned: Bool, _ interruption: Interruption) {
        self.descriptor = descriptor
        self.isOwned = isOwned
        self.interruption = interruption
    }

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
                // Part of a line is no record.
                guard start < buffer.count, !wasCut else { return nil }
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

    /// Everything up to the end.
    mutating func rest() throws -> [UInt8] {
        while !isAtEnd {
            guard buffer.count - start <= Self.maxLineBytes else {
                throw CommandFailure("it is longer than \(Self.maxLineBytes) bytes")
            }
            try fill()
        }
        // Part of a file is no record.
        if wasCut { throw CommandFailure("interrupted") }
        defer { start = buffer.count }
        return Array(buffer[start...])
    }

    /// Closes the descriptor, unless it is somebody else's.
    func close() {
        if isOwned { Glibc.close(descriptor) }
    }

    /// A wait looks this often whether a signal came just before it began.
    private static let pollSliceMs: Int32 = 250

    /// Waits until a read does not; false when a signal came first.
    private func waitForInput() -> Bool {
        while !interruption.wasRequested {
            var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            if poll(&entry, 1, Self.pollSliceMs) > 0 { return true }
        }
        return false
    }

    private mutating func fill() throws {
        // An interruption ends the input; what was read whole is still written.
        guard waitForInput() else {
            wasCut = true
            isAtEnd = true
            return
        }
        let size = 1 << 16
        let old = buffer.count
        buffer.append(contentsOf: repeatElement(0, count: size))
        while true {
            let count = buffer.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress! + old, size) }
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else {
                let reason = String(cString: strerror(errno))
                buffer.removeSubrange(old...)
                throw CommandFailure("cannot read: " + reason)
            }
            buffer.removeSubrange((old + count)...)
            bytesRead += Int64(count)
            isAtEnd = count == 0
            return
        }
    }
}
