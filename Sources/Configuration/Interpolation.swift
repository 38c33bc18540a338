/// Values of the environment in those of a file:
///
///     ${NAME}            the variable's value; one that is not set is an error
///     ${NAME:-default}   the same, or the default when it is not set, or empty
///     $${NAME}           the text ${NAME}
///
/// A dollar sign before anything but a brace is a dollar sign. What is put in is not looked at again.
struct Interpolation {
    private let environment: [String: String]
    /// Bytes that the file has grown by.
    private var grown = 0

    struct Refusal: Error {
        let reason: String
    }

    init(_ environment: [String: String]) { self.environment = environment }

    mutating func expand(_ text: String) -> Result<String, Refusal> {
        guard text.contains("${") else { return .success(text) }
        var result = ""
        var rest = Substring(text)
        while let dollar = rest.firstIndex(of: "$") {
            result += rest[..<dollar]
            rest = rest[dollar...]
            if rest.hasPrefix("$${") {
                result += "${"
                rest = rest.dropFirst(3)
            } else if rest.hasPrefix("${") {
                guard let brace = rest.firstIndex(of: "}") else {
                    return .failure(Refusal(reason: "${ without its }; write $${ for the two characters"))
                }
                switch value(of: rest[rest.index(rest.startIndex, offsetBy: 2)..<brace]) {
                case .failure(let refusal): return .failure(refusal)
                case .success(let value):
                    grown += value.utf8.count
                    result += value
                }
                if grown > YAMLDocument.maxBytes {
                    return .failure(
                        Refusal(reason: "more than \(YAMLDocument.maxBytes) bytes out of the environment"))
                }
                rest = rest[rest.index(after: brace)...]
            } else {
                result += "$"
                rest = rest.dropFirst()
            }
        }
        return .success(result + rest)
    }

    /// `inside` is what stands between the braces.
    private func value(of inside: Substring) -> Result<String, Refusal> {
        let separator = inside.firstRange(of: ":-")
        let name = String(separator.map { inside[..<$0.lowerBound] } ?? inside)
        guard Self.isName(name) else {
            return .failure(
                Refusal(reason: "${\(inside)} names no variable; write ${NAME} or ${NAME:-default}"))
        }
        let value = environment[name] ?? ""
        if let separator { return .success(value.isEmpty ? String(inside[separator.upperBound...]) : value) }
        guard environment[name] != nil else {
            return .failure(
                Refusal(
                    reason: "the environment variable \(name) is not set; set it, or write ${\(name):-default}"))
        }
        return .success(value)
    }

    private static func isName(_ name: String) -> Bool {
        guard let first = name.utf8.first, first < UInt8(ascii: "0") || first > UInt8(ascii: "9") else { return false }
        return name.utf8.allSatisfy {
            switch $0 {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
                true
            default: false
            }
        }
    }
}
