import BrokerCore
import ByteBuffers
import HTTPWire
import KafkaModel
import Security
import Telemetry

/// Who asks, and whether he may. Nothing is read of a body before that is known.
extension GatewayLoop {
    enum Identification {
        case known(Asker)
        case refused(Problem)
        case unknown(CredentialCheck)
    }

    /// Who shows the credential of the request at hand.
    func identify(_ caller: Caller, _ authentication: GatewayAuthentication) -> Identification {
        let credential: UnsafeRawBufferPointer
        switch (head[.authorization], head[.apiKey]) {
        case (nil, nil):
            if authentication.mode == .optional || caller.hasCertificate { return .known(caller.silent) }
            return .refused(
                unauthorized(
                    "A credential is required: the header field Authorization: Bearer KEY, or X-API-Key: KEY. Keys are made by "
                        + "millrace key create.", caller, isWrong: false))
        case (let value?, nil), (nil, let value?): credential = value
        default: return .refused(Problem(.invalidHeader, "A request has one credential, not two."))
        }
        if let known = caller.known, known.isShown(by: credential), isCurrent(known, authentication) {
            noteUse(of: known)
            return .known(known.asker)
        }
        caller.forget()
        return look(at: credential, caller, authentication)
    }

    /// Of a route that takes certificates alone: why the request at hand is refused, or nil, and `asker` is whose it is.
    func identifyByCertificate(_ caller: Caller) -> Problem? {
        guard caller.hasCertificate else {
            return Problem(.certificateRequired, "A client certificate is required here.")
        }
        if head[.authorization] != nil || head[.apiKey] != nil {
            return Problem(.invalidHeader, "A request has one credential, and here it is its certificate.")
        }
        guard gateway.authentication != nil else { return nil }
        asker = caller.silent
        return refusal(of: caller.silent)
    }

    private func isCurrent(_ known: Caller.Known, _ authentication: GatewayAuthentication) -> Bool {
        guard wallClockMs < known.endMs else { return false }
        switch known.basis {
        case .key(_, let version): return broker.access.keysVersion == version
        case .password(let version): return broker.access.credentialsVersion == version
        case .token(let generation): return authentication.tokens?.generation == generation
        }
    }

    // MARK: Looking

    private func look(
        at credential: UnsafeRawBufferPointer, _ caller: Caller, _ authentication: GatewayAuthentication
    ) -> Identification {
        if let problem = tooManyAttempts(caller) { return .refused(problem) }
        if let verdict = caller.takeVerdict(of: credential) { return settle(verdict, credential, caller) }
        if head[.apiKey] != nil { return lookAtKey(credential, credential, caller) }
        let space = credential.firstIndex(of: UInt8(ascii: " ")) ?? credential.count
        let scheme = UnsafeRawBufferPointer(rebasing: credential[..<space])
        let rest = RequestHead.trimmed(UnsafeRawBufferPointer(rebasing: credential[space...]))
        if RequestHead.equals(scheme, "bearer") {
            if rest.starts(with: "gk_".utf8) { return lookAtKey(rest, credential, caller) }
            return lookAtToken(rest, credential, caller, authentication)
        }
        if RequestHead.equals(scheme, "basic") { return lookAtPassword(rest, credential, caller, authentication) }
        if authentication.takesBareTokens, TokenVerifier.isBareToken(credential) {
            return lookAtToken(credential, credential, caller, authentication)
        }
        return wrong(caller)
    }

    private func lookAtKey(
        _ text: UnsafeRawBufferPointer, _ credential: UnsafeRawBufferPointer, _ caller: Caller
    ) -> Identification {
        let access = broker.access
        guard
            case .accepted(let record) = GatewayKeyCheck.run(
                text, now: UnixTime(milliseconds: wallClockMs), record: { access.keys[$0] })
        else { return wrong(caller) }
        let ends = record.secrets.map(\.end) + [record.expiry]
        let endMs = ends.compactMap { $0?.milliseconds }.filter { $0 > wallClockMs }.min() ?? .max
        return know(
            Caller.Known(
                Secret(copying: credential),
                Asker(
                    AccessSubject(record.owner, address: caller.address, scopes: record.scopes),
                    shown: .key(record, endMs: endMs)),
                .key(record.id, version: access.keysVersion),
                endMs: endMs,
                useDueMs: record.lastUse.map { ($0 + GatewayKeyRecord.useInterval).milliseconds } ?? 0), caller)
    }

