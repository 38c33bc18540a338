internal import CNGHTTP2

/// A frame of HTTP/2 by hand, so that it may be wrong in every way. Source: RFC 9113, RFC 7541.
public struct HTTP2Frame: Equatable, Sendable {
    public enum Kind: UInt8 {
        case body, headers, priority, reset, settings, pushPromise, ping, goAway, windowUpdate, continuation
    }

    public enum Flag {
        public static let endStream: UInt8 = 1
        public static let acknowledgement: UInt8 = 1
        public static let endHeaders: UInt8 = 4
        public static let padded: UInt8 = 8
    }

    public var type: UInt8
    public var flags: UInt8
    public var stream: UInt32
    public var payload: [UInt8]

    /// nil: it is none that HTTP/2 has.
    public var kind: Kind? { Kind(rawValue: type) }

    public init(_ kind: Kind, flags: UInt8 = 0, stream: UInt32 = 0, _ payload: [UInt8] = []) {
        self.init(type: kind.rawValue, flags: flags, stream: stream, payload)
    }

    public init(type: UInt8, flags: UInt8 = 0, stream: UInt32 = 0, _ payload: [UInt8] = []) {
        self.type = type
        self.flags = flags
        self.stream = stream
        self.payload = payload
    }

    /// What a client begins with: its preface, and settings.
    public static func opening(_ settings: [(id: UInt16, value: UInt32)] = []) -> [UInt8] {
        Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + Self.settings(settings).bytes
    }

    public static func settings(_ settings: [(id: UInt16, value: UInt32)] = []) -> HTTP2Frame {
        HTTP2Frame(.settings, settings.flatMap { big($0.id) + big($0.value) })
    }

    public static let settingsTaken = HTTP2Frame(.settings, flags: Flag.acknowledgement)

    public static func windowUpdate(_ stream: UInt32, _ bytes: UInt32) -> HTTP2Frame {
        HTTP2Frame(.windowUpdate, stream: stream, big(bytes))
    }

    public static func reset(_ stream: UInt32, _ code: UInt32 = 8) -> HTTP2Frame {
        HTTP2Frame(.reset, stream: stream, big(code))
    }

    public static func body(_ stream: UInt32, _ bytes: [UInt8], ends: Bool = true) -> HTTP2Frame {
        HTTP2Frame(.body, flags: ends ? Flag.endStream : 0, stream: stream, bytes)
    }

    /// A body's frame that has nothing but padding.
    public static func padding(_ stream: UInt32, _ count: UInt8) -> HTTP2Frame {
        HTTP2Frame(
            .body, flags: Flag.padded, stream: stream, [count] + [UInt8](repeating: 0, count: Int(count)))
    }

    public static func headers(
        _ stream: UInt32, _ fields: [(String, String)], ends: Bool = true, areWhole: Bool = true
    ) -> HTTP2Frame {
        HTTP2Frame(
            .headers, flags: (ends ? Flag.endStream : 0) | (areWhole ? Flag.endHeaders : 0), stream: stream,
            block(fields))
    }

    /// The fields of a usual request.
    public static func fields(
        _ method: String, _ path: String, _ more: [(String, String)] = []
    ) -> [(String, String)] {
        [(":method", method), (":scheme", "http"), (":path", path), (":authority", "localhost")] + more
    }

    /// Fields, each spelled out and never remembered.
    public static func block(_ fields: [(String, String)]) -> [UInt8] {
        fields.flatMap { [0] + text($0.0) + text($0.1) }
    }

    private static func text(_ text: String) -> [UInt8] {
        let bytes = Array(text.utf8)
        if bytes.count < 127 { return [UInt8(bytes.count)] + bytes }
        var rest = bytes.count - 127
        var length: [UInt8] = [127]
        while rest >= 128 {
            length.append(UInt8(rest & 127) | 128)
            rest >>= 7
        }
        return length + [UInt8(rest)] + bytes
    }

    private static func big(_ value: some FixedWidthInteger) -> [UInt8] {
        withUnsafeBytes(of: value.bigEndian) { Array($0) }
    }

    /// A number of four bytes in the payload.
    public func number(at place: Int) -> UInt32 {
        payload[place..<place + 4].reduce(0) { $0 << 8 | UInt32($1) }
    }

    public var bytes: [UInt8] {
        let count = payload.count
        return [UInt8(count >> 16 & 255), UInt8(count >> 8 & 255), UInt8(count & 255), type, flags]
            + Self.big(stream) + payload
    }
}

/// Reads the frames that a server sends.
public final class HTTP2FrameReader {
    private var buffered: [UInt8] = []
    /// What of it was read.
    private var start = 0
    private var inflater: OpaquePointer?

    public init() { precondition(nghttp2_hd_inflate_new(&inflater) == 0) }

    deinit { nghttp2_hd_inflate_del(inflater) }

    public func take(_ bytes: some Sequence<UInt8>) { buffered += bytes }

    public func next() -> HTTP2Frame? {
        guard buffered.count >= start + 9 else { return nil }
        let length = Int(buffered[start]) << 16 | Int(buffered[start + 1]) << 8 | Int(buffered[start + 2])
        let end = start + 9 + length
        guard buffered.count >= end else { return nil }
        let stream = buffered[start + 5..<start + 9].reduce(UInt32(0)) { $0 << 8 | UInt32($1) } & 0x7fff_ffff
        let frame = HTTP2Frame(
            type: buffered[start + 3], flags: buffered[start + 4], stream: stream, Array(buffered[start + 9..<end]))
        start = end
        if start == buffered.count || start > 1 << 20 {
            buffered.removeFirst(start)
            start = 0
        }
        return frame
    }

    /// The fields of a block; each may be read once, in the order in which they came.
    public func fields(of block: [UInt8]) -> [(name: String, value: String)] {
        var found: [(String, String)] = []
        block.withUnsafeBufferPointer { block in
            var at = 0
            while true {
                var field = nghttp2_nv()
                var flags: Int32 = 0
                let count = nghttp2_hd_inflate_hd2(
                    inflater, &field, &flags, block.baseAddress! + at, block.count - at, 1)
                precondition(count >= 0, "a block of fields that cannot be read: \(count)")
                at += count
                if flags & Int32(NGHTTP2_HD_INFLATE_EMIT.rawValue) != 0 {
                    func text(_ start: UnsafeMutablePointer<UInt8>?, _ count: Int) -> String {
                        String(decoding: UnsafeBufferPointer(start: start, count: count), as: UTF8.self)
                    }
                    found.append((text(field.name, field.namelen), text(field.value, field.valuelen)))
                }
                if flags & Int32(NGHTTP2_HD_INFLATE_FINAL.rawValue) != 0 { break }
                if count == 0, flags == 0 { break }
            }
            nghttp2_hd_inflate_end_headers(inflater)
        }
        return found
    }
}
