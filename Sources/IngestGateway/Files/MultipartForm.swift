import ByteBuffers
import Glibc
import HTTPWire

/// The one file of a form, taken out of it as its bytes come. Source: RFC 7578, RFC 2046 (5.1).
///
/// ```
///   preamble ──delimiter──► its line ──► fields ──► the file ──delimiter──► its line ──"--"──► epilogue
///                              └──"--"──► epilogue (a form without a file)
///
///   delimiter ─ CR LF "--" boundary, the first one without CR LF at the form's start
/// ```
/// What may still become a delimiter is held back: no more than that, or than a part's fields. Invalid input is the peer's alone: it
/// gives a problem, and nothing is taken behind it.
final class MultipartForm {
    /// The field that has the file.
    static let fieldName: StaticString = "file"
    /// Bytes of a boundary. Source: RFC 2046, 5.1.1.
    static let maxBoundaryBytes = 70
    /// Bytes before the first boundary, which nobody reads.
    static let maxPreambleBytes = 4 << 10
    /// Bytes behind the last boundary, with the end of its line, which nobody reads.
    static let maxEpilogueBytes = 4 << 10
    /// Bytes of a part's fields, with the line of its boundary.
    static let maxPartFieldBytes = 4 << 10
    /// Bytes of a file's name; a longer one is cut.
    static let maxNameBytes = 255

    private enum State: Equatable {
        case preamble
        /// Behind a boundary: the rest of its line, and the fields of the part up to the empty line.
        case fields
        case file
        case epilogue
    }

    private let delimiter: [UInt8]
    private var state = State.preamble
    /// What has come and is not decided. It begins as if a line had ended before the form.
    private var held: ByteWriter
    private var preambleBytes = 0
    private var epilogueBytes = 0
    /// As the client calls the file, without the folders before it; nil: it says none, or the part has not come.
    private(set) var fileName: String?
    /// What it says that the file is.
    private(set) var contentType: [UInt8]?
    /// The file has begun.
    private(set) var hasFile = false

    /// The last boundary has come.
    var isAtEnd: Bool { state == .epilogue }

    /// Bytes that are held back at most, when so many come at once.
    static func mostHeld(piece: Int) -> Int { piece + maxPartFieldBytes + maxBoundaryBytes + 16 }

    init(boundary: [UInt8], piece: Int) {
        precondition((1...Self.maxBoundaryBytes).contains(boundary.count))
        delimiter = Array("\r\n--".utf8) + boundary
        held = ByteWriter(capacity: 256, limit: Self.mostHeld(piece: piece))
        held.text("\r\n")
    }

    /// The boundary that a Content-Type of `multipart/form-data` names; nil: it names none that is one.
    static func boundary(of value: UnsafeRawBufferPointer) -> [UInt8]? {
        guard let text = FieldParameters(value).value(of: "boundary"), (1...maxBoundaryBytes).contains(text.count),
            text.last != 0x20, text.allSatisfy({ $0 >= 0x20 && $0 < 0x7f })
        else { return nil }
        return text
    }

    // MARK: What comes

    /// Takes the next bytes, and hands those of the file on. Gives why nothing is taken any more.
    func take(
        _ piece: UnsafeRawBufferPointer, _ take: (UnsafeRawBufferPointer) -> Void
    ) -> Problem? {
        if isAtEnd { return skipEpilogue(piece.count) }
        held.bytes(piece)
        while true {
            let (count, before) = (held.count, state)
            let problem: Problem?
            switch state {
            case .preamble: problem = skipPreamble()
            case .fields: problem = readFields()
            case .file:
                handOn(take)
                problem = nil
            case .epilogue:
                defer { held.removeAll() }
                return skipEpilogue(held.count)
            }
            if let problem { return problem }
            if held.count == count, before == state { return nil }
        }
    }

    /// Why what has come is no whole form, once nothing more comes.
    var endProblem: Problem? {
        if isAtEnd {
            return hasFile ? nil : Problem(.invalidForm, "The form has no field \(Self.fieldName), which has the file.")
        }
        return Problem(.invalidForm, "The form ends before its last boundary.")
    }

