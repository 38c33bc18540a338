import ByteBuffers
import KafkaModel
import Security

/// API keys in the metadata store.
extension AccessRecord {
    private enum KeyFlag {
        static let disabled: UInt8 = 1
        static let publishable: UInt8 = 2
        static let hasScopes: UInt8 = 4
        static let signs: UInt8 = 8
    }

    static func encode(_ record: GatewayKeyRecord, to writer: inout ByteWriter) {
        var flags: UInt8 = record.isDisabled ? KeyFlag.disabled : 0
        if record.isPublishable { flags |= KeyFlag.publishable }
        if record.ownScopes != nil { flags |= KeyFlag.hasScopes }
        if record.signingSecret != nil { flags |= KeyFlag.signs }
        writer.text(record.id)
        writer.text(ExactString(record.owner.description))
        writer.int64(record.created.milliseconds)
        writer.integer(flags)
        writer.time(record.expiry)
        writer.time(record.lastUse)
        writer.integer(UInt8(record.secrets.count))
        for secret in record.secrets {
            writer.bytes(secret.hash)
            writer.int64(secret.created.milliseconds)
            writer.time(secret.end)
        }
        writer.counted(record.signingSecret ?? [])
        let scopes = record.ownScopes ?? []
        writer.uint16(UInt16(scopes.count))
        for scope in scopes {
            writer.int8(scope.pattern.resource.rawValue)
            writer.int8(scope.pattern.type.rawValue)
            writer.int8(scope.operation.rawValue)
            writer.text(scope.pattern.name)
        }
    }

    static func decodedKey(_ reader: inout ByteReader) throws(DecodeError) -> GatewayKeyRecord {
        let (id, name) = (try reader.text(), try reader.text())
        let created = UnixTime(milliseconds: try reader.int64())
        let flags: UInt8 = try reader.integer()
        let (expiry, lastUse) = (try reader.time(), try reader.time())
        var secrets: [GatewayKeyRecord.StoredSecret] = []
        for _ in 0..<(try reader.integer(UInt8.self)) {
            let hash = Array(try reader.bytes(HashAlgorithm.sha256.byteCount))
            let created = UnixTime(milliseconds: try reader.int64())
            secrets.append(.init(hash: hash, created: created, end: try reader.time()))
        }
        let sealed = try reader.counted()
        var scopes: [AccessScope] = []
        for _ in 0..<(try reader.uint16()) { scopes.append(try scope(&reader)) }
        guard let owner = Principal(parsing: name.text),
            let record = GatewayKeyRecord(
                id: id, owner: owner, created: created, secrets: secrets, expiry: expiry,
                isDisabled: flags & KeyFlag.disabled != 0, scopes: flags & KeyFlag.hasScopes != 0 ? scopes : nil,
                isPublishable: flags & KeyFlag.publishable != 0, lastUse: lastUse,
                signingSecret: flags & KeyFlag.signs != 0 ? sealed : nil)
        else { throw .invalid("API key", position: reader.position) }
        return record
    }

    private static func scope(_ reader: inout ByteReader) throws(DecodeError) -> AccessScope {
        let numbers = (try reader.int8(), try reader.int8(), try reader.int8())
        let name = try reader.text()
        guard let resource = ResourceType(rawValue: numbers.0), let pattern = PatternType(rawValue: numbers.1),
            let operation = AclOperation(rawValue: numbers.2)
        else { throw .invalid("scope of an API key", position: reader.position) }
        return AccessScope(ResourcePattern(resource, name, pattern), operation)
    }
}

extension ByteWriter {
    fileprivate mutating func time(_ time: UnixTime?) { int64(time?.milliseconds ?? -1) }
}

extension ByteReader {
    fileprivate mutating func time() throws(DecodeError) -> UnixTime? {
        let milliseconds = try int64()
        return milliseconds < 0 ? nil : UnixTime(milliseconds: milliseconds)
    }
}
