import ByteBuffers
import Coordinators
public import KafkaModel
import Security
import StorageIO

/// The settings of groups that have some of their own, over the broker's. Source: KIP-848.
///
/// A group needs not to be there: what is set for it holds once it is, and stays when it is deleted, as in Kafka.
public struct OwnGroupSettings: Sendable {
    /// Only what was set, by group.
    private(set) var overrides: [ExactString: [String: String]] = [:]
    /// What holds for these groups.
    private(set) var settings: [ExactString: GroupSettings] = [:]
    /// Bytes of the names of these groups.
    private(set) var nameBytes = 0

    /// Groups with settings of their own. One more is refused with POLICY_VIOLATION.
    static let maxGroups = 10_000
    /// The longest name of such a group, in bytes; one that is longer is refused with INVALID_REQUEST.
    static let maxNameBytes = AclChanges.maxTextBytes
    /// Bytes of all their names together, which a list of them tells; what adds to them beyond it is refused with POLICY_VIOLATION.
    static let maxNamesBytes = 4 << 20

    init() {}

    /// Reads what the metadata has of them.
    init(in metadata: any MetadataStore, _ folder: String, _ broker: GroupSettings) throws(StorageError) {
        for (key, value) in metadata.read(prefix: GroupSettingsRecord.prefix) {
            let record = try GroupSettingsRecord(value.bytes, key: key, folder: folder)
            set(record.settings, of: record.group, broker)
        }
    }

    mutating func set(_ overrides: [String: String], of group: ExactString, _ broker: GroupSettings) {
        if self.overrides[group] != nil { nameBytes -= group.text.utf8.count }
        guard !overrides.isEmpty else {
            self.overrides[group] = nil
            settings[group] = nil
            return
        }
        nameBytes += group.text.utf8.count
        self.overrides[group] = overrides
        var own = broker
        for (name, value) in overrides { GroupSettingKey.named(name)?.apply(value, to: &own, broker) }
        settings[group] = own
    }

    /// Returns why a group may not have these settings.
    func refusal(of overrides: [String: String], of group: ExactString, _ broker: GroupSettings) -> TopicRefusal? {
        let name = group.text
        if name.isEmpty { return TopicRefusal(.invalidRequest, "Default group resources are not allowed.") }
        guard name.utf8.count <= Self.maxNameBytes else {
            return TopicRefusal(
                .invalidRequest, "The name of a group with settings has at most \(Self.maxNameBytes) bytes.")
        }
        var next = broker
        for (name, value) in overrides.sorted(by: { $0.key < $1.key }) {
            guard let key = GroupSettingKey.named(name) else {
                return TopicRefusal(.invalidConfig, "Unknown group config name: \(name)")
            }
            if let problem = key.problem(value, broker) { return TopicRefusal(.invalidConfig, problem) }
            key.apply(value, to: &next, broker)
        }
        guard next.consumerSessionTimeoutMs > next.consumerHeartbeatIntervalMs else {
            return TopicRefusal(
                .invalidConfig, "consumer.session.timeout.ms must be greater than consumer.heartbeat.interval.ms")
        }
        guard next.shareSessionTimeoutMs > next.shareHeartbeatIntervalMs else {
            return TopicRefusal(
                .invalidConfig, "share.session.timeout.ms must be greater than share.heartbeat.interval.ms")
        }
        if overrides.isEmpty || self.overrides[group] != nil { return nil }
        guard self.overrides.count < Self.maxGroups, nameBytes + name.utf8.count <= Self.maxNamesBytes else {
            return TopicRefusal(
                .policyViolation,
                "At most \(Self.maxGroups) groups have settings of their own, with names of \(Self.maxNamesBytes) bytes together."
            )
        }
        return nil
    }
}

/// The settings of one group in the metadata store: `groups/<64 hexadecimal digits>`, the SHA-256 of the group's id.
///
/// ```
/// value    version u8 | group | setting count u16 | settings
/// setting  name | value
/// text     length u16 | bytes
/// ```
struct GroupSettingsRecord: Equatable {
    static let prefix = "groups/"
    static let version: UInt8 = 1

    var group: ExactString
    var settings: [String: String]

    init(group: ExactString, settings: [String: String]) {
        self.group = group
        self.settings = settings
    }

    static func key(of group: ExactString) -> String {
        prefix + Hexadecimal.encode(HashAlgorithm.sha256.hash(Array(group.text.utf8)))
    }

    var encoded: [UInt8] {
        var writer = ByteWriter(capacity: 256)
        writer.integer(Self.version)
        writer.text(group)
        writer.uint16(UInt16(settings.count))
        for (name, value) in settings.sorted(by: { $0.key < $1.key }) {
            writer.text(ExactString(name))
            writer.text(ExactString(value))
        }
        return writer.array
    }

    init(_ bytes: [UInt8], key: String, folder: String) throws(StorageError) {
        do {
            self = try bytes.withUnsafeBytes { raw throws(DecodeError) -> GroupSettingsRecord in
                var reader = ByteReader(raw)
                guard try reader.integer(UInt8.self) == Self.version else { throw .invalid("version", position: 0) }
                var record = GroupSettingsRecord(group: try reader.text(), settings: [:])
                for _ in 0..<(try reader.uint16()) {
                    let name = try reader.text().text
                    record.settings[name] = try reader.text().text
                }
                return record
            }
        } catch {
            throw StorageError(.corrupt("metadata key \(key): \(error)"), .read, path: folder)
        }
    }
}

extension Broker {
    /// Replaces a group's own settings as a whole; durable when it returns, and in force from each member's next heartbeat on. To be
    /// called on `admin`.
    public func alterGroupSettings(
        _ group: ExactString, _ overrides: [String: String], validateOnly: Bool
    ) -> TopicRefusal? {
        let before = groups.ownSettings.withLock { $0 }
        if let refusal = before.refusal(of: overrides, of: group, options.groups) { return refusal }
        if validateOnly || overrides == groupSettings(group) { return nil }
        let value = overrides.isEmpty ? nil : GroupSettingsRecord(group: group, settings: overrides).encoded
        if let refusal = store([(GroupSettingsRecord.key(of: group), value)]) {
            return TopicRefusal(refusal.error, refusal.message)
        }
        // Made beside the lock, which every event of a group takes.
        var next = before
        next.set(overrides, of: group, options.groups)
        groups.ownSettings.withLock { swap(&$0, &next) }
        return nil
    }

    /// What was set for a group, by key.
    public func groupSettings(_ group: ExactString) -> [String: String] {
        groups.ownSettings.withLock { $0.overrides[group] } ?? [:]
    }

    /// The groups that have settings of their own, in order.
    public var groupsWithSettings: [ExactString] {
        groups.ownSettings.withLock { $0 }.overrides.keys.sorted()
    }

    /// Bytes of the names of these, and how many there are.
    public var groupSettingsSize: (groups: Int, nameBytes: Int) {
        groups.ownSettings.withLock { ($0.overrides.count, $0.nameBytes) }
    }
}
