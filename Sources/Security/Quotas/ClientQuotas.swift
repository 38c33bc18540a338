public import KafkaModel

/// Whom AlterClientQuotas sets limits for: a user, a client id, both, or an address.
public enum QuotaEntity: Hashable, Sendable {
    case clients(QuotaTable.Entity)
    /// Nil: all addresses without a limit of their own.
    case address(NetworkAddress?)

    /// One part of an entity as the wire has it: its type, and its name, or nil for the default of the type.
    public struct Component: Hashable, Sendable {
        public let type: ExactString
        public let name: ExactString?

        public init(type: String, name: String?) {
            self.type = ExactString(type)
            self.name = name.map { ExactString($0) }
        }

        fileprivate init(_ type: ExactString, _ name: QuotaTable.Name) {
            self.type = type
            self.name = name.text
        }
    }

    public static let userType: ExactString = "user"
    public static let clientType: ExactString = "client-id"
    public static let addressType: ExactString = "ip"

    /// The user before the client id.
    public var components: [Component] {
        switch self {
        case .clients(let entity):
            [(Self.userType, entity.user), (Self.clientType, entity.client)].compactMap { type, name in
                name.map { Component(type, $0) }
            }
        case .address(let address):
            [Component(type: Self.addressType.text, name: address.map(\.description))]
        }
    }
}

extension QuotaTable.Name {
    /// Nil for the default.
    var text: ExactString? {
        switch self {
        case .exactly(let name): name
        case .byDefault: nil
        }
    }

    public init(_ text: ExactString?) { self = text.map { .exactly($0) } ?? .byDefault }
}

/// Everything that AlterClientQuotas has set, at one moment.
public struct ClientQuotas: Sendable {
    public private(set) var table = QuotaTable()
    public private(set) var addresses = AddressQuotas()

    public init() {}

    /// Entities that have a limit.
    public var count: Int {
        table.entities.count + addresses.addresses.count + (addresses.byDefault == nil ? 0 : 1)
    }

    public var entities: [QuotaEntity] {
        table.entities.keys.map { .clients($0) } + addresses.addresses.keys.map { .address($0) }
            + (addresses.byDefault == nil ? [] : [.address(nil)])
    }

    /// An entity's limits in the order of their keys.
    public func values(of entity: QuotaEntity) -> [(key: String, value: Double)] {
        switch entity {
        case .clients(let entity):
            return (table.entities[entity] ?? [:]).map { ($0.key.rawValue, $0.value) }.sorted { $0.0 < $1.0 }
        case .address(let address):
            let limit = address.map { addresses.addresses[$0] } ?? addresses.byDefault
            return limit.map { [(AddressQuotas.key, $0)] } ?? []
        }
    }

    /// Whether the key means something for the entity.
    static func has(_ key: String, _ entity: QuotaEntity) -> Bool {
        switch entity {
        case .clients: QuotaTable.Limit(rawValue: key) != nil
        case .address: key == AddressQuotas.key
        }
    }

    /// Nil removes. What is returned is why nothing was done. The key is one of the entity's.
    @discardableResult
    public mutating func set(_ key: String, to value: Double?, for entity: QuotaEntity) -> QuotaRefusal? {
        switch entity {
        case .clients(let entity):
            guard let limit = QuotaTable.Limit(rawValue: key) else { return .unknownKey }
            return table.set(limit, to: value, for: entity)
        case .address(let address):
            guard key == AddressQuotas.key else { return .unknownKey }
            return addresses.set(value, for: address)
        }
    }
}
