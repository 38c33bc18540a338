import ByteBuffers

/// The head of a request whose fields came apart, as HTTP/2 brings them: names and values behind each other, never a text that is
/// read again. What does not fit into the limits of a head is counted and not kept.
public struct FieldBlock: ~Copyable {
    struct Range {
        var start = 0
        var count = 0
    }

    struct Field {
        var name: Range
        var value: Range
    }

    let limits: HTTPLimits
    var text = ByteWriter(capacity: 512)
    var fields: [Field] = []
    var method: Range?
    var path: Range?
    var authority: Range?
    private var fieldBytes = 0
    /// Bytes of all fields, those that were not kept included, as RFC 9113 (6.5.2) counts them.
    public private(set) var size = 0
    /// Why no head can be made of it.
    public private(set) var failure: HTTPFailure?

    public init(limits: HTTPLimits = HTTPLimits()) { self.limits = limits }

    /// Bytes that are kept.
    public var byteCount: Int { text.count + fields.count * Self.overhead }

    /// Bytes that one field counts beside its name and value. Source: RFC 9113, 6.5.2.
    public static let overhead = 32

    /// Takes the next field; one whose name begins with a colon is of the request line.
    public mutating func append(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {
        size += name.count + value.count + Self.overhead
        if failure != nil { return }
        if name.first == UInt8(ascii: ":") { return appendPseudo(name, value) }
        guard fields.count < limits.fields else { return failure = .tooManyFields }
        guard name.count + value.count <= limits.fieldLine else { return failure = .fieldLineTooLong }
        // As long as it would be as a line. Positions have 16 bits.
        fieldBytes += name.count + value.count + 4
        guard fieldBytes <= limits.fieldBlock, text.count + name.count + value.count <= Int(UInt16.max) else {
            return failure = .fieldBlockTooLong
        }
        fields.append(Field(name: keep(name), value: keep(RequestHead.trimmed(value))))
    }

    private mutating func appendPseudo(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {
        guard value.count <= limits.requestLine else { return failure = .requestLineTooLong }
        if RequestHead.equals(name, ":method") {
            method = keep(value)
        } else if RequestHead.equals(name, ":path") {
            path = keep(value)
        } else if RequestHead.equals(name, ":authority") {
            authority = keep(value)
        }
    }

    private mutating func keep(_ bytes: UnsafeRawBufferPointer) -> Range {
        defer { text.bytes(bytes) }
        return Range(start: text.count, count: bytes.count)
    }
}

extension RequestHead {
    /// Takes the head of a request whose fields came apart. `bodyLength`: of a body that is whole; nil: what the fields say of it,
    /// and `.chunked` where they say nothing, for then it ends with its stream.
    ///
    /// What it hands out is valid as long as `block`. The same is refused as of a text, and a head without an authority.
    public mutating func take(_ block: borrowing FieldBlock, bodyLength: Int? = nil) -> HTTPFailure? {
        if let failure = block.failure { return failure }
        guard let methodRange = block.method, let path = block.path else { return .badRequestLine }
        let text = block.text.bytes
        guard let start = text.baseAddress else { return .badRequestLine }
        base = start
        guard let method = Self.method(start, methodRange.start, methodRange.count) else { return .unsupportedMethod }
        self.method = method
        (minorVersion, keepAlive) = (1, true)
        let end = path.start + path.count
        guard path.count > 0, ByteScan.findNonVisible(start, from: path.start, end: end) == end,
            ByteScan.byte(start, path.start) == UInt8(ascii: "/") || ByteScan.byte(start, path.start) == UInt8(ascii: "*"),
            parseTarget(start, path.start, end)
        else { return .badTarget }
        if let failure = takeFields(block, start, text.count) { return failure }
        if let failure = takeAuthority(block) { return failure }
        return takeFraming(bodyLength)
    }

    private mutating func takeFields(
        _ block: borrowing FieldBlock, _ start: UnsafeRawPointer, _ count: Int
    ) -> HTTPFailure? {
        known.update(repeating: 0, count: KnownField.allCases.count)
        fieldCount = 0
        present = []
        for field in block.fields {
            // The library that reads the frames has looked at names and values; what it lets pass in values is looked at here.
            let valueEnd = field.value.start + field.value.count
            var stop = ByteScan.findControl(start, from: field.value.start, end: valueEnd)
            while stop < valueEnd, ByteScan.byte(start, stop) == 0x09 {
                stop = ByteScan.findControl(start, from: stop + 1, end: valueEnd)
            }
            guard stop == valueEnd else { return .badFieldValue }
            guard field.name.count > 0,
                ByteScan.isToken(start, from: field.name.start, end: field.name.start + field.name.count)
            else { return .badFieldName }
            // Positions fit: `append` looks.
            entries[fieldCount] = FieldEntry(
                nameStart: UInt16(truncatingIfNeeded: field.name.start),
                nameCount: UInt16(truncatingIfNeeded: field.name.count),
                valueStart: UInt16(truncatingIfNeeded: field.value.start),
                valueCount: UInt16(truncatingIfNeeded: field.value.count))
            fieldCount += 1
            guard let known = table.find(start, field.name.start, field.name.count, end: count) else { continue }
            present.insert(KnownFields(known))
            let slot = self.known + Int(known.rawValue)
            if slot.pointee == 0 {
                slot.pointee = UInt8(truncatingIfNeeded: fieldCount)
            } else if known.isSingleton {
                return known == .contentLength ? .duplicateContentLength : .duplicateField
            }
        }
        return nil
    }

    /// Who is asked for stands in the request line, in Host, or in both alike. Source: RFC 9113, 8.3.1.
    private mutating func takeAuthority(_ block: borrowing FieldBlock) -> HTTPFailure? {
        var named: UnsafeRawBufferPointer?
        if let place = block.authority { named = range(place.start, place.count) }
        let host = self[.host]
        guard let authority = named ?? host, let address = authority.baseAddress, authority.count > 0 else {
            return .missingHost
        }
        if let named, let host, !named.elementsEqual(host) { return .badHost }
        guard Self.isAuthority(address, 0, authority.count) else { return .badHost }
        (authorityStart, authorityCount) = (address - base, authority.count)
        return nil
    }

    private mutating func takeFraming(_ bodyLength: Int?) -> HTTPFailure? {
        // RFC 9113, 8.2.2: the frames say how long the message is.
        if self[.transferEncoding] != nil { return .unknownTransferEncoding }
        if let failure = interpretLength() { return failure }
        if let bodyLength {
            body = .length(bodyLength)
        } else if self[.contentLength] == nil {
            body = .chunked
        }
        expectsContinue = false
        if let expectation = self[.expect] {
            guard Self.equals(expectation, "100-continue") else { return .unsupportedExpectation }
            expectsContinue = body != .length(0)
        }
        return nil
    }
}
