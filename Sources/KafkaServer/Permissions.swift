import BrokerCore
import KafkaModel
import Security
import Telemetry

/// What a client may do, by the ACLs that are in force when it is asked: a request that waits, or goes on for long, does not
/// take those of its beginning along. Asked on any thread.
///
/// Without an authorizer everybody may do everything, for one comparison.
struct Permissions: Sendable {
    private struct Asked {
        let broker: Broker
        let client: KafkaClientIdentity
        let audit: AuditLog?
        var rules: AccessRules { broker.access.rules }
        var auditor: Auditor? { audit.map { Auditor(log: $0, client: client) } }
    }

    private let asked: Asked?

    static let all = Permissions()

    private init() { asked = nil }

    init(_ broker: Broker, _ client: KafkaClientIdentity, _ audit: AuditLog? = nil) {
        asked = Asked(broker: broker, client: client, audit: audit)
    }

    /// Whether nothing is refused.
    var isUnlimited: Bool { asked == nil }

    /// A request above this is decoded and answered by a worker. A name in it may be a decision, which is as much work as some
    /// entries without.
    var inlineRequestBytes: Int {
        isUnlimited ? RequestLimits.inlineRequestBytes : RequestLimits.inlineRequestBytes / 4
    }

    /// What is added to the price of a reply that takes `decisions`: nothing, or so much that a worker makes it. About 1 us
    /// each.
    func price(ofDecisions decisions: Int) -> Int {
        isUnlimited || decisions <= Self.inlineDecisions ? 0 : RequestLimits.inlineReplyBytes
    }

    private static let inlineDecisions = 500

    /// `quietly`: that it is denied is no refusal that the client is told, so the audit is not told either.
    func allows(
        _ operation: AclOperation, _ resource: ResourceType, _ name: String, quietly: Bool = false
    ) -> Bool {
        guard let asked else { return true }
        let request = AccessRequest(operation, resource, ExactString(name))
        let isAllowed = asked.rules.decide(request, for: asked.client.subject).isAllowed
        if !isAllowed, !quietly { asked.auditor?.refused(operation, resource, name) }
        return isAllowed
    }

    func allows(_ operation: AclOperation, topic name: String, quietly: Bool = false) -> Bool {
        allows(operation, .topic, name, quietly: quietly)
    }

    /// Whether a topic may be known of, asked later and elsewhere; where it may not, it is left out.
    var seesTopic: @Sendable (String) -> Bool { { allows(.describe, topic: $0, quietly: true) } }

    func allows(_ operation: AclOperation, group name: String, quietly: Bool = false) -> Bool {
        allows(operation, .group, name, quietly: quietly)
    }

    func allowsOnCluster(_ operation: AclOperation, quietly: Bool = false) -> Bool {
        allows(operation, .cluster, ResourcePattern.clusterName.text, quietly: quietly)
    }

    /// Either suffices, whatever the other one's DENY says.
    func allowsOnClusterOr(_ operation: AclOperation, topic name: String, quietly: Bool = false) -> Bool {
        allowsOnCluster(operation, quietly: true) || allows(operation, topic: name, quietly: quietly)
    }

    /// On `cache`'s loop: to look through all ACLs of a client may take a millisecond.
    func allowsOnAny(_ operation: AclOperation, _ resource: ResourceType, by cache: LoopDecisions?) -> Bool {
        guard let asked else { return true }
        guard let cache else { return asked.rules.decideOnAny(operation, resource, for: asked.client.subject) }
        let isAllowed = cache.decisions.isAllowedOnAny(
            operation, resource, for: asked.client.registered, asOf: asked.broker.rulesNumber
        ) { asked.rules }
        if isAllowed == true { return true }
        asked.auditor?.refused(operation, resource, "any")
        return false
    }

    /// `authorizedOperations` of a resource. Source: KIP-430.
    func operations(on resource: ResourceType, _ name: String) -> Int32 {
        guard let asked else {
            return resource.operations.reduce(0) { $0 | 1 << Int32($1.rawValue) }
        }
        return asked.rules.authorizedOperations(resource, ExactString(name), for: asked.client.subject)
    }

    /// Of the cluster: nothing for who may not describe it.
    var clusterOperations: Int32 {
        allowsOnCluster(.describe, quietly: true) ? operations(on: .cluster, ResourcePattern.clusterName.text) : 0
    }

    /// Why settings may not be described or altered, by the types of those APIs: of a broker they are the cluster's.
    func refusal(_ operation: AclOperation, _ type: Int8, _ name: String) -> TopicRefusal? {
        switch type {
        case 2 where !allows(operation, topic: name): .notAuthorized
        // A broker's settings, its loggers, and subscriptions of metrics.
        case 4, 8, 16:
            allowsOnCluster(operation) ? nil : .init(.clusterAuthorizationFailed, "Cluster authorization failed.")
        case 32 where !allows(operation, group: name):
            .init(.groupAuthorizationFailed, "Group authorization failed.")
        default: nil
        }
    }

    /// What `cache` says of a topic, by the bytes of its name: on the cache's loop, for who asks at every request.
    func allows(_ operation: AclOperation, topic name: UnsafeRawBufferPointer, by cache: LoopDecisions) -> Bool {
        guard let asked else { return true }
        let isAllowed = cache.decisions.isAllowed(
            operation, .topic, name, for: asked.client.registered, asOf: asked.broker.rulesNumber
        ) { asked.rules }
        if isAllowed == true { return true }
        asked.auditor?.refused(operation, .topic, String(decoding: name, as: UTF8.self))
        return false
    }
}

/// The client of a connection, as ACLs call it.
final class KafkaClientIdentity: Sendable {
    let registered: DecisionCache.RegisteredSubject
    var subject: AccessSubject { registered.subject }

    init(_ subject: AccessSubject) { registered = DecisionCache.RegisteredSubject(subject) }
}

/// What was decided for the connections of one loop. Confined to it.
final class LoopDecisions {
    var decisions = DecisionCache()
}
