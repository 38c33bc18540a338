/// Kafka's rule for topic names: 1 to 249 characters of `[a-zA-Z0-9._-]`, and not `.` or `..`.
public enum TopicName {
    /// The longest name; leaves room in a file name for partition and suffix.
    public static let maxLength = 249

    /// Bytes of a name that estimates of memory reckon with.
    public static let usualLength = 48

    /// Returns what is wrong with `name`, in words that Kafka's tools show; `nil` when it is valid.
    public static func problem(_ name: String) -> String? {
        if name.isEmpty { return "Topic name is invalid: the empty string is not allowed" }
        if name == "." || name == ".." { return "Topic name is invalid: '\(name)' is not allowed" }
        if name.utf8.count > maxLength {
            return "Topic name is invalid: the length of '\(name)' is longer than the max allowed length \(maxLength)"
        }
        let valid = name.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
                true
            default: false
            }
        }
        return valid
            ? nil
            : "Topic name is invalid: '\(name)' contains one or more characters other than ASCII alphanumerics, '.', '_' "
                + "and '-'"
    }
}
