import ByteBuffers
import HTTPWire

/// The reply to one request while it is made: what goes into the head, and the body in the loop's writer.
struct Reply {
    var status = 200
    var contentType: StaticString = "application/json"
    /// The connection ends with this reply.
    var closes = false
    /// A machine-readable reason for the metrics; empty on success.
    var code: StaticString = ""
    /// Methods, for 405 and OPTIONS.
    var allow: RouteMethods?
    /// Media types, for 415.
    var accept: MediaTypes?
    /// Content codings, for 415.
    var acceptEncoding: StaticString?
    /// How to show who one is, for 401.
    var challenge: Challenge?
    /// It has no end, and nobody is to keep it back.
    var isStream = false
    /// Seconds.
    var retryAfter: Int?
    /// Of an error of SQS, what SDKs have known it by since before JSON.
    var queryError: String?
    /// It is that of an earlier request with the same key.
    var isReplay = false
    /// Policy and what is left of it, on routes with a rate.
    var rateLimit: (rate: Int, burst: Int, remaining: Int)?
    /// The same of who asks.
    var callerRate: (rate: Int, burst: Int, remaining: Int)?

    enum Challenge {
        /// `isWrong`: one was shown, and is none.
        case credential(isWrong: Bool, takesPasswords: Bool)
        case signature
    }
}

extension ByteWriter {
    /// Writes text as it stands.
    mutating func text(_ text: StaticString) { ResponseHead.literal(&self, text) }

    mutating func decimal(_ value: Int) { ResponseHead.decimal(&self, value) }

    /// `,"name":` or, as the first member, `"name":`.
    mutating func member(_ name: StaticString, first: Bool = false) {
        text(first ? "\"" : ",\"")
        text(name)
        text("\":")
    }
}
