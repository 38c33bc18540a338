import Glibc

/// Values to send: pieces of a file, or generated JSON text that is the same on every run.
enum BenchPayload {
    /// Bytes kept in memory.
    private static let maxBytes = 16 << 20

    /// Pieces of exactly `size` bytes, of the file at `path` if there is one.
    static func pieces(_ path: String?, size: Int) throws -> [[UInt8]] {
        let text: [UInt8]
        if let path {
            text = try read(path)
            guard text.count >= size else {
                throw CommandFailure("\(path) has \(text.count) bytes, fewer than one value of \(size)")
            }
        } else {
            text = generated(bytes: max(1 << 20, size * 8))
        }
        return stride(from: 0, through: text.count - size, by: max(size, 1)).map { Array(text[$0..<$0 + size]) }
    }

    /// JSON values, one each.
    static func events(_ path: String?, size: Int) throws -> [[UInt8]] {
        guard let path else {
            var state: UInt64 = 42
            return (0..<1000).map { event(number: $0, size: size, &state) }
        }
        let lines = try read(path).split(separator: UInt8(ascii: "\n")).map(Array.init).filter { !$0.isEmpty }
        guard !lines.isEmpty else { throw CommandFailure("\(path) has no lines") }
        return lines
    }

    private static func read(_ path: String) throws -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw CommandFailure("cannot read \(path): " + String(cString: strerror(errno))) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var block = [UInt8](repeating: 0, count: 1 << 20)
        while bytes.count < maxBytes {
            let count = Glibc.read(descriptor, &block, block.count)
            if count < 0 { throw CommandFailure("cannot read \(path): " + String(cString: strerror(errno))) }
            if count == 0 { break }
            bytes += block[..<count]
        }
        return bytes
    }

    private static func generated(bytes wanted: Int) -> [UInt8] {
        var text: [UInt8] = []
        text.reserveCapacity(wanted + 512)
        var state: UInt64 = 42
        var number = 0
        while text.count < wanted {
            text += event(number: number, size: 200, &state)
            text.append(UInt8(ascii: "\n"))
            number += 1
        }
        return text
    }

    /// One event of about `size` bytes.
    private static func event(number: Int, size: Int, _ state: inout UInt64) -> [UInt8] {
        func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state >> 16
        }
        let kinds = ["click", "view", "purchase", "login"]
        let head =
            "{\"event_id\":\"\(next())\",\"type\":\"\(kinds[Int(next() % 4)])\",\"user\":\(next() % 100_000),"
            + "\"number\":\(number),\"amount\":\(next() % 50_000),\"note\":\""
        var bytes = Array(head.utf8)
        while bytes.count < size - 2 { bytes.append(UInt8(ascii: "a") + UInt8(next() % 26)) }
        return bytes + "\"}".utf8
    }
}
