import Foundation
import Testing

/// What a comment or a page names is there: symbols in double back-ticks, names of types and members in single ones, pages,
/// Swift files, and paths of the package.
@Suite struct NamedThingsTests {
    /// Names of other projects, of the standard library, and placeholders.
    private static let foreign: Set<String> = [
        // Kafka's own sources, and what its protocol and its settings call things.
        "CreateTime", "DefaultRecordBatch.ensureValid", "DelayedFetch", "ListOffsets", "LogCleanerManager",
        "LogValidator",
        "MemoryRecords.filterTo", "ProduceRequest.validateRecords", "RequestApiKey", "SkimpyOffsetMap",
        "String.hashCode", "UtilsTest.testMurmur2", "AclEntry.supportedOperations",
        "Authorizer.authorizeByResourceType",
        "QuotaUtils", "Rate", "SampledStat", "SslPrincipalMapper", "StandardAuthorizer",
        // Java's library, and what other protocols call their fields.
        "BigInteger.toString", "X500Principal", "X500Principal.getName", "replaceAll", "Bearer", "bodySHA256",
        // A module of the toolchain that nothing imports by its name here, units, and fields of HTTP.
        "FoundationEssentials", "GiB", "KiB", "MiB", "TiB", "kB", "Date", "Prefer",
        // Keywords of JSON Schema.
        "additionalProperties", "minProperties", "minItems", "maxItems",
        "oneOf",
        // Placeholders.
        "Schema/NN_Name.schema", "Sources/KafkaServer/Handlers/NN_Name.swift",
        "Sources/KafkaWire/Schema/NN_Name.schema",
    ]

    @Test func whatIsNamedExists() throws {
        let known = try KnownNames()
        var met: Set<String> = []
        for text in try SourceTree.prose() {
            for (line, name) in NamedThings.missing(in: text.lines, known) {
                met.insert(name)
                if !Self.foreign.contains(name) { Issue.record("\(text.path):\(line): there is no \(name)") }
            }
        }
        #expect(Self.foreign.subtracting(met).sorted() == [], "named nowhere: take it off the list")
    }

    /// Of what scripts, Python and C name, the files and paths: their back-ticks are about themselves.
    @Test func theFilesThatScriptsNameExist() throws {
        let known = try KnownNames()
        for text in try SourceTree.scriptComments() {
            for (line, name) in NamedThings.missingFiles(in: text.lines, known)
            where !Self.placeholders.contains(name) {
                Issue.record("\(text.path):\(line): there is no \(name)")
            }
        }
    }

    private static let placeholders: Set<String> = ["Tests/Clients/trials/NAME"]

    /// What the README does not lead to is found by those alone who know that it is there.
    @Test func theReadmeLinksEveryPage() throws {
        let pages = try SourceTree.pages()
        let readme = try #require(pages.first { $0.path == "README.md" })
        let text = readme.lines.map { $0.code + $0.comment }.joined(separator: "\n")
        for page in pages where page.path.contains(".docc/") {
            #expect(text.contains("(\(page.path))"), "no link to \(page.path)")
        }
    }

    @Test func aMadeUpNameIsFound() {
        let known = KnownNames(
            words: ["Broker", "start", "PartitionLog", "PartitionLog+Read", "maxBytes", "Gate", "for", "ByteReader"],
            files: ["Broker.swift", "PartitionLog+Read.swift", "Page.md"],
            members: ["Broker": ["start"], "PartitionLog": ["maxBytes"], "Gate": ["for"]],
            exists: { ["tools/test", "Sources/Broker"].contains($0) })
        let lines = [
            "``Broker/start()``, ``Broker``, `PartitionLog.maxBytes`, `PartitionLog+Read` and `maxBytes(for:)` are there",
            "``Broker/stop()``", "`Gate.maxBytes` is another type's", "`NoSuchType` and `NoSuch.maxBytes`",
            "`noSuchMember`",
            "see <doc:Page> and <doc:NoPage>",
            "PartitionLog+Read.swift and PartitionLog+Write.swift", "Page.md, other.md",
            "tools/test, tools/none, Sources/Broker.",
            "a word, `EINTR`, `retention.ms`, `a b`, `Content-Type: x`, `POST /v1` and `lower` are no names of ours",
        ]
        let found = NamedThings.missing(in: lines.enumerated().map { ($0.offset + 1, Substring($0.element)) }, known)
        #expect(
            found.map(\.name) == [
                "Broker/stop", "Gate.maxBytes", "NoSuchType", "NoSuch.maxBytes", "noSuchMember", "doc:NoPage",
                "PartitionLog+Write.swift",
                "other.md", "tools/none",
            ])
        let script: [(Int, Substring)] = [
            (1, "# `NoSuchType` is theirs, tools/none and Broken.swift are not, Broker.swift is")
        ]
        #expect(NamedThings.missingFiles(in: script, known).map(\.name) == ["tools/none", "Broken.swift"])
    }
}

/// What may be named.
struct KnownNames {
    /// Every identifier of the code, and the names of modules and files.
    var words: Set<String>
    var files: Set<String>
    /// By type: the identifiers of the files that declare or extend it.
    var members: [String: Set<String>] = [:]
    /// Whether the package has a file or folder at this path.
    var exists: (String) -> Bool

    init(
        words: Set<String>, files: Set<String>, members: [String: Set<String>] = [:],
        exists: @escaping (String) -> Bool
    ) {
        (self.words, self.files, self.members, self.exists) = (words, files, members, exists)
    }

