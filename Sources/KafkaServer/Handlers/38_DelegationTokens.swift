import BrokerCore
import ByteBuffers
import KafkaModel
import KafkaWire
import Security

/// CreateDelegationToken, RenewDelegationToken, ExpireDelegationToken and DescribeDelegationToken: this broker gives out none, and
/// says so as an Apache Kafka without `delegation.token.secret.key` does. Source: KIP-48.
extension KafkaConnection {
    /// A time of a token that there is not.
    private static let noTime: Int64 = -1

    func createDelegationToken(_ request: borrowing Request) throws(DecodeError) {
        let asked = try request.decode(CreateDelegationTokenRequest.self)
        let requester = principal
        var owner = requester
        if let name = asked.ownerPrincipalName, !name.isEmpty {
            owner = Principal(type: asked.ownerPrincipalType ?? "", name: name)
        }
        var error = tokenRefusal
        if error == .delegationTokenAuthDisabled {
            if owner != requester, !permissions.allows(.createTokens, .user, owner.description) {
                error = .delegationTokenAuthorizationFailed
            } else if asked.renewers.contains(where: { $0.principalType != "User" }) {
                error = .invalidPrincipalType
            }
        }
        var response = CreateDelegationTokenResponse()
        response.errorCode = error.rawValue
        (response.principalType, response.principalName) = (owner.type.text, owner.name.text)
        if request.version >= 3 {
            response.tokenRequesterPrincipalType = requester.type.text
            response.tokenRequesterPrincipalName = requester.name.text
        }
        response.issueTimestampMs = Self.noTime
        response.expiryTimestampMs = Self.noTime
        response.maxTimestampMs = Self.noTime
        reply(response, to: request.ticket)
    }

    func renewDelegationToken(_ request: borrowing Request) throws(DecodeError) {
        _ = try request.decode(RenewDelegationTokenRequest.self)
        var response = RenewDelegationTokenResponse()
        (response.errorCode, response.expiryTimestampMs) = (tokenRefusal.rawValue, Self.noTime)
        reply(response, to: request.ticket)
    }

    func expireDelegationToken(_ request: borrowing Request) throws(DecodeError) {
        _ = try request.decode(ExpireDelegationTokenRequest.self)
        var response = ExpireDelegationTokenResponse()
        (response.errorCode, response.expiryTimestampMs) = (tokenRefusal.rawValue, Self.noTime)
        reply(response, to: request.ticket)
    }

    func describeDelegationToken(_ request: borrowing Request) throws(DecodeError) {
        _ = try request.decode(DescribeDelegationTokenRequest.self)
        var response = DescribeDelegationTokenResponse()
        response.errorCode = tokenRefusal.rawValue
        reply(response, to: request.ticket)
    }

    /// Who is nobody has no token either, wherever there are some.
    private var tokenRefusal: ErrorCode {
        principal == .anonymous ? .delegationTokenRequestNotAllowed : .delegationTokenAuthDisabled
    }
}
