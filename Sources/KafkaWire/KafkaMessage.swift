public import ByteBuffers

/// A structure of the protocol: a message, or a part of one. One struct serves all versions.
public protocol KafkaStructure: Equatable, Sendable {
    /// Makes the message with every field at its default.
    init()

    /// Decodes from the reader's position and leaves it behind the last byte. A field that `version` does not have
    /// keeps its default.
    init(from reader: inout ByteReader, version: Int16) throws(DecodeError)

    /// Appends the structure as `version` has it. Total: it never fails and never traps on a value.
    ///
    /// A field that `version` does not have is left out, a null that it cannot carry is written as an empty value, and
    /// a string above 32,767 bytes is cut at the last whole character. A caller to whom such a loss matters asks
    /// `unsupportedField(in:)` first; debug builds assert that messages have none.
    func encode(to writer: inout ByteWriter, version: Int16)

    /// Returns the first field whose value `version` cannot carry and whose loss matters (the schema does not call it
    /// ignorable); nil: there is none.
    func unsupportedField(in version: Int16) -> StaticString?
}

extension KafkaStructure {
    public func unsupportedField(in version: Int16) -> StaticString? { nil }
}

/// A whole message with versions of its own.
public protocol KafkaMessage: KafkaStructure {
    /// The versions that decode and encode.
    static var versions: ClosedRange<Int16> { get }
    /// The first version with compact lengths and tagged fields (KIP-482); nil: none.
    static var flexibleFrom: Int16? { get }
}

public protocol KafkaRequest: KafkaMessage {
    associatedtype Response: KafkaResponse
    static var apiKey: APIKey { get }
}

public protocol KafkaResponse: KafkaMessage {
    static var apiKey: APIKey { get }
}

extension KafkaMessage {
    /// Decodes a message that must fill `bytes` exactly.
    public init(whole bytes: UnsafeRawBufferPointer, version: Int16) throws(DecodeError) {
        var reader = ByteReader(bytes)
        try self.init(from: &reader, version: version)
        guard reader.isAtEnd else { throw .invalid("bytes after the end of the message", position: reader.position) }
    }

    @inlinable
    static func checkVersion(_ version: Int16, _ reader: ByteReader) throws(DecodeError) {
        guard versions.contains(version) else {
            throw .invalid("version of the message is not known", position: reader.position)
        }
    }

    @inlinable
    func checkEncodable(_ version: Int16) {
        precondition(Self.versions.contains(version), "\(Self.self) has no version \(version)")
        assert(
            unsupportedField(in: version) == nil,
            "\(Self.self) version \(version) cannot carry \(String(describing: unsupportedField(in: version)))")
    }
}

/// A tagged field that this version of the schema does not know, kept as it came (KIP-482).
public struct UnknownTaggedField: Equatable, Sendable {
    public var tag: UInt32
    public var bytes: [UInt8]

    public init(tag: UInt32, bytes: [UInt8]) {
        self.tag = tag
        self.bytes = bytes
    }
}
