import ByteBuffers
public import KafkaModel
public import Security
import StorageIO

/// Changes of API keys. As those of users and ACLs they block for the metadata store's sync, and are in ``access`` before they
/// return: a key that was revoked opens nothing any more.
extension Broker {
    /// The metadata's key of what signing secrets are sealed with. Who has the whole folder has them; who has a key's record alone,
    /// in a log or a copy of one, has nothing.
    private static let boxKey = "secrets/master"

    /// One result each; nil where it was done. All that are not refused are done at once, later ones on what earlier ones made.
    public func alterKeys(_ changes: [GatewayKeyChange]) -> [AccessRefusal?] {
        let now = UnixTime(milliseconds: WallClock.milliseconds)
        let box: SecretBox
        do throws(StorageError) { box = try secretBox() } catch {
            let refusal = AccessRefusal(.kafkaStorageError, "\(error)")
            return changes.map { _ in refusal }
        }
        return changeAccess { before in
            var room = options.access.room(options.access.maxKeys, before.keys.count, before)
            var next: [ExactString: GatewayKeyRecord?] = [:]
            let results = changes.map { change -> AccessRefusal? in
                let id = ExactString(change.id)
                do throws(AccessRefusal) {
                    let existing = next[id] ?? before.keys[id]
                    let record = try change.applied(to: existing, now: now, box: box)
                    if let record, existing == nil {
                        try room.takeKey(AccessCatalog.textBytes(record))
                    }
                    next[id] = .some(record)
                    return nil
                } catch {
                    return error
                }
            }
            let changed = next.map { (id: $0.key, record: $0.value) }
            guard !changed.isEmpty else { return (results, nil) }
            let refusal = store(
                changed.map { (AccessRecord.key(ofKey: $0.id), $0.record.map { AccessRecord.gatewayKey($0).encoded }) })
            if let refusal { return (results.map { $0 ?? refusal }, nil) }
            return (results, before.replacing(changed, version: metadata.revision))
        }
    }

    /// Takes the keys' last use down, where it is more than `GatewayKeyRecord.useInterval` ago. Called on `admin`.
    public func noteUse(of keys: Set<ExactString>) {
        let now = UnixTime(milliseconds: WallClock.milliseconds)
        changeAccess { before in
            let changed = keys.compactMap { id -> (id: ExactString, record: GatewayKeyRecord?)? in
                guard var record = before.keys[id], record.updateLastUse(now: now) else { return nil }
                return (id, record)
            }
            guard !changed.isEmpty,
                // The next use writes it, where this one cannot.
                store(
                    changed.map {
                        (AccessRecord.key(ofKey: $0.id), $0.record.map { AccessRecord.gatewayKey($0).encoded })
                    })
                    == nil
            else { return ((), nil) }
            return ((), before.replacing(changed, version: metadata.revision))
        }
    }

    /// What requests of that key are signed by.
    public func signingSecret(of key: GatewayKeyRecord) -> Secret? {
        guard let sealed = key.signingSecret, let box = try? secretBox() else { return nil }
        return box.open(sealed, for: key.id.text.utf8)
    }

    private func secretBox() throws(StorageError) -> SecretBox {
        if let value = metadata.read(Self.boxKey), let box = SecretBox(key: Secret(copying: value.bytes[...])) {
            return box
        }
        var made = Randomness.bytes(SecretBox.keyBytes)
        var transaction = MetadataTransaction()
        // Made once, whoever comes first.
        transaction.conditions = [(Self.boxKey, 0)]
        transaction.changes = [(Self.boxKey, made)]
        _ = try metadata.transact(transaction)
        defer { Secret.wipe(&made) }
        guard let value = metadata.read(Self.boxKey), let box = SecretBox(key: Secret(copying: value.bytes[...])) else {
            throw StorageError(.corrupt("the metadata's \(Self.boxKey) is no key"), .read, path: "")
        }
        return box
    }
}

extension AccessRoom {
    fileprivate mutating func takeKey(_ textBytes: Int) throws(AccessRefusal) {
        if let refusal = take(textBytes, "keys", .policyViolation) { throw refusal }
    }
}
