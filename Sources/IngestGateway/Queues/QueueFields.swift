import HTTPWire

/// The members of a small JSON object that asks something, of a queue in most cases. A member that the request does not have is not looked at twice;
/// one that nobody knows is refused by name, for it would be a promise that nobody keeps.
struct QueueFields {
    private var members: [String: JSONWalk.Value] = [:]
    private let walk: JSONWalk
    /// The first thing that was wrong.
    private(set) var problem: Problem?

    /// Characters of an unknown name that are repeated.
    private static let maxQuoted = 64
    /// Texts of one array at most.
    static let maxTexts = 4096

    /// Reads an object, or nothing where the body is empty.
    init(_ body: UnsafeRawBufferPointer, known: [String]) {
        walk = JSONWalk(body)
        if body.isEmpty { return }
        let limits = JSONLimits()
        var scanner = JSONScanner(body, limits: limits)
        do throws(JSONFailure) {
            let range = try scanner.onlyEvent()
            let whole = walk.value(range)
            guard whole.kind == .object else {
                problem = Problem(.invalidField, "The body is a JSON object.")
                return
            }
            var (members, wrong) = ([String: JSONWalk.Value](), Problem?.none)
            let walk = walk
            walk.members(of: range) { member in
                let key = String(decoding: member.key.bytes(of: body), as: UTF8.self)
                if !known.contains(key) {
                    wrong = Problem(
                        .invalidField,
                        "There is no member \(key.prefix(Self.maxQuoted)) here; "
                            + (known.isEmpty ? "there are none." : "they are \(known.joined(separator: ", ")).")
                    )
                } else if members.updateValue(member.value, forKey: key) != nil {
                    wrong = Problem(.duplicateKey, "The member \(key) stands twice.")
                }
                return wrong == nil
            }
            (self.members, problem) = (members, wrong)
        } catch {
            problem = Self.problem(error, of: body, limits)
        }
    }

    /// What is wrong with a body that is no JSON.
    static func problem(_ error: JSONFailure, of body: UnsafeRawBufferPointer, _ limits: JSONLimits) -> Problem {
        let problem = Problem(error, limits: limits)
        return BodyCoding(of: body).map {
            Problem(problem.kind, "The body is packed by \($0), and is read here as it is: send it unpacked.")
        } ?? problem
    }

    mutating func refuse(_ name: String, _ what: String) {
        if problem == nil { problem = Problem(.invalidField, "\(name) is \(what).") }
    }

    /// Takes what is wrong with the members of a member.
    mutating func take(_ other: Problem?) { problem = problem ?? other }

    func has(_ name: String) -> Bool { members[name] != nil }

    /// The members of an object.
    mutating func object(_ name: String, known: [String]) -> QueueFields? {
        guard let value = members[name], value.kind != .null else { return nil }
        guard value.kind == .object else {
            refuse(name, "an object")
            return nil
        }
        return QueueFields(value.range.bytes(of: walk.text), known: known)
    }

    /// A value as it stands, whatever it is; nil: null, or none.
    func json(_ name: String) -> [UInt8]? {
        guard let value = members[name], value.kind != .null else { return nil }
        return Array(value.range.bytes(of: walk.text))
    }

    /// An object all of whose values are strings, of any names.
    mutating func texts(_ name: String) -> [String: [UInt8]]? {
        guard let value = members[name], value.kind != .null else { return nil }
        var (texts, isRight) = ([String: [UInt8]](), value.kind == .object)
        if isRight {
            let walk = walk
            walk.members(of: value.range) { member in
                let key: [UInt8]?
                switch walk.text(inside: member.key) {
                case .plain(let bytes): key = Array(bytes)
                case .unescaped(let bytes): key = bytes
                }
                guard let key, member.value.kind == .string, let text = walk.string(member.value),
                    texts.updateValue(text, forKey: String(decoding: key, as: UTF8.self)) == nil
                else {
                    isRight = false
                    return false
                }
                return texts.count <= Self.maxTexts
            }
        }
        if !isRight { refuse(name, "an object of strings, each name once") }
        return texts
    }

    mutating func string(_ name: String) -> String? {
        guard let value = members[name], value.kind != .null else { return nil }
        guard value.kind == .string, let bytes = walk.string(value) else {
            refuse(name, "a string")
            return nil
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    mutating func integer(_ name: String) -> Int64? {
        guard let value = members[name], value.kind != .null else { return nil }
        guard value.kind == .number, let number = whole(value) else {
            refuse(name, "a whole number")
            return nil
        }
        return number
    }

    mutating func flag(_ name: String) -> Bool? {
        guard let value = members[name], value.kind != .null else { return nil }
        switch value.kind {
        case .true: return true
        case .false: return false
        default:
            refuse(name, "true or false")
            return nil
        }
    }

    mutating func strings(_ name: String) -> [String]? {
        guard let values = list(name, "an array of strings") else { return nil }
        let texts = values.compactMap { value in value.kind == .string ? walk.string(value) : nil }
        if texts.count < values.count { refuse(name, "an array of strings") }
        return texts.map { String(decoding: $0, as: UTF8.self) }
    }

    mutating func integers(_ name: String) -> [Int64]? {
        guard let values = list(name, "an array of whole numbers") else { return nil }
        let numbers = values.compactMap { $0.kind == .number ? whole($0) : nil }
        if numbers.count < values.count { refuse(name, "an array of whole numbers") }
        return numbers
    }

    /// `5`, and what is the same number: `5.0`, `5e0`.
    private func whole(_ value: JSONWalk.Value) -> Int64? {
        let text = String(decoding: value.range.bytes(of: walk.text), as: UTF8.self)
        // Beyond 2^53 neighbours are one Double: one that is out of range would be in it.
        return Int64(text) ?? Double(text).flatMap { $0.magnitude < 0x1p53 ? Int64(exactly: $0) : nil }
    }

    private mutating func list(_ name: String, _ what: String) -> [JSONWalk.Value]? {
        guard let value = members[name], value.kind != .null else { return nil }
        guard value.kind == .array else {
            refuse(name, what)
            return nil
        }
        var values: [JSONWalk.Value] = []
        walk.elements(of: value.range) { element in
            values.append(element)
            return values.count <= Self.maxTexts
        }
        if values.count > Self.maxTexts { refuse(name, "\(what), \(Self.maxTexts) at most") }
        return values
    }
}
