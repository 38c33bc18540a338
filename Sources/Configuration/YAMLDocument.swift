internal import CYAML
internal import Glibc

/// A YAML file flattened to dotted keys: nested mappings and dotted keys mean the same, sequences become comma-separated
/// lists. Anchors, aliases, tags and several documents are refused; a configuration has no use for them, and aliases are
/// how small files grow large.
struct YAMLDocument {
    struct Entry: Equatable {
        var key: String
        var value: String
        /// From 1.
        var line: Int
    }

    struct Failure: Error, Equatable {
        var line: Int
        var reason: String
    }

    /// A configuration file is far smaller; a larger one is a wrong path.
    static let maxBytes = 1 << 20
    /// Mappings within mappings.
    static let maxDepth = 16

    static func entries(of text: [UInt8]) throws(Failure) -> [Entry] {
        var parser = yaml_parser_t()
        guard yaml_parser_initialize(&parser) == 1 else { throw Failure(line: 1, reason: "out of memory") }
        defer { yaml_parser_delete(&parser) }
        var flattener = Flattener()
        // The parser keeps the address of its input and of itself: both stay in place for the whole loop.
        var failure: Failure?
        text.withUnsafeBufferPointer { input in
            yaml_parser_set_input_string(&parser, input.baseAddress, input.count)
            failure = flattener.run(&parser)
        }
        if let failure { throw failure }
        return flattener.entries
    }

    private struct Flattener {
        var entries: [Entry] = []
        /// One for each open mapping: its dotted prefix, and the key that waits for its value.
        var open: [(prefix: String, key: String?)] = []
        /// The sequence being read, if any.
        var items: (key: String, values: [String], line: Int)?
        var documents = 0

        mutating func run(_ parser: inout yaml_parser_t) -> Failure? {
            while true {
                var event = yaml_event_t()
                guard yaml_parser_parse(&parser, &event) == 1 else {
                    let reason = parser.problem.map { String(cString: $0) } ?? "unreadable YAML"
                    return Failure(line: Int(parser.problem_mark.line) + 1, reason: reason)
                }
                defer { yaml_event_delete(&event) }
                let line = Int(event.start_mark.line) + 1
                if event.type == YAML_STREAM_END_EVENT { return nil }
                if let reason = take(event, line) { return Failure(line: line, reason: reason) }
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
                if event.data.mapping_start.anchor != nil { return "an anchor; write the value out" }
                if items != nil { return "a mapping inside a list" }
                if open.count == YAMLDocument.maxDepth { return "more than \(YAMLDocument.maxDepth) levels" }
                guard let last = open.last else {
                    open.append(("", nil))
                    return nil
                }
                guard let key = last.key else { return "a mapping where a key belongs" }
                open.append((last.prefix + key + ".", nil))
                return nil
            case YAML_MAPPING_END_EVENT:
                open.removeLast()
                if !open.isEmpty { open[open.count - 1].key = nil }
                return nil
            case YAML_SEQUENCE_START_EVENT:
                if event.data.sequence_start.anchor != nil { return "an anchor; write the value out" }
                if items != nil { return "a list inside a list" }
                guard let last = open.last, let key = last.key else { return "a list where a key belongs" }
                items = (last.prefix + key, [], line)
                return nil
            case YAML_SEQUENCE_END_EVENT:
                guard let list = items else { return nil }
                entries.append(Entry(key: list.key, value: list.values.joined(separator: ","), line: list.line))
                items = nil
                open[open.count - 1].key = nil
                return nil
            case YAML_SCALAR_EVENT: return take(scalar: event, line)
            default: return nil
            }
        }

        private mutating func take(scalar event: yaml_event_t, _ line: Int) -> String? {
            let scalar = event.data.scalar
            if scalar.anchor != nil { return "an anchor; write the value out" }
            let bytes = UnsafeBufferPointer(start: scalar.value, count: scalar.length)
            guard let text = String(validating: bytes, as: UTF8.self) else { return "text that is not UTF-8" }
            let isPlain = scalar.style == YAML_PLAIN_SCALAR_STYLE
            if items != nil {
                if text.contains(",") { return "a list item with a comma in it" }
                items?.values.append(text)
                return nil
            }
            guard let last = open.last else { return "a value without a key; the file is a mapping of keys to values" }
            guard let key = last.key else {
                if text.isEmpty { return "an empty key" }
                open[open.count - 1].key = text
                return nil
            }
            if isPlain && (text.isEmpty || text == "~" || text == "null") {
                return "no value for \(last.prefix + key); leave the key out for its default"
            }
            entries.append(Entry(key: last.prefix + key, value: text, line: line))
            open[open.count - 1].key = nil
            return nil
        }
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
