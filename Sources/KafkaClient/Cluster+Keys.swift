internal import KafkaModel
internal import KafkaWire
public import Security

/// API keys of the gateway: an API of Millrace's own.
extension Cluster {
    /// One key, as the broker tells of it.
    public struct GatewayKey: Sendable {
        public var id: String
        public var owner: String
        /// Times are milliseconds since 1970; nil: never.
        public var createdMs: Int64
        public var expiryMs: Int64?
        public var lastUseMs: Int64?
        public var isDisabled: Bool
        public var isPublishable: Bool
        public var signs: Bool
        /// Of each secret, the newest first.
        public var secretEndsMs: [Int64?]
        /// Nil: all that the owner may.
        public var scopes: [AccessScope]?
    }

    /// What a new key is to be.
    public struct NewGatewayKey: Sendable {
        public var owner: Principal
        public var expiryMs: Int64?
        public var scopes: [AccessScope]?
        public var isPublishable = false
        /// What requests are signed by (SigV4).
        public var signingSecret: Secret?

        public init(owner: Principal) { self.owner = owner }
    }

    /// Returns all keys, in the order of their ids.
    public func gatewayKeys() throws(ClientError) -> [GatewayKey] {
        var request = DescribeGatewayKeysRequest()
        request.ids = nil
        let response = try call(request)
        try Self.check(response.errorCode, "keys", response.errorMessage)
        var keys: [GatewayKey] = []
        for key in response.keys { keys.append(try GatewayKey(key)) }
        return keys
    }

    /// Makes the key whose text was made here: the broker gets its hash.
    public func createKey(_ key: GatewayKeyText, _ wanted: NewGatewayKey) throws(ClientError) {
        var change = Self.change(key.id.text, .create)
        (change.owner, change.hash, change.isPublishable) = (wanted.owner.description, key.hash, wanted.isPublishable)
        change.expiryMs = wanted.expiryMs ?? -1
        change.signingSecret = wanted.signingSecret.map { $0.withBytes { Array($0) } }
        defer { if change.signingSecret != nil { Secret.wipe(&change.signingSecret!) } }
        change.scopes = wanted.scopes?.map { scope in
            var written = AlterGatewayKeysRequest.GatewayKeyScope()
            written.resourceType = scope.pattern.resource.rawValue
            written.resourceName = scope.pattern.name.text
            (written.patternType, written.operation) = (scope.pattern.type.rawValue, scope.operation.rawValue)
            return written
        }
        try alter(change)
    }

    /// Gives the key another secret, of which the broker gets the hash; the one before goes on until `previousEndsMs`.
    public func rotateKey(to key: GatewayKeyText, previousEndsMs: Int64) throws(ClientError) {
        var change = Self.change(key.id.text, .rotate)
        (change.hash, change.previousEndsMs) = (key.hash, previousEndsMs)
        try alter(change)
    }

    /// Ends the key; or, with `onlyPrevious`, its secrets before the newest.
    public func revokeKey(_ id: String, onlyPrevious: Bool) throws(ClientError) {
        try alter(Self.change(id, onlyPrevious ? .revokePrevious : .revoke))
    }

    private static func change(
        _ id: String, _ action: GatewayKeyChange.Action
    ) -> AlterGatewayKeysRequest.GatewayKeyAlteration {
        var change = AlterGatewayKeysRequest.GatewayKeyAlteration()
        (change.id, change.action) = (id, action.rawValue)
        (change.scopes, change.signingSecret) = (nil, nil)
        return change
    }

    private func alter(_ change: AlterGatewayKeysRequest.GatewayKeyAlteration) throws(ClientError) {
        var request = AlterGatewayKeysRequest()
        request.changes = [change]
        let response = try callController(request)
        guard let result = response.results.first else { throw .invalidAnswer("AlterGatewayKeys says nothing") }
        try Self.check(result.errorCode, "key \(change.id)", result.errorMessage)
    }
}

extension Cluster.GatewayKey {
    init(_ key: DescribeGatewayKeysResponse.GatewayKeyDescription) throws(ClientError) {
        func time(_ milliseconds: Int64) -> Int64? { milliseconds < 0 ? nil : milliseconds }
        self.init(
            id: key.id, owner: key.owner, createdMs: key.createdMs, expiryMs: time(key.expiryMs),
            lastUseMs: time(key.lastUseMs), isDisabled: key.isDisabled, isPublishable: key.isPublishable,
            signs: key.signs, secretEndsMs: key.secretEndsMs.map(time), scopes: nil)
        guard let written = key.scopes else { return }
        var found: [AccessScope] = []
        for scope in written {
            guard let resource = ResourceType(rawValue: scope.resourceType),
                let pattern = PatternType(rawValue: scope.patternType),
                let operation = AclOperation(rawValue: scope.operation)
            else { throw .invalidAnswer("a scope of key \(key.id) of a kind that this program does not know") }
            found.append(
                AccessScope(ResourcePattern(resource, ExactString(scope.resourceName), pattern), operation))
        }
        scopes = found
    }
}
