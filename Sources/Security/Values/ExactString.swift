/// A name that equals another only when their bytes do.
///
/// Swift's `String` takes "é" written as one scalar and as two for equal. Kafka does not, and neither may a decision of
/// who may do what: with `String` keys a rule for one topic or user would hold for another whose name merely looks like
/// it.
public struct ExactString: Hashable, Sendable, Comparable, CustomStringConvertible, ExpressibleByStringLiteral {
    public let text: String

    public init(_ text: String) { self.text = text }
    public init(stringLiteral value: String) { text = value }

    public var description: String { text }
    public var isEmpty: Bool { text.isEmpty }

    public static func == (one: ExactString, other: ExactString) -> Bool {
        one.text.utf8.elementsEqual(other.text.utf8)
    }

    public func hash(into hasher: inout Hasher) {
        var copy = text
        copy.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
        hasher.combine(UInt8(0xff))
    }

    public static func < (one: ExactString, other: ExactString) -> Bool {
        one.text.utf8.lexicographicallyPrecedes(other.text.utf8)
    }

    public func hasPrefix(_ prefix: ExactString) -> Bool { text.utf8.starts(with: prefix.text.utf8) }
}
