import ByteBuffers

/// Writes members in one of the two forms: those of an object of JSON, or elements of XML, where a list is its items one behind the
/// other and a map is items of a name and a value.
struct SQSComposer: ~Copyable {
    enum Form { case json, xml }

    private let form: Form
    private var out: ByteWriter
    /// Nothing stands in the innermost object yet.
    private var isFirst = true

    private init(_ form: Form, _ out: consuming ByteWriter) {
        self.form = form
        self.out = out
    }

    /// Appends what `body` writes; in JSON an object.
    static func compose(_ form: Form, into out: inout ByteWriter, _ body: (inout SQSComposer) -> Void) {
        // The writer is lent to the composer, and is back at the end.
        var lent = ByteWriter(capacity: 16)
        swap(&lent, &out)
        var composer = SQSComposer(form, lent)
        composer.object(body)
        out = composer.finish()
    }

    private consuming func finish() -> ByteWriter { out }

    // MARK: Members. A value that is nil is left out.

    mutating func text(_ name: String, _ value: String?) {
        guard let value else { return }
        begin(name)
        put(value)
        end(name)
    }

    /// Writes a text that is known to be UTF-8.
    mutating func bytes(_ name: String, _ value: [UInt8]) {
        begin(name)
        value.withUnsafeBytes { put($0) }
        end(name)
    }

    mutating func number(_ name: String, _ value: Int?) {
        guard let value else { return }
        begin(name)
        out.put("\(value)")
        end(name)
    }

    mutating func flag(_ name: String, _ value: Bool) {
        begin(name)
        out.put(value ? "true" : "false")
        end(name)
    }

    mutating func texts(_ name: String, _ itemName: String, _ values: [String], isRequired: Bool = false) {
        items(name, itemName, values, isRequired) { value, composer in composer.put(value) }
    }

    /// A list of structures.
    mutating func list<Item>(
        _ name: String, _ itemName: String, _ values: [Item], isRequired: Bool = false,
        _ body: (Item, inout SQSComposer) -> Void
    ) {
        items(name, itemName, values, isRequired) { value, composer in
            composer.object { body(value, &$0) }
        }
    }

    private mutating func items<Item>(
        _ name: String, _ itemName: String, _ values: [Item], _ isRequired: Bool,
        _ body: (Item, inout SQSComposer) -> Void
    ) {
        if values.isEmpty && !(isRequired && form == .json) { return }
        if form == .json { begin(name) }
        bracket("[")
        for (index, value) in values.enumerated() {
            if form == .xml { begin(itemName) } else if index > 0 { out.put(",") }
            body(value, &self)
            if form == .xml { end(itemName) }
        }
        bracket("]")
        isFirst = false
    }

    /// A map of texts. `keyName`: what XML calls the name of an entry.
    mutating func map(_ name: String, _ itemName: String, _ keyName: String, _ pairs: [SQSPair]) {
        if pairs.isEmpty { return }
        if form == .json {
            begin(name)
            object { composer in for pair in pairs { composer.key(pair.name, pair.value) } }
            return
        }
        for pair in pairs {
            begin(itemName)
            text(keyName, pair.name)
            text("Value", pair.value)
            end(itemName)
        }
    }

    /// A map of structures.
    mutating func entries<Item>(
        _ name: String, _ itemName: String, _ values: [Item], isRequired: Bool = false, _ key: (Item) -> String,
        _ body: (Item, inout SQSComposer) -> Void
    ) {
        if values.isEmpty && !(isRequired && form == .json) { return }
        if form == .json {
            begin(name)
            object { composer in
                for value in values {
                    composer.separate()
                    composer.put(key(value))
                    composer.out.put(":")
                    composer.object { body(value, &$0) }
                }
            }
            return
        }
        for value in values {
            begin(itemName)
            text("Name", key(value))
            begin("Value")
            body(value, &self)
            end("Value")
            end(itemName)
        }
    }

    // MARK: Parts

    private mutating func object(_ body: (inout SQSComposer) -> Void) {
        bracket("{")
        isFirst = true
        body(&self)
        bracket("}")
        isFirst = false
    }

    private mutating func bracket(_ character: String) { if form == .json { out.put(character) } }

    private mutating func separate() {
        if !isFirst { out.put(",") }
        isFirst = false
    }

    /// A member of a map, whose name is a client's.
    private mutating func key(_ name: String, _ value: String) {
        separate()
        put(name)
        out.put(":")
        put(value)
    }

    private mutating func begin(_ name: String) {
        switch form {
        case .json:
            separate()
            out.put("\"")
            out.put(name)
            out.put("\":")
        case .xml:
            out.put("<")
            out.put(name)
            out.put(">")
        }
    }

    private mutating func end(_ name: String) {
        guard form == .xml else { return }
        out.put("</")
        out.put(name)
        out.put(">")
    }

    private mutating func put(_ text: String) {
        var copy = text
        copy.withUTF8 { put(UnsafeRawBufferPointer($0)) }
    }

    private mutating func put(_ text: UnsafeRawBufferPointer) {
        switch form {
        case .json:
            out.put("\"")
            JSONEscape.forEachPiece(of: text) { out.bytes($0) }
            out.put("\"")
        case .xml: Self.putXML(text, into: &out)
        }
    }

    /// A carriage return is written by its number, or the reader would take it for a line end like any other.
    private static func putXML(_ text: UnsafeRawBufferPointer, into out: inout ByteWriter) {
        var clean = 0
        for at in text.indices {
            let escape: String
            switch text[at] {
            case UInt8(ascii: "&"): escape = "&amp;"
            case UInt8(ascii: "<"): escape = "&lt;"
            case UInt8(ascii: ">"): escape = "&gt;"
            case UInt8(ascii: "\""): escape = "&quot;"
            case UInt8(ascii: "\r"): escape = "&#xD;"
            default: continue
            }
            out.bytes(UnsafeRawBufferPointer(rebasing: text[clean..<at]))
            out.put(escape)
            clean = at + 1
        }
        out.bytes(UnsafeRawBufferPointer(rebasing: text[clean...]))
    }
}

extension ByteWriter {
    /// Writes text as it is.
    mutating func put(_ text: String) { utf8(text) }
}
