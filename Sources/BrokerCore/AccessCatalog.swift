public import KafkaModel
public import Security

/// Who may do what at one moment: users' credentials, ACLs, quotas and API keys. Immutable, exchanged as a whole by whoever changes
/// it, so that a request sees all of a change or nothing of it.
///
/// ``rules`` is another object, of another number, if and only if ACLs have changed, which is what a `DecisionCache` compares. A
/// session of a user compares ``credentialsVersion``, and only where that has grown the epoch of its credential.
public final class AccessCatalog: ScramCredentialSource {
    public let rules: AccessRules
    public let quotas: ClientQuotas
    private let credentials: [ExactString: UserCredentials]
    /// Keys of the gateway, by id.
    public let keys: [ExactString: GatewayKeyRecord]
    private let forms: [ScramMechanism: ScramForms]
    private let twins: [ScramMechanism: ScramTwins]
    /// The metadata's revision that this is as of, and those that changed one part of it last.
    public let version: Int64
    public let credentialsVersion: Int64
    public let quotasVersion: Int64
    public let keysVersion: Int64
    /// Bytes of names in each part, for what bounds them and what prices replies.
    public let textBytes: TextBytes

    public struct TextBytes: Sendable, Equatable {
        public internal(set) var users = 0
        public internal(set) var acls = 0
        public internal(set) var quotas = 0
        public internal(set) var keys = 0

        var sum: Int { users + acls + quotas + keys }
    }

    /// At least one is there.
    struct UserCredentials: Sendable {
        var sha256: ScramCredential?
        var sha512: ScramCredential?

        subscript(mechanism: ScramMechanism) -> ScramCredential? {
            get {
                switch mechanism {
                case .sha256: sha256
                case .sha512: sha512
                }
            }
            set {
                switch mechanism {
                case .sha256: sha256 = newValue
                case .sha512: sha512 = newValue
                }
            }
        }

        var isEmpty: Bool { sha256 == nil && sha512 == nil }
    }

    /// What a catalog is made of; changed, it makes the next.
    private struct Parts {
        var rules: AccessRules
        var quotas: ClientQuotas
        var credentials: [ExactString: UserCredentials]
        /// What these show of themselves.
        var forms: [ScramMechanism: ScramForms]
        var twins: [ScramMechanism: ScramTwins]
        var keys: [ExactString: GatewayKeyRecord]
        var version: Int64
        var credentialsVersion: Int64
        var quotasVersion: Int64
        var keysVersion: Int64
        var textBytes: TextBytes
    }

    private init(_ parts: Parts) {
        rules = parts.rules
        quotas = parts.quotas
        credentials = parts.credentials
        forms = parts.forms
        twins = parts.twins
        keys = parts.keys
        version = parts.version
        credentialsVersion = parts.credentialsVersion
        quotasVersion = parts.quotasVersion
        keysVersion = parts.keysVersion
        textBytes = parts.textBytes
    }

    private var parts: Parts {
        Parts(
            rules: rules, quotas: quotas, credentials: credentials, forms: forms, twins: twins, keys: keys,
            version: version,
            credentialsVersion: credentialsVersion, quotasVersion: quotasVersion, keysVersion: keysVersion,
            textBytes: textBytes)
    }

    private func changed(_ version: Int64, _ change: (inout Parts) -> Void) -> AccessCatalog {
        var parts = parts
        parts.version = version
        change(&parts)
        return AccessCatalog(parts)
    }

    /// Makes the catalog of what a start has found.
    convenience init(_ records: some Sequence<AccessRecord>, _ options: AccessOptions, version: Int64) {
        var bindings: [AclBinding] = []
        var quotas = ClientQuotas()
        var credentials: [ExactString: UserCredentials] = [:]
        var keys: [ExactString: GatewayKeyRecord] = [:]
        for record in records {
            switch record {
            case .acl(let binding): bindings.append(binding)
            case .quotas(let entity, let limits):
                for limit in limits { quotas.set(limit.key, to: limit.value, for: entity) }
            case .scram(let user, let mechanism, let credential):
                credentials[user, default: UserCredentials()][mechanism] = credential
            case .gatewayKey(let record): keys[record.id] = record
            }
        }
        self.init(
            Parts(
                rules: options.rules(bindings), quotas: quotas, credentials: credentials,
                forms: Self.forms(credentials), twins: Self.twins(credentials), keys: keys, version: version,
                credentialsVersion: version, quotasVersion: version, keysVersion: version,
                textBytes: TextBytes(
                    users: Self.textBytes(credentials), acls: Self.textBytes(bindings), quotas: Self.textBytes(quotas),
                    keys: Self.textBytes(keys.values))))
    }

    // MARK: Changes

    /// `added`: bytes of names that have come, or less than zero, gone.
    func replacing(_ rules: AccessRules, added: Int, version: Int64) -> AccessCatalog {
        changed(version) { parts in
            parts.rules = rules
            parts.textBytes.acls += added
        }
    }

    func replacing(_ quotas: ClientQuotas, version: Int64) -> AccessCatalog {
        changed(version) { parts in
            (parts.quotas, parts.quotasVersion) = (quotas, version)
            parts.textBytes.quotas = Self.textBytes(quotas)
        }
    }

