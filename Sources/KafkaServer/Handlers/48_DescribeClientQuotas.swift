import BrokerCore
import KafkaModel
import KafkaWire
import Security

/// DescribeClientQuotas: the entities that a filter finds, with what is set for each. Addresses are told as Java writes
/// them, however they were written when they were set. Where they would make the reply too long, INVALID_REQUEST.
/// Source: KIP-546.
extension KafkaConnection {
    /// As if the filter found all of them: the estimate looks at none.
    static func describeClientQuotasPrice(_ asked: DescribeClientQuotasRequest, _ context: AnswerContext) -> Int {
        let access = context.broker.access
        let count = access.quotas.count
        let price = quotasPrice(
            count, components: count * 2, limits: count * QuotaTable.Limit.allCases.count, text: access.textBytes.quotas
        )
        return min(price, RequestLimits.listBytes)
    }

    private static func quotasPrice(_ entities: Int, components: Int, limits: Int, text: Int) -> Int {
        var price = ReplyPrice()
        price.add(entities, DescribeClientQuotasResponse.EntryData.self, text: 0)
        price.add(components, DescribeClientQuotasResponse.EntityData.self, text: 0)
        price.add(limits, DescribeClientQuotasResponse.ValueData.self, text: 24)
        price.add(text: text)
        return price.bytes
    }

    static func describeClientQuotas(
        _ asked: DescribeClientQuotasRequest, _ context: AnswerContext
    ) -> Answer<DescribeClientQuotasResponse> {
        if let refusal = context.refusal(of: asked) { return Answer(response: asked.refused(by: refusal)) }
        let filter: QuotaFilter
        do throws(AccessRefusal) {
            filter = try QuotaFilter(
                asked.components.map { .init(type: $0.entityType, matchType: $0.matchType, match: $0.match) },
                strict: asked.strict)
        } catch {
            return Answer(response: asked.refused(by: error))
        }
        let quotas = context.broker.access.quotas
        let found = quotas.entities.filter(filter.matches).map { ($0.components, $0) }
            .sorted { one, other in one.0.lexicographicallyPrecedes(other.0, by: QuotaEntity.Component.precedes) }
        let price = quotasPrice(
            found.count, components: found.reduce(0) { $0 + $1.0.count },
            limits: found.reduce(0) { $0 + quotas.values(of: $1.1).count },
            text: found.reduce(0) { sum, entity in entity.0.reduce(sum) { $0 + ($1.name?.text.utf8.count ?? 0) } })
        if let refusal = AccessRefusal(ifTooLong: price) { return Answer(response: asked.refused(by: refusal)) }
        var response = DescribeClientQuotasResponse()
        response.entries = found.map { components, entity in
            var entry = DescribeClientQuotasResponse.EntryData()
            entry.entity = components.map { component in
                var part = DescribeClientQuotasResponse.EntityData()
                (part.entityType, part.entityName) = (component.type.text, component.name?.text)
                return part
            }
            entry.values = quotas.values(of: entity).map { key, value in
                var row = DescribeClientQuotasResponse.ValueData()
                (row.key, row.value) = (key, value)
                return row
            }
            return entry
        }
        return Answer(response: response)
    }
}

extension DescribeClientQuotasRequest: WhollyRefusable {
    func refused(by refusal: AccessRefusal) -> DescribeClientQuotasResponse {
        var response = DescribeClientQuotasResponse()
        (response.errorCode, response.errorMessage) = (refusal.error.rawValue, refusal.message)
        response.entries = nil
        return response
    }
}

extension QuotaEntity.Component {
    /// By type, the default of it before all names.
    fileprivate static func precedes(_ one: Self, _ other: Self) -> Bool {
        guard one.type == other.type else { return one.type < other.type }
        guard let first = one.name, let second = other.name else { return one.name == nil && other.name != nil }
        return first < second
    }
}
