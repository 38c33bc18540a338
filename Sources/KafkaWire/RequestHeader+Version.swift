public import ByteBuffers

extension RequestHeader {
    /// Returns the header's version for a request of this API and version: 2 when the request is flexible, else 1. An
    /// API without a codec counts as not flexible: its request can only be refused, and for that the fields that both
    /// versions share are enough.
    @inlinable
    public static func version(apiKey: Int16, apiVersion: Int16) -> Int16 {
        guard let from = APIKey(rawValue: apiKey)?.flexibleFrom else { return 1 }
        return apiVersion >= from ? 2 : 1
    }

    /// Decodes the header of whichever version its first two fields call for.
    public init(from reader: inout ByteReader) throws(DecodeError) {
        var ahead = reader
        let key = try ahead.int16()
        let version = Self.version(apiKey: key, apiVersion: try ahead.int16())
        try self.init(from: &reader, version: version)
    }

    /// Appends the header in the version that its API key and version call for.
    public func encode(to writer: inout ByteWriter) {
        encode(to: &writer, version: Self.version(apiKey: requestAPIKey, apiVersion: requestAPIVersion))
    }
}

extension ResponseHeader {
    /// Returns the header's version in front of the response to a request of this API and version. ApiVersions is
    /// always answered with version 0, because its client does not know yet what the broker understands. Source:
    /// KIP-511.
    @inlinable
    public static func version(apiKey: APIKey, apiVersion: Int16) -> Int16 {
        guard apiKey != .apiVersions, let from = apiKey.flexibleFrom else { return 0 }
        return apiVersion >= from ? 1 : 0
    }
}

/// A request's header read in place, without building its strings.
public struct RequestHeaderView {
    public let apiKey: Int16
    public let apiVersion: Int16
    public let correlationID: Int32
    /// The client id's bytes within the frame, not checked to be UTF-8; nil: null.
    public let clientID: UnsafeRawBufferPointer?

    /// Reads the header and leaves the reader at the request's body. Tagged fields of the header are passed over.
    @inlinable
    public init(from reader: inout ByteReader) throws(DecodeError) {
        apiKey = try reader.int16()
        apiVersion = try reader.int16()
        correlationID = try reader.int32()
        let length = try reader.int16()
        if length == -1 {
            clientID = nil
        } else {
            guard length >= 0 else { throw .invalid("length of a string", position: reader.position) }
            clientID = try reader.bytes(Int(length))
        }
        guard RequestHeader.version(apiKey: apiKey, apiVersion: apiVersion) >= 2 else { return }
        for _ in 0..<(try reader.unsignedVarint()) {
            _ = try reader.unsignedVarint()
            try reader.skip(Int(try reader.unsignedVarint()))
        }
    }
}
