import ByteBuffers
import KafkaModel
import Security
import StorageIO

/// One credential, ACL, entity's quotas or API key in the metadata store: `access/<kind>/<64 hexadecimal digits>`.
///
/// ```
/// value        kind u8 | version u8 | fields
///   1 SCRAM    mechanism i8 | epoch u64 | iterations i32 | user | salt | stored key | server key
///   2 ACL      resource i8 | pattern i8 | operation i8 | permission i8 | name | principal | host
///   3 quotas   component count u8 | components | limit count u8 | limits
///   4 key      id | owner | created i64 | flags u8 | expiry i64 | last use i64 | secret count u8 | secrets
///              | signing secret, sealed | scope count u16 | scopes
/// component    type u8 (1 user, 2 client id, 3 address) | is default u8 | name, empty for the default
/// limit        key | value f64
/// flags        1 disabled, 2 publishable, 4 has scopes, 8 has a signing secret
/// secret       hash, 32 bytes | created i64 | end i64
/// scope        resource i8 | pattern i8 | operation i8 | name
/// text, bytes  length u16 | bytes; times: milliseconds since 1970, -1 for none
/// ```
/// The digits are the SHA-256 of what the record is about, for the names of an ACL may have 6 KB, and Swift's dictionaries
/// take two writings of a letter for one key. Numbers of the wire stand for themselves. Never a password, nor a salted one.
///
/// A kind or version that is not known here was written by a later program: the start
/// is refused, for who may do what cannot be told without it.
enum AccessRecord: Hashable {
    case scram(user: ExactString, ScramMechanism, ScramCredential)
    case acl(AclBinding)
    case quotas(QuotaEntity, [Limit])
    case gatewayKey(GatewayKeyRecord)

    struct Limit: Hashable {
        var key: String
        var value: Double
    }

    static let prefix = "access/"
    static let version: UInt8 = 1

    private enum Kind: UInt8 {
        case scram = 1
        case acl = 2
        case quotas = 3
        case key = 4
    }

    private enum ComponentType: UInt8 {
        case user = 1
        case client = 2
        case address = 3

        init?(_ name: ExactString) {
            switch name {
            case QuotaEntity.userType: self = .user
            case QuotaEntity.clientType: self = .client
            case QuotaEntity.addressType: self = .address
            default: return nil
            }
        }
    }

    // MARK: Keys

    var key: String {
        switch self {
        case .scram(let user, let mechanism, _): Self.key(of: user, mechanism)
        case .acl(let binding): Self.key(of: binding)
        case .quotas(let entity, _): Self.key(of: entity)
        case .gatewayKey(let record): Self.key(ofKey: record.id)
        }
    }

    static func key(of user: ExactString, _ mechanism: ScramMechanism) -> String {
        key(.scram) { writer in
            writer.int8(mechanism.rawValue)
            writer.text(user)
        }
    }

    static func key(of binding: AclBinding) -> String { key(.acl) { encode(binding, to: &$0) } }

    static func key(of entity: QuotaEntity) -> String { key(.quotas) { encode(entity, to: &$0) } }

    static func key(ofKey id: ExactString) -> String { key(.key) { $0.text(id) } }

