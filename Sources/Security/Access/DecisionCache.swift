import KafkaModel
import Synchronization

/// The decisions of one event loop, so that a topic's ACLs are not searched for each request.
///
/// Filled as decisions are made, emptied when the number of other ``AccessRules`` is given: a change acts on the next
/// request. Looks topics up by the bytes of the request; a hit allocates nothing, and does not touch the rules.
public struct DecisionCache: ~Copyable, Sendable {
    /// Slots of the table, 48 bytes and a name each. Whatever falls into a full neighbourhood replaces one of its
    /// entries, and is decided anew when it is asked for again.
    public static let maxEntries = 4_096
    /// A longer name is decided each time, and not kept. A topic's has 249 bytes at most.
    public static let maxNameBytes = 256
    /// How many slots from its own an entry may lie.
    static let neighbourhood = 4

    /// A subject with a number, which stands in the entries instead of its names. Made once for each connection or
    /// credential. No number of this process is used twice, so a subject may be asked for in every cache.
    public struct RegisteredSubject: Sendable {
        private static let numbers = Atomic<UInt64>(0)

        public let subject: AccessSubject
        fileprivate let number: UInt64

        public init(_ subject: AccessSubject) {
            self.subject = subject
            number = Self.numbers.add(1, ordering: .relaxed).newValue
        }
    }

    private struct Entry: Sendable {
        var hash: UInt64 = 0
        /// 0: empty.
        var subject: UInt64 = 0
        /// Below zero: asked for any resource of the type.
        var operation: Int8 = 0
        var resource: Int8 = 0
        var isAllowed = false
        var name: [UInt8] = []
    }

    private var entries = [Entry](repeating: Entry(), count: Self.maxEntries)
    /// Of the rules that the entries were decided by; 0: there are none.
    private var number: UInt64 = 0
    private var next = 0
    /// Decisions that had to be made, for tests and metrics.
    public private(set) var misses = 0

    public init() {}

    /// Whether the subject may; `name` is the resource's name in UTF-8. Bytes that are no UTF-8 are never allowed. Nil
    /// when the ACLs are not loaded yet: the request waits.
    ///
    /// - Parameters:
    ///   - number: of the rules that are in force, read before the call.
    ///   - rules: these, or later ones; asked for what is not in the cache.
    public mutating func isAllowed(
        _ operation: AclOperation, _ resource: ResourceType, _ name: UnsafeRawBufferPointer,
        for registered: RegisteredSubject, asOf number: UInt64, by rules: () -> AccessRules
    ) -> Bool? {
        find(operation.rawValue, resource, name, registered, number) {
            guard let text = String(validating: name, as: UTF8.self) else { return false }
            let request = AccessRequest(operation, resource, ExactString(text))
            let decision = rules().decide(request, for: registered.subject)
            return decision.reason == .notLoaded ? nil : decision.isAllowed
        }
    }

    /// ``AccessRules/decideOnAny(_:_:for:)``, remembered. Nil when the ACLs are not loaded yet.
    public mutating func isAllowedOnAny(
        _ operation: AclOperation, _ resource: ResourceType, for registered: RegisteredSubject, asOf number: UInt64,
        by rules: () -> AccessRules
    ) -> Bool? {
        find(-operation.rawValue, resource, UnsafeRawBufferPointer(start: nil, count: 0), registered, number) {
            let rules = rules()
            guard rules.isLoaded || rules.isSuperUser(registered.subject) else { return nil }
            return rules.decideOnAny(operation, resource, for: registered.subject)
        }
    }

    private mutating func find(
        _ operation: Int8, _ resource: ResourceType, _ name: UnsafeRawBufferPointer, _ registered: RegisteredSubject,
        _ number: UInt64, orDecide decide: () -> Bool?
    ) -> Bool? {
        if number != self.number { clear(for: number) }
        var hasher = Hasher()
        hasher.combine(bytes: name)
        hasher.combine(registered.number)
        hasher.combine(operation)
        let hash = UInt64(bitPattern: Int64(hasher.finalize()))
        let home = Int(hash % UInt64(Self.maxEntries))
        for distance in 0..<Self.neighbourhood {
            let slot = (home + distance) % Self.maxEntries
            let isHit =
                entries[slot].hash == hash && entries[slot].subject == registered.number
                && entries[slot].operation == operation && entries[slot].resource == resource.rawValue
                && entries[slot].name.count == name.count && entries[slot].name.elementsEqual(name)
            if isHit { return entries[slot].isAllowed }
        }
        misses += 1
        guard let isAllowed = decide() else { return nil }
        guard name.count <= Self.maxNameBytes else { return isAllowed }
        let slot = freeSlot(near: home)
        entries[slot] = Entry(
            hash: hash, subject: registered.number, operation: operation, resource: resource.rawValue,
            isAllowed: isAllowed, name: Array(name))
        return isAllowed
    }

    private mutating func freeSlot(near home: Int) -> Int {
        for distance in 0..<Self.neighbourhood {
            let slot = (home + distance) % Self.maxEntries
            if entries[slot].subject == 0 { return slot }
        }
        next += 1
        return (home + next % Self.neighbourhood) % Self.maxEntries
    }

    private mutating func clear(for number: UInt64) {
        self.number = number
        for index in entries.indices where entries[index].subject != 0 { entries[index] = Entry() }
    }
}
