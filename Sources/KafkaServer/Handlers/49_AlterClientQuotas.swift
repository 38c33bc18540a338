import BrokerCore
import KafkaModel
import KafkaWire
import Security

/// AlterClientQuotas: one result for each entity; a refused one stops no other, and all others are durable together. A
/// request of more than 10,000 changes is refused, as by Kafka's controller. An `ip` is an address: names of hosts, which
/// Kafka looks up, are INVALID_REQUEST. Source: KIP-546, KIP-612.
extension KafkaConnection {
    static func alterClientQuotasPrice(_ asked: AlterClientQuotasRequest, _ context: AnswerContext) -> Int {
        var price = ReplyPrice()
        price.add(asked.entries.count, AlterClientQuotasResponse.EntryData.self, text: 96)
        let components = asked.entries.reduce(0) { $0 + $1.entity.count }
        price.add(components, AlterClientQuotasResponse.EntityData.self, text: 0)
        return price.bytes
    }

    static func alterClientQuotas(
        _ asked: AlterClientQuotasRequest, _ context: AnswerContext
    ) -> SlicedPlan<AlterClientQuotasResponse> {
        .atomic(asked, context) {
            let changes = asked.entries.reduce(0) { $0 + max(1, $1.ops.count) }
            guard changes <= ChangeLimits.maxRecords else { return asked.refused(by: .tooMany) }
            let entries = asked.quotaEntries
            return AlterClientQuotasResponse(
                context.broker.alterQuotas(entries, validateOnly: asked.validateOnly).map { ($0.entity, $0.refusal) })
        }
    }
}

extension AlterClientQuotasRequest: WhollyRefusable {
    func refused(by refusal: AccessRefusal) -> AlterClientQuotasResponse {
        var seen: Set<[QuotaEntity.Component]> = []
        return AlterClientQuotasResponse(
            quotaEntries.map(\.components).filter { seen.insert($0).inserted }.map { ($0, refusal) })
    }

    fileprivate var quotaEntries: [QuotaAlteration.Entry] {
        entries.map { entry in
            QuotaAlteration.Entry(
                components: entry.entity.map { .init(type: $0.entityType, name: $0.entityName) },
                operations: entry.ops.map { ($0.key, $0.remove ? nil : $0.value) })
        }
    }
}

extension AlterClientQuotasResponse {
    fileprivate init(_ results: [(entity: [QuotaEntity.Component], refusal: AccessRefusal?)]) {
        self.init()
        entries = results.map { entity, refusal in
            var entry = EntryData()
            (entry.errorCode, entry.errorMessage) = (refusal?.error.rawValue ?? 0, refusal?.message)
            entry.entity = entity.map { component in
                var part = EntityData()
                (part.entityType, part.entityName) = (component.type.text, component.name?.text)
                return part
            }
            return entry
        }
    }
}
