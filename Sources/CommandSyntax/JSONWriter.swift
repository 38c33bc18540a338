internal import ByteBuffers

/// Writes JSON (RFC 8259) without a tree: members and elements in the order in which they are written.
///
/// Commas and nesting are kept by the writer; that members stand in objects and elements in arrays is the caller's part
/// and checked.
public struct JSONWriter: Sendable {
    public private(set) var bytes: [UInt8] = []
    /// One for each open object or array: whether it is an object, and whether something was written in it.
    private var open: [(isObject: Bool, hasContent: Bool)] = []

    public init() {}

    public var text: String { String(decoding: bytes, as: UTF8.self) }

    public mutating func removeAll() {
        precondition(open.isEmpty, "an object or array is open")
        bytes.removeAll(keepingCapacity: true)
    }

    // MARK: Nesting

    public mutating func object(_ body: (inout JSONWriter) throws -> Void) rethrows { try nest(true, body) }
    public mutating func array(_ body: (inout JSONWriter) throws -> Void) rethrows { try nest(false, body) }

    public mutating func object(_ name: String, _ body: (inout JSONWriter) throws -> Void) rethrows {
        key(name)
        try nest(true, body)
    }

    public mutating func array(_ name: String, _ body: (inout JSONWriter) throws -> Void) rethrows {
        key(name)
        try nest(false, body)
    }

    private var isAfterKey = false

    private mutating func nest(_ isObject: Bool, _ body: (inout JSONWriter) throws -> Void) rethrows {
        separate()
        bytes.append(UInt8(ascii: isObject ? "{" : "["))
        open.append((isObject, false))
        try body(&self)
        open.removeLast()
        bytes.append(UInt8(ascii: isObject ? "}" : "]"))
    }

    private mutating func separate() {
        if isAfterKey {
            isAfterKey = false
            return
        }
        guard let last = open.last else { return }
        precondition(!last.isObject, "a value without a name in an object")
        if last.hasContent { bytes.append(UInt8(ascii: ",")) }
        open[open.count - 1].hasContent = true
    }

    private mutating func key(_ name: String) {
        precondition(open.last?.isObject == true && !isAfterKey, "a name outside an object")
        if open[open.count - 1].hasContent { bytes.append(UInt8(ascii: ",")) }
        open[open.count - 1].hasContent = true
        quote(name)
        bytes.append(UInt8(ascii: ":"))
        isAfterKey = true
    }

    // MARK: Values

    public mutating func string(_ value: String) {
        separate()
        quote(value)
    }

    public mutating func integer(_ value: some BinaryInteger) {
        separate()
        bytes.append(contentsOf: String(value).utf8)
    }

    public mutating func member(_ name: String, _ value: String?) {
        key(name)
        if let value { string(value) } else { null() }
    }

    public mutating func member(_ name: String, _ value: some BinaryInteger) {
        key(name)
        integer(value)
    }

    public mutating func member(_ name: String, _ value: Int64?) {
        key(name)
        if let value { integer(value) } else { null() }
    }

    /// A finite number, without a fraction where it has none.
    public mutating func member(_ name: String, number value: Double) {
        precondition(value.isFinite, "\(name) is \(value), which JSON cannot say")
        key(name)
        separate()
        bytes.append(contentsOf: (Int64(exactly: value).map(String.init) ?? "\(value)").utf8)
    }

    public mutating func member(_ name: String, _ value: Bool) {
        key(name)
        separate()
        bytes.append(contentsOf: (value ? "true" : "false").utf8)
    }

    /// Bytes as text when they are UTF-8, else as base64 under the name with `_base64` behind it.
    public mutating func member(_ name: String, bytes value: [UInt8]?) {
        guard let value, String(validating: value, as: UTF8.self) == nil else {
            key(name)
            if let value {
                separate()
                value.withUnsafeBytes { quote($0) }
            } else {
                null()
            }
            return
        }
        key(name + "_base64")
        separate()
        bytes.append(UInt8(ascii: "\""))
        bytes += Base64.encode(value).utf8
        bytes.append(UInt8(ascii: "\""))
    }

    private mutating func null() {
        separate()
        bytes.append(contentsOf: "null".utf8)
    }

    private mutating func quote(_ text: String) {
        var text = text
        text.withUTF8 { quote(UnsafeRawBufferPointer($0)) }
    }

    private mutating func quote(_ text: UnsafeRawBufferPointer) {
        bytes.append(UInt8(ascii: "\""))
        JSONEscape.forEachPiece(of: text) { bytes.append(contentsOf: $0) }
        bytes.append(UInt8(ascii: "\""))
    }
}
