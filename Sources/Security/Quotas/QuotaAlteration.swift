import KafkaModel

/// AlterClientQuotas as rules over a snapshot: which entity gets which result, and what the quotas are then. Who may ask is
/// the authorizer's. Source: KIP-546, and what Kafka 4.3 does.
///
/// A refused entity stops no other, and nothing of it is changed. (Kafka applies the first of two alterations of an entity,
/// and refuses the entity all the same.)
public struct QuotaAlteration: Sendable {
    /// Of a user's name and of a client id. Kafka takes what fits in a string, 32 KiB.
    public static let maxNameBytes = 1_024

    /// Names one entity, and what is to be set for it: a value, or nil to remove.
    public struct Entry: Sendable {
        public let components: [QuotaEntity.Component]
        public let operations: [(key: String, value: Double?)]

        public init(components: [QuotaEntity.Component], operations: [(key: String, value: Double?)]) {
            // As in Kafka, of a type that is named twice the last name counts.
            var names: [ExactString: ExactString?] = [:]
            for component in components { names[component.type] = .some(component.name) }
            self.components = names.sorted { $0.key < $1.key }.map {
                QuotaEntity.Component(type: $0.key.text, name: $0.value.map(\.text))
            }
            self.operations = operations
        }
    }

    public struct Result: Sendable {
        public let entity: [QuotaEntity.Component]
        /// Why nothing was changed; nil when it was.
        public let refusal: AccessRefusal?

        /// The same, where what was to be done could not be written.
        public func refused(by refusal: AccessRefusal) -> Result {
            Result(entity: entity, refusal: self.refusal ?? refusal)
        }
    }

    /// One for each entity, in the order of their first mention.
    public let results: [Result]
    /// Those whose limits differ now.
    public let changed: [QuotaEntity]
    public let quotas: ClientQuotas

    public init(_ entries: [Entry], quotas: ClientQuotas, room: AccessRoom = .unbounded) {
        let counts = entries.reduce(into: [:]) { $0[$1.components, default: 0] += 1 }
        var (quotas, room) = (quotas, room)
        var results: [Result] = []
        var changed: [QuotaEntity] = []
        var refused: Set<[QuotaEntity.Component]> = []
        for entry in entries {
            if counts[entry.components] != 1 {
                guard refused.insert(entry.components).inserted else { continue }
                results.append(Result(entity: entry.components, refusal: Self.invalid("Ignoring duplicate entity")))
                continue
            }
            switch Self.entity(entry.components) {
            case .refused(let message):
                results.append(Result(entity: entry.components, refusal: Self.invalid(message)))
            case .named(let entity):
                let refusal = Self.apply(entry.operations, to: entity, &quotas, &changed, &room)
                results.append(Result(entity: entry.components, refusal: refusal))
            }
        }
        (self.results, self.changed, self.quotas) = (results, changed, quotas)
    }

    private static func invalid(_ message: String) -> AccessRefusal { AccessRefusal(.invalidRequest, message) }

    private enum Named {
        case named(QuotaEntity)
        case refused(String)
    }

    /// The components are in the order of their types, each type once.
    private static func entity(_ components: [QuotaEntity.Component]) -> Named {
        guard !components.isEmpty else { return .refused("Invalid empty client quota entity") }
        var names: [ExactString: ExactString?] = [:]
        for component in components {
            guard [QuotaEntity.userType, QuotaEntity.clientType, QuotaEntity.addressType].contains(component.type)
            else {
                return .refused("Unhandled client quota entity type: \(component.type)")
            }
            if let name = component.name {
                guard !name.isEmpty else { return .refused("Empty \(component.type) not supported") }
                guard name.text.utf8.count <= maxNameBytes else {
                    return .refused("The name of a \(component.type) has at most \(maxNameBytes) bytes")
                }
            }
            names[component.type] = .some(component.name)
        }
        guard let address = names[QuotaEntity.addressType] else {
            let user = names[QuotaEntity.userType].map { QuotaTable.Name($0) }
            let client = names[QuotaEntity.clientType].map { QuotaTable.Name($0) }
            return .named(.clients(QuotaTable.Entity(user: user, client: client)))
        }
        guard names.count == 1 else {
            return .refused(
                "Invalid quota entity combination, IP entity should not be combined with User or ClientId")
        }
        guard let address else { return .named(.address(nil)) }
        // A name would have to be looked up, and means another host tomorrow.
        guard let parsed = NetworkAddress(address.text) else { return .refused("\(address) is not a valid IP") }
        return .named(.address(parsed))
    }

    /// Sets all or nothing of one entity's; what is returned is why nothing.
    private static func apply(
        _ operations: [(key: String, value: Double?)], to entity: QuotaEntity, _ quotas: inout ClientQuotas,
        _ changed: inout [QuotaEntity], _ room: inout AccessRoom
    ) -> AccessRefusal? {
        var seen: Set<ExactString> = []
        for (key, _) in operations where !seen.insert(ExactString(key)).inserted {
            return invalid("Duplicate quota key \(key)")
        }
        // What would be there of an entity that had nothing: refusals, and whether it takes a place.
        var probe = ClientQuotas()
        // To remove what cannot be there changes nothing, as in Kafka.
        let possible = operations.filter { $0.value != nil || ClientQuotas.has($0.key, entity) }
        for (key, value) in possible {
            if let refusal = probe.set(key, to: value, for: entity) {
                return invalid(refusal.message(key))
            }
        }
        let before = quotas.values(of: entity)
        if before.isEmpty, probe.count > 0 {
            let bytes = entity.components.reduce(0) { $0 + ($1.name?.text.utf8.count ?? 0) }
            if let refusal = room.take(bytes, "entities with quotas", .invalidRequest) { return refusal }
        }
        for (key, value) in possible { quotas.set(key, to: value, for: entity) }
        if !quotas.values(of: entity).elementsEqual(before, by: ==) { changed.append(entity) }
        return nil
    }
}

extension QuotaRefusal {
    /// Kafka's words, where it has any.
    func message(_ key: String) -> String {
        switch self {
        case .nobody: "Invalid empty client quota entity"
        case .notPositive: "Quota \(key) must be greater than 0"
        case .notWhole: "\(key) cannot be a fractional value."
        case .tooLarge:
            "Proposed value for \(key) is too large for \(key == AddressQuotas.key ? "an INT" : "a LONG")."
        case .unknownKey: "Invalid configuration key \(key)"
        case .full: "There are as many entities with quotas as there may be"
        }
    }
}
