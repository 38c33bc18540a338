import HTTPWire

/// What tracing systems say of a trace among themselves, in the fields `tracestate`: members `key=value`, the newest first. It is handed on
/// as it came, without the whitespace between members and without empty ones; a list that is none in any part is dropped whole.
/// Source: W3C Trace Context, 3.3.
struct TraceState {
    /// Members of one list.
    static let maxMembers = 32
    /// Characters that are handed on: what the standard asks for at least. Of a longer list long members go first, then the last ones.
    static let maxBytes = 512
    private static let longMember = 128
    private static let maxKey = 256
    private static let maxTenant = 241
    private static let maxSystem = 14
    private static let maxValue = 256

    private var members: [[UInt8]] = []
    private var keys: Set<[UInt8]> = []

    init() {}

    /// Takes the next field's members. False: one is none, stands twice, or there are too many.
    mutating func take(_ field: UnsafeRawBufferPointer) -> Bool {
        for part in field.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false) {
            let member = RequestHead.trimmed(UnsafeRawBufferPointer(rebasing: part))
            if member.isEmpty { continue }
            guard members.count < Self.maxMembers, let equals = member.firstIndex(of: UInt8(ascii: "=")) else {
                return false
            }
            let key = member[..<equals]
            guard Self.isKey(key), Self.isValue(member[(equals + 1)...]), keys.insert(Array(key)).inserted else {
                return false
            }
            members.append(Array(member))
        }
        return true
    }

    /// nil: it has no member.
    var text: String? {
        var kept = members
        func length() -> Int { kept.reduce(max(0, kept.count - 1)) { $0 + $1.count } }
        while length() > Self.maxBytes, let long = kept.lastIndex(where: { $0.count > Self.longMember }) {
            kept.remove(at: long)
        }
        while length() > Self.maxBytes { kept.removeLast() }
        if kept.isEmpty { return nil }
        return kept.map { String(decoding: $0, as: UTF8.self) }.joined(separator: ",")
    }

    /// `name`, or `tenant@system`.
    private static func isKey(_ key: Slice<UnsafeRawBufferPointer>) -> Bool {
        guard let at = key.firstIndex(of: UInt8(ascii: "@")) else {
            return (1...maxKey).contains(key.count) && isLetter(key.first!) && key.allSatisfy(isOfKey)
        }
        let (tenant, system) = (key[..<at], key[(at + 1)...])
        return (1...maxTenant).contains(tenant.count) && (1...maxSystem).contains(system.count)
            && (isLetter(tenant.first!) || isDigit(tenant.first!)) && isLetter(system.first!)
            && tenant.allSatisfy(isOfKey) && system.allSatisfy(isOfKey)
    }

    private static func isLetter(_ byte: UInt8) -> Bool { (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) }
    private static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }

    private static func isOfKey(_ byte: UInt8) -> Bool {
        isLetter(byte) || isDigit(byte)
            || [UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "*"), UInt8(ascii: "/")].contains(byte)
    }

    /// Visible characters and spaces, but for the two that separate; it does not end with a space, which was trimmed.
    private static func isValue(_ value: Slice<UnsafeRawBufferPointer>) -> Bool {
        (1...maxValue).contains(value.count)
            && value.allSatisfy { (0x20...0x7e).contains($0) && $0 != UInt8(ascii: ",") && $0 != UInt8(ascii: "=") }
    }
}
