/// One source file as the checks of this suite see it: lines of code apart from their comments. A text-level view: strings
/// count as code, and nothing is resolved.
struct SourceText: Sendable {
    struct Line: Sendable {
        let number: Int
        let code: Substring
        /// From `//` on; empty without one.
        let comment: Substring
        let indent: Int

        var isBlank: Bool { code.isEmpty }
    }

    /// The file, from the package's folder on.
    let path: String
    let lines: [Line]

    init(path: String, text: String) {
        self.path = path
        lines = text.split(separator: "\n", omittingEmptySubsequences: false).enumerated().map { index, line in
            let end = Self.codeEnd(of: line)
            var code = line[..<end]
            while code.last == " " { code.removeLast() }
            let trimmed = code.drop { $0 == " " }
            return Line(
                number: index + 1, code: trimmed, comment: line[end...], indent: code.count - trimmed.count)
        }
    }

    var module: String { String(path.split(separator: "/").dropFirst().first ?? "") }
    /// The file's name without `.swift`.
    var name: String { String(path.split(separator: "/").last?.dropLast(6) ?? "") }

    /// Where the comment of a line begins, a `//` outside of string literals, or its end.
    private static func codeEnd(of line: Substring) -> Substring.Index {
        let bytes = line.utf8
        var isInString = false
        var index = bytes.startIndex
        while index < bytes.endIndex {
            let next = bytes.index(after: index)
            switch bytes[index] {
            case UInt8(ascii: "\\") where isInString:
                index = next < bytes.endIndex ? bytes.index(after: next) : next
                continue
            case UInt8(ascii: "\""): isInString.toggle()
            case UInt8(ascii: "/") where !isInString:
                if next < bytes.endIndex, bytes[next] == UInt8(ascii: "/") { return index }
            default: break
            }
            index = next
        }
        return line.endIndex
    }
}

/// What a line declares.
struct Declaration: Equatable {
    var keyword: String
    var name: String
    var isPrivate: Bool

    private static let modifiers: Set<String> = [
        "public", "package", "internal", "fileprivate", "private", "open", "static", "final", "mutating", "nonmutating",
        "override", "convenience", "required", "lazy", "weak", "unowned", "nonisolated", "indirect", "borrowing",
        "consuming",
    ]
    private static let keywords: Set<String> = [
        "func", "init", "deinit", "subscript", "struct", "class", "enum", "actor", "protocol", "extension", "let",
        "var",
        "case", "typealias",
    ]

    /// Reads the declaration that a line of code begins with; nil where there is none.
    init?(_ code: Substring) {
        var rest = code
        isPrivate = false
        while true {
            rest = rest.drop { $0 == " " }
            if rest.first == "@" {
                rest = rest.dropFirst().drop { $0.isIdentifier }
                Self.skipParentheses(&rest)
                continue
            }
            let word = String(rest.prefix { $0.isIdentifier })
            let behind = rest.dropFirst(word.count)
            let following = behind.drop { $0 == " " }
            // `class func` and `class var`.
            let isModifier = word == "class" && (following.hasPrefix("func ") || following.hasPrefix("var "))
            if Self.modifiers.contains(word) || isModifier {
                if word == "private" || word == "fileprivate" { isPrivate = true }
                rest = behind
                Self.skipParentheses(&rest)
                continue
            }
            guard Self.keywords.contains(word) else { return nil }
            keyword = word
            name = String(following.drop { $0 == "`" }.prefix { $0.isIdentifier })
            if ["init", "deinit", "subscript"].contains(word) { name = word }
            return
        }
    }

    private static func skipParentheses(_ rest: inout Substring) {
        guard rest.first == "(" else { return }
        var depth = 0
        while let character = rest.popFirst() {
            if character == "(" { depth += 1 }
            if character == ")" { depth -= 1 }
            if depth == 0 { return }
        }
    }
}

extension Character {
    var isIdentifier: Bool { isASCII && (isLetter || isNumber || self == "_") }
}

extension Substring {
    /// The identifiers and numbers in it.
    var words: [Substring] {
        var words: [Substring] = []
        var start: Index?
        for index in utf8.indices {
            switch utf8[index] {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
                if start == nil { start = index }
            default:
                if let begin = start { words.append(self[begin..<index]) }
                start = nil
            }
        }
        if let begin = start { words.append(self[begin...]) }
        return words
    }

    /// Without what stands between quotation marks.
    var withoutStrings: Substring {
        guard utf8.contains(UInt8(ascii: "\"")) else { return self }
        let parts = split(separator: "\"", omittingEmptySubsequences: false)
        return Substring(
            parts.enumerated().filter { $0.offset.isMultiple(of: 2) }.map(\.element).joined(separator: " "))
    }
}

extension StringProtocol {
    /// The parts of a name in camel case: "maxHTTPBytes" has "max", "HTTP" and "Bytes".
    var nameParts: [String] {
        var parts: [String] = []
        var part = ""
        let characters = Array(self)
        for (index, character) in characters.enumerated() {
            let isStart =
                character.isUppercase
                && (index == 0 || !characters[index - 1].isUppercase
                    || (index + 1 < characters.count && characters[index + 1].isLowercase))
            if (isStart || !character.isIdentifier || character == "_") && !part.isEmpty {
                parts.append(part)
                part = ""
            }
            if character.isIdentifier, character != "_" { part.append(character) }
        }
        if !part.isEmpty { parts.append(part) }
        return parts
    }
}
