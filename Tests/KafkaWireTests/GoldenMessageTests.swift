import ByteBuffers
import Foundation
import KafkaModel
import KafkaWire
import Testing

@Suite struct GoldenMessageTests {
    @Test func everySchemaHasGoldenBytes() throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        let schemas = try FileManager.default.contentsOfDirectory(
            atPath: root.appendingPathComponent("Sources/KafkaWire/Schema").path)
        let tested = Set(MessageCase.all.map { "\($0.file).schema" })
        #expect(Set(schemas) == tested)
    }

    @Test(arguments: MessageCase.all)
    func everyVersionHasGoldenBytes(_ message: MessageCase) throws {
        let lines = try message.lines
        for variant in ["full", "default"] {
            let versions = lines.filter { $0.variant == variant }.map(\.version)
            #expect(versions == Array(message.type.versions))
        }
    }

    @Test(arguments: MessageCase.all)
    func decodedMessageEncodesToTheSameBytes(_ message: MessageCase) throws {
        for line in try message.lines {
            let decoded = try decode(message.type, line.bytes, line.version)
            #expect(encode(decoded, line.version) == line.bytes, "version \(line.version), \(line.variant)")
        }
    }

    @Test(arguments: MessageCase.all)
    func everyFieldHoldsTheValueOfItsName(_ message: MessageCase) throws {
        for line in try message.lines where line.variant != "default" {
            let decoded = try decode(message.type, line.bytes, line.version)
            checkFields(decoded, "\(message.type) \(line.version)", hasTags: line.variant == "tags")
        }
    }

    @Test(arguments: MessageCase.all)
    func everyPrefixIsTruncatedOrInvalid(_ message: MessageCase) throws {
        for line in try message.lines where line.variant != "default" {
            let accepted = (0..<line.bytes.count).filter { count in
                do {
                    _ = try decode(message.type, Array(line.bytes[..<count]), line.version)
                    return true
                } catch {
                    return !(error is DecodeError)
                }
            }
            #expect(accepted == [], "version \(line.version)")
        }
    }

    @Test(arguments: MessageCase.all)
    func aByteBehindTheEndIsRefused(_ message: MessageCase) throws {
        for line in try message.lines {
            #expect(throws: DecodeError.self) { try decode(message.type, line.bytes + [0], line.version) }
        }
    }

    @Test(arguments: MessageCase.all)
    func versionOutsideTheRangeIsRefused(_ message: MessageCase) throws {
        let line = try #require(try message.lines.last)
        for version in [message.type.versions.lowerBound - 1, message.type.versions.upperBound + 1, .max, .min] {
            #expect(throws: DecodeError.self) { try decode(message.type, line.bytes, version) }
        }
    }

    /// Whatever still decodes must encode, and that must decode and encode to the same bytes.
    @Test(arguments: MessageCase.all)
    func damagedMessageIsRefusedOrSurvivesARoundTrip(_ message: MessageCase) throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SplitMix(state: seed)
        for line in try message.lines where line.variant != "default" && !line.bytes.isEmpty {
            for _ in 0..<40 {
                var bytes = line.bytes
                for _ in 0..<Int.random(in: 1...3, using: &random) {
                    let values: [UInt8] = [0, 1, 0x7f, 0x80, 0xff, UInt8.random(in: 0...255, using: &random)]
                    bytes[Int.random(in: 0..<bytes.count, using: &random)] = values.randomElement(using: &random)!
                }
                guard let decoded = try? decode(message.type, bytes, line.version) else { continue }
                let encoded = encode(decoded, line.version)
                let again = encode(try decode(message.type, encoded, line.version), line.version)
                #expect(again == encoded, "seed \(seed), version \(line.version)")
            }
        }
    }

    @Test(arguments: MessageCase.all)
    func noiseDoesNotTrap(_ message: MessageCase) throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SplitMix(state: seed)
        for version in message.type.versions {
            for _ in 0..<100 {
                let count = Int.random(in: 0...200, using: &random)
                let bytes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
                _ = try? decode(message.type, bytes, version)
            }
        }
    }
}

func decode(_ type: any KafkaMessage.Type, _ bytes: [UInt8], _ version: Int16) throws -> any KafkaMessage {
    try bytes.withUnsafeBytes { try type.init(whole: $0, version: version) }
}

func encode(_ structure: some KafkaStructure, _ version: Int16) -> [UInt8] {
    var writer = ByteWriter()
    structure.encode(to: &writer, version: version)
    return writer.array
}

/// A small seeded generator, so that a failure can be repeated.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
        return mixed ^ mixed >> 31
    }
}

// MARK: - Values that follow from names

private func hash(_ name: String) -> UInt64 {
    name.utf8.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
}

/// Checks each field, also of the structures inside: it has the value of its name, or, in a version without it, its
/// default.
private func checkFields(_ structure: any KafkaStructure, _ path: String, hasTags: Bool) {
    let defaults = Dictionary(
        uniqueKeysWithValues: Mirror(reflecting: type(of: structure).init()).children.map { ($0.label!, $0.value) })
    for child in Mirror(reflecting: structure).children {
        let name = child.label!
        let place = "\(path).\(name)"
        let value = unwrapped(child.value)
        if let inner = value as? any KafkaStructure {
            if "\(inner)" != "\(defaults[name]!)" { checkFields(inner, place, hasTags: hasTags) }
        } else if let elements = value as? [any KafkaStructure] {
            for element in elements { checkFields(element, place, hasTags: hasTags) }
        } else if let tags = value as? [UnknownTaggedField] {
            let expected = [
                UnknownTaggedField(tag: 77, bytes: [1, 2, 3]), UnknownTaggedField(tag: 300, bytes: []),
            ]
            #expect(tags == (hasTags ? expected : []), "\(place)")
        } else {
            let isExpected = expectedValue(value, name) || "\(child.value)" == "\(defaults[name]!)"
            #expect(isExpected, "\(place) is \(value)")
        }
    }
}

private func unwrapped(_ value: Any) -> Any {
    let mirror = Mirror(reflecting: value)
    guard mirror.displayStyle == .optional, let inner = mirror.children.first else { return value }
    return inner.value
}

private func expectedValue(_ value: Any, _ name: String) -> Bool {
    switch value {
    case let string as String: string == "\(name)·"
    case let bytes as [UInt8]: bytes == Array("\(name) bytes".utf8)
    case is Bool: true
    case let id as TopicID: id == TopicID(high: hash(name + "H"), low: hash(name + "L"))
    case let strings as [String]: strings.allSatisfy { $0 == "\(name)·" }
    case let ids as [TopicID]: ids.allSatisfy { expectedValue($0, name) }
    case let integers as [any FixedWidthInteger]: integers.allSatisfy { expectedInteger($0, name) }
    case let integer as any FixedWidthInteger: expectedInteger(integer, name)
    case let number as Double: number == Double(UInt32(truncatingIfNeeded: hash(name)))
    default: false
    }
}

private func expectedInteger(_ value: some FixedWidthInteger, _ name: String) -> Bool {
    value == type(of: value).init(truncatingIfNeeded: hash(name))
}
