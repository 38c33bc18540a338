import ByteBuffers
import KafkaModel
import Security

/// An attribute that a sender gave a message: a name, a type, and a value.
public struct SQSMessageAttribute: Hashable, Sendable {
    public let name: String
    /// `String`, `Number` or `Binary`, and maybe a label of the sender's behind a dot.
    public let type: String
    /// Of a binary one any bytes, else UTF-8.
    public let value: [UInt8]

    public var isBinary: Bool { Self.isBinary(type) }

    /// One that was checked when it was sent, read back.
    public init(name: String, type: String, value: [UInt8]) {
        self.name = name
        self.type = type
        self.value = value
    }

    /// Whether a text of SQS can hold the bytes: UTF-8, of characters that XML 1.0 has a place for.
    public static func isText(_ bytes: [UInt8]) -> Bool {
        bytes.withUnsafeBytes { UTF8Check.isWhole($0) && SQSText.firstForbidden($0) == nil }
    }

    /// Whether an attribute may have the name.
    public static func isName(_ name: String) -> Bool { (try? check(name: name)) != nil }

    var byteCount: Int { name.utf8.count + type.utf8.count + value.count }

    private static func isBinary(_ type: String) -> Bool { type == "Binary" || type.hasPrefix("Binary.") }

    /// The MD5 of attributes, in hexadecimal: over each in the order of the names, as lengths of 32 bits with what they count, and
    /// between type and value 1 for a text, 2 for bytes. Nil: there are none, or there is no MD5 on this machine.
    ///
    /// Source: "Calculating the MD5 message digest for message attributes" of the developer guide.
    public static func digest(_ attributes: [SQSMessageAttribute]) -> String? {
        if attributes.isEmpty { return nil }
        var bytes = ByteWriter(capacity: 256)
        for attribute in attributes.sorted(by: { ExactString($0.name) < ExactString($1.name) }) {
            for text in [attribute.name, attribute.type] {
                bytes.int32(Int32(text.utf8.count))
                bytes.utf8(text)
            }
            bytes.int8(attribute.isBinary ? 2 : 1)
            bytes.int32(Int32(attribute.value.count))
            bytes.bytes(attribute.value)
        }
        return MD5.hexadecimal(bytes.bytes)
    }

    // MARK: As it is sent

    init(_ raw: SQSParameters.RawMessageAttribute) throws(SQSError) {
        let name = raw.name
        try Self.check(name: name)
        guard let type = raw.type, !type.isEmpty else {
            throw Self.refused("The message attribute '\(name)' must contain non-empty message attribute type.")
        }
        let kind = type.utf8.prefix { $0 != UInt8(ascii: ".") }
        guard ["String", "Number", "Binary"].contains(where: { kind.elementsEqual($0.utf8) }),
            type.utf8.count <= SQSLimits.maxAttributeNameBytes, SQSText.firstForbidden(type) == nil,
            type.utf8.allSatisfy({ $0 >= 0x20 })
        else {
            throw Self.refused(
                "The message attribute '\(name)' has an invalid message attribute type, the set of supported type prefixes is Binary, Number, and String."
            )
        }
        if raw.hasLists {
            throw SQSError(
                .unsupportedOperation, "Message attribute list values in SendMessage operation are not supported.")
        }
        let isBinary = Self.isBinary(type)
        guard let value = isBinary ? raw.binary : raw.text, (isBinary ? raw.text : raw.binary) == nil, !value.isEmpty
        else {
            throw Self.refused(
                "The message attribute '\(name)' must contain non-empty message attribute value for message attribute type '\(SQSText.quoted(type))'."
            )
        }
        if !isBinary, value.withUnsafeBytes({ SQSText.firstForbidden($0) }) != nil {
            throw Self.refused("The message attribute '\(name)' has a character that is not allowed.")
        }
        if kind.elementsEqual("Number".utf8), !Self.isNumber(value) {
            throw Self.refused("Can't cast the value of message (user) attribute '\(name)' to a number.")
        }
        self.init(name: name, type: type, value: value)
    }

    private static func refused(_ message: String) -> SQSError { SQSError(.invalidParameterValue, message) }

    private static func check(name: String) throws(SQSError) {
        let shown = SQSText.quoted(name)
        let bytes = name.utf8
        guard (1...SQSLimits.maxAttributeNameBytes).contains(bytes.count) else {
            throw refused(
                "The name of a message attribute has 1 to \(SQSLimits.maxAttributeNameBytes) characters: '\(shown)'.")
        }
        guard bytes.allSatisfy({ SQSText.isNameByte($0) || $0 == UInt8(ascii: ".") }) else {
            throw refused(
                "The message attribute name '\(shown)' is invalid. Attribute name can contain A-Z, a-z, 0-9, underscore (_), hyphen (-), and period (.) characters."
            )
        }
        guard bytes.first != UInt8(ascii: "."), bytes.last != UInt8(ascii: "."), !name.contains("..") else {
            throw refused(
                "The message attribute name '\(shown)' is invalid. It must not begin or end with a period, nor have periods in succession."
            )
        }
        let lower = name.lowercased()
        guard !lower.hasPrefix("aws."), !lower.hasPrefix("amazon.") else {
            throw refused("The message attribute name '\(shown)' begins with AWS. or Amazon., which are reserved.")
        }
    }

    /// Up to 38 digits, with a sign, a fraction and an exponent, between 10^-128 and 10^126.
    private static func isNumber(_ value: [UInt8]) -> Bool {
        var rest = value[...]
        if let sign = rest.first, sign == UInt8(ascii: "-") || sign == UInt8(ascii: "+") { rest.removeFirst() }
        var digits = 0
        var hasDigit = false
        var hasPoint = false
        scan: while let byte = rest.first {
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"):
                hasDigit = true
                if digits > 0 || byte != UInt8(ascii: "0") { digits += 1 }
            case UInt8(ascii: ".") where !hasPoint: hasPoint = true
            default: break scan
            }
            rest.removeFirst()
        }
        guard hasDigit, digits <= 38 else { return false }
        guard let marker = rest.popFirst() else { return true }
        guard marker | 0x20 == UInt8(ascii: "e") else { return false }
        if rest.first == UInt8(ascii: "+") { rest.removeFirst() }
        guard rest.count <= 4, let exponent = Int(String(decoding: rest, as: UTF8.self)) else { return false }
        return (-128...126).contains(exponent)
    }
}

extension MD5 {
    /// In hexadecimal, as replies show it.
    static func hexadecimal(_ bytes: UnsafeRawBufferPointer) -> String? { hash(bytes).map { Hexadecimal.encode($0) } }

    static func hexadecimal(_ bytes: [UInt8]) -> String? { bytes.withUnsafeBytes { hexadecimal($0) } }
}
