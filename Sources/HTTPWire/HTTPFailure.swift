/// Why a peer's bytes are not a request that this server reads. The connection is closed after the reply, for what
/// follows in the stream can no longer be trusted to be the start of a request.
public enum HTTPFailure: Error, Equatable, Sendable {
    // The request line.
    case requestLineTooLong
    case badRequestLine
    case badTarget
    case unsupportedVersion
    case unsupportedMethod

    // The fields.
    case fieldLineTooLong
    case fieldBlockTooLong
    case tooManyFields
    case badFieldName
    case badFieldValue
    case badLineEnd
    case foldedField
    case duplicateField
    case missingHost
    case badHost
    case unsupportedExpectation

    // What says how long the body is.
    case badContentLength
    case duplicateContentLength
    case contentLengthWithTransferEncoding
    case unknownTransferEncoding
    case transferEncodingInHTTP10

    // The chunked body.
    case badChunk
    case chunkExtensionTooLong
    case tooManyChunks
    case badTrailer
    case trailersTooLong
    case bodyTooLarge

    /// The status that says it best.
    public var status: Int {
        switch self {
        case .requestLineTooLong: 414
        case .fieldLineTooLong, .fieldBlockTooLong, .tooManyFields, .trailersTooLong: 431
        case .bodyTooLarge, .tooManyChunks: 413
        case .unsupportedVersion: 505
        case .unsupportedMethod, .unknownTransferEncoding: 501
        case .unsupportedExpectation: 417
        default: 400
        }
    }

    /// A machine-readable name, as it stands in a problem body.
    public var code: StaticString {
        switch self {
        case .requestLineTooLong: "uri_too_long"
        case .fieldLineTooLong, .fieldBlockTooLong, .tooManyFields, .trailersTooLong: "header_too_large"
        case .bodyTooLarge, .tooManyChunks: "body_too_large"
        case .unsupportedVersion: "unsupported_http_version"
        case .unsupportedMethod: "unsupported_method"
        case .unknownTransferEncoding: "unsupported_transfer_encoding"
        case .unsupportedExpectation: "unsupported_expectation"
        case .badRequestLine, .badTarget: "invalid_request_line"
        case .badContentLength, .duplicateContentLength, .contentLengthWithTransferEncoding, .transferEncodingInHTTP10:
            "invalid_framing"
        case .badChunk, .chunkExtensionTooLong, .badTrailer: "invalid_chunk"
        default: "invalid_header"
        }
    }

    /// One sentence for people. Never contains bytes of the peer.
    public var detail: StaticString {
        switch self {
        case .requestLineTooLong: "The request line is longer than the limit."
        case .badRequestLine: "The request line is not: method, space, target, space, version."
        case .badTarget: "The request target is not a path that this server reads."
        case .unsupportedVersion: "Only version 1 of HTTP is spoken here."
        case .unsupportedMethod: "This method is not served."
        case .fieldLineTooLong: "A header field is longer than the limit."
        case .fieldBlockTooLong: "The header fields together are longer than the limit."
        case .tooManyFields: "There are more header fields than the limit."
        case .badFieldName: "A header field's name is not a token."
        case .badFieldValue: "A header field's value has a control character."
        case .badLineEnd: "A line does not end with CR LF."
        case .foldedField: "A header field is folded over several lines."
        case .duplicateField: "A header field that may stand once stands twice."
        case .missingHost: "HTTP/1.1 requires a Host header field."
        case .badHost: "The Host header field is not a host and port."
        case .unsupportedExpectation: "Only Expect: 100-continue is understood."
        case .badContentLength: "Content-Length is not a number."
        case .duplicateContentLength: "There is more than one Content-Length."
        case .contentLengthWithTransferEncoding: "Content-Length and Transfer-Encoding exclude each other."
        case .unknownTransferEncoding: "Only Transfer-Encoding: chunked is understood."
        case .transferEncodingInHTTP10: "HTTP/1.0 has no Transfer-Encoding."
        case .badChunk: "The chunked body is malformed."
        case .chunkExtensionTooLong: "Chunk extensions are longer than the limit."
        case .tooManyChunks: "The body has more chunks than the limit."
        case .badTrailer: "A trailer field is malformed."
        case .trailersTooLong: "The trailer fields are longer than the limit."
        case .bodyTooLarge: "The body is larger than the limit."
        }
    }
}
