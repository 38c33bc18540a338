import ByteBuffers
import KafkaModel
public import QueueLedger
import StorageIO

/// A queue in the metadata store: `queues/<name>`. A record of its own, and not settings of its topic: whoever replaces a topic's
/// settings by Kafka's protocol replaces all of them, and would turn a FIFO queue into another one without knowing of it.
///
/// ```
/// version u8 │ topicID │ created ms i64 │ modified ms i64 │ count u16, {name, value}… │ the same of attributes │ the same of tags
/// ```
/// Names and values are length u32 and UTF-8. A setting that is not known was written by a later program and refuses the start.
struct QueueRecord: Equatable {
    static let prefix = "queues/"
    static let version: UInt8 = 1

    var name: String
    var topicID: TopicID
    var settings: QueueSettings
    var tags: [String: String]
    /// Milliseconds since 1970.
    var createdMs: Int64
    var modifiedMs: Int64

    static func key(_ name: String) -> String { prefix + name }

    var encoded: [UInt8] {
        var out = ByteWriter()
        out.integer(Self.version)
        out.integer(topicID.high)
        out.integer(topicID.low)
        out.int64(createdMs)
        out.int64(modifiedMs)
        for table in [settings.named, settings.attributes, tags] { Self.write(table, &out) }
        return out.array
    }

    private static func write(_ table: [String: String], _ out: inout ByteWriter) {
        out.uint16(UInt16(table.count))
        for (name, value) in table.sorted(by: { $0.key < $1.key }) {
            for text in [name, value] {
                out.int32(Int32(text.utf8.count))
                out.utf8(text)
            }
        }
    }

    init(
        name: String, topicID: TopicID, settings: QueueSettings, tags: [String: String], createdMs: Int64,
        modifiedMs: Int64
    ) {
        self.name = name
        self.topicID = topicID
        self.settings = settings
        self.tags = tags
        self.createdMs = createdMs
        self.modifiedMs = modifiedMs
    }

    init(_ bytes: [UInt8], key: String, folder: String) throws(StorageError) {
        do {
            self = try bytes.withUnsafeBytes { raw throws(DecodeError) -> QueueRecord in
                var reader = ByteReader(raw)
                guard try reader.integer(UInt8.self) == Self.version else { throw .invalid("version", position: 0) }
                let topicID = TopicID(high: try reader.integer(), low: try reader.integer())
                let (created, modified) = (try reader.int64(), try reader.int64())
                let named = try Self.table(&reader)
                guard var settings = QueueSettings(named: named) else {
                    throw .invalid("setting of a queue", position: reader.position)
                }
                settings.attributes = try Self.table(&reader)
                let tags = try Self.table(&reader)
                return QueueRecord(
                    name: String(key.dropFirst(Self.prefix.count)), topicID: topicID, settings: settings, tags: tags,
                    createdMs: created, modifiedMs: modified)
            }
        } catch {
            throw StorageError(.corrupt("metadata key \(key): \(error)"), .read, path: folder)
        }
    }

    private static func table(_ reader: inout ByteReader) throws(DecodeError) -> [String: String] {
        var table: [String: String] = [:]
        for _ in 0..<(try reader.uint16()) {
            let name = try text(&reader)
            table[name] = try text(&reader)
        }
        return table
    }

    private static func text(_ reader: inout ByteReader) throws(DecodeError) -> String {
        let length = Int(try reader.int32())
        guard length >= 0, length <= reader.remaining else { throw .invalid("length", position: reader.position) }
        return try reader.string(length)
    }
}

/// The settings as a record has them: those that are not the default.
extension QueueSettings {
    fileprivate var named: [String: String] {
        var named: [String: String] = [:]
        let usual = QueueSettings()
        func set(_ name: String, _ value: String, _ usualValue: String) {
            if value != usualValue { named[name] = value }
        }
        set("order", order.name, usual.order.name)
        set("deduplication_scope", deduplicationScope.rawValue, usual.deduplicationScope.rawValue)
        set("deduplicates_by_content", "\(deduplicatesByContent)", "\(usual.deduplicatesByContent)")
        set("visibility_ms", "\(visibilityMs)", "\(usual.visibilityMs)")
        set("delay_ms", "\(delayMs)", "\(usual.delayMs)")
        set("retention_ms", "\(retentionMs)", "\(usual.retentionMs)")
        set("max_message_bytes", "\(maxMessageBytes)", "\(usual.maxMessageBytes)")
        set("receive_wait_ms", "\(receiveWaitMs)", "\(usual.receiveWaitMs)")
        set("backoff_ms", backoffMs.map(String.init).joined(separator: ","), "")
        set("dead_letter_queue", deadLetterQueue ?? "", "")
        set("max_receives", maxReceives.map(String.init) ?? "", "")
        set("dead_letter_breaker", deadLetterBreaker.map(String.init) ?? "", "")
        return named
    }

    /// Nil: a name or a value is none of ours.
    fileprivate init?(named: [String: String]) {
        self.init()
        for (name, value) in named {
            let number = Int64(value)
            switch (name, number) {
            case ("order", _):
                guard let order = DeliveryOrder(name: value) else { return nil }
                self.order = order
            case ("deduplication_scope", _):
                guard let scope = DeduplicationScope(rawValue: value) else { return nil }
                deduplicationScope = scope
            case ("deduplicates_by_content", _): deduplicatesByContent = value == "true"
            case ("visibility_ms", let number?): visibilityMs = number
            case ("delay_ms", let number?): delayMs = number
            case ("retention_ms", let number?): retentionMs = number
            case ("max_message_bytes", let number?): maxMessageBytes = Int(number)
            case ("receive_wait_ms", let number?): receiveWaitMs = number
            case ("backoff_ms", _):
                let steps = value.split(separator: ",").map { Int64($0) }
                guard steps.allSatisfy({ $0 != nil }) else { return nil }
                backoffMs = steps.compactMap { $0 }
            case ("dead_letter_queue", _): deadLetterQueue = value
            case ("max_receives", let number?): maxReceives = Int(number)
            case ("dead_letter_breaker", let number?): deadLetterBreaker = Int(number)
            default: return nil
            }
        }
        if problem != nil { return nil }
    }
}

extension DeliveryOrder {
    /// As records and surfaces spell it.
    public var name: String {
        switch self {
        case .standard: "standard"
        case .fair: "fair"
        case .fifo: "fifo"
        }
    }

    public init?(name: String) {
        switch name {
        case "standard": self = .standard
        case "fair": self = .fair
        case "fifo": self = .fifo
        default: return nil
        }
    }
}
