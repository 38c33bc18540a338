extension RequestHead {
    /// Reads the fields that frame the message: Host, Content-Length, Transfer-Encoding, Connection, Expect.
    ///
    /// The rules are those of RFC 9112, 6.3, without the leniencies that it allows: what two readers could understand
    /// differently is refused.
    mutating func interpret() -> HTTPFailure? {
        if let failure = interpretHost() { return failure }
        if let failure = interpretLength() { return failure }
        interpretConnection()
        expectsContinue = false
        if let expectation = self[.expect] {
            guard Self.equals(expectation, "100-continue") else { return .unsupportedExpectation }
            // RFC 9110, 10.1.1: an HTTP/1.0 client does not know the interim reply.
            expectsContinue = minorVersion == 1 && body != .length(0)
        }
        return nil
    }

    private mutating func interpretHost() -> HTTPFailure? {
        guard let host = self[.host] else { return minorVersion == 1 ? .missingHost : nil }
        guard Self.isAuthority(UnsafeRawPointer(host.baseAddress!), 0, host.count) else { return .badHost }
        if authorityCount == 0 {
            (authorityStart, authorityCount) = (host.baseAddress! - base, host.count)
        }
        return nil
    }

    mutating func interpretLength() -> HTTPFailure? {
        if let coding = self[.transferEncoding] {
            if self[.contentLength] != nil { return .contentLengthWithTransferEncoding }
            if minorVersion == 0 { return .transferEncodingInHTTP10 }
            guard Self.equals(coding, "chunked") else { return .unknownTransferEncoding }
            body = .chunked
            return nil
        }
        guard let digits = self[.contentLength] else {
            body = .length(0)
            return nil
        }
        // 18 digits cannot overflow 63 bits.
        guard digits.count > 0, digits.count <= 18 else { return .badContentLength }
        var length = 0
        for digit in digits {
            guard digit &- UInt8(ascii: "0") <= 9 else { return .badContentLength }
            length = length &* 10 &+ Int(digit &- UInt8(ascii: "0"))
        }
        body = .length(length)
        return nil
    }

    /// `Connection` is a list of tokens, possibly over several fields; `close` beats `keep-alive`.
    private mutating func interpretConnection() {
        keepAlive = minorVersion == 1
        let first = known[Int(KnownField.connection.rawValue)]
        guard first != 0 else { return }
        var closes = false
        for index in Int(first) - 1..<fieldCount where Self.equals(fieldName(index), "connection") {
            let list = fieldValue(index)
            var from = 0
            while from < list.count {
                var end = from
                while end < list.count, list[end] != UInt8(ascii: ",") { end += 1 }
                let token = Self.trimmed(UnsafeRawBufferPointer(rebasing: list[from..<end]))
                if Self.equals(token, "close") { closes = true }
                if Self.equals(token, "keep-alive") { keepAlive = true }
                from = end + 1
            }
        }
        if closes { keepAlive = false }
    }

    /// Whether `bytes` are `text` (given in lower case), whatever the case of their letters.
    public static func equals(_ bytes: UnsafeRawBufferPointer, _ text: StaticString) -> Bool {
        guard bytes.count == text.utf8CodeUnitCount else { return false }
        for index in 0..<bytes.count {
            let byte = bytes[index]
            let lower = byte &- UInt8(ascii: "A") < 26 ? byte | 0x20 : byte
            if lower != text.utf8Start[index] { return false }
        }
        return true
    }

    /// `bytes` without spaces and tabs at both ends.
    public static func trimmed(_ bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        var from = 0
        var end = bytes.count
        while from < end, bytes[from] == 0x20 || bytes[from] == 0x09 { from += 1 }
        while end > from, bytes[end - 1] == 0x20 || bytes[end - 1] == 0x09 { end -= 1 }
        return UnsafeRawBufferPointer(rebasing: bytes[from..<end])
    }
}
