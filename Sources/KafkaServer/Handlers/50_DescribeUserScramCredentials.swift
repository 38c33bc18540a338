import BrokerCore
import KafkaModel
import KafkaWire
import Security

/// DescribeUserScramCredentials: which mechanisms users have, and with how many iterations; never what is to be kept from
/// others. Without names, all users. Source: KIP-554.
extension KafkaConnection {
    static func describeScramPrice(_ asked: DescribeUserScramCredentialsRequest, _ context: AnswerContext) -> Int {
        let access = context.broker.access
        var price = ReplyPrice()
        if let users = asked.users, !users.isEmpty {
            // A message may repeat the name, and is a string of its own.
            price.add(users.count, Response.DescribeUserScramCredentialsResult.self, text: 96)
            price.add(bytes: 3 * users.reduce(0) { $0 + $1.name.utf8.count })
            price.add(users.count * 2, Response.CredentialInfo.self, text: 0)
        } else {
            price.add(access.userCount, Response.DescribeUserScramCredentialsResult.self, text: 0)
            price.add(text: access.textBytes.users)
            price.add(access.userCount * 2, Response.CredentialInfo.self, text: 0)
        }
        return price.bytes
    }

    private typealias Response = DescribeUserScramCredentialsResponse

    static func describeScram(
        _ asked: DescribeUserScramCredentialsRequest, _ context: AnswerContext
    ) -> Answer<DescribeUserScramCredentialsResponse> {
        if let refusal = context.refusal(of: asked) { return Answer(response: asked.refused(by: refusal)) }
        let access = context.broker.access
        let named = asked.users.flatMap { $0.isEmpty ? nil : $0.map(\.name) }
        var response = DescribeUserScramCredentialsResponse()
        response.results = ScramAlteration.describe(named, all: named == nil ? access.users : [], credentials: access)
            .map { description in
                var result = Response.DescribeUserScramCredentialsResult()
                result.user = description.user.text
                if let refusal = description.refusal {
                    (result.errorCode, result.errorMessage) = (refusal.error.rawValue, refusal.message)
                }
                result.credentialInfos = description.credentials.map { mechanism, iterations in
                    var info = Response.CredentialInfo()
                    (info.mechanism, info.iterations) = (mechanism.rawValue, Int32(iterations))
                    return info
                }
                return result
            }
        return Answer(response: response)
    }
}

extension DescribeUserScramCredentialsRequest: WhollyRefusable {
    func refused(by refusal: AccessRefusal) -> DescribeUserScramCredentialsResponse {
        var response = DescribeUserScramCredentialsResponse()
        (response.errorCode, response.errorMessage) = (refusal.error.rawValue, refusal.message)
        var seen: Set<ExactString> = []
        response.results = (users ?? []).filter { seen.insert(ExactString($0.name)).inserted }.map { user in
            var result = DescribeUserScramCredentialsResponse.DescribeUserScramCredentialsResult()
            (result.user, result.errorCode, result.errorMessage) = (user.name, refusal.error.rawValue, refusal.message)
            return result
        }
        return response
    }
}