    private static func key(_ kind: Kind, _ identity: (inout ByteWriter) -> Void) -> String {
        var writer = ByteWriter(capacity: 64)
        identity(&writer)
        let digits = Array("0123456789abcdef".utf8)
        let text = HashAlgorithm.sha256.hash(writer.array).flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }
        return "\(prefix)\(kind.rawValue)/" + String(decoding: text, as: UTF8.self)
    }

    // MARK: Values

    var encoded: [UInt8] {
        var writer = ByteWriter(capacity: 256)
        switch self {
        case .scram(let user, let mechanism, let credential):
            writer.integer(Kind.scram.rawValue)
            writer.integer(Self.version)
            writer.int8(mechanism.rawValue)
            writer.integer(credential.epoch)
            writer.int32(Int32(credential.iterations))
            writer.text(user)
            writer.counted(credential.salt)
            writer.counted(credential.storedKey)
            writer.counted(credential.serverKey)
        case .acl(let binding):
            writer.integer(Kind.acl.rawValue)
            writer.integer(Self.version)
            Self.encode(binding, to: &writer)
        case .quotas(let entity, let limits):
            writer.integer(Kind.quotas.rawValue)
            writer.integer(Self.version)
            Self.encode(entity, to: &writer)
            writer.integer(UInt8(limits.count))
            for limit in limits {
                writer.text(ExactString(limit.key))
                writer.float64(limit.value)
            }
        case .gatewayKey(let record):
            writer.integer(Kind.key.rawValue)
            writer.integer(Self.version)
            Self.encode(record, to: &writer)
        }
        return writer.array
    }

    private static func encode(_ binding: AclBinding, to writer: inout ByteWriter) {
        writer.int8(binding.pattern.resource.rawValue)
        writer.int8(binding.pattern.type.rawValue)
        writer.int8(binding.operation.rawValue)
        writer.int8(binding.permission.rawValue)
        writer.text(binding.pattern.name)
        writer.text(binding.principal)
        writer.text(binding.host)
    }

    private static func encode(_ entity: QuotaEntity, to writer: inout ByteWriter) {
        let components = entity.components
        writer.integer(UInt8(components.count))
        for component in components {
            guard let type = ComponentType(component.type) else {
                preconditionFailure("quotas of a \(component.type) have no form here")
            }
            writer.integer(type.rawValue)
            writer.bool(component.name == nil)
            writer.text(component.name ?? "")
        }
    }

    /// Errors: `.corrupt`, which refuses the start, with what to do.
    init(_ bytes: [UInt8], key: String, folder: String) throws(StorageError) {
        func refused(_ reason: String) -> StorageError {
            StorageError(.corrupt("metadata key \(key): \(reason)"), .read, path: folder)
        }
        guard bytes.count >= 2, let kind = Kind(rawValue: bytes[0]), bytes[1] == Self.version else {
            throw refused(
                "a record of kind \(bytes.first ?? 0), version \(bytes.dropFirst().first ?? 0), about who may do what, "
                    + "which this program does not know. Start it with the release that wrote it, or a later one")
        }
        do {
            self = try bytes.withUnsafeBytes { raw throws(DecodeError) -> AccessRecord in
                var reader = ByteReader(raw)
                try reader.skip(2)
                let record = try Self.decode(kind, &reader)
                guard reader.isAtEnd else { throw .invalid("bytes behind the record", position: reader.position) }
                return record
            }
        } catch {
            throw refused("\(error)")
        }
        guard self.key == key else { throw refused("it holds the record of another key") }
    }

    private static func decode(_ kind: Kind, _ reader: inout ByteReader) throws(DecodeError) -> AccessRecord {
        switch kind {
        case .scram: try credential(&reader)
        case .acl: try binding(&reader)
        case .quotas: try quotas(&reader)
        case .key: .gatewayKey(try decodedKey(&reader))
        }
    }

    private static func credential(_ reader: inout ByteReader) throws(DecodeError) -> AccessRecord {
        let number = try reader.int8()
        let epoch: UInt64 = try reader.integer()
        let iterations = try reader.int32()
        let user = try reader.text()
        let (salt, storedKey, serverKey) = (try reader.counted(), try reader.counted(), try reader.counted())
        guard let mechanism = ScramMechanism(rawValue: number),
            let credential = ScramCredential(
                salt: salt, iterations: Int(iterations), storedKey: storedKey, serverKey: serverKey,
                mechanism: mechanism, epoch: epoch)
        else { throw .invalid("SCRAM credential", position: reader.position) }
        return .scram(user: user, mechanism, credential)
    }

    private static func binding(_ reader: inout ByteReader) throws(DecodeError) -> AccessRecord {
        let numbers = (try reader.int8(), try reader.int8(), try reader.int8(), try reader.int8())
        let (name, principal, host) = (try reader.text(), try reader.text(), try reader.text())
        guard let resource = ResourceType(rawValue: numbers.0), let pattern = PatternType(rawValue: numbers.1),
            let operation = AclOperation(rawValue: numbers.2), let permission = AclPermission(rawValue: numbers.3),
            pattern == .literal || pattern == .prefixed, permission != .any
        else { throw .invalid("ACL", position: reader.position) }
        return .acl(
            AclBinding(
                ResourcePattern(resource, name, pattern), principal: principal, host: host, operation, permission))
    }

    private static func quotas(_ reader: inout ByteReader) throws(DecodeError) -> AccessRecord {
        var names: [ComponentType: ExactString?] = [:]
        for _ in 0..<(try reader.integer(UInt8.self)) {
            guard let type = ComponentType(rawValue: try reader.integer()) else {
                throw .invalid("type of a quota's entity", position: reader.position)
            }
            let isDefault = try reader.bool()
            let name = try reader.text()
            names[type] = .some(isDefault ? nil : name)
        }
        guard let entity = entity(names) else { throw .invalid("entity of quotas", position: reader.position) }
        var limits: [Limit] = []
        var checked = ClientQuotas()
        for _ in 0..<(try reader.integer(UInt8.self)) {
            let limit = Limit(key: try reader.text().text, value: try reader.float64())
            guard checked.set(limit.key, to: limit.value, for: entity) == nil else {
                throw .invalid("limit of quotas", position: reader.position)
            }
            limits.append(limit)
        }
        return .quotas(entity, limits)
    }

    private static func entity(_ names: [ComponentType: ExactString?]) -> QuotaEntity? {
        guard let address = names[.address] else {
            return .clients(
                QuotaTable.Entity(
                    user: names[.user].map { QuotaTable.Name($0) }, client: names[.client].map { QuotaTable.Name($0) }))
        }
        guard let address else { return .address(nil) }
        return NetworkAddress(address.text).map { .address($0) }
    }
}

extension ByteWriter {
    mutating func text(_ text: ExactString) {
        uint16(UInt16(text.text.utf8.count))
        utf8(text.text)
    }

    mutating func counted(_ bytes: [UInt8]) {
        uint16(UInt16(bytes.count))
        self.bytes(bytes)
    }
}

extension ByteReader {
    mutating func text() throws(DecodeError) -> ExactString {
        ExactString(try string(Int(try uint16())))
    }

    mutating func counted() throws(DecodeError) -> [UInt8] { Array(try bytes(Int(try uint16()))) }
}
