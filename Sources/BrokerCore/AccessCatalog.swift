public import KafkaModel
public import Security

/// Who may do what at one moment: users' credentials, ACLs and quotas. Immutable, exchanged as a whole by whoever changes
/// it, so that a request sees all of a change or nothing of it.
///
/// ``rules`` is another object if and only if ACLs have changed, which is what a `DecisionCache` compares. A session of a
/// user compares ``credentialsVersion``, and only where that has grown the epoch of its credential.
public final class AccessCatalog: ScramCredentialSource {
    public let rules: AccessRules
    public let quotas: ClientQuotas
    private let credentials: [ExactString: UserCredentials]
    /// The metadata's revision that this is as of, and those that changed one part of it last.
    public let version: Int64
    public let credentialsVersion: Int64
    public let quotasVersion: Int64
    /// Bytes of names in each part, for what bounds them and what prices replies.
    public let textBytes: TextBytes

    public struct TextBytes: Sendable, Equatable {
        public internal(set) var users = 0
        public internal(set) var acls = 0
        public internal(set) var quotas = 0

        var sum: Int { users + acls + quotas }
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

    private init(
        rules: AccessRules, quotas: ClientQuotas, credentials: [ExactString: UserCredentials], version: Int64,
        credentialsVersion: Int64, quotasVersion: Int64, textBytes: TextBytes
    ) {
        self.rules = rules
        self.quotas = quotas
        self.credentials = credentials
        self.version = version
        self.credentialsVersion = credentialsVersion
        self.quotasVersion = quotasVersion
        self.textBytes = textBytes
    }

    /// Makes the catalog of what a start has found.
    convenience init(_ records: some Sequence<AccessRecord>, _ options: AccessOptions, version: Int64) {
        var bindings: [AclBinding] = []
        var quotas = ClientQuotas()
        var credentials: [ExactString: UserCredentials] = [:]
        for record in records {
            switch record {
            case .acl(let binding): bindings.append(binding)
            case .quotas(let entity, let limits):
                for limit in limits { quotas.set(limit.key, to: limit.value, for: entity) }
            case .scram(let user, let mechanism, let credential):
                credentials[user, default: UserCredentials()][mechanism] = credential
            }
        }
        self.init(
            rules: options.rules(bindings), quotas: quotas, credentials: credentials, version: version,
            credentialsVersion: version, quotasVersion: version,
            textBytes: TextBytes(
                users: Self.textBytes(credentials), acls: Self.textBytes(bindings), quotas: Self.textBytes(quotas)))
    }

    // MARK: Changes

    /// `added`: bytes of names that have come, or less than zero, gone.
    func replacing(_ rules: AccessRules, added: Int, version: Int64) -> AccessCatalog {
        var bytes = textBytes
        bytes.acls += added
        return AccessCatalog(
            rules: rules, quotas: quotas, credentials: credentials, version: version,
            credentialsVersion: credentialsVersion, quotasVersion: quotasVersion, textBytes: bytes)
    }

    func replacing(_ quotas: ClientQuotas, version: Int64) -> AccessCatalog {
        var bytes = textBytes
        bytes.quotas = Self.textBytes(quotas)
        return AccessCatalog(
            rules: rules, quotas: quotas, credentials: credentials, version: version,
            credentialsVersion: credentialsVersion, quotasVersion: version, textBytes: bytes)
    }

    func applying(_ changes: [ScramAlteration.Change], version: Int64) -> AccessCatalog {
        var credentials = credentials
        for change in changes {
            credentials[change.user, default: UserCredentials()][change.mechanism] = change.credential
            if credentials[change.user]?.isEmpty == true { credentials[change.user] = nil }
        }
        var bytes = textBytes
        bytes.users = Self.textBytes(credentials)
        return AccessCatalog(
            rules: rules, quotas: quotas, credentials: credentials, version: version, credentialsVersion: version,
            quotasVersion: quotasVersion, textBytes: bytes)
    }

    static func textBytes(_ bindings: some Sequence<AclBinding>) -> Int { bindings.reduce(0) { $0 + $1.textBytes } }

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

    public var userCount: Int { credentials.count }

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
    /// A new one above it gets INVALID_REQUEST.
    public var maxQuotaEntities = QuotaTable.maxEntities
    /// Bytes of the names of users, in ACLs and of entities with quotas, all together. What adds to them beyond it gets the
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
