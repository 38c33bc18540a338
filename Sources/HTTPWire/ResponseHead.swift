public import ByteBuffers

/// Writes the head of a reply: begin, any fields, end.
///
///     ResponseHead.begin(&out, status: 201, date: date, keepAlive: true, minorVersion: 1)
///     ResponseHead.field(&out, "Content-Type", "application/json")
///     ResponseHead.end(&out, contentLength: 42)
public enum ResponseHead {
    /// Begins the head: the status line, `Date`, and `Connection` where the version's default is not meant.
    public static func begin(
        _ out: inout ByteWriter, status: Int, date: [UInt8], keepAlive: Bool, minorVersion: Int = 1
    ) {
        // The reply's version is always 1.1 (RFC 9110, 2.5): the server's own, whatever was asked in.
        startLine(&out, status)
        literal(&out, "Date: ")
        out.bytes(date)
        if !keepAlive {
            literal(&out, "\r\nConnection: close\r\n")
        } else if minorVersion == 0 {
            literal(&out, "\r\nConnection: keep-alive\r\n")
        } else {
            literal(&out, "\r\n")
        }
    }

    public static func field(_ out: inout ByteWriter, _ name: StaticString, _ value: StaticString) {
        literal(&out, name)
        literal(&out, ": ")
        literal(&out, value)
        literal(&out, "\r\n")
    }

    /// Writes a field. `value` must hold no control characters; it is the caller's own or was checked by the parser.
    public static func field(_ out: inout ByteWriter, _ name: StaticString, _ value: UnsafeRawBufferPointer) {
        literal(&out, name)
        literal(&out, ": ")
        out.bytes(value)
        literal(&out, "\r\n")
    }

    public static func field(_ out: inout ByteWriter, _ name: StaticString, _ value: Int) {
        literal(&out, name)
        literal(&out, ": ")
        decimal(&out, value)
        literal(&out, "\r\n")
    }

    /// Ends the head: `Content-Length` and the empty line. A reply to HEAD, and 304, announce a length and send no
    /// body.
    public static func end(_ out: inout ByteWriter, contentLength: Int) {
        literal(&out, "Content-Length: ")
        decimal(&out, contentLength)
        literal(&out, "\r\n\r\n")
    }

    /// Ends the head of a body whose length is not known yet: it comes in chunks, or up to the connection's end for a
    /// peer that does not know them.
    public static func endWithoutLength(_ out: inout ByteWriter, chunked: Bool) {
        literal(&out, chunked ? "Transfer-Encoding: chunked\r\n\r\n" : "\r\n")
    }

