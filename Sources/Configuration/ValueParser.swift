/// Reads the text of a value into its canonical form: what DescribeConfigs shows and the typed accessors read.
extension ConfigurationKey {
    /// The canonical form of `text`; `nil` when the key does not allow it.
    public func canonical(_ text: String) -> String? {
        let text = Self.trimmed(text)
        switch kind {
        case .integer(let range, _): return Self.number(text).flatMap { range.contains($0) ? String($0) : nil }
        case .bytes(let range, _):
            return Self.quantity(text, units: Self.byteUnits).flatMap { range.contains($0) ? String($0) : nil }
        case .duration(let unit, let range, _):
            return Self.duration(text, in: unit).flatMap { range.contains($0) ? String($0) : nil }
        case .boolean:
            switch text.lowercased() {
            case "true", "yes", "on": return "true"
            case "false", "no", "off": return "false"
            default: return nil
            }
        case .choice(let choices): return choices.first { $0.lowercased() == text.lowercased() }
        case .list(let among):
            let items = Self.list(text)
            guard items.allSatisfy({ Self.isPrintable($0) && (among.isEmpty || among.contains($0)) }) else {
                return nil
            }
            if !among.isEmpty && items.isEmpty { return nil }
            return items.joined(separator: ",")
        case .text: return text.isEmpty || !Self.isPrintable(text) ? nil : text
        case .listeners(let usual, let among):
            return ListenerAddress.list(text, usual: usual, among: among)?
                .map { $0.text(usual: usual) }.joined(separator: ",")
        case .pem: return text.utf8.count <= Self.maxPEMLength && text.contains("-----BEGIN ") ? text : nil
        case .secret: return text.isEmpty || !Self.isPrintable(text) ? nil : text
        }
    }

    static let byteUnits: [(String, Int64)] = [
        ("kib", 1 << 10), ("mib", 1 << 20), ("gib", 1 << 30), ("tib", 1 << 40),
        ("kb", 1_000), ("mb", 1_000_000), ("gb", 1_000_000_000), ("tb", 1_000_000_000_000), ("b", 1),
    ]
    static let durationUnits: [(String, Int64)] = [
        ("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("w", 604_800_000),
    ]

    static func list(_ text: String) -> [String] {
        text.split(separator: ",").map { trimmed(String($0)) }.filter { !$0.isEmpty }
    }

    /// A decimal integer with an optional sign and nothing else.
    static func number(_ text: String) -> Int64? {
        guard let first = text.utf8.first, first != UInt8(ascii: "+") else { return nil }
        return Int64(text)
    }

    /// A number with an optional unit; `nil` when it is neither or does not fit in 64 bits.
    static func quantity(_ text: String, units: [(String, Int64)]) -> Int64? {
        if let plain = number(text) { return plain }
        let lower = text.lowercased()
        for (unit, factor) in units where lower.hasSuffix(unit) {
            guard let count = number(trimmed(String(lower.dropLast(unit.count)))), count >= 0 else { continue }
            let (product, overflow) = count.multipliedReportingOverflow(by: factor)
            return overflow ? nil : product
        }
        return nil
    }

    /// A bare number counts `unit`; one with a unit must be a whole number of them.
    static func duration(_ text: String, in unit: DurationUnit) -> Int64? {
        if let plain = number(text) { return plain }
        guard let milliseconds = quantity(text, units: durationUnits) else { return nil }
        guard milliseconds % unit.milliseconds == 0 else { return nil }
        return milliseconds / unit.milliseconds
    }

    static func isPrintable(_ text: String) -> Bool {
        text.utf8.count <= maxTextLength && text.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7f }
    }

    static func trimmed(_ text: String) -> String {
        let isSpace = { (character: Character) in character == " " || character == "\t" || character.isNewline }
        guard let first = text.firstIndex(where: { !isSpace($0) }), let last = text.lastIndex(where: { !isSpace($0) })
        else { return "" }
        return String(text[first...last])
    }
}
