import KafkaModel

/// What AlterGatewayKeys does with one API key, as rules over what is known of it. Who may ask is the authorizer's.
///
/// A key's text never leaves who made it: what is sent, and kept, is its hash.
public struct GatewayKeyChange: Sendable {
    /// Of one key. Each is looked at in each decision.
    public static let maxScopes = 64
    /// Of an owner's name and a scope's, as of those in ACLs.
    public static let maxTextBytes = AclChanges.maxTextBytes

    /// AWS's own have 40 characters.
    static let minSigningBytes = 32
    static let maxSigningBytes = 128

    /// By its number on the wire.
    public enum Action: Int8, Sendable {
        case create = 1
        case rotate = 2
        /// Ends the secrets before the newest.
        case revokePrevious = 3
        case revoke = 4
    }

    /// One scope as it came over the wire, numbers not yet looked at.
    public struct Scope: Sendable {
        public let resource: Int8
        public let name: String
        public let pattern: Int8
        public let operation: Int8

        public init(resource: Int8, name: String, pattern: Int8, operation: Int8) {
            self.resource = resource
            self.name = name
            self.pattern = pattern
            self.operation = operation
        }
    }

    public let id: String
    public let action: Int8
    /// Of a new key: `TYPE:NAME`.
    public var owner = ""
    /// Of a new secret: SHA-256 over the key's text.
    public var hash: [UInt8] = []
    /// Of a new key, where it signs requests (SigV4): HMAC needs it as it is, so it is kept sealed.
    public var signingSecret: Secret?
    /// Of a new key.
    public var expiry: UnixTime?
    public var isPublishable = false
    public var scopes: [Scope]?
    /// When the secret before a new one ends.
    public var previousEnds = UnixTime(milliseconds: 0)

    public init(id: String, action: Int8) {
        self.id = id
        self.action = action
    }

    /// What the key is afterwards; nil: it is gone.
    ///
    /// - Parameter existing: what is known of that id.
    public func applied(
        to existing: GatewayKeyRecord?, now: UnixTime, box: SecretBox
    ) throws(AccessRefusal) -> GatewayKeyRecord? {
        guard GatewayKeyText.isID(ExactString(id)) else { throw Self.refused("No id of a key: \(id)") }
        guard let action = Action(rawValue: action) else {
            throw AccessRefusal(.invalidRequest, "Unknown action \(action)")
        }
        if action == .create {
            guard existing == nil else { throw AccessRefusal(.duplicateResource, "There is such a key already") }
            return try created(now: now, box)
        }
        guard var record = existing else { throw AccessRefusal(.resourceNotFound, "There is no such key") }
        switch action {
        case .create, .revoke: return nil
        case .revokePrevious: record.revokePrevious()
        case .rotate:
            guard previousEnds.milliseconds >= now.milliseconds - Self.maxPast.milliseconds else {
                throw Self.refused("The secret before would have ended in the past")
            }
            guard let key = GatewayKeyText(id: ExactString(id), hash: hash) else {
                throw Self.refused("A hash has 32 bytes")
            }
            do throws(GatewayKeyRecord.RotationError) {
                try record.rotate(to: key, now: now, previousEnds: previousEnds)
            } catch {
                throw AccessRefusal(.policyViolation, "Two secrets are in use; end the one before first")
            }
        }
        return record
    }

    /// Clocks differ.
    private static let maxPast = Duration.seconds(60)

    private func created(now: UnixTime, _ box: SecretBox) throws(AccessRefusal) -> GatewayKeyRecord {
        guard let key = GatewayKeyText(id: ExactString(id), hash: hash) else {
            throw Self.refused("A hash has 32 bytes")
        }
        guard let principal = Principal(parsing: owner), !principal.name.isEmpty, owner.utf8.count <= Self.maxTextBytes
        else { throw Self.refused("An owner is TYPE:NAME, of \(Self.maxTextBytes) bytes at most") }
        if let expiry, expiry <= now { throw Self.refused("The key would have ended in the past") }
        var record = GatewayKeyRecord(
            key, owner: principal, created: now, expiry: expiry, scopes: try checkedScopes(),
            isPublishable: isPublishable)
        if let signingSecret {
            guard (Self.minSigningBytes...Self.maxSigningBytes).contains(signingSecret.count) else {
                throw Self.refused("A signing secret has \(Self.minSigningBytes) to \(Self.maxSigningBytes) bytes")
            }
            record.signingSecret = box.seal(signingSecret, for: id.utf8)
        }
        return record
    }

    private func checkedScopes() throws(AccessRefusal) -> [AccessScope]? {
        guard let scopes else { return nil }
        guard scopes.count <= Self.maxScopes else { throw Self.refused("A key has \(Self.maxScopes) scopes at most") }
        var found: [AccessScope] = []
        for scope in scopes {
            guard let resource = ResourceType(rawValue: scope.resource), resource != .any,
                let pattern = PatternType(rawValue: scope.pattern), pattern == .literal || pattern == .prefixed,
                let operation = AclOperation(rawValue: scope.operation), operation != .any, !scope.name.isEmpty,
                scope.name.utf8.count <= Self.maxTextBytes
            else { throw Self.refused("A scope is an operation on a resource, literal or prefixed") }
            found.append(AccessScope(ResourcePattern(resource, ExactString(scope.name), pattern), operation))
        }
        return found
    }

    private static func refused(_ message: String) -> AccessRefusal {
        AccessRefusal(.unacceptableCredential, message)
    }
}
