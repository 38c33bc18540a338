import ByteBuffers
import HTTPWire

/// The members of an object of a request that its operation knows; others are gone over, and a `null` is as one that is not there.
/// A member that stands twice is refused: two readers could act on different ones. Valid while the request's text is.
struct KinesisMembers {
    private let walk: JSONWalk
    private var values: [String: JSONWalk.Value] = [:]

    /// Reads a request's body. An empty one is an object without members.
    init(_ body: UnsafeRawBufferPointer, _ known: [String]) throws(KinesisError) {
        var limits = JSONLimits()
        limits.keys = KinesisLimits.maxKeys
        var scanner = JSONScanner(body, limits: limits)
        walk = JSONWalk(body)
        do throws(JSONFailure) {
            if scanner.peek() == nil, scanner.position == body.count { return }
            let start = scanner.position
            guard try scanner.onlyValue() == .object else {
                throw JSONFailure(reason: .unexpectedByte, position: start)
            }
            try collect(walk.value(JSONRange(start, body.count)), known)
        } catch {
            throw KinesisError(
                .serialization,
                "The request is not JSON as this operation has it: \(error.detail), at byte \(error.position).")
        }
    }

    private init(_ object: JSONWalk.Value, of walk: JSONWalk, _ known: [String]) throws(KinesisError) {
        self.walk = walk
        do throws(JSONFailure) { try collect(object, known) } catch {
            throw Self.wrong("", "has a member that stands twice")
        }
    }

    private mutating func collect(_ object: JSONWalk.Value, _ known: [String]) throws(JSONFailure) {
        var failure: JSONFailure?
        var found: [String: JSONWalk.Value] = [:]
        walk.members(of: object.range) { member in
            let text = walk.text(inside: member.key)
            guard let name = known.first(where: { text.equals(Array($0.utf8)) }), member.value.kind != .null else {
                return true
            }
            if found.updateValue(member.value, forKey: name) != nil {
                failure = JSONFailure(reason: .duplicateKey, position: Int(member.key.start))
            }
            return failure == nil
        }
        if let failure { throw failure }
        values = found
    }

    private static func wrong(_ name: String, _ what: String) -> KinesisError {
        KinesisError(.serialization, name.isEmpty ? "An object of the request \(what)." : "\(name) \(what).")
    }

    // MARK: Values; nil: the request has no such member.

    func text(_ name: String) throws(KinesisError) -> String? {
        guard let value = values[name] else { return nil }
        guard value.kind == .string, let bytes = walk.string(value), let text = String(validating: bytes, as: UTF8.self)
        else { throw Self.wrong(name, "is a string of Unicode characters") }
        return text
    }

    func required(_ name: String) throws(KinesisError) -> String {
        guard let text = try text(name), !text.isEmpty else {
            throw KinesisError(.invalidArgument, "\(name) is required.")
        }
        return text
    }

    /// A whole number within its bounds.
    func integer(_ name: String, _ bounds: ClosedRange<Int>) throws(KinesisError) -> Int? {
        guard let value = values[name] else { return nil }
        guard value.kind == .number, let number = Int(String(decoding: value.range.bytes(of: walk.text), as: UTF8.self))
        else { throw Self.wrong(name, "is a whole number") }
        guard bounds.contains(number) else {
            throw KinesisError(
                .invalidArgument,
                "\(name) is \(number), and has to be in \(bounds.lowerBound) to \(bounds.upperBound).")
        }
        return number
    }

    /// A number of seconds since 1970, with a fraction or without; in milliseconds.
    func time(_ name: String) throws(KinesisError) -> Int64? {
        guard let value = values[name] else { return nil }
        guard value.kind == .number,
            let seconds = Double(String(decoding: value.range.bytes(of: walk.text), as: UTF8.self)),
            let milliseconds = Int64(exactly: (seconds * 1000).rounded()), milliseconds >= 0
        else { throw Self.wrong(name, "is a number of seconds since 1970") }
        return milliseconds
    }

    /// Bytes that are written in base64.
    func bytes(_ name: String) throws(KinesisError) -> [UInt8]? {
        guard let value = values[name] else { return nil }
        guard value.kind == .string else { throw Self.wrong(name, "is a string of base64") }
        let inside = JSONRange(Int(value.range.start) + 1, Int(value.range.end) - 1)
        let decoded: [UInt8]? =
            switch walk.text(inside: inside) {
            case .plain(let text): Base64.decode(text)
            case .unescaped(let text): text.flatMap { Base64.decode($0) }
            }
        guard let decoded else { throw Self.wrong(name, "is a string of base64") }
        return decoded
    }

    /// Bytes of a member as it stands: a bound for what it says.
    func textBytes(_ name: String) -> Int { values[name]?.range.count ?? 0 }

    func object(_ name: String, _ known: [String]) throws(KinesisError) -> KinesisMembers? {
        guard let value = values[name] else { return nil }
        guard value.kind == .object else { throw Self.wrong(name, "is an object") }
        return try KinesisMembers(value, of: walk, known)
    }

    /// A list of objects. What is beyond `most` is not read: one more tells that there are too many.
    func objects(_ name: String, _ known: [String], atMost most: Int) throws(KinesisError) -> [KinesisMembers]? {
        guard let value = values[name] else { return nil }
        guard value.kind == .array else { throw Self.wrong(name, "is a list") }
        var found: [JSONWalk.Value] = []
        walk.elements(of: value.range) { element in
            found.append(element)
            return found.count <= most
        }
        guard found.count <= most else {
            throw KinesisError(.invalidArgument, "\(name) has more than \(most) entries.")
        }
        var objects: [KinesisMembers] = []
        for element in found {
            guard element.kind == .object else { throw Self.wrong(name, "is a list of objects") }
            objects.append(try KinesisMembers(element, of: walk, known))
        }
        return objects
    }
}
