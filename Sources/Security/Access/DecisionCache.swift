import KafkaModel

/// The decisions of one event loop, so that a topic's ACLs are not searched for each request.
///
/// Filled as decisions are made, emptied when a later ``AccessRules`` is given: a change acts on the next request.
/// Looks topics up by the bytes of the request; a hit allocates nothing.
public struct DecisionCache: Sendable {
    /// Slots of the table, 48 bytes and a name each. Whatever falls into a full neighbourhood replaces one of its
    /// entries, and is decided anew when it is asked for again.
    public static let maxEntries = 4_096
    /// How many slots from its own an entry may lie.
    static let neighbourhood = 4

    /// A subject as this cache knows it: its number stands in the entries instead of its names.
    public struct RegisteredSubject: Sendable {
        public let subject: AccessSubject
        fileprivate let number: UInt64
    }

    private struct Entry: Sendable {
        var hash: UInt64 = 0
        /// 0: empty.
        var subject: UInt64 = 0
        var operation: Int8 = 0
        var resource: Int8 = 0
        var isAllowed = false
        var name: [UInt8] = []
    }

    private var entries = [Entry](repeating: Entry(), count: Self.maxEntries)
    private var revision: UInt64 = .max
    private var subjects: UInt64 = 0
    private var next = 0
    /// Decisions that had to be made, for tests and metrics.
    public private(set) var misses = 0

    public init() {}

    /// Called once for each connection or credential. Numbers are never used twice.
    public mutating func register(_ subject: AccessSubject) -> RegisteredSubject {
        subjects += 1
        return RegisteredSubject(subject: subject, number: subjects)
    }

    /// Whether the subject may; `name` is the resource's name in UTF-8. Bytes that are no UTF-8 are never allowed. Nil
    /// when the ACLs are not loaded yet: the request waits.
    public mutating func isAllowed(
        _ operation: AclOperation, _ resource: ResourceType, _ name: UnsafeRawBufferPointer,
        for registered: RegisteredSubject, by rules: AccessRules
    ) -> Bool? {
        if rules.revision != revision { clear(for: rules) }
        var hasher = Hasher()
        hasher.combine(bytes: name)
        hasher.combine(registered.number)
        hasher.combine(operation.rawValue)
        let hash = UInt64(bitPattern: Int64(hasher.finalize()))
        let home = Int(hash % UInt64(Self.maxEntries))
        for distance in 0..<Self.neighbourhood {
            let slot = (home + distance) % Self.maxEntries
            let isHit =
                entries[slot].hash == hash && entries[slot].subject == registered.number
                && entries[slot].operation == operation.rawValue && entries[slot].resource == resource.rawValue
                && entries[slot].name.count == name.count && entries[slot].name.elementsEqual(name)
            if isHit { return entries[slot].isAllowed }
        }
        guard let text = String(validating: name, as: UTF8.self) else { return false }
        misses += 1
        let request = AccessRequest(operation, resource, ExactString(text))
        let decision = rules.decide(request, for: registered.subject)
        if decision.reason == .notLoaded { return nil }
        let slot = freeSlot(near: home)
        entries[slot] = Entry(
            hash: hash, subject: registered.number, operation: operation.rawValue, resource: resource.rawValue,
            isAllowed: decision.isAllowed, name: Array(name))
        return decision.isAllowed
    }

    private mutating func freeSlot(near home: Int) -> Int {
        for distance in 0..<Self.neighbourhood {
            let slot = (home + distance) % Self.maxEntries
            if entries[slot].subject == 0 { return slot }
        }
        next += 1
        return (home + next % Self.neighbourhood) % Self.maxEntries
    }

    private mutating func clear(for rules: AccessRules) {
        revision = rules.revision
        for index in entries.indices where entries[index].subject != 0 { entries[index] = Entry() }
    }
}
