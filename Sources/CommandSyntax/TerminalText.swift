/// Text of others (names, addresses, messages of a broker) as a terminal may get it: whoever chose it must not move the
/// cursor, change the title or write a line of its own.
public enum TerminalText {
    /// Control characters of C0, DEL and C1 as `\u001b`. The lines of a text of several stay lines.
    public static func escaped(_ text: String, keepsLines: Bool = false) -> String {
        guard text.unicodeScalars.contains(where: isControl) else { return text }
        var escaped = ""
        for scalar in text.unicodeScalars {
            if !isControl(scalar) || keepsLines && scalar == "\n" {
                escaped.unicodeScalars.append(scalar)
            } else {
                escaped += scalar.value < 0x10 ? "\\u000" : "\\u00"
                escaped += String(scalar.value, radix: 16)
            }
        }
        return escaped
    }

    /// Of C0, DEL or C1: some terminals obey the last, too.
    public static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value)
    }
}
