import KafkaModel
public import Security
import StorageIO

/// Changes of who may do what. All block for the metadata store's sync: call them on `admin`. What they return as done is
/// durable, and in ``access`` before they return: no request that begins afterwards is decided by what was before.
extension Broker {
    /// Adds ACLs; one result each, nil where it is there now.
    public func createAcls(_ creations: [AclChanges.Creation]) -> [AccessRefusal?] {
        changeAccess { before in
            let room = options.access.room(options.access.maxAcls, before.rules.count, before)
            let (results, new) = AclChanges.create(creations, existing: before.rules, room: room)
            guard !new.isEmpty else { return (results, nil) }
            let records = new.map(AccessRecord.acl)
            if let refusal = store(records.map { ($0.key, $0.encoded) }) {
                return (results.map { $0 ?? refusal }, nil)
            }
            let rules = options.access.rules(before.rules.bindings + new)
            let added = AccessCatalog.textBytes(new)
            return (results, before.replacing(rules, added: added, version: metadata.revision))
        }
    }

    /// Removes what the filters find, and returns that for each. With a refusal nothing was removed.
    public func deleteAcls(_ filters: [AclFilter]) -> (results: [[AclBinding]], refusal: AccessRefusal?) {
        changeAccess { before in
            let (results, refusal) = AclChanges.delete(filters, existing: before.rules)
            let removed = Set(results.joined())
            guard refusal == nil, !removed.isEmpty else { return ((results, refusal), nil) }
            if let refusal = store(removed.map { (AccessRecord.key(of: $0), nil) }) {
                return ((filters.map { _ in [] }, refusal), nil)
            }
            let rules = options.access.rules(before.rules.bindings.lazy.filter { !removed.contains($0) })
            let added = -AccessCatalog.textBytes(removed)
            return ((results, nil), before.replacing(rules, added: added, version: metadata.revision))
        }
    }

    /// Sets and removes credentials; one result for each user. All that are not refused are changed at once.
    public func alterScramCredentials(
        deletions: [ScramAlteration.Deletion], upsertions: [ScramAlteration.Upsertion]
    ) -> [ScramAlteration.Result] {
        var changed: [ExactString] = []
        let results = changeAccess { before in
            let alteration = ScramAlteration(
                deletions: deletions, upsertions: upsertions, credentials: before,
                // The revision that this becomes, so later than that of any credential before.
                epoch: UInt64(metadata.revision + 1),
                room: options.access.room(options.access.maxUsers, before.userCount, before))
            guard !alteration.changes.isEmpty else { return (alteration.results, nil) }
            var changes: [(key: String, value: [UInt8]?)] = alteration.changes.map { change in
                (
                    AccessRecord.key(of: change.user, change.mechanism),
                    change.credential.map { AccessRecord.scram(user: change.user, change.mechanism, $0).encoded }
                )
            }
            if metadata.read(Self.usersKey) == nil { changes.append((Self.usersKey, [1])) }
            if let refusal = store(changes) { return (alteration.results.map { $0.refused(by: refusal) }, nil) }
            changed = alteration.changes.map(\.user)
            return (alteration.results, before.applying(alteration.changes, version: metadata.revision))
        }
        if !changed.isEmpty { tellOfCredentials(changed) }
        return results
    }

    /// Sets and removes quotas; one result for each entity. All that are not refused are changed at once.
    public func alterQuotas(_ entries: [QuotaAlteration.Entry], validateOnly: Bool) -> [QuotaAlteration.Result] {
        changeAccess { before in
            let alteration = QuotaAlteration(
                entries, quotas: before.quotas,
                room: options.access.room(options.access.maxQuotaEntities, before.quotas.count, before))
            guard !alteration.changed.isEmpty, !validateOnly else { return (alteration.results, nil) }
            let changes: [(key: String, value: [UInt8]?)] = alteration.changed.map { entity in
                let limits = alteration.quotas.values(of: entity).map(AccessRecord.Limit.init)
                return (
                    AccessRecord.key(of: entity), limits.isEmpty ? nil : AccessRecord.quotas(entity, limits).encoded
                )
            }
            if let refusal = store(changes) { return (alteration.results.map { $0.refused(by: refusal) }, nil) }
            return (alteration.results, before.replacing(alteration.quotas, version: metadata.revision))
        }
    }

    /// Makes all of it durable, or says why nothing is to be relied on.
    func store(_ changes: [(key: String, value: [UInt8]?)]) -> AccessRefusal? {
        var transaction = MetadataTransaction()
        transaction.changes = changes
        transaction.conditions = changes.map { ($0.key, metadata.read($0.key)?.revision ?? 0) }
        do throws(StorageError) {
            if try metadata.transact(transaction) { return nil }
            return AccessRefusal(.kafkaStorageError, "This was changed at the same time; try again.")
        } catch {
            return AccessRefusal(.kafkaStorageError, "\(error)")
        }
    }

    /// Reads what the metadata has of who may do what.
    static func access(
        in metadata: any MetadataStore, _ folder: String, _ options: AccessOptions
    ) throws(StorageError) -> AccessCatalog {
        var records: [AccessRecord] = []
        for (key, value) in metadata.read(prefix: AccessRecord.prefix) {
            records.append(try AccessRecord(value.bytes, key: key, folder: folder))
        }
        return AccessCatalog(records, options, version: metadata.revision)
    }
}