    private static let types: Set<String> = ["struct", "class", "enum", "actor", "protocol", "extension"]

    /// Extended here and declared elsewhere: more members than ours are known of these.
    private static let library: Set<String> = ["Int64"]

    init() throws {
        words = []
        files = []
        exists = {
            FileManager.default.fileExists(atPath: SourceTree.root.appending(path: $0).path(percentEncoded: false))
        }
        for file in try SourceTree.allSources() + SourceTree.allTests() {
            words.insert(file.name)
            words.formUnion(file.path.split(separator: "/").map(String.init))
            files.insert("\(file.name).swift")
            // What stands in a string, such as a name made up for a test, does not make it known.
            let own = Set(file.lines.flatMap { $0.code.withoutStrings.words.map(String.init) })
            words.formUnion(own)
            for declaration in file.lines.compactMap({ Declaration($0.code) })
            where Self.types.contains(declaration.keyword) && !Self.library.contains(declaration.name) {
                members[declaration.name, default: []].formUnion(own)
            }
        }
        for page in try SourceTree.pages() { files.insert(String(page.path.split(separator: "/").last!)) }
    }
}

enum NamedThings {
    /// Paths begin with one of these.
    private static let folders = ["tools", "Sources", "Tests", "Benchmarks"]

    /// The names in lines of prose that stand for nothing.
    static func missing(in lines: [(number: Int, text: Substring)], _ known: KnownNames) -> [(line: Int, name: String)]
    {
        lines.flatMap { line in
            names(in: line.text).filter { !isKnown($0, known) }.map { (line.number, $0.text) }
        }
    }

    /// The same of files and paths alone.
    static func missingFiles(
        in lines: [(number: Int, text: Substring)], _ known: KnownNames
    ) -> [(line: Int, name: String)] {
        lines.flatMap { line in
            plain(line.text).filter { !isKnown($0, known) }.map { (line.number, $0.text) }
        }
    }

    private enum Kind { case symbol, page, file, path }

    private struct Name {
        let kind: Kind
        let text: String
    }

    private static func isKnown(_ name: Name, _ known: KnownNames) -> Bool {
        switch name.kind {
        case .symbol:
            // A file without its ending, or an owner and its members.
            known.words.contains(name.text)
                || isMember(name.text.split { "/.".contains($0) }.map(String.init), known)
        case .page: known.files.contains("\(name.text.dropFirst(4)).md")
        case .file: known.files.contains(name.text) || known.exists(name.text)
        case .path: known.exists(name.text)
        }
    }

    /// Each part stands in a file that declares or extends the type before all of them; where that is no type of ours, anywhere.
    private static func isMember(_ parts: [String], _ known: KnownNames) -> Bool {
        guard let owner = parts.first, known.words.contains(owner) else { return false }
        let members = known.members[owner] ?? known.words
        return parts.dropFirst().allSatisfy { members.contains($0) }
    }

    private static func names(in line: Substring) -> [Name] {
        var names: [Name] = []
        // Every other piece between back-ticks is quoted; two in a row quote a symbol of DocC.
        let pieces = line.split(separator: "`", omittingEmptySubsequences: false)
        var index = 0
        var isQuoted = false
        while index < pieces.count {
            let piece = pieces[index]
            if isQuoted, piece.isEmpty, index + 1 < pieces.count, pieces[index + 1].first?.isLetter == true {
                names.append(Name(kind: .symbol, text: symbol(pieces[index + 1])))
                index += 3
                isQuoted = false
                continue
            }
            if isQuoted { names += quoted(piece) }
            names += plain(piece)
            index += 1
            isQuoted.toggle()
        }
        return names
    }

    /// Without its parameters.
    private static func symbol(_ text: Substring) -> String { String(text.prefix { $0 != "(" }) }

    /// A type, with members or an extension's topic behind it, or a member in camel case; all else in back-ticks is a value,
    /// a key or a command.
    private static func quoted(_ text: Substring) -> [Name] {
        let name = symbol(text)
        let parts = name.split(omittingEmptySubsequences: false) { "/.+".contains($0) }
        guard parts.allSatisfy({ !$0.isEmpty && $0.allSatisfy(\.isIdentifier) && $0.first?.isNumber == false }),
            !name.hasSuffix(".swift"), !name.hasSuffix(".md"), let first = parts.first, !first.contains("_"),
            !folders.contains(String(first))
        else { return [] }
        let hasLower = first.contains { $0.isLowercase }
        let hasUpper = first.dropFirst().contains { $0.isUppercase }
        let isType = first.first!.isUppercase && hasLower
        let isMember = first.first!.isLowercase && hasUpper && parts.count == 1
        return isType || isMember ? [Name(kind: .symbol, text: name)] : []
    }

    private static func plain(_ text: Substring) -> [Name] {
        text.split { " ,;:()<>\"'|*[]→".contains($0) && $0 != ":" || $0 == "\t" }.flatMap { word -> [Name] in
            var word = word
            while let last = word.last, ".,;:!?…".contains(last) { word.removeLast() }
            if word.hasPrefix("doc:") { return [Name(kind: .page, text: String(word))] }
            if folders.contains(where: { word.hasPrefix("\($0)/") }), !word.contains("*") {
                return [Name(kind: .path, text: String(word))]
            }
            let isFile = (word.hasSuffix(".swift") || word.hasSuffix(".md")) && !word.contains("/") && word.first != "."
            return isFile ? [Name(kind: .file, text: String(word))] : []
        }
    }
}
