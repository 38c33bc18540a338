internal import KafkaModel
internal import KafkaWire
internal import Security

/// Shows by SCRAM who the client is, before anything is asked. The password itself is never sent.
extension BrokerConnection {
    func logIn(_ login: ClientOptions.Login, _ deadline: Deadline) throws(ClientError) {
        var handshake = SaslHandshakeRequest()
        handshake.mechanism = login.mechanism.name
        let offered = try call(handshake, deadline: deadline)
        guard offered.errorCode == ErrorCode.none.rawValue else {
            let code = ErrorCode(rawValue: offered.errorCode)
            let why =
                code == .illegalSaslState
                ? "this listener asks nobody who he is"
                : "it takes " + (offered.mechanisms.isEmpty ? "nothing" : offered.mechanisms.joined(separator: ", "))
            throw .refused(code, "\(login.mechanism.name) at \(address)", message: why)
        }
        var scram = ScramLogin(login.mechanism, user: login.user)
        let first = try exchange(scram.first, login, deadline)
        guard let final = scram.answer(first, password: login.password) else {
            throw .invalidAnswer("\(address) does not go on with \(login.mechanism.name) as it should")
        }
        guard scram.isProven(by: try exchange(final, login, deadline)) else {
            throw .invalidAnswer("\(address) does not know the password of \(login.user), and lets everybody in")
        }
    }

    private func exchange(
        _ token: [UInt8], _ login: ClientOptions.Login, _ deadline: Deadline
    ) throws(ClientError) -> [UInt8] {
        var request = SaslAuthenticateRequest()
        request.authBytes = token
        let reply = try call(request, deadline: deadline)
        guard reply.errorCode == ErrorCode.none.rawValue else {
            throw .refused(ErrorCode(rawValue: reply.errorCode), "login as \(login.user)", message: reply.errorMessage)
        }
        return reply.authBytes
    }
}
