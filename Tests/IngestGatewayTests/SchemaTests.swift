import Configuration
import Testing

@testable import IngestGateway

/// The part of JSON Schema 2020-12 that routes have.
@Suite struct SchemaTests {
    private static func schema(_ yaml: String) throws -> JSONSchema {
        let configuration = try GatewayConfiguration(
            yaml: "routes:\n  - path: /a\n    to: a\n    schema: \(yaml)\n")
        return try #require(configuration.routes[0].plan?.schema)
    }

    /// What is wrong with a text; nil: nothing.
    private static func words(_ text: String, _ schema: JSONSchema) throws -> String? {
        try Array(text.utf8).withUnsafeBytes { bytes in
            var scanner = JSONScanner(bytes)
            _ = try scanner.onlyValue()
            return SchemaCheck(schema, bytes).failure(of: JSONRange(0, bytes.count))?.words
        }
    }

    @Test(arguments: [
        ("{type: string}", ["\"\"", "\"a\""], ["1", "null", "{}", "[]", "true"]),
        ("{type: integer}", ["1", "-5", "1.0", "1e2", "12345678901234567890"], ["1.5", "\"1\""]),
        ("{type: [number, \"null\"]}", ["1.5", "null"], ["false"]), ("{type: boolean}", ["true", "false"], ["0"]),
        ("{const: 5}", ["5", "5.0", "5e0"], ["6", "\"5\""]), ("{const: \"5\"}", ["\"5\""], ["5"]),
        ("{enum: [a, 1, true, null]}", ["\"a\"", "\"\\u0061\"", "1", "true", "null"], ["\"b\"", "false", "2"]),
        ("{enum: [9007199254740993]}", ["9007199254740993"], ["9007199254740992"]),
        ("{minLength: 2, maxLength: 3}", ["\"éé\"", "\"abc\"", "\"\\u00e9\\u00e9\"", "1"], ["\"é\"", "\"abcd\""]),
        ("{pattern: \"^[A-Z]{2}-[0-9]+$\"}", ["\"AB-1\"", "\"\\u0041B-22\"", "5"], ["\"AB-\"", "\"xAB-1\"", "\"\""]),
        ("{minimum: 1, maximum: 2.5}", ["1", "2.5", "\"9\""], ["0.99", "3"]),
        ("{exclusiveMinimum: 1, exclusiveMaximum: 2}", ["1.5"], ["1", "2"]),
        (
            "{properties: {a: {type: string}}, additionalProperties: false}", ["{}", "{\"a\":\"\"}", "[]"],
            ["{\"a\":1}", "{\"b\":1}", "{\"a\":\"\",\"b\":1}"]
        ),
        ("{additionalProperties: {type: number}}", ["{\"x\":1}"], ["{\"x\":\"1\"}"]),
        ("{required: [a]}", ["{\"a\":null}", "1"], ["{}", "{\"A\":1}"]),
        ("{properties: {a: true}}", ["{\"a\":1}"], ["{\"a\":1,\"a\":2}", "{\"a\":1,\"\\u0061\":2}"]),
        ("{properties: {a: false}}", ["{}"], ["{\"a\":1}"]),
        ("{minProperties: 1, maxProperties: 2}", ["{\"a\":1}"], ["{}", "{\"a\":1,\"b\":1,\"c\":1}"]),
        ("{items: {type: integer}, minItems: 1, maxItems: 2}", ["[1]", "[1, 2]"], ["[]", "[1,2,3]", "[\"a\"]"]),
        ("{allOf: [{minimum: 1}, {maximum: 2}]}", ["1", "2"], ["0", "3"]),
        ("{anyOf: [{type: string}, {minimum: 5}]}", ["\"a\"", "6"], ["4"]),
        ("{oneOf: [{maximum: 5}, {minimum: 5}]}", ["4", "6"], ["5"]), ("{not: {type: string}}", ["1"], ["\"a\""]),
        ("{$ref: \"#/$defs/n\", $defs: {n: {type: number}}}", ["1"], ["\"1\""]),
        (
            "{properties: {next: {$ref: \"#\"}}, required: [v]}", ["{\"v\":1}", "{\"v\":1,\"next\":{\"v\":2}}"],
            ["{\"v\":1,\"next\":{}}"]
        ),
        (
            "{format: date-time}", ["\"2026-02-28T23:59:60.5Z\"", "\"2024-02-29t00:00:00+02:00\""],
            [
                "\"2026-02-29T00:00:00Z\"", "\"2026-02-28\"", "\"2026-02-28T24:00:00Z\"", "\"2026-02-28T00:00:00\"",
                "\"\"",
            ]
        ),
        ("{format: date}", ["\"2026-12-31\""], ["\"2026-13-01\"", "\"2026-1-1\""]),
        ("{format: uuid}", ["\"0192F0e0-0000-7000-8000-000000000000\""], ["\"0192f0e0\""]),
    ])
    func aValueIsTakenOrNot(yaml: String, good: [String], bad: [String]) throws {
        let schema = try Self.schema(yaml)
        for text in good { #expect(try Self.words(text, schema) == nil, "\(text)") }
        for text in bad { #expect(try Self.words(text, schema) != nil, "\(text)") }
    }

    @Test func wordsNameTheMember() throws {
        let schema = try Self.schema(
            "{properties: {a: {properties: {b: {items: {type: string}}}, required: [c]}}, required: [a]}")
        #expect(try Self.words("{}", schema) == "a is required")
        #expect(try Self.words("{\"a\":{\"b\":[]}}", schema) == "a.c is required")
        #expect(try Self.words("{\"a\":{\"b\":[\"x\",1],\"c\":0}}", schema) == "a.b.1 must be a string")
        #expect(try Self.words("{\"a\":null}", schema) == nil)
    }

    @Test func pointersLeadThroughObjectsAndArrays() throws {
        let text = "{\"a\": [1, {\"x/y\": \"found\"}], \"~\": 2, \"\": 3, \"\\u0062\": 4}"
        func find(_ pointer: String) throws -> String? {
            try Array(text.utf8).withUnsafeBytes { bytes in
                let found = try #require(JSONPointer(pointer)).find(in: JSONWalk(bytes), JSONRange(0, bytes.count))
                return found.map { String(decoding: $0.range.bytes(of: bytes), as: UTF8.self) }
            }
        }
        #expect(try find("/a/0") == "1" && find("/a/1/x~1y") == "\"found\"" && find("/~0") == "2")
        #expect(try find("/") == "3" && find("/b") == "4")
        for missing in ["/c", "/a/2", "/a/x", "/a/0/1", "/a/-1"] { #expect(try find(missing) == nil) }
        for wrong in ["", "a", "/~", "/~2", String(repeating: "/a", count: 17)] { #expect(JSONPointer(wrong) == nil) }
    }

    // MARK: What it may cost

    /// Two alternatives that both lead back: without a bound 2^60 looks at one event of 300 bytes.
    @Test(arguments: ["anyOf", "oneOf"])
    func alternativesThatLeadBackEnd(keyword: String) throws {
        let schema = try Self.schema(
            "{\(keyword): [{properties: {a: {$ref: \"#\"}}, required: [x]}, {properties: {a: {$ref: \"#\"}}, required: [y]}]}"
        )
        func event(_ depth: Int) -> String {
            String(repeating: "{\"a\":", count: depth) + "{}" + String(repeating: "}", count: depth)
        }
        #expect(try Self.words(event(3), schema)?.contains("form") == true)
        #expect(try Self.words(event(60), schema) == "The event is too complex to be held against the schema")
        // Within a `not`, what was not looked at is no consent.
        let negated = try Self.schema(
            "{not: {$ref: \"#/$defs/n\"}, $defs: {n: {\(keyword): [{properties: {a: {$ref: \"#/$defs/n\"}}, required: [x]}, "
                + "{properties: {a: {$ref: \"#/$defs/n\"}}, required: [y]}]}}}")
        #expect(try Self.words(event(60), negated) == "The event is too complex to be held against the schema")
    }

    @Test func partsThatSayMoreOfTheSameValueAreCounted() throws {
        let chain = (0..<400).map { "n\($0): {allOf: [{$ref: \"#/$defs/n\($0 + 1)\"}]}" }.joined(separator: ", ")
        let schema = try Self.schema("{$ref: \"#/$defs/n0\", $defs: {\(chain), n400: {type: string}}}")
        #expect(try Self.words("\"a\"", schema) == "The event is too complex to be held against the schema")
    }

    @Test func anEventOfManyFormsIsNoTrouble() throws {
        let forms = (0..<200).map { "{properties: {type: {const: t\($0)}}, required: [type]}" }.joined(separator: ", ")
        let schema = try Self.schema("{oneOf: [\(forms)]}")
        let event =
            "{\"id\":1,\"type\":\"t199\",\"tags\":[" + Array(repeating: "1", count: 50).joined(separator: ",") + "]}"
        #expect(try Self.words(event, schema) == nil)
    }

    @Test func whatIsSaidOfAnEventIsBounded() throws {
        let many = (0..<1000).map { "value\($0)" }.joined(separator: ", ")
        let words = try #require(try Self.words("1", Self.schema("{enum: [\(many)]}")))
        #expect(words.hasPrefix("Invalid event. Must be one of: value0, value1") && words.utf8.count < 1100)
        let letter = "e" + String(repeating: "\u{301}", count: 10_000)
        let schema = try Self.schema("{additionalProperties: false}")
        let long = try #require(try Self.words("{\"\(letter)\":1}", schema))
        #expect(long.utf8.count < 300)
    }
}
