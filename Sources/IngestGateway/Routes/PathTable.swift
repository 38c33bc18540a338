import Glibc
import HTTPWire

/// The paths of all routes, and how one finds its row:
///
///     /ingest                                    as it stands: by its length, then by its bytes
///     /v1/topics/{topic}/events                  pieces and places: "/v1/topics/" topic "/events"
///
/// A path that stands for itself goes before a pattern that it fits; of two patterns the first.
///
/// Addresses of memory that a `RouteTable` owns and frees, so that a copy of them is looked up in without a count of
/// references; valid as long as that table.
struct PathTable {
    /// The row of paths that lead to none.
    let unmatched: Int
    /// Paths that stand for themselves, by length: those of length `n` are at `starts[n]..<starts[n + 1]`.
    private let exact: UnsafeMutablePointer<(path: UnsafeRawBufferPointer, row: Int)>
    private let starts: UnsafeMutablePointer<Int>
    private let patterns: UnsafeMutableBufferPointer<PathPattern>
    private let texts: UnsafeMutableRawPointer

    /// Bytes of a path in a definition: a longer one on the wire can be a pattern's alone.
    static let maxPathBytes = 255
    /// Paths with places, which are tried one after the other: a microsecond for the last.
    static let maxPatterns = 128

    /// Compiles the paths of the definitions, or says which is wrong. `topics` has the name of each one's topic in the same
    /// memory; empty where it has none.
    static func compile(
        _ definitions: [RouteDefinition]
    ) throws(RouteRefusal) -> (paths: PathTable, topics: [UnsafeRawBufferPointer]) {
        for definition in definitions {
            for path in definition.paths {
                if let message = PathText.problem(path) { throw RouteRefusal(id: definition.id, message: message) }
            }
        }
        try checkForTwice(definitions)
        var texts = TextMemory(for: definitions)
        let paths = PathTable(definitions, &texts)
        return (paths, definitions.map { texts.keep($0.topic ?? "") })
    }

    private init(_ definitions: [RouteDefinition], _ texts: inout TextMemory) {
        var exact: [(path: UnsafeRawBufferPointer, row: Int)] = []
        var patterns: [PathPattern] = []
        for (row, definition) in definitions.enumerated() {
            for path in definition.paths {
                if path.contains("{") {
                    let parts = PathText.split(path)
                    let pieces = parts.pieces.map { texts.keep($0) }
                    patterns.append(PathPattern(row: row, pieces, parts.places))
                } else {
                    exact.append((texts.keep(path), row))
                }
            }
        }
        exact.sort { $0.path.count < $1.path.count }
        let lengths = Self.maxPathBytes + 2
        let starts = (0..<lengths).map { length in exact.firstIndex { $0.path.count >= length } ?? exact.count }
        unmatched = definitions.count
        self.texts = texts.start
        self.exact = .allocate(capacity: exact.count)
        self.exact.initialize(from: exact, count: exact.count)
        self.starts = .allocate(capacity: lengths)
        self.starts.initialize(from: starts, count: lengths)
        self.patterns = .allocate(capacity: patterns.count)
        _ = self.patterns.initialize(from: patterns)
    }

    func deallocate() {
        exact.deallocate()
        starts.deallocate()
        patterns.deallocate()
        texts.deallocate()
    }

    /// Returns the route of a path as it stands on the wire, and that of no row when there is none. Paths are compared byte for
    /// byte, so that a proxy's rules for a path cannot be walked around: a slash at the end, or an escaped letter, makes
    /// another path.
    func match(_ path: UnsafeRawBufferPointer) -> Route {
        // The target of a URI without a path (RFC 9112, 3.2.2).
        let path = path.isEmpty ? UnsafeRawBufferPointer(start: Self.root.utf8Start, count: 1) : path
        if path.count <= Self.maxPathBytes {
            for index in starts[path.count]..<starts[path.count + 1] where exact[index].path.equals(path) {
                return Route(row: exact[index].row)
            }
        }
        // What a place of a pattern stands for would have two names.
        if PercentDecoding.hasEscapedUnreserved(path) { return Route(row: unmatched) }
        for index in patterns.indices {
            if let route = patterns[index].match(path) { return route }
        }
        return Route(row: unmatched)
    }

    private static let root: StaticString = "/"

    /// Two routes with one path would be one route, and which of them nobody could say.
    private static func checkForTwice(_ definitions: [RouteDefinition]) throws(RouteRefusal) {
        var known: [String: RouteDefinition] = [:]
        var patterns = 0
        for definition in definitions {
            for path in definition.paths {
                if let other = known.updateValue(definition, forKey: PathText.shape(of: path)) {
                    // Of one that is there by itself and one of the file the latter is to be corrected.
                    let (wrong, right) =
                        definition.plan == nil && other.plan != nil ? (other, definition) : (definition, other)
                    throw RouteRefusal(
                        id: wrong.id,
                        message: "\(path) is a path of route \(right.id)"
                            + (right.plan == nil && wrong.plan != nil ? ", which is there by itself" : ""))
                }
                if path.contains("{") { patterns += 1 }
                guard patterns <= maxPatterns else {
                    throw RouteRefusal(
                        id: definition.id, message: "there are more than \(maxPatterns) paths with places")
                }
            }
        }
    }
}

/// A path with one or two places: `first` {one} `second` {other} `third`, where a place is one segment that is not empty.
struct PathPattern {
    let row: Int
    private let pieces: (UnsafeRawBufferPointer, UnsafeRawBufferPointer, UnsafeRawBufferPointer)
    private let places: (PathText.Place, PathText.Place?)

