import ByteBuffers
import KafkaModel
import KafkaWire
import Security

/// SaslHandshake: chooses the mechanism, or begins to renew a session (KIP-368). On a listener without SASL
/// ILLEGAL_SASL_STATE. Versions: 0 bare tokens follow; 1 SaslAuthenticate (KIP-152).
extension KafkaConnection {
    func saslHandshake(_ request: borrowing Request) throws(DecodeError) {
        let asked = try request.decode(SaslHandshakeRequest.self)
        guard let sasl else { return refuseSasl(.illegalSaslState, request.ticket, closes: false) }
        _ = take(.handshake(version: request.version, mechanism: asked.mechanism), request.ticket, sasl)
    }
}
