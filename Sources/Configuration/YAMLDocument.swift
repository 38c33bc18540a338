internal import CYAML
internal import Glibc

/// A YAML file as a tree with line numbers. Anchors, aliases, tags and several documents are refused; a configuration has no
/// use for them, and aliases are how small files grow large.
enum YAMLDocument {
    struct Failure: Error, Equatable {
        var line: Int
        var reason: String
        /// nil: the usual one, of a file that is none of ours.
        var remedy: String?

        /// What a reader of YAML says where a brace in a text has ended, or begun, a mapping.
        static let braces =
            "Put a text with braces in quotes, such as \"/orders/{id}\" or \"${NAME}\", or write one key a line"
    }

    /// A configuration file is far smaller; a larger one is a wrong path. With what the environment puts into it, too.
    static let maxBytes = 1 << 20
    /// Mappings and lists within each other: twice what a schema of nested objects comes to.
    static let maxDepth = 32

    /// Returns the entries of the mapping that the file is; none of an empty file. `environment` gives the values of `${NAME}`.
    static func entries(of text: [UInt8], environment: [String: String]) throws(Failure) -> [ConfigurationEntry] {
        var parser = yaml_parser_t()
        guard yaml_parser_initialize(&parser) == 1 else { throw Failure(line: 1, reason: "out of memory") }
        defer { yaml_parser_delete(&parser) }
        var builder = YAMLTreeBuilder(Interpolation(environment))
        // The parser keeps the address of its input and of itself: both stay in place for the whole loop.
        var failure: Failure?
        text.withUnsafeBufferPointer { input in
            yaml_parser_set_input_string(&parser, input.baseAddress, input.count)
            failure = builder.run(&parser)
        }
        if let failure { throw failure }
        return builder.entries
    }

    /// The file's bytes, or why it cannot be read.
    static func read(_ path: String) -> Result<[UInt8], Failure> {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return .failure(Failure(line: 0, reason: String(cString: strerror(errno)))) }
        defer { close(descriptor) }
        var content: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = buffer.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress, $0.count) }
            if count == 0 { return .success(content) }
            if count < 0 {
                if errno == EINTR { continue }
                return .failure(Failure(line: 0, reason: String(cString: strerror(errno))))
            }
            content.append(contentsOf: buffer[..<count])
            if content.count > maxBytes {
                return .failure(Failure(line: 0, reason: "longer than \(maxBytes) bytes; is this the right file?"))
            }
        }
    }
}

/// Makes a tree of the parser's events.
private struct YAMLTreeBuilder {
    /// Of the outermost mapping, once it is closed.
    private(set) var entries: [ConfigurationEntry] = []
    private var open: [Container] = []
    private var documents = 0
    private var interpolation: Interpolation
    /// Of what was refused, where the usual one is of no help.
    private var remedy: String?

    private enum Container {
        /// `key` waits for its value.
        case mapping([ConfigurationEntry], key: (text: String, line: Int)?, line: Int)
        case list([ConfigurationNode], line: Int)
    }

    init(_ interpolation: Interpolation) { self.interpolation = interpolation }

    mutating func run(_ parser: inout yaml_parser_t) -> YAMLDocument.Failure? {
        while true {
            var event = yaml_event_t()
            guard yaml_parser_parse(&parser, &event) == 1 else {
                let reason = parser.problem.map { String(cString: $0) } ?? "unreadable YAML"
                return YAMLDocument.Failure(
                    line: Int(parser.problem_mark.line) + 1, reason: reason,
                    remedy: reason.contains("'}'") ? YAMLDocument.Failure.braces : nil)
            }
            defer { yaml_event_delete(&event) }
            let line = Int(event.start_mark.line) + 1
            if event.type == YAML_STREAM_END_EVENT { return nil }
            if let reason = take(event, line) {
                return YAMLDocument.Failure(line: line, reason: reason, remedy: remedy)
            }
        }
    }

