import ByteBuffers
import KafkaModel
import KafkaWire
import Security

/// SaslAuthenticate: one token of the mechanism that SaslHandshake has chosen. On a listener without SASL, and on a
/// connection that is authenticated, ILLEGAL_SASL_STATE. Versions: 1 the session's lifetime (KIP-368).
extension KafkaConnection {
    func saslAuthenticate(_ request: borrowing Request) throws(DecodeError) {
        var asked = try request.decode(SaslAuthenticateRequest.self)
        let token = Secret(wiping: &asked.authBytes)
        guard let sasl else { return refuseSasl(.illegalSaslState, request.ticket, closes: false) }
        _ = take(.authenticate(version: request.version, token: token), request.ticket, sasl)
    }
}