    /// Where the first of such bytes, which begin with a CR, stand in what is held.
    private func find(_ needle: [UInt8]) -> Int? {
        let bytes = held.bytes
        guard let base = bytes.baseAddress else { return nil }
        var at = 0
        while at + needle.count <= bytes.count {
            at = ByteScan.find(0x0d, base, from: at, end: bytes.count)
            guard at + needle.count <= bytes.count else { return nil }
            if memcmp(base + at, needle, needle.count) == 0 { return at }
            at += 1
        }
        return nil
    }

    private func skipPreamble() -> Problem? {
        let place = find(delimiter)
        let gone = place ?? max(0, held.count - delimiter.count + 1)
        preambleBytes += gone
        held.removeFirst(place == nil ? gone : gone + delimiter.count)
        if place != nil { state = .fields }
        guard preambleBytes > Self.maxPreambleBytes else { return nil }
        return Problem(
            .invalidForm,
            "The boundary that Content-Type names does not come in the first \(Self.maxPreambleBytes) bytes.",
            limit: Self.maxPreambleBytes)
    }

    private func skipEpilogue(_ count: Int) -> Problem? {
        epilogueBytes += count
        guard epilogueBytes > Self.maxEpilogueBytes else { return nil }
        return Problem(
            .invalidForm, "More than \(Self.maxEpilogueBytes) bytes stand behind the last boundary of the form.",
            limit: Self.maxEpilogueBytes)
    }

    private func handOn(_ take: (UnsafeRawBufferPointer) -> Void) {
        let place = find(delimiter)
        let count = place ?? max(0, held.count - delimiter.count + 1)
        if count > 0 { take(UnsafeRawBufferPointer(rebasing: held.bytes[..<count])) }
        held.removeFirst(place == nil ? count : count + delimiter.count)
        if place != nil { state = .fields }
    }

    // MARK: A part

    /// Reads the rest of a boundary's line and the part's fields, once they are there.
    private func readFields() -> Problem? {
        let bytes = held.bytes
        if bytes.count >= 2, bytes[0] == UInt8(ascii: "-"), bytes[1] == UInt8(ascii: "-") {
            held.removeFirst(2)
            state = .epilogue
            return nil
        }
        // White space may follow a boundary; then its line ends.
        let start = bytes.firstIndex { $0 != 0x20 && $0 != 0x09 } ?? bytes.count
        if bytes.count > start, bytes[start] != 0x0d, !(start == 0 && bytes.count == 1 && bytes[0] == UInt8(ascii: "-"))
        {
            return Problem(.invalidForm, "Something follows a boundary of the form in its line.")
        }
        // The line's end is the first of the two that end the fields where there are none.
        guard let end = find(Array("\r\n\r\n".utf8)) else {
            guard bytes.count > Self.maxPartFieldBytes else { return nil }
            return Problem(
                .invalidForm, "The fields of a part of the form are longer than \(Self.maxPartFieldBytes) bytes.",
                limit: Self.maxPartFieldBytes)
        }
        guard end <= Self.maxPartFieldBytes else {
            return Problem(
                .invalidForm, "The fields of a part of the form are longer than \(Self.maxPartFieldBytes) bytes.",
                limit: Self.maxPartFieldBytes)
        }
        let lines = Array(UnsafeRawBufferPointer(rebasing: bytes[start..<end]))
        held.removeFirst(end + 4)
        if let problem = begin(lines) { return problem }
        state = .file
        return nil
    }