    /// Keys with what they are now; nil: gone.
    func replacing(_ keys: [(id: ExactString, record: GatewayKeyRecord?)], version: Int64) -> AccessCatalog {
        changed(version) { parts in
            for (id, record) in keys {
                parts.textBytes.keys -= parts.keys[id].map { Self.textBytes($0) } ?? 0
                parts.textBytes.keys += record.map { Self.textBytes($0) } ?? 0
                parts.keys[id] = record
            }
            parts.keysVersion = version
        }
    }

    func applying(_ changes: [ScramAlteration.Change], version: Int64) -> AccessCatalog {
        changed(version) { parts in
            for change in changes {
                parts.credentials[change.user, default: UserCredentials()][change.mechanism] = change.credential
                if parts.credentials[change.user]?.isEmpty == true { parts.credentials[change.user] = nil }
            }
            parts.textBytes.users = Self.textBytes(parts.credentials)
            parts.forms = Self.forms(parts.credentials)
            parts.twins = Self.twins(parts.credentials)
            parts.credentialsVersion = version
        }
    }

    private static func forms(_ credentials: [ExactString: UserCredentials]) -> [ScramMechanism: ScramForms] {
        Dictionary(
            uniqueKeysWithValues: ScramMechanism.allCases.map { mechanism in
                (mechanism, ScramForms(credentials.values.lazy.compactMap { $0[mechanism] }))
            })
    }

    private static func twins(_ credentials: [ExactString: UserCredentials]) -> [ScramMechanism: ScramTwins] {
        ScramMechanism.allCases.reduce(into: [:]) { twins, mechanism in
            let users = Array(credentials.lazy.filter { $0.value[mechanism] != nil }.map(\.key))
            guard let length = users.first?.text.utf8.count else { return }
            // So many names more than there are users.
            let names = 0..<credentials.count + ScramTwins.maxNobodies
            let nobodies = names.lazy.map { number -> ExactString in
                let end = String(number, radix: 36)
                return ExactString(String(repeating: "\u{1}", count: max(0, length - end.utf8.count)) + end)
            }.filter { credentials[$0] == nil }.prefix(ScramTwins.maxNobodies)
            twins[mechanism] = ScramTwins(users: users, nobodies: Array(nobodies))
        }
    }

    static func textBytes(_ bindings: some Sequence<AclBinding>) -> Int { bindings.reduce(0) { $0 + $1.textBytes } }

    static func textBytes(_ key: GatewayKeyRecord) -> Int {
        (key.ownScopes ?? []).reduce(key.owner.description.utf8.count) { $0 + $1.pattern.name.text.utf8.count }
    }

    private static func textBytes(_ keys: some Sequence<GatewayKeyRecord>) -> Int {
        keys.reduce(0) { $0 + textBytes($1) }
    }

    private static func textBytes(_ credentials: [ExactString: UserCredentials]) -> Int {
        credentials.keys.reduce(0) { $0 + $1.text.utf8.count }
    }

    private static func textBytes(_ quotas: ClientQuotas) -> Int {
        quotas.entities.reduce(0) { sum, entity in
            entity.components.reduce(sum) { $0 + ($1.name?.text.utf8.count ?? 0) }
        }
    }

    // MARK: Look-ups

    public func scramCredential(of user: ExactString, mechanism: ScramMechanism) -> ScramCredential? {
        credentials[user]?[mechanism]
    }

    public func scramForms(mechanism: ScramMechanism) -> ScramForms { forms[mechanism] ?? .none }

    public func scramTwins(mechanism: ScramMechanism) -> ScramTwins? { twins[mechanism] }

    public var userCount: Int { credentials.count }

    /// Scopes of all keys.
    public var keyScopes: Int { keys.values.reduce(0) { $0 + ($1.ownScopes?.count ?? 0) } }

    /// Everybody who has a credential, in the order of their names.
    public var users: [ExactString] { credentials.keys.sorted() }
}

/// What the configuration says of who may do what.
public struct AccessOptions: Sendable {
    /// `authorizer.enable`. Without it the APIs of ACLs answer SECURITY_DISABLED, as Kafka does without an authorizer.
    public var hasAuthorizer = false
    /// `super.users`.
    public var superUsers: Set<Principal> = []
    /// `allow.everyone.if.no.acl.found`.
    public var allowsWithoutAcl = false
    /// Users with a credential, about 600 bytes each on the heap. A new one above it gets POLICY_VIOLATION.
    public var maxUsers = 100_000
    /// A new one above it gets INVALID_REQUEST.
    public var maxAcls = AccessRules.maxAcls
    /// API keys, about 500 bytes each. A new one above it gets POLICY_VIOLATION.
    public var maxKeys = 100_000
    /// A new one above it gets INVALID_REQUEST.
    public var maxQuotaEntities = QuotaTable.maxEntities
    /// Bytes of the names of users, in ACLs, in keys and of entities with quotas, all together. What adds to them beyond it gets the
    /// same errors. A reply that lists all ACLs or users takes twice that, which has to stay below what a reply may take.
    public var maxTextBytes = 16 << 20

    public init() {}

    func rules(_ bindings: some Sequence<AclBinding>) -> AccessRules {
        AccessRules(bindings, superUsers: superUsers, allowsWithoutAcl: allowsWithoutAcl)
    }

    /// What may still be added to `count` of `max`.
    func room(_ max: Int, _ count: Int, _ catalog: AccessCatalog) -> AccessRoom {
        AccessRoom(entries: max - count, bytes: maxTextBytes - catalog.textBytes.sum)
    }
}
