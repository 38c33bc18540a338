import KafkaModel

/// Which entities DescribeClientQuotas shows. Source: KIP-546, and what Kafka 4.3 does.
public struct QuotaFilter: Sendable {
    /// One component as it came over the wire, numbers not yet looked at.
    public struct Component: Sendable {
        public let type: String
        /// 0: this name; 1: the default of the type; 2: any.
        public let matchType: Int8
        public let match: String?

        public init(type: String, matchType: Int8, match: String?) {
            self.type = type
            self.matchType = matchType
            self.match = match
        }
    }

    private enum Match {
        case name(ExactString?)
        case any
    }

    private var matches: [ExactString: Match] = [:]
    /// Only entities that have these components and no more.
    private let isStrict: Bool

    public init(_ components: [Component], strict: Bool) throws(AccessRefusal) {
        isStrict = strict
        let known = [QuotaEntity.userType, QuotaEntity.clientType, QuotaEntity.addressType]
        for component in components {
            let type = ExactString(component.type)
            guard !type.isEmpty else { throw Self.invalid("Invalid empty entity type.") }
            guard matches[type] == nil else {
                throw Self.invalid("Entity type \(type) cannot appear more than once in the filter.")
            }
            guard known.contains(type) else {
                throw AccessRefusal(.unsupportedVersion, "Unsupported entity type \(type)")
            }
            matches[type] = try Self.match(component)
        }
        guard matches[QuotaEntity.addressType] == nil || matches.count == 1 else {
            throw Self.invalid(
                "Invalid entity filter component combination. IP filter component should not be used with user or "
                    + "clientId filter component.")
        }
    }

    private static func match(_ component: Component) throws(AccessRefusal) -> Match {
        switch (component.matchType, component.match) {
        case (0, nil): throw invalid("Request specified MATCH_TYPE_EXACT, but set match string to null.")
        case (0, .some(let name)):
            // Stored by what they are, not by how they were written.
            let address = ExactString(component.type) == QuotaEntity.addressType ? NetworkAddress(name) : nil
            return .name(ExactString(address?.description ?? name))
        case (1, nil): return .name(nil)
        case (1, _): throw invalid("Request specified MATCH_TYPE_DEFAULT, but also specified a match string.")
        case (2, nil): return .any
        case (2, _): throw invalid("Request specified MATCH_TYPE_SPECIFIED, but also specified a match string.")
        default: throw invalid("Unknown match type \(component.matchType)")
        }
    }

    private static func invalid(_ message: String) -> AccessRefusal {
        AccessRefusal(.invalidRequest, message)
    }

    public func matches(_ entity: QuotaEntity) -> Bool {
        // Nobody has no component, so a strict filter without any finds nothing.
        let components = entity.components
        guard !isStrict || components.count == matches.count else { return false }
        return matches.allSatisfy { type, match in
            components.contains { component in
                guard component.type == type else { return false }
                switch match {
                case .any: return true
                case .name(let name): return component.name == name
                }
            }
        }
    }
}
