import BrokerCore
import KafkaModel
import KafkaWire
import Security

/// A request that can be refused as a whole, in a reply of its own shape: those that need a permission on the cluster before
/// anything of them is looked at.
protocol WhollyRefusable: KafkaRequest {
    /// The reply in which everything that was asked for is refused for one reason, where `AccessTable` has the place.
    func refused(by refusal: AccessRefusal) -> Response
}

extension AnswerContext {
    /// Why the request is refused before anything of it is looked at; nil when it goes on.
    ///
    /// By the row of `AccessTable`, which has one need. Without an authorizer there are no ACLs to speak of.
    func refusal(of request: some WhollyRefusable) -> AccessRefusal? {
        if permissions.isUnlimited {
            switch ticket.key {
            case .describeAcls, .createAcls, .deleteAcls:
                return AccessRefusal(.securityDisabled, "No Authorizer is configured on the broker")
            default: return nil
            }
        }
        let steps = AccessTable.rows(of: ticket.key).flatMap(\.steps)
        // A key without a row is nobody's.
        guard !steps.isEmpty else {
            return AccessRefusal(.clusterAuthorizationFailed, "Cluster authorization failed.")
        }
        for step in steps {
            guard step.needs.contains(where: { $0.resource == .cluster && permissions.allowsOnCluster($0.operation) })
            else {
                return AccessRefusal(step.error, "Cluster authorization failed.")
            }
        }
        return nil
    }
}

extension SlicedPlan where Result: KafkaResponse {
    /// The one step of a request whose changes are made together or not at all.
    static func atomic<Asked: WhollyRefusable>(
        _ asked: Asked, _ context: AnswerContext, _ change: @escaping @Sendable () -> Result
    ) -> SlicedPlan where Asked.Response == Result {
        SlicedPlan(
            count: 1,
            step: { _, response in
                response = context.refusal(of: asked).map { asked.refused(by: $0) } ?? change()
            },
            // The first step is always taken.
            timedOut: { _, _ in })
    }
}
