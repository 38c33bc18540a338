/// A name that equals another only when their bytes do.
///
/// Swift's `String` takes "é" written as one scalar and as two for equal, and the Kelvin sign for the letter K. Kafka does
/// not, and so no name that a client chose may be a key or be compared as a `String`: two groups would share members and
/// offsets, and a rule for one topic or user would hold for another whose name merely looks like it.
@frozen
public struct ExactString: Hashable, Sendable, Comparable, CustomStringConvertible, ExpressibleByStringLiteral {
    public let text: String

    @inlinable
    public init(_ text: String) { self.text = text }
    @inlinable
    public init(stringLiteral value: String) { text = value }

    public var description: String { text }
    public var isEmpty: Bool { text.isEmpty }

    @inlinable
    public static func == (one: ExactString, other: ExactString) -> Bool { one.text.isExactly(other.text) }

    @inlinable
    public func hash(into hasher: inout Hasher) {
        let isDone: Void? = text.utf8.withContiguousStorageIfAvailable {
            hasher.combine(bytes: UnsafeRawBufferPointer($0))
        }
        if isDone == nil { Array(text.utf8).withUnsafeBytes { hasher.combine(bytes: $0) } }
        hasher.combine(UInt8(0xff))
    }

    public static func < (one: ExactString, other: ExactString) -> Bool {
        one.text.utf8.lexicographicallyPrecedes(other.text.utf8)
    }

    public func hasPrefix(_ prefix: ExactString) -> Bool { text.utf8.starts(with: prefix.text.utf8) }
}

extension String {
    /// Whether the two have the same bytes; see `ExactString`.
    @inlinable
    public func isExactly(_ other: String) -> Bool {
        guard utf8.count == other.utf8.count else { return false }
        let isSame = utf8.withContiguousStorageIfAvailable { own in
            other.utf8.withContiguousStorageIfAvailable { Self.isSame(.init(own), .init($0)) }
        }
        return (isSame ?? nil) ?? utf8.elementsEqual(other.utf8)
    }

    /// Eight bytes at a time: one by one takes three times as long as Swift's own comparison, and so about as long.
    @inlinable
    static func isSame(_ one: UnsafeRawBufferPointer, _ other: UnsafeRawBufferPointer) -> Bool {
        var at = 0
        while at + 8 <= one.count {
            let word = one.loadUnaligned(fromByteOffset: at, as: UInt64.self)
            guard word == other.loadUnaligned(fromByteOffset: at, as: UInt64.self) else { return false }
            at += 8
        }
        while at < one.count {
            guard one[at] == other[at] else { return false }
            at += 1
        }
        return true
    }
}

extension Dictionary where Key == ExactString {
    /// Accesses the value for a name that is not wrapped yet.
    @inlinable
    public subscript(name: String) -> Value? {
        @inline(__always) get { self[ExactString(name)] }
        // A coroutine that is not inlined has its frame on the heap.
        @inline(__always) _modify { yield &self[ExactString(name)] }
    }

    @inlinable
    public subscript(name: String, default value: @autoclosure () -> Value) -> Value {
        @inline(__always) get { self[ExactString(name), default: value()] }
        @inline(__always) _modify { yield &self[ExactString(name), default: value()] }
    }

    /// Returns whether there is a value for the name, without a copy of it.
    @inlinable
    public func has(_ name: String) -> Bool { index(forKey: ExactString(name)) != nil }

    @inlinable
    public mutating func removeValue(forKey name: String) -> Value? { removeValue(forKey: ExactString(name)) }

    @inlinable
    public mutating func updateValue(_ value: Value, forKey name: String) -> Value? {
        updateValue(value, forKey: ExactString(name))
    }
}
