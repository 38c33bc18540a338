/// What an event is that its schema does not allow. Its words are those that clients of `/ingest` know.
struct SchemaFailure {
    enum Reason {
        case missing
        case unknown(allowed: String)
        case wrongType(JSONTypes)
        /// To hold it against the schema is more work than it is worth.
        case tooComplex
        /// Said behind the member's name: " must …".
        case other(String)
    }

    let reason: Reason
    /// The keyword that is not met.
    let keyword: StaticString
    /// Keys and places from the event to the value, the outermost last.
    private(set) var path: [String] = []

    init(_ keyword: StaticString, _ reason: Reason) {
        self.keyword = keyword
        self.reason = reason
    }

    /// The same, said of what is around it.
    func within(_ key: String) -> SchemaFailure {
        var outer = self
        outer.path.append(key)
        return outer
    }

    /// Deeper places are not told apart from what is around them.
    private static let maxNamed = 256
    /// Bytes of the values that are allowed: of more, people look into the schema.
    private static let maxAllowed = 1024

    private var name: String? {
        if path.isEmpty { return nil }
        return Self.shortened(path.reversed().joined(separator: "."))
    }

    /// By bytes: what people take for one letter may be of any number.
    private static func shortened(_ text: String, to most: Int = maxNamed) -> String {
        text.utf8.count > most ? String(decoding: text.utf8.prefix(most), as: UTF8.self) + "…" : text
    }

    /// One sentence without its full stop.
    var words: String {
        switch reason {
        case .missing: "\(name ?? "The event") is required"
        case .unknown(let allowed):
            "Invalid \(name ?? "event"). Must be one of: \(Self.shortened(allowed, to: Self.maxAllowed))"
        case .wrongType(let types): "\(name ?? "Request body") must be \(types.words)"
        case .tooComplex: "The event is too complex to be held against the schema"
        case .other(let rest): (name ?? "The event") + rest
        }
    }

    /// RFC 6901.
    var pointer: String {
        Self.shortened(
            path.reversed().reduce("") { text, key in
                text + "/" + key.replacing("~", with: "~0").replacing("/", with: "~1")
            })
    }

    var kind: ProblemKind {
        switch reason {
        case .missing: .missingField
        case .tooComplex: .tooComplex
        case .unknown where path == ["event_type"]: .unknownEventType
        default: .invalidField
        }
    }
}
