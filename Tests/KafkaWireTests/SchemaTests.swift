import BrokerTestKit
import Foundation
import Testing

/// The generator, compiled once for the tests that need it. It is not a target of the package, so that it costs the
/// normal build nothing.
private enum Generator {
    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()
    static let schema = root.appendingPathComponent("Sources/KafkaWire/Schema").path
    static let generated = root.appendingPathComponent("Sources/KafkaWire/Generated").path

    static let compiler: String? = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
        .map { "\($0)/swiftc" }.first { FileManager.default.isExecutableFile(atPath: $0) }

    static let messages = ProcessInfo.processInfo.environment["MILLRACE_KAFKA_MESSAGES"].flatMap {
        $0.isEmpty ? nil : $0
    }

    static let compiled: Result<String, any Error> = Result {
        let folder = root.appendingPathComponent("tools/generate-kafka-wire").path
        let sources = try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasSuffix(".swift") }
        let output = FileManager.default.temporaryDirectory
            .appendingPathComponent("generate-kafka-wire-\(ProcessInfo.processInfo.processIdentifier)").path
        _ = try run(compiler!, ["-swift-version", "6", "-o", output] + sources.map { "\(folder)/\($0)" })
        return output
    }

    static func run(_ program: String, _ arguments: [String]) throws -> String {
        let (status, output) = try ChildProgram.run(program, arguments)
        try #require(status == 0, "\(program) failed")
        return output
    }
}

@Suite(.enabled(if: Generator.compiler != nil, "Skipped: no swiftc in PATH, so the generator cannot be compiled."))
struct SchemaTests {
    @Test func committedCodeIsWhatTheSchemaGenerates() throws {
        let output = FileManager.default.temporaryDirectory.appendingPathComponent("kafka-wire-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: output, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: output) }
        _ = try Generator.run(try Generator.compiled.get(), [Generator.schema, output.path])
        let names = try FileManager.default.contentsOfDirectory(atPath: output.path).sorted()
        #expect(try FileManager.default.contentsOfDirectory(atPath: Generator.generated).sorted() == names)
        for name in names {
            let fresh = try String(contentsOf: output.appendingPathComponent(name), encoding: .utf8)
            let committed = try String(contentsOfFile: "\(Generator.generated)/\(name)", encoding: .utf8)
            let isSame = fresh == committed
            #expect(isSame, "\(name) differs: run tools/regenerate-kafka-wire")
        }
    }

    @Test(
        .enabled(
            if: Generator.messages != nil,
            "Skipped: MILLRACE_KAFKA_MESSAGES does not name a folder with Kafka's message definitions."))
    func schemaAgreesWithKafkasDefinitionsFieldByField() throws {
        let folder = try #require(Generator.messages)
        let list = try Generator.run(try Generator.compiled.get(), ["--list", Generator.schema])
        let lines = list.split(separator: "\n").map(String.init)
        let ours = Dictionary(grouping: lines) { String($0.prefix { $0 != " " }) }
        #expect(!ours.isEmpty)
        for (message, fields) in ours {
            let theirs = try KafkaDefinition(message, folder: folder).list()
            for version in Set(fields.map(Self.version)).union(theirs.map(Self.version)).sorted() {
                let mine = fields.filter { Self.version($0) == version }
                #expect(mine == theirs.filter { Self.version($0) == version }, "\(message) \(version)")
            }
        }
    }

    private static func version(_ line: String) -> Int { Int(line.split(separator: " ")[1])! }
}

/// One of Kafka's message definitions, flattened as `generate-kafka-wire --list` flattens ours.
private struct KafkaDefinition {
    private let name: String
    private let definition: [String: Any]
    private let common: [String: [[String: Any]]]
    private var lines: [String] = []

    init(_ name: String, folder: String) throws {
        self.name = name
        let own = Generator.root.appendingPathComponent("Tests/KafkaWireTests/Golden/Own/\(name).json").path
        let paths = [own, "\(folder)/\(name).json", "\(folder)/records/\(name).json"]
        let path = try #require(paths.first { FileManager.default.fileExists(atPath: $0) }, "no \(name).json")
        let json = try JSONSerialization.jsonObject(with: Data(contentsOf: URL(fileURLWithPath: path)))
        definition = try #require(json as? [String: Any])
        let structures = definition["commonStructs"] as? [[String: Any]] ?? []
        common = Dictionary(
            uniqueKeysWithValues: structures.map { ($0["name"] as! String, $0["fields"] as! [[String: Any]]) })
    }

    func list() -> [String] {
        var copy = self
        var versions = Self.range(definition["validVersions"] as! String)!
        // The answer to an unstable request has that version too. InitProducerId 6 (KIP-939) is the only one here.
        if name.hasPrefix("InitProducerId") { versions = versions.lowerBound...5 }
        let flexible = Self.range(definition["flexibleVersions"] as! String)
        for version in versions {
            copy.lines.append("\(name) \(version) \(flexible?.contains(version) == true ? "flexible" : "classic")")
            copy.add(definition["fields"] as! [[String: Any]], version, name)
        }
        return copy.lines
    }

    private mutating func add(_ fields: [[String: Any]], _ version: Int, _ path: String) {
        for field in fields {
            guard Self.range(field["versions"] as! String)!.contains(version) else { continue }
            let ours = Self.swiftName(field["name"] as! String)
            let type = field["type"] as! String
            let element = type.hasPrefix("[]") ? String(type.dropFirst(2)) : type
            var line = "\(name) \(version) \(path).\(ours) \(type.hasPrefix("[]") ? "[\(element)]" : element)"
            if let text = field["nullableVersions"] as? String, Self.range(text)?.contains(version) == true {
                line += " nullable"
            }
            if let tag = field["tag"] as? Int { line += " tag:\(tag)" }
            if field["flexibleVersions"] as? String == "none" { line += " classic" }
            if "\(field["ignorable"] ?? false)" == "true" || field["ignorable"] as? Bool == true {
                line += " ignorable"
            }
            if let value = Self.defaultValue(field["default"], element) { line += " default:\(value)" }
            lines.append(line)
            if let inner = field["fields"] as? [[String: Any]] ?? common[element] {
                add(inner, version, "\(path).\(ours)")
            }
        }
    }

    /// Nil for what is the default anyway: zero, empty, false.
    private static func defaultValue(_ value: Any?, _ type: String) -> String? {
        guard let value else { return nil }
        let text = "\(value)".lowercased()
        if text.isEmpty || type == "bool" && ["false", "0"].contains(text) { return nil }
        if type == "bool" { return "true" }
        guard text != "null" else { return text }
        let number = text.hasPrefix("0x") ? Int(text.dropFirst(2), radix: 16) : Int(text)
        return number == 0 ? nil : number.map(String.init) ?? text
    }

    private static func range(_ text: String) -> ClosedRange<Int>? {
        if text == "none" { return nil }
        if text.hasSuffix("+") { return Int(text.dropLast())!...999 }
        let ends = text.split(separator: "-").map { Int($0)! }
        return ends[0]...ends[ends.count - 1]
    }

    /// `RequestApiKey` becomes `requestAPIKey`: acronyms in capitals, except at the beginning.
    private static func swiftName(_ name: String) -> String {
        let acronyms = ["Id": "ID", "Ids": "IDs", "Api": "API", "Elr": "ELR"]
        var words: [String] = []
        for character in name {
            if character.isUppercase || words.isEmpty {
                words.append(String(character))
            } else {
                words[words.count - 1].append(character)
            }
        }
        let first = words[0].lowercased()
        return first + words.dropFirst().map { acronyms[$0] ?? $0 }.joined()
    }
}
