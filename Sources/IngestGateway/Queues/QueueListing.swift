import BrokerCore
import KafkaModel
import Security

/// Queues that are looked at at a time.
private let leastLooked = 1000

extension QueueService {
    /// A page of the names of queues that may be seen, in ascending order of their bytes, behind `after`; `next` is the last of them where
    /// there are more. Looks at all queues in the worst case: on a worker.
    func visibleQueues(
        prefix: String, after: String?, limit: Int, _ maySee: (String) -> Bool
    ) -> (names: [String], next: String?) {
        var found: [String] = []
        var place = after
        // One more than is shown tells that there are more. Pages of few, of queues that may not be seen, would be many.
        let looked = max(limit + 1, leastLooked)
        while found.count <= limit {
            let page = queues(prefix: prefix, after: place, limit: looked)
            found += page.lazy.map(\.name).filter(maySee)
            guard page.count == looked else { break }
            place = page.last?.name
        }
        let names = Array(found.prefix(limit))
        return (names, found.count > limit ? names.last : nil)
    }
}

extension Gateway {
    /// Whether who asks may do that; nil: nobody is asked. On any thread; a loop has a cache of its own (`GatewayLoop.decisions`).
    func allows(
        _ operation: AclOperation, _ type: ResourceType, _ name: ExactString, _ asker: Asker?
    ) -> Bool {
        guard let asker else { return true }
        let rules = openRules ?? broker.access.rules
        return rules.decide(AccessRequest(operation, type, name), for: asker.registered.subject).isAllowed
    }
}

extension GatewayLoop {
    /// Which queues who asks may see, for another thread.
    var queueSight: @Sendable (String) -> Bool {
        { [gateway, asker] name in
            gateway.allows(.describe, .topic, ExactString(QueueCoordinator.topicPrefix + name), asker)
        }
    }
}