    /// Begins a part of these fields.
    private func begin(_ lines: [UInt8]) -> Problem? {
        var (name, file): ([UInt8]?, [UInt8]?) = (nil, nil)
        var type: [UInt8]?
        var rest = lines[...]
        while !rest.isEmpty {
            let end = rest.firstIndex(of: 0x0a) ?? rest.endIndex
            var line = rest[..<end]
            rest = rest[min(end + 1, rest.endIndex)...]
            if line.last == 0x0d { line = line.dropLast() }
            if line.isEmpty { continue }
            guard let colon = line.firstIndex(of: UInt8(ascii: ":")), colon > line.startIndex,
                !line.contains(0), !line.contains(0x0d)
            else { return Problem(.invalidForm, "A line of a part's fields is none: a name, a colon and a value.") }
            let field = String(decoding: line[..<colon], as: UTF8.self).lowercased()
            let value = Array(line[(colon + 1)...])
            value.withUnsafeBytes { value in
                let value = RequestHead.trimmed(value)
                switch field {
                case "content-disposition":
                    let parameters = FieldParameters(value)
                    if RequestHead.equals(parameters.first, "form-data") { name = parameters.value(of: "name") }
                    file = parameters.value(of: "filename")
                case "content-type": type = Array(value)
                default: break
                }
            }
        }
        guard let name else {
            return Problem(.invalidForm, "A part of the form has no Content-Disposition: form-data with a name.")
        }
        return take(Self.words(name), file, type)
    }

    private func take(_ name: String, _ file: [UInt8]?, _ type: [UInt8]?) -> Problem? {
        guard name == Self.fieldName.description else {
            return Problem(
                .invalidForm,
                "The form has the field \(name), which is not read: send one file, in the field \(Self.fieldName).")
        }
        if hasFile { return Problem(.invalidForm, "The form has the field \(name) twice: send one file a request.") }
        hasFile = true
        contentType = type
        // Never a path, whoever it is shown to.
        guard let file else { return nil }
        let last = file.split { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "\\") }.last ?? []
        let words = Self.words(Array(last))
        if !words.isEmpty { fileName = words }
        return nil
    }

    /// A word of the client as it is shown: without control characters, and no longer than `maxNameBytes`.
    static func words(_ bytes: [UInt8]) -> String {
        var text = ""
        for scalar in String(decoding: bytes, as: UTF8.self).unicodeScalars {
            if scalar.properties.generalCategory == .control { continue }
            guard text.utf8.count + UTF8.width(scalar) <= maxNameBytes else { break }
            text.unicodeScalars.append(scalar)
        }
        return text
    }
}

/// The parameters of a field's value: `first; name=value; name="a \"quoted\" value"`. Source: RFC 9110, 5.6.6.
struct FieldParameters {
    let first: UnsafeRawBufferPointer
    private let rest: UnsafeRawBufferPointer

    init(_ value: UnsafeRawBufferPointer) {
        let end = value.firstIndex(of: UInt8(ascii: ";")) ?? value.count
        first = RequestHead.trimmed(UnsafeRawBufferPointer(rebasing: value[..<end]))
        rest = UnsafeRawBufferPointer(rebasing: value[end...])
    }

    /// The value of the first parameter of that name, in whatever case; nil: there is none.
    func value(of wanted: StaticString) -> [UInt8]? {
        var at = 0
        while at < rest.count {
            // At a semicolon.
            at += 1
            let start = at
            while at < rest.count, rest[at] != UInt8(ascii: "="), rest[at] != UInt8(ascii: ";") { at += 1 }
            let name = RequestHead.trimmed(UnsafeRawBufferPointer(rebasing: rest[start..<at]))
            guard at < rest.count, rest[at] == UInt8(ascii: "=") else { continue }
            at += 1
            let value = readValue(&at)
            if RequestHead.equals(name, wanted) { return value }
        }
        return nil
    }

    private func readValue(_ at: inout Int) -> [UInt8] {
        while at < rest.count, rest[at] == 0x20 || rest[at] == 0x09 { at += 1 }
        guard at < rest.count, rest[at] == 0x22 else {
            let start = at
            while at < rest.count, rest[at] != UInt8(ascii: ";") { at += 1 }
            return Array(RequestHead.trimmed(UnsafeRawBufferPointer(rebasing: rest[start..<at])))
        }
        at += 1
        var value: [UInt8] = []
        while at < rest.count, rest[at] != 0x22 {
            // Browsers escape a quote by %22 and write a backslash as it is; others escape both.
            if rest[at] == 0x5c, at + 1 < rest.count, rest[at + 1] == 0x22 || rest[at + 1] == 0x5c { at += 1 }
            value.append(rest[at])
            at += 1
        }
        while at < rest.count, rest[at] != UInt8(ascii: ";") { at += 1 }
        return value
    }
}
