/// What a schema file says, after parsing. See KafkaWire's DocC article for the language.

/// Versions from `low` to `high`, both included.
struct VersionRange: Equatable {
    var low: Int
    var high: Int

    func contains(_ version: Int) -> Bool { low <= version && version <= high }
    func contains(_ other: VersionRange) -> Bool { low <= other.low && other.high <= high }
}

indirect enum FieldType: Equatable {
    case bool, int8, int16, uint16, int32, int64, float64, uuid, string, bytes, records
    case structure(String)
    case array(FieldType)
}

struct Field {
    var name: String
    var type: FieldType
    /// Versions that have the field.
    var versions: VersionRange
    /// Versions in which it may be null; nil: it never may.
    var nullable: VersionRange?
    /// Its number when it is a tagged field.
    var tag: Int?
    /// Keeps the classic length prefix in flexible versions.
    var isClassic: Bool
    /// A version without the field may lose its value.
    var isIgnorable: Bool
    /// As written in the schema; nil is zero, empty or false.
    var defaultValue: String?
}

struct Structure {
    var name: String
    /// Versions in which the structure can occur: those of the field that holds it.
    var versions: VersionRange
    var fields: [Field]
}

enum MessageKind: Equatable {
    case request, response, header, data
    /// Key of a record in an internal topic, and its record type.
    case key(Int)
}

struct Message {
    var kind: MessageKind
    /// The Swift type's name.
    var name: String
    var versions: VersionRange
    var flexibleFrom: Int?
    /// The message itself is the first; the structures inside follow in order of appearance.
    var structures: [Structure]

    func structure(named name: String) -> Structure? { structures.first { $0.name == name } }
}

/// One file: an API with its request and response, or a single message.
struct SchemaFile {
    var path: String
    var summary: [String]
    var apiKey: Int?
    var apiName: String?
    var versions: VersionRange
    var advertised: VersionRange
    var flexibleFrom: Int?
    var messages: [Message]
}