    /// Writes what stands before a chunk of `count` bytes, at least one; behind it stands a line end.
    public static func beginChunk(_ out: inout ByteWriter, count: Int) {
        precondition(count > 0, "an empty chunk ends the body")
        var shift = (Int.bitWidth - 1 - count.leadingZeroBitCount) / 4 * 4
        while shift >= 0 {
            let digit = UInt8(truncatingIfNeeded: count >> shift & 15)
            out.integer(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
            shift -= 4
        }
        literal(&out, "\r\n")
    }

    /// Writes the end of a chunked body.
    public static func endChunks(_ out: inout ByteWriter) { literal(&out, "0\r\n\r\n") }

    /// Writes the interim reply that lets a waiting client send its body.
    public static func writeContinue(_ out: inout ByteWriter) { literal(&out, "HTTP/1.1 100 Continue\r\n\r\n") }

    @inlinable
    public static func literal(_ out: inout ByteWriter, _ text: StaticString) {
        let count = text.utf8CodeUnitCount
        out.append(uninitialized: count).copyMemory(from: text.utf8Start, byteCount: count)
    }

    /// Writes `value` in decimal digits.
    public static func decimal(_ out: inout ByteWriter, _ value: Int) {
        let at = out.append(uninitialized: maxDigits + 1)
        let sign = value < 0 ? 1 : 0
        if sign == 1 { at.storeBytes(of: UInt8(ascii: "-"), as: UInt8.self) }
        let written = sign + digits(of: value.magnitude, to: at + sign)
        out.truncate(to: out.count - (maxDigits + 1 - written))
    }

    /// Digits of the greatest number.
    public static let maxDigits = 20

    /// Writes `value` in decimal digits to memory that has room for `maxDigits`; how many they are.
    @inlinable
    public static func digits(of value: UInt, to at: UnsafeMutableRawPointer) -> Int {
        var count = 1
        var bound = value
        while bound >= 10_000 {
            count &+= 4
            bound /= 10_000
        }
        if bound >= 10 { count &+= bound >= 1000 ? 3 : bound >= 100 ? 2 : 1 }
        var rest = value
        var place = count
        while rest >= 100 {
            let next = rest / 100
            place &-= 2
            at.storeBytes(of: twoDigits(rest &- next &* 100), toByteOffset: place, as: UInt16.self)
            rest = next
        }
        if rest >= 10 {
            at.storeBytes(of: twoDigits(rest), as: UInt16.self)
        } else {
            at.storeBytes(of: UInt8(ascii: "0") &+ UInt8(truncatingIfNeeded: rest), as: UInt8.self)
        }
        return count
    }

    /// The digits of a number below 100 in the order in which they are stored: the tens have the lower address.
    @inlinable @inline(__always)
    static func twoDigits(_ value: UInt) -> UInt16 {
        let tens = (value &* 103) &>> 10
        let ones = value &- tens &* 10
        return (UInt16(truncatingIfNeeded: ones &<< 8 | tens) | 0x3030).littleEndian
    }

    /// A status without a phrase here goes out without one, as RFC 9112 (4) allows: a client looks at the number.
    private static func startLine(_ out: inout ByteWriter, _ status: Int) {
        if let line = statusLine(status) { return literal(&out, line) }
        literal(&out, "HTTP/1.1 ")
        decimal(&out, status)
        literal(&out, " \r\n")
    }

    static func statusLine(_ status: Int) -> StaticString? {
        switch status {
        case 200: "HTTP/1.1 200 OK\r\n"
        case 201: "HTTP/1.1 201 Created\r\n"
        case 202: "HTTP/1.1 202 Accepted\r\n"
        case 204: "HTTP/1.1 204 No Content\r\n"
        case 207: "HTTP/1.1 207 Multi-Status\r\n"
        case 304: "HTTP/1.1 304 Not Modified\r\n"
        case 400: "HTTP/1.1 400 Bad Request\r\n"
        case 401: "HTTP/1.1 401 Unauthorized\r\n"
        case 403: "HTTP/1.1 403 Forbidden\r\n"
        case 404: "HTTP/1.1 404 Not Found\r\n"
        case 405: "HTTP/1.1 405 Method Not Allowed\r\n"
        case 406: "HTTP/1.1 406 Not Acceptable\r\n"
        case 408: "HTTP/1.1 408 Request Timeout\r\n"
        case 409: "HTTP/1.1 409 Conflict\r\n"
        case 411: "HTTP/1.1 411 Length Required\r\n"
        case 412: "HTTP/1.1 412 Precondition Failed\r\n"
        case 413: "HTTP/1.1 413 Content Too Large\r\n"
        case 414: "HTTP/1.1 414 URI Too Long\r\n"
        case 415: "HTTP/1.1 415 Unsupported Media Type\r\n"
        case 417: "HTTP/1.1 417 Expectation Failed\r\n"
        case 421: "HTTP/1.1 421 Misdirected Request\r\n"
        case 422: "HTTP/1.1 422 Unprocessable Content\r\n"
        case 429: "HTTP/1.1 429 Too Many Requests\r\n"
        case 431: "HTTP/1.1 431 Request Header Fields Too Large\r\n"
        case 500: "HTTP/1.1 500 Internal Server Error\r\n"
        case 501: "HTTP/1.1 501 Not Implemented\r\n"
        case 503: "HTTP/1.1 503 Service Unavailable\r\n"
        case 504: "HTTP/1.1 504 Gateway Timeout\r\n"
        case 505: "HTTP/1.1 505 HTTP Version Not Supported\r\n"
        case 507: "HTTP/1.1 507 Insufficient Storage\r\n"
        default: nil
        }
    }
}
