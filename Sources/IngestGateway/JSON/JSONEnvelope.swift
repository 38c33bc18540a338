import HTTPWire

/// The members of a top-level object that a route looks at, found in one pass that checks the whole text.
///
/// A key that stands twice is refused when the route looks at it: two readers could act on different ones (compare
/// CVE-2017-12635). Keys are compared after their escapes are resolved, for the same reason.
struct JSONEnvelope {
    struct Member: Equatable {
        var kind: JSONKind
        /// The value, quotes included.
        var range: JSONRange
    }

    let names: [[UInt8]]
    private var members: [Member?]

    init(_ names: [String]) {
        self.names = names.map { Array($0.utf8) }
        members = Array(repeating: nil, count: names.count)
    }

    /// The member called `names[index]`; `nil` when the object has none.
    subscript(_ index: Int) -> Member? { members[index] }

    /// Checks the object at the scanner's position and moves behind it.
    mutating func read(_ scanner: inout JSONScanner) throws(JSONFailure) {
        for index in members.indices { members[index] = nil }
        scanner.position = scanner.skipSpace(scanner.position)
        guard scanner.position < scanner.end, scanner.byte(scanner.position) == UInt8(ascii: "{") else {
            throw scanner.unexpected(scanner.position)
        }
        scanner.position = scanner.skipSpace(scanner.position &+ 1)
        if scanner.position < scanner.end, scanner.byte(scanner.position) == UInt8(ascii: "}") {
            scanner.position &+= 1
            return
        }
        var count = 0
        while true {
            let index = try readKey(&scanner)
            count += 1
            guard count <= scanner.limits.keys else {
                throw JSONFailure(reason: .tooManyKeys, position: scanner.position)
            }
            let start = scanner.position
            let kind = try scanner.value(outerDepth: 1)
            if let index { members[index] = Member(kind: kind, range: JSONRange(start, scanner.position)) }
            let at = scanner.skipSpace(scanner.position)
            guard at < scanner.end else { throw scanner.unexpected(at) }
            if scanner.byte(at) == UInt8(ascii: "}") {
                scanner.position = at &+ 1
                return
            }
            guard scanner.byte(at) == UInt8(ascii: ",") else { throw scanner.unexpected(at) }
            scanner.position = scanner.skipSpace(at &+ 1)
        }
    }

    /// Moves over `"key" :` to the value; gives the key's place in `names`.
    private func readKey(_ scanner: inout JSONScanner) throws(JSONFailure) -> Int? {
        let start = scanner.position
        guard start < scanner.end, scanner.byte(start) == UInt8(ascii: "\"") else { throw scanner.unexpected(start) }
        let end = try scanner.string()
        let index = indexOfName(scanner, start &+ 1, end &- 1)
        if let index, members[index] != nil { throw JSONFailure(reason: .duplicateKey, position: start) }
        let colon = scanner.skipSpace(end)
        guard colon < scanner.end, scanner.byte(colon) == UInt8(ascii: ":") else { throw scanner.unexpected(colon) }
        scanner.position = scanner.skipSpace(colon &+ 1)
        return index
    }

    private func indexOfName(_ scanner: JSONScanner, _ start: Int, _ end: Int) -> Int? {
        let count = end &- start
        if ByteScan.find(UInt8(ascii: "\\"), scanner.base, from: start, end: end) < end {
            let raw = UnsafeRawBufferPointer(start: scanner.base + start, count: count)
            guard let resolved = JSONText.unescaped(raw) else { return nil }
            return names.firstIndex(of: resolved)
        }
        var index = 0
        while index < names.count {
            if names[index].count == count, Self.matches(names[index], scanner.base + start) { return index }
            index &+= 1
        }
        return nil
    }

    @inline(__always)
    private static func matches(_ name: [UInt8], _ bytes: UnsafeRawPointer) -> Bool {
        var at = 0
        while at < name.count {
            if name[at] != ByteScan.byte(bytes, at) { return false }
            at &+= 1
        }
        return true
    }
}
