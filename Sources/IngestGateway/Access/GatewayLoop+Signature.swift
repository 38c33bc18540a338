import BrokerCore
import ByteBuffers
import HTTPWire
import KafkaModel
import Security
import Telemetry

/// Requests that are signed: their head is looked at before the body, and the body while it arrives. Nothing is done with it
/// before the signature is found right.
///
///     admit ─► beginSignature: headers ─► 401, 415     before a byte of the body is waited for
///           ─► SignedBody.see, seeNext                  on the way, where the body comes in pieces
///     handle ─► checkSignature: the rest, then signature, time, permission, quota
///     perform ─► a repeat is known by the digest of what was signed
extension GatewayLoop {
    /// Begins to check the request at hand, or says why not.
    func beginSignature(_ caller: Caller) -> Problem? {
        guard let webhook = routeRow.pointee.webhook else { preconditionFailure("a signed route without a scheme") }
        if let problem = tooManyAttempts(caller) { return problem }
        if head[.authorization] != nil || head[.apiKey] != nil {
            return Problem(.invalidHeader, "A request has one credential, and here it is its signature.")
        }
        do throws(WebhookVerification.Refusal) {
            let verification = try WebhookVerification(
                webhook.scheme, keys: webhook.keys, method: head.method.name.description,
                path: String(decoding: head.path, as: UTF8.self), headers: values)
            signature = SignedBody(webhook, verification, from: caller)
        } catch {
            return refused(error, webhook, caller)
        }
        if gateway.authentication != nil { asker = caller.asker(of: webhook) }
        return nil
    }

    /// What is wanted of the body by the signature as well: one that needs it whole takes it no longer than that may be.
    func narrowed(_ wish: BodyWish) -> BodyWish {
        guard case .collected(let most) = wish, let limit = signature?.maxBodyBytes, limit < most else { return wish }
        if case .length(let length) = head.body, length > limit { return .refused(bodyTooLarge(limit)) }
        return .collected(upTo: limit)
    }

    /// Why the request at hand, whose body is whole, is not to be handled; nil: it is signed, and may.
    func checkSignature(_ signed: SignedBody, _ body: UnsafeRawBufferPointer) -> Problem? {
        if let refusal = signed.refusal(of: body, now: UnixTime(milliseconds: wallClockMs)) {
            return refused(refusal, signed.webhook, signed.caller)
        }
        metrics.authentications(.accepted).add()
        if signed.caller.isNew(signed.webhook) {
            audit("accepted", who: signed.webhook.principal, by: "signature", from: signed.caller.address)
        }
        if let asker, let problem = refusal(of: asker) { return problem }
        return signedQuotaProblem(body.count)
    }

    /// Whether the request at hand is to be signed, and nobody knows yet that it is.
    var awaitsProof: Bool { signature.map { $0.proof == nil } ?? (origin?.needsSignature ?? false) }

    /// All values of a field, by its name in lower case.
    private func values(of name: String) -> [String] {
        (0..<head.fieldCount).compactMap { index in
            guard head.isField(index, named: name) else { return nil }
            return String(decoding: head.fieldValue(index), as: UTF8.self)
        }
    }

    /// What headers are wrong is said, for it says nothing of a secret; that of a signature, or of its time, is one for all.
    private func refused(
        _ refusal: WebhookVerification.Refusal, _ webhook: WebhookRoute, _ caller: Caller
    ) -> Problem {
        metrics.signatureRefusals(refusal).add()
        if refusal.status == 401 { countWrongCredential(caller.address) }
        audit("refused: \(refusal)", who: webhook.principal, by: "signature", from: caller.address)
        let fields = webhook.scheme.fields.joined(separator: ", ")
        func unsigned(_ detail: String) -> Problem {
            reply.challenge = .signature
            return Problem(.signatureRequired, detail)
        }
        switch refusal {
        case .missingHeader: return unsigned("The request has to be signed: each of \(fields) is required.")
        case .repeatedHeader: return unsigned("A header field of the signature stands twice, of \(fields).")
        case .malformedHeader: return unsigned("A header field of the signature cannot be read, of \(fields).")
        case .wrongSignature, .tooOld, .inTheFuture:
            reply.challenge = .signature
            return Problem(.signatureInvalid, "The signature is not one of this request, or not of this time.")
        case .contentEncoded:
            reply.acceptEncoding = "identity"
            return Problem(.unsupportedEncoding, "A signed body is read as it is, without a Content-Encoding.")
        case .tooLong: return bodyTooLarge(WebhookVerification.maxEdBodyBytes)
        }
    }
}
