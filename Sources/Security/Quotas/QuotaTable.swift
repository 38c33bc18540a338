public import KafkaModel

/// Why a limit is not taken: INVALID_REQUEST of AlterClientQuotas.
public enum QuotaRefusal: String, Hashable, Sendable, CaseIterable {
    /// An entity without user and client id.
    case nobody
    /// Zero, negative, infinite or no number. Kafka lets the last one through.
    case notPositive
    /// Bytes and connections come whole, but for a millionth, as in Kafka.
    case notWhole
    case full
    /// No limit of the entity's kind is called so.
    case unknownKey
    /// More than Kafka's type of the key holds.
    case tooLarge

    /// `most` is the largest number of a key whose numbers are whole; nil for others.
    init?(of value: Double, most: Double?) {
        guard value.isFinite, value > 0 else {
            self = .notPositive
            return
        }
        guard let most else { return nil }
        if value > most {
            self = .tooLarge
        } else if abs(value.truncatingRemainder(dividingBy: 1)) > 1e-6 {
            self = .notWhole
        } else {
            return nil
        }
    }
}

/// Limits by user and client id, as AlterClientQuotas sets them, and which of them holds for a connection. Source:
/// KIP-13, KIP-55, KIP-124, KIP-546, KIP-599.
public struct QuotaTable: Sendable {
    /// One row for each entity; AlterClientQuotas past it is refused.
    public static let maxEntities = 100_000

    public enum Limit: String, Hashable, Sendable, CaseIterable {
        case produce = "producer_byte_rate"
        case fetch = "consumer_byte_rate"
        case requests = "request_percentage"
        case mutations = "controller_mutation_rate"

        /// Bytes are whole, and an `Int64` in Kafka; the others have fractions.
        fileprivate var most: Double? { self == .produce || self == .fetch ? Double(Int64.max) : nil }
    }

    /// The name of one, or the default of its kind.
    public enum Name: Hashable, Sendable {
        case exactly(ExactString)
        case byDefault
    }

    /// Whom a limit is for; not both nil.
    public struct Entity: Hashable, Sendable {
        public let user: Name?
        public let client: Name?

        public init(user: Name?, client: Name?) {
            self.user = user
            self.client = client
        }
    }

    /// What a connection is counted under: connections with the same one share the limit.
    public struct Bucket: Hashable, Sendable {
        public let user: ExactString?
        public let client: ExactString?

        public init(user: ExactString?, client: ExactString?) {
            self.user = user
            self.client = client
        }
    }

    private var limits: [Entity: [Limit: Double]] = [:]

    public init() {}

    public var entities: [Entity: [Limit: Double]] { limits }

    /// Nil removes. What is returned is why nothing was done; what a store holds goes through here as well.
    @discardableResult
    public mutating func set(_ limit: Limit, to value: Double?, for entity: Entity) -> QuotaRefusal? {
        guard entity.user != nil || entity.client != nil else { return .nobody }
        if let value, let refusal = QuotaRefusal(of: value, most: limit.most) { return refusal }
        guard limits[entity] != nil || value == nil || limits.count < Self.maxEntities else { return .full }
        limits[entity, default: [:]][limit] = value
        if limits[entity]!.isEmpty { limits[entity] = nil }
        return nil
    }

    /// The limit that holds, and the bucket to count in; nil for no limit. From the most to the least particular: user
    /// and client, user and any client, user; any user and client, any user and any client, any user; client; any
    /// client. Each limit is looked for by itself. Whoever has no client id, as at the gateway, has limits of users alone.
    public func limit(_ limit: Limit, user: ExactString, client: ExactString?) -> (value: Double, bucket: Bucket)? {
        guard let client else {
            guard
                let value = limits[Entity(user: .exactly(user), client: nil)]?[limit]
                    ?? limits[Entity(user: .byDefault, client: nil)]?[limit]
            else { return nil }
            return (value, Bucket(user: user, client: nil))
        }
        for (user_, client_, countsUser, countsClient) in [
            (.exactly(user), .exactly(client), true, true), (.exactly(user), .byDefault, true, true),
            (.exactly(user), nil, true, false), (.byDefault, .exactly(client), true, true),
            (.byDefault, .byDefault, true, true), (.byDefault, nil, true, false), (nil, .exactly(client), false, true),
            (nil, .byDefault, false, true),
        ] as [(Name?, Name?, Bool, Bool)] {
            guard let value = limits[Entity(user: user_, client: client_)]?[limit] else { continue }
            return (value, Bucket(user: countsUser ? user : nil, client: countsClient ? client : nil))
        }
        return nil
    }

    /// All limits that hold for one client.
    public func limits(user: ExactString, client: ExactString?) -> ClientLimits {
        ClientLimits(
            produce: limit(.produce, user: user, client: client), fetch: limit(.fetch, user: user, client: client),
            requests: limit(.requests, user: user, client: client),
            mutations: limit(.mutations, user: user, client: client))
    }
}

/// What holds for one client, of each kind by itself.
public struct ClientLimits: Sendable {
    public typealias Limit = (value: Double, bucket: QuotaTable.Bucket)

    public let produce: Limit?
    public let fetch: Limit?
    public let requests: Limit?
    public let mutations: Limit?

    public static let none = ClientLimits(produce: nil, fetch: nil, requests: nil, mutations: nil)

    public var isEmpty: Bool { produce == nil && fetch == nil && requests == nil && mutations == nil }
}
