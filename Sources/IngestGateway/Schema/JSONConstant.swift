/// A value that a schema compares with. Arrays and objects are none.
enum JSONConstant: Sendable, Equatable {
    case null
    case boolean(Bool)
    case number(JSONNumber)
    case string([UInt8])

    /// For a message.
    var words: String {
        switch self {
        case .null: "null"
        case .boolean(let value): value ? "true" : "false"
        case .number(let number): number.text
        case .string(let bytes): String(decoding: bytes, as: UTF8.self)
        }
    }
}

/// A number as it is written. Whole ones of up to 18 digits are compared exactly, all others as floating point.
struct JSONNumber: Sendable, Equatable, Comparable {
    let text: String
    private let whole: Int64?
    private let value: Double

    private static let exactDigits = 18

    /// nil: it is no number of JSON.
    init?(_ text: String) {
        let bytes = Array(text.utf8)
        let end = bytes.withUnsafeBytes { bytes -> Int in
            guard !bytes.isEmpty, let base = bytes.baseAddress, JSONScan.kind(bytes[0]) == .number else { return -1 }
            return JSONScan.number(base, 0, bytes.count)
        }
        guard end == bytes.count, let value = Double(text) else { return nil }
        self.text = text
        self.value = value
        whole = bytes.count <= Self.exactDigits ? Int64(text) : nil
    }

    /// Whether nothing stands behind the point: 1.0 and 1e2 are integers, too.
    var isInteger: Bool { whole != nil || value.rounded(.towardZero) == value }

    static func == (one: JSONNumber, other: JSONNumber) -> Bool {
        if let a = one.whole, let b = other.whole { return a == b }
        return one.value == other.value
    }

    static func < (one: JSONNumber, other: JSONNumber) -> Bool {
        if let a = one.whole, let b = other.whole { return a < b }
        return one.value < other.value
    }
}