    private func lookAtToken(
        _ text: UnsafeRawBufferPointer, _ credential: UnsafeRawBufferPointer, _ caller: Caller,
        _ authentication: GatewayAuthentication
    ) -> Identification {
        guard let tokens = authentication.tokens else { return wrong(caller) }
        guard text.count <= TokenVerifier.maxTokenBytes else { return wrong(caller) }
        let token = Secret(copying: text)
        // Before: what is found by keys that are exchanged meanwhile is looked at anew.
        let generation = tokens.generation
        if let identity = tokens.remembered(token) { return know(identity, generation, credential, caller) }
        let address = caller.address
        return .unknown(
            CredentialCheck(Secret(copying: credential), from: address) { done in
                tokens.check(token, from: address) { done(.token($0)) }
            })
    }

    private func lookAtPassword(
        _ text: UnsafeRawBufferPointer, _ credential: UnsafeRawBufferPointer, _ caller: Caller,
        _ authentication: GatewayAuthentication
    ) -> Identification {
        guard caller.isConfidential else {
            return .refused(Problem(.forbidden, "Passwords are taken over https, or on this machine alone."))
        }
        guard let basic = BasicCredential(text) else { return wrong(caller) }
        let passwords = authentication.passwords
        if let identity = passwords.remembered(basic.user, basic.password) {
            return know(identity, credential, caller)
        }
        let address = caller.address
        return .unknown(
            CredentialCheck(Secret(copying: credential), from: address) { done in
                passwords.check(basic.user, basic.password, from: address) { done(.password($0)) }
            })
    }

    // MARK: What was found

    private func settle(
        _ verdict: Caller.Verdict, _ credential: UnsafeRawBufferPointer, _ caller: Caller
    ) -> Identification {
        switch verdict {
        case .password(.accepted(let identity)): return know(identity, credential, caller)
        case .token(.accepted(let identity)):
            return know(identity, gateway.authentication?.tokens?.generation ?? 0, credential, caller)
        case .password(.rejected), .token(.rejected): return wrong(caller)
        case .password(.unavailable), .token(.unavailable):
            gateway.metrics.authentications(.unavailable).add()
            return .refused(Problem(.overloaded, "The credential cannot be checked at the moment.", retryAfter: 1))
        }
    }

    private func know(
        _ identity: SaslIdentity, _ credential: UnsafeRawBufferPointer, _ caller: Caller
    ) -> Identification {
        // Changed since: it is looked at again.
        let version = broker.access.credentialsVersion
        guard gateway.authentication?.passwords.isCurrent(identity) == true,
            let subject = identity.subject(at: caller.address)
        else { return wrong(caller) }
        return know(
            Caller.Known(
                Secret(copying: credential), Asker(subject, shown: .password(version: version)),
                .password(version: version),
                endMs: .max), caller)
    }

    private func know(
        _ identity: TokenIdentity, _ generation: Int, _ credential: UnsafeRawBufferPointer, _ caller: Caller
    ) -> Identification {
        guard let subject = SaslIdentity(identity).subject(at: caller.address) else { return wrong(caller) }
        return know(
            Caller.Known(
                Secret(copying: credential),
                Asker(subject, shown: .token(generation: generation, endMs: identity.expiry.milliseconds)),
                .token(generation: generation),
                endMs: identity.expiry.milliseconds), caller)
    }

    private func know(_ known: Caller.Known, _ caller: Caller) -> Identification {
        gateway.metrics.authentications(.accepted).add()
        let who = known.asker.registered.subject.principal
        audit("accepted", who: who, by: known.basis.name, from: caller.address)
        caller.know(known)
        noteUse(of: known)
        return .known(known.asker)
    }

    /// Writes down that a key was used, ten minutes apart at most: the broker's own thread, which waits for the disk.
    private func noteUse(of known: Caller.Known) {
        guard let due = known.useDueMs, wallClockMs >= due, case .key(let id, _) = known.basis else { return }
        known.useDueMs = wallClockMs + GatewayKeyRecord.useInterval.milliseconds
        broker.admin.submit { [broker] in broker.noteUse(of: [id]) }
    }

