public import KafkaModel

/// What is stored of an API key: hashes, never the key.
public struct GatewayKeyRecord: Hashable, Sendable {
    /// Two: the new one and, for a while, the one before. Making a third is a conflict; who wants it ends one first.
    public static let maxSecrets = 2
    /// How often the last use is written down at most, so that a busy key does not write with each request.
    public static let useInterval = Duration.seconds(600)

    public struct StoredSecret: Hashable, Sendable {
        public let hash: [UInt8]
        public let created: UnixTime
        /// Nil for as long as the key lives.
        public internal(set) var end: UnixTime?

        public init(hash: [UInt8], created: UnixTime, end: UnixTime?) {
            self.hash = hash
            self.created = created
            self.end = end
        }

        func isLive(at now: UnixTime) -> Bool { end.map { now < $0 } ?? true }
    }

    public let id: ExactString
    public let owner: Principal
    public let created: UnixTime
    /// Newest first.
    public private(set) var secrets: [StoredSecret]
    public var expiry: UnixTime?
    public var isDisabled = false
    private var writtenScopes: [AccessScope]?
    /// For a browser's page: may write and nothing else, whatever its scopes say.
    public let isPublishable: Bool
    public private(set) var lastUse: UnixTime?
    /// The secret that requests are signed by (SigV4), sealed; nil: the key signs none.
    public var signingSecret: [UInt8]?

    public init(
        _ key: GatewayKeyText, owner: Principal, created: UnixTime, expiry: UnixTime? = nil,
        scopes: [AccessScope]? = nil, isPublishable: Bool = false
    ) {
        id = key.id
        self.owner = owner
        self.created = created
        secrets = [StoredSecret(hash: key.hash, created: created, end: nil)]
        self.expiry = expiry
        writtenScopes = scopes
        self.isPublishable = isPublishable
    }

    /// As it was stored. Nil where that is no id, without a secret, and with more than there may be.
    public init?(
        id: ExactString, owner: Principal, created: UnixTime, secrets: [StoredSecret], expiry: UnixTime?,
        isDisabled: Bool,
        scopes: [AccessScope]?, isPublishable: Bool, lastUse: UnixTime?, signingSecret: [UInt8]?
    ) {
        guard GatewayKeyText.isID(id), (1...Self.maxSecrets).contains(secrets.count) else { return nil }
        self.id = id
        self.owner = owner
        self.created = created
        self.secrets = secrets
        self.expiry = expiry
        self.isDisabled = isDisabled
        writtenScopes = scopes
        self.isPublishable = isPublishable
        self.lastUse = lastUse
        self.signingSecret = signingSecret
    }

    /// What was set, for who shows or stores it.
    public var ownScopes: [AccessScope]? { writtenScopes }

    public enum RotationError: Error, Hashable {
        /// 409: two secrets are in use.
        case twoAreLive
        /// The new secret is one of another key.
        case otherKey
    }

    /// Adds a secret; the one before ends at `previousEnds`.
    public mutating func rotate(
        to key: GatewayKeyText, now: UnixTime, previousEnds: UnixTime
    ) throws(RotationError) {
        guard key.id == id else { throw .otherKey }
        var live = secrets.filter { $0.isLive(at: now) }
        guard live.count < Self.maxSecrets else { throw .twoAreLive }
        for index in live.indices { live[index].end = min(live[index].end ?? previousEnds, previousEnds) }
        secrets = [StoredSecret(hash: key.hash, created: now, end: nil)] + live
    }

    /// Ends all secrets but the newest at once.
    public mutating func revokePrevious() { secrets = Array(secrets.prefix(1)) }

    /// Takes a use at `now` for the last one, at most once in `useInterval`; true when it did, and the record is to be stored.
    public mutating func updateLastUse(now: UnixTime) -> Bool {
        if let lastUse, now - lastUse < Self.useInterval { return false }
        lastUse = now
        return true
    }

    /// What the key may do at most, for ``AccessSubject``; nil for all that its owner may. Of a publishable key's only
    /// WRITE on topics can be read back, whatever was set.
    public var scopes: [AccessScope]? {
        get {
            guard isPublishable else { return writtenScopes }
            let all = writtenScopes ?? [AccessScope(ResourcePattern(.topic, ResourcePattern.wildcard), .write)]
            return all.compactMap { scope in
                guard scope.pattern.resource == .topic, scope.operation == .write || scope.operation == .all else {
                    return nil
                }
                return AccessScope(scope.pattern, .write)
            }
        }
        set { writtenScopes = newValue }
    }
}

/// Whether a key that came with a request is one of ours.
public enum GatewayKeyCheck {
    public enum Outcome: Hashable, Sendable {
        case accepted(GatewayKeyRecord)
        /// The reason is for the metric and the audit; the client gets one answer for all.
        case rejected(Reason)
    }

    public enum Reason: String, Hashable, Sendable, CaseIterable {
        case malformed, unknown, wrongSecret, secretEnded, expired, disabled
    }

    /// Every stored secret is compared, and an unknown id with a dummy, so that time tells nothing.
    public static func run(
        _ text: some Collection<UInt8>, now: UnixTime, record: (ExactString) -> GatewayKeyRecord?
    ) -> Outcome {
        guard let key = GatewayKeyText(text) else { return .rejected(.malformed) }
        let found = record(key.id)
        let dummy = [UInt8](repeating: 0, count: HashAlgorithm.sha256.byteCount)
        var matching: GatewayKeyRecord.StoredSecret?
        for slot in 0..<GatewayKeyRecord.maxSecrets {
            let stored = found.flatMap { slot < $0.secrets.count ? $0.secrets[slot] : nil }
            if ConstantTime.equal(stored?.hash ?? dummy, key.hash) { matching = stored }
        }
        guard let found else { return .rejected(.unknown) }
        guard let matching else { return .rejected(.wrongSecret) }
        if found.isDisabled { return .rejected(.disabled) }
        if let expiry = found.expiry, now >= expiry { return .rejected(.expired) }
        return matching.isLive(at: now) ? .accepted(found) : .rejected(.secretEnded)
    }
}