    /// What is wrong with `event`; `nil` when it was taken.
    private mutating func take(_ event: yaml_event_t, _ line: Int) -> String? {
        switch event.type {
        case YAML_DOCUMENT_START_EVENT:
            documents += 1
            return documents > 1 ? "a second document" : nil
        case YAML_ALIAS_EVENT: return "an alias; write the value out"
        case YAML_MAPPING_START_EVENT:
            let start = event.data.mapping_start
            return begin(.mapping([], key: nil, line: line), "a mapping", start.anchor, start.tag)
        case YAML_SEQUENCE_START_EVENT:
            let start = event.data.sequence_start
            if open.isEmpty { return "a list where a key belongs" }
            return begin(.list([], line: line), "a list", start.anchor, start.tag)
        case YAML_MAPPING_END_EVENT, YAML_SEQUENCE_END_EVENT: return end()
        case YAML_SCALAR_EVENT: return take(scalar: event, line)
        default: return nil
        }
    }

    private mutating func begin(
        _ container: Container, _ what: String, _ anchor: UnsafeMutablePointer<yaml_char_t>?,
        _ tag: UnsafeMutablePointer<yaml_char_t>?
    ) -> String? {
        if let reason = Self.refusal(anchor, tag) { return reason }
        if open.count == YAMLDocument.maxDepth { return "more than \(YAMLDocument.maxDepth) levels" }
        if case .mapping(_, nil, _) = open.last { return "\(what) where a key belongs" }
        open.append(container)
        return nil
    }

    private mutating func end() -> String? {
        switch open.popLast() {
        case .mapping(let found, _, _) where open.isEmpty: entries = found
        case .mapping(let found, _, let line): add(ConfigurationNode(.mapping(found), line: line))
        case .list(let items, let line): add(ConfigurationNode(.list(items), line: line))
        case nil: break
        }
        return nil
    }

    private mutating func take(scalar event: yaml_event_t, _ line: Int) -> String? {
        let scalar = event.data.scalar
        if let reason = Self.refusal(scalar.anchor, scalar.tag) { return reason }
        let bytes = UnsafeBufferPointer(start: scalar.value, count: scalar.length)
        guard let text = String(validating: bytes, as: UTF8.self) else { return "text that is not UTF-8" }
        if open.isEmpty { return "a value without a key; the file is a mapping of keys to values" }
        if case .mapping(let found, nil, let start) = open[open.count - 1] {
            if text.isEmpty { return "an empty key" }
            open[open.count - 1] = .mapping(found, key: (text, line), line: start)
            return nil
        }
        switch interpolation.expand(text) {
        case .failure(let refusal):
            remedy = "Text that names no variable of the environment is written with two dollar signs, $${NAME}"
            return refusal.reason
        case .success(let value):
            add(ConfigurationNode(.text(value, isPlain: scalar.style == YAML_PLAIN_SCALAR_STYLE), line: line))
            return nil
        }
    }

    /// Puts a value where it belongs: behind the key that waits for it, or at the end of the list.
    private mutating func add(_ node: ConfigurationNode) {
        let last = open.count - 1
        switch open[last] {
        case .mapping(var found, let key?, let line):
            // Out of the stack, so that the array is not copied.
            open[last] = .list([], line: 0)
            found.append(ConfigurationEntry(key: key.text, line: key.line, value: node))
            open[last] = .mapping(found, key: nil, line: line)
        case .list(var items, let line):
            open[last] = .list([], line: 0)
            items.append(node)
            open[last] = .list(items, line: line)
        case .mapping(_, nil, _): preconditionFailure("a value without a key")
        }
    }

    private static func refusal(
        _ anchor: UnsafeMutablePointer<yaml_char_t>?, _ tag: UnsafeMutablePointer<yaml_char_t>?
    ) -> String? {
        if anchor != nil { return "an anchor; write the value out" }
        return tag == nil ? nil : "a tag; values are what they look like"
    }
}