    init(row: Int, _ pieces: [UnsafeRawBufferPointer], _ places: [PathText.Place]) {
        self.row = row
        self.pieces = (
            pieces[0], pieces[1], pieces.count > 2 ? pieces[2] : UnsafeRawBufferPointer(start: nil, count: 0)
        )
        self.places = (places[0], places.count > 1 ? places[1] : nil)
    }

    func match(_ path: UnsafeRawBufferPointer) -> Route? {
        var route = Route(row: row)
        var at = 0
        guard Self.skip(pieces.0, path, &at), Self.fill(places.0, path, &at, &route), Self.skip(pieces.1, path, &at)
        else { return nil }
        if let second = places.1 {
            guard Self.fill(second, path, &at, &route), Self.skip(pieces.2, path, &at) else { return nil }
        }
        return at == path.count ? route : nil
    }

    private static func skip(_ piece: UnsafeRawBufferPointer, _ path: UnsafeRawBufferPointer, _ at: inout Int) -> Bool {
        guard path.count - at >= piece.count,
            piece.count == 0 || memcmp(path.baseAddress! + at, piece.baseAddress!, piece.count) == 0
        else { return false }
        at += piece.count
        return true
    }

    private static func fill(
        _ place: PathText.Place, _ path: UnsafeRawBufferPointer, _ at: inout Int, _ route: inout Route
    ) -> Bool {
        guard at < path.count else { return false }
        var end = ByteScan.find(UInt8(ascii: "/"), path.baseAddress!, from: at, end: path.count)
        // A verb may follow it, which no name of a job or a pull has.
        if place == .job || place == .pull {
            end = ByteScan.find(UInt8(ascii: ":"), path.baseAddress!, from: at, end: end)
        }
        let text = UnsafeRawBufferPointer(rebasing: path[at..<end])
        switch place {
        case .topic, .queue, .job, .event, .pull: route.topic = text
        case .partition: route.partition = text
        case .cluster: route.cluster = text
        }
        at = end
        return !text.isEmpty
    }
}

/// The memory for all texts of a table, in one piece.
private struct TextMemory {
    let start: UnsafeMutableRawPointer
    private var used = 0

    init(for definitions: [RouteDefinition]) {
        let bytes = definitions.reduce(0) { sum, definition in
            definition.paths.reduce(sum + (definition.topic?.utf8.count ?? 0)) { $0 + $1.utf8.count }
        }
        start = .allocate(byteCount: max(bytes, 1), alignment: 1)
    }

    mutating func keep(_ text: some StringProtocol) -> UnsafeRawBufferPointer {
        let place = UnsafeMutableRawBufferPointer(start: start + used, count: text.utf8.count)
        place.copyBytes(from: text.utf8)
        used += place.count
        return UnsafeRawBufferPointer(place)
    }
}

/// A path as a definition writes it.
enum PathText {
    enum Place: String {
        case topic, queue, partition, cluster, job, event, pull
    }

    /// Places of one path.
    private static let maxPlaces = 2

    /// Returns what is wrong with a path of a definition.
    static func problem(_ path: String) -> String? {
        if path == "*" || path == "/" { return nil }
        guard path.hasPrefix("/"), !path.hasSuffix("/") else { return "\(path) does not begin with / or ends with it" }
        guard path.utf8.count <= PathTable.maxPathBytes else {
            return "a path has at most \(PathTable.maxPathBytes) bytes"
        }
        let other = path.utf8.first { $0 <= 0x20 || $0 >= 0x7f || $0 == UInt8(ascii: "?") || $0 == UInt8(ascii: "#") }
        if other != nil { return "\(path) has a character that no path has: escape it by %" }
        var found: Set<String> = []
        for segment in path.split(separator: "/", omittingEmptySubsequences: false).dropFirst() {
            guard segment.contains(where: { $0 == "{" || $0 == "}" }) else { continue }
            // Of all places only those of jobs and pulls may have a verb behind them.
            let place = ["{job}", "{pull}"].first { segment.hasPrefix($0 + ":") } ?? String(segment)
            let name = String(place.dropFirst().dropLast())
            guard place.hasPrefix("{"), place.hasSuffix("}"), Place(rawValue: name) != nil else {
                return
                    "\(segment) is no place: {topic}, {queue}, {partition}, {cluster}, {job}, {event} and {pull} are, a segment each"
            }
            guard found.insert(name).inserted, found.count <= maxPlaces else { return "\(path) has \(segment) twice" }
        }
        return nil
    }

    /// Returns what two paths have in common that any text of the wire could be both of.
    static func shape(of path: String) -> String {
        path.split(separator: "/", omittingEmptySubsequences: false).map { segment in
            segment.hasPrefix("{") ? "{}" + segment.drop { $0 != "}" }.dropFirst() : String(segment)
        }.joined(separator: "/")
    }

    /// Splits a path at its places.
    static func split(_ path: String) -> (pieces: [Substring], places: [Place]) {
        var pieces: [Substring] = []
        var places: [Place] = []
        var rest = Substring(path)
        while let open = rest.firstIndex(of: "{"), let close = rest.firstIndex(of: "}") {
            pieces.append(rest[..<open])
            places.append(Place(rawValue: String(rest[rest.index(after: open)..<close]))!)
            rest = rest[rest.index(after: close)...]
        }
        return (pieces + [rest], places)
    }
}