    /// Before anything is looked at that costs more: whether so many wrong ones came from there that none is.
    func tooManyAttempts(_ caller: Caller) -> Problem? {
        guard let wait = gateway.attempts.withLock({ $0.wait(for: caller.address, now: monotonicNow) }) else {
            return nil
        }
        return Problem(
            .tooManyAttempts, "Too many wrong credentials came from your address.",
            retryAfter: max(1, Int((wait.milliseconds + 999) / 1_000)))
    }

    func countWrongCredential(_ address: NetworkAddress) {
        gateway.attempts.withLock { $0.countFailure(of: address, now: monotonicNow) }
        gateway.metrics.authentications(.rejected).add()
    }

    private func wrong(_ caller: Caller) -> Identification {
        noteWrongCredential(caller.address)
        return .refused(unauthorized("The credential is not valid.", caller, isWrong: true))
    }

    /// Counts a credential that was found wrong for a request which is refused for another reason meanwhile.
    func settleUnread(_ found: FoundCredential) {
        switch found.verdict {
        case .password(.rejected), .token(.rejected): noteWrongCredential(found.address)
        case .password, .token: break
        }
    }

    private func noteWrongCredential(_ address: NetworkAddress) {
        countWrongCredential(address)
        audit("refused", who: nil, by: "HTTP", from: address)
    }

    /// The same for all causes.
    private func unauthorized(_ detail: String, _ caller: Caller, isWrong: Bool) -> Problem {
        reply.challenge = .credential(isWrong: isWrong, takesPasswords: caller.isConfidential)
        return Problem(.unauthorized, detail)
    }

    private var monotonicNow: MonotonicTime { MonotonicTime(milliseconds: now / 1_000_000) }

    // MARK: Permissions

    /// Why the request may not be made by `asker`; nil when it may. What he may not see is not there.
    func refusal(of asker: Asker) -> Problem? {
        switch routeRow.pointee.endpoint.access {
        case .nothing: return nil
        case .cluster(let operation):
            if allowsOnCluster(operation, asker) { return nil }
            audit(denied: operation, on: "cluster", to: asker)
            return Problem(.forbidden, operation == .describe ? "You may not see this." : "You may not do this.")
        case .queue(let operation): return refusal(queue: operation, asker)
        case .queueByMethod:
            switch head.method {
            case .put:
                // Whoever may make it, or change it, learns by the answer which of both it was.
                guard let name = PercentDecoding.string(route.topic) else { return nil }
                let isThere = broker.queues.queue(named: name) != nil
                if !isThere, allowsOnCluster(.create, asker) { return nil }
                return refusal(queue: isThere ? .alterConfigs : .create, asker)
            case .delete: return refusal(queue: .delete, asker)
            default: return refusal(queue: .describe, asker)
            }
        case .topicOfQuery(let operation):
            // The endpoint says what is wrong with it.
            guard var name = FileQuery.topic(of: head.query) else { return nil }
            return name.withUTF8 { refusal(operation, UnsafeRawBufferPointer($0), asker) }
        case .topic(let operation):
            if routeRow.pointee.topic.count > 0 { return refusal(operation, routeRow.pointee.topic, asker) }
            if PercentDecoding.isPlain(route.topic) { return refusal(operation, route.topic, asker) }
            // The endpoint says what is wrong with it.
            guard var name = PercentDecoding.string(route.topic) else { return nil }
            return name.withUTF8 { refusal(operation, UnsafeRawBufferPointer($0), asker) }
        }
    }

    private func refusal(
        _ operation: AclOperation, _ topic: UnsafeRawBufferPointer, _ asker: Asker
    ) -> Problem? {
        if allows(operation, .topic, topic, asker) { return nil }
        if gateway.audit != nil {
            audit(denied: operation, on: "topic \(String(decoding: topic, as: UTF8.self))", to: asker)
        }
        if allows(.describe, .topic, topic, asker) { return Problem(.forbidden, "You may not do this with the topic.") }
        return Problem(.topicNotFound, "There is no such topic.")
    }

