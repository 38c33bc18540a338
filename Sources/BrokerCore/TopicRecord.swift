import ByteBuffers
import KafkaModel
import StorageIO

/// A topic in the metadata store: `topics/<name>`.
struct TopicRecord: Equatable {
    static let prefix = "topics/"
    static let version: UInt8 = 1

    var name: String
    var id: TopicID
    var partitionCount: Int32
    var settings: [String: String]

    init(name: String, id: TopicID, partitionCount: Int32, settings: [String: String]) {
        self.name = name
        self.id = id
        self.partitionCount = partitionCount
        self.settings = settings
    }

    static func key(_ name: String) -> String { prefix + name }

    var encoded: [UInt8] {
        var writer = ByteWriter()
        writer.integer(Self.version)
        writer.integer(id.high)
        writer.integer(id.low)
        writer.int32(partitionCount)
        writer.uint16(UInt16(settings.count))
        for (key, value) in settings.sorted(by: { $0.key < $1.key }) {
            writer.uint16(UInt16(key.utf8.count))
            writer.utf8(key)
            writer.uint16(UInt16(value.utf8.count))
            writer.utf8(value)
        }
        return writer.array
    }

    init(_ bytes: [UInt8], key: String, folder: String) throws(StorageError) {
        do {
            self = try bytes.withUnsafeBytes { raw throws(DecodeError) -> TopicRecord in
                var reader = ByteReader(raw)
                guard try reader.integer(UInt8.self) == Self.version else { throw .invalid("version", position: 0) }
                let id = TopicID(high: try reader.integer(), low: try reader.integer())
                let count = try reader.int32()
                var settings: [String: String] = [:]
                for _ in 0..<(try reader.uint16()) {
                    let name = try reader.string(Int(try reader.uint16()))
                    settings[name] = try reader.string(Int(try reader.uint16()))
                }
                return TopicRecord(
                    name: String(key.dropFirst(Self.prefix.count)), id: id, partitionCount: count, settings: settings)
            }
        } catch {
            throw StorageError(.corrupt("metadata key \(key): \(error)"), .read, path: folder)
        }
    }
}
