public import ByteBuffers

/// Data that stands alone (a record's value, a consumer's subscription) behind two bytes with its version.
public protocol KafkaVersionedData: KafkaMessage {}

extension KafkaVersionedData {
    /// Appends the version and the data.
    public func encodeWithVersion(to writer: inout ByteWriter, version: Int16) {
        writer.int16(version)
        encode(to: &writer, version: version)
    }

    /// Returns the version and the data as an array.
    public func encodedWithVersion(_ version: Int16) -> [UInt8] {
        var writer = ByteWriter()
        encodeWithVersion(to: &writer, version: version)
        return writer.array
    }

    /// Reads the version and the data of that version; a version that is not known is refused.
    public init(withVersionFrom reader: inout ByteReader) throws(DecodeError) {
        let version = try reader.int16()
        try self.init(from: &reader, version: version)
    }

    /// Reads the version and the data. Data of a later version is read as the latest one known, which is how the
    /// embedded consumer protocol grows: fields are only ever added at the end, and bytes left over are not looked at.
    public init(withVersionOrLaterFrom reader: inout ByteReader) throws(DecodeError) {
        let version = try reader.int16()
        try self.init(from: &reader, version: min(version, Self.versions.upperBound))
    }
}

/// The key of a record in an internal topic: two bytes that tell the record's type, then the key in version 0.
public protocol KafkaRecordKey: KafkaMessage {
    /// Tells this key from the other kinds of key in the same topic.
    static var recordType: Int16 { get }
}

extension KafkaRecordKey {
    /// Appends the record type and the key.
    public func encodeWithVersion(to writer: inout ByteWriter) {
        writer.int16(Self.recordType)
        encode(to: &writer, version: 0)
    }

    /// Returns the record type and the key as an array.
    public func encodedWithVersion() -> [UInt8] {
        var writer = ByteWriter()
        encodeWithVersion(to: &writer)
        return writer.array
    }

    /// Reads the record type, which must be this key's, and the key. A caller that does not know the type reads it
    /// from the first two bytes before.
    public init(withVersionFrom reader: inout ByteReader) throws(DecodeError) {
        let start = reader.position
        guard try reader.int16() == Self.recordType else {
            throw .invalid("another type of record key", position: start)
        }
        try self.init(from: &reader, version: 0)
    }
}