    /// Of a queue its topic is asked for.
    private func refusal(queue operation: AclOperation, _ asker: Asker) -> Problem? {
        // The endpoint says what is wrong with the name.
        guard let name = PercentDecoding.string(route.topic) else { return nil }
        var topic = QueueCoordinator.topicPrefix + name
        return topic.withUTF8 { bytes in
            let bytes = UnsafeRawBufferPointer(bytes)
            if allows(operation, .topic, bytes, asker) { return nil }
            if gateway.audit != nil {
                audit(denied: operation, on: "topic \(String(decoding: bytes, as: UTF8.self))", to: asker)
            }
            if allows(.describe, .topic, bytes, asker) {
                return Problem(.forbidden, "You may not do this with the queue.")
            }
            return Problem(.queueNotFound, "There is no such queue.")
        }
    }

    func mayWrite(toQueue name: String) -> Bool { may(.write, name) }

    func maySee(queue name: String) -> Bool { may(.describe, name) }

    private func may(_ operation: AclOperation, _ queue: String) -> Bool {
        guard let asker else { return true }
        var topic = QueueCoordinator.topicPrefix + queue
        return topic.withUTF8 { allows(operation, .topic, UnsafeRawBufferPointer($0), asker) }
    }

    /// Whether who has begun to read the topic some time ago may still do so at `nowMs`, milliseconds since 1970; nil: nobody was
    /// asked who he is.
    func mayGoOn(reading topic: Topic, _ asker: Asker?, nowMs: Int64) -> Bool {
        guard let asker else { return true }
        guard asker.shown.map({ isGood($0, nowMs) }) ?? true else { return false }
        return mayRead(topic, asker)
    }

    func mayRead(_ topic: Topic, _ asker: Asker?) -> Bool {
        guard let asker else { return true }
        return topic.nameBytes.withUnsafeBytes { allows(.read, .topic, $0, asker) }
    }

    /// Whether a credential is as good as when it was shown. What cannot be told without it is not: its owner shows it again.
    private func isGood(_ shown: ShownCredential, _ nowMs: Int64) -> Bool {
        switch shown {
        case .key(let record, let endMs):
            guard nowMs < endMs, let now = broker.access.keys[record.id] else { return false }
            return now.owner == record.owner && now.secrets == record.secrets && now.scopes == record.scopes
                && now.expiry == record.expiry && now.isDisabled == record.isDisabled
        case .password(let version): return broker.access.credentialsVersion == version
        case .token(let generation, let endMs):
            return nowMs < endMs && gateway.authentication?.tokens?.generation == generation
        }
    }

    /// Whether who asks may read and commit for a consumer group.
    func mayRead(group: String) -> Bool {
        guard let asker else { return true }
        var name = group
        let isAllowed = name.withUTF8 { allows(.read, .group, UnsafeRawBufferPointer($0), asker) }
        if !isAllowed, gateway.audit != nil { audit(denied: .read, on: "group \(group)", to: asker) }
        return isAllowed
    }

    /// Whether who asks may make a topic of that name, where writing to it would.
    func mayCreate(_ topic: UnsafeRawBufferPointer) -> Bool {
        guard let asker else { return true }
        if allows(.create, .topic, topic, asker) || allowsOnCluster(.create, asker) { return true }
        if gateway.audit != nil {
            audit(denied: .create, on: "topic \(String(decoding: topic, as: UTF8.self))", to: asker)
        }
        return false
    }

    func allowsOnCluster(_ operation: AclOperation, _ asker: Asker) -> Bool {
        Self.clusterName.withUnsafeBytes { allows(operation, .cluster, $0, asker) }
    }

    private static let clusterName = Array(ResourcePattern.clusterName.text.utf8)

    /// Without an authorizer everybody may do everything, and a key still no more than its scopes say.
    private func allows(
        _ operation: AclOperation, _ resource: ResourceType, _ name: UnsafeRawBufferPointer,
        _ asker: Asker
    ) -> Bool {
        guard let decisions else { preconditionFailure("permissions are asked for, and nobody was asked who he is") }
        return decisions.cache.isAllowed(operation, resource, name, for: asker.registered, asOf: broker.rulesNumber) {
            gateway.openRules ?? broker.access.rules
        } ?? false
    }
}
