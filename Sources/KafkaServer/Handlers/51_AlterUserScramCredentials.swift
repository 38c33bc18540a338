import BrokerCore
import KafkaModel
import KafkaWire
import Security

/// AlterUserScramCredentials: one result for each user; a refused one stops no other, and all others are durable together.
/// What is kept is what a log-in is checked by, made of the salted password that the client sends; that is forgotten, and
/// never logged. A request of more than 10,000 changes is refused, as by Kafka's controller. Source: KIP-554.
extension KafkaConnection {
    static func alterScramPrice(_ asked: AlterUserScramCredentialsRequest, _ context: AnswerContext) -> Int {
        var price = ReplyPrice()
        price.add(
            asked.deletions.count + asked.upsertions.count,
            AlterUserScramCredentialsResponse.AlterUserScramCredentialsResult.self, text: 96)
        return price.bytes
    }

    static func alterScram(
        _ asked: AlterUserScramCredentialsRequest, _ context: AnswerContext
    ) -> SlicedPlan<AlterUserScramCredentialsResponse> {
        .atomic(asked, context) {
            guard asked.deletions.count + asked.upsertions.count <= ChangeLimits.maxRecords else {
                return asked.refused(by: .tooMany)
            }
            let results = context.broker.alterScramCredentials(
                deletions: asked.deletions.map { .init(user: $0.name, mechanism: $0.mechanism) },
                upsertions: asked.upsertions.map { upsertion in
                    ScramAlteration.Upsertion(
                        user: upsertion.name, mechanism: upsertion.mechanism, iterations: upsertion.iterations,
                        salt: upsertion.salt, saltedPassword: Secret(copying: upsertion.saltedPassword[...]))
                })
            return AlterUserScramCredentialsResponse(results.map { ($0.user, $0.refusal) })
        }
    }
}

extension AlterUserScramCredentialsRequest: WhollyRefusable {
    func refused(by refusal: AccessRefusal) -> AlterUserScramCredentialsResponse {
        var seen: Set<ExactString> = []
        let users = (deletions.map(\.name) + upsertions.map(\.name)).map { ExactString($0) }
        return AlterUserScramCredentialsResponse(users.filter { seen.insert($0).inserted }.map { ($0, refusal) })
    }
}

extension AlterUserScramCredentialsResponse {
    fileprivate init(_ users: [(user: ExactString, refusal: AccessRefusal?)]) {
        self.init()
        results = users.map { user, refusal in
            var result = AlterUserScramCredentialsResult()
            result.user = user.text
            (result.errorCode, result.errorMessage) = (refusal?.error.rawValue ?? 0, refusal?.message)
            return result
        }
    }
}

extension AccessRefusal {
    static let tooMany = AccessRefusal(ChangeLimits.tooMany.code, ChangeLimits.tooMany.message)
}
