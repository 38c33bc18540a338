import ByteBuffers
import HTTPClient
import IngestGateway
import Security

/// Requests that are signed as Standard Webhooks has it.
enum SignedCall {
    /// A name that a request keeps however often it is sent.
    static func newID() -> String { "msg_" + Base64.encodeURL(Randomness.bytes(18)) }

    /// - Parameter nowMs: milliseconds since 1970.
    static func make(
        _ id: String, to url: String, _ body: [UInt8], key: Secret, reach: HTTPCall.Reach, maxBodyBytes: Int,
        atMs nowMs: Int64
    ) -> HTTPCall {
        let seconds = nowMs / 1000
        let signature = HashAlgorithm.sha256.hmac(key: key, Array("\(id).\(seconds).".utf8) + body)
        var call = HTTPCall(url: url, reach: reach, maxBodyBytes: maxBodyBytes)
        call.headers = [
            "Content-Type: application/json", "webhook-id: \(id)", "webhook-timestamp: \(seconds)",
            "webhook-signature: v1,\(Base64.encode(signature))",
        ]
        call.body = body
        return call
    }
}
