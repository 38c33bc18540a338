import Testing

/// A function fits a screen. Those that do not are listed with the lines that they have, and the list only gets shorter: a
/// function may not grow beyond its number, and leaves the list once it fits.
@Suite struct FunctionLengthTests {
    static let maxLines = 60

    /// `Module/File function`, and its lines.
    private static let exceptions: [String: Int] = [
        "HTTPWire/RequestHead+Parse parseFields": 75,
        "IngestGateway/JSONScan+Value value": 84,
        "IngestGateway/EventsEndpoint postEvents": 66,
        "KafkaServer/FetchPlan read": 70,
        // All of Kafka's names, and ours.
        "KafkaWire/APIKey name": 101,
        "LogStorage/PartitionLog+Read choose": 61,
        "LogStorage/PartitionLog+Read plan": 72,
    ]

    @Test func functionsFitAScreen() throws {
        var long: Set<String> = []
        for file in try SourceTree.handWritten() {
            for function in FunctionSpan.all(in: file) where function.lines > Self.maxLines {
                let key = "\(file.module)/\(file.name) \(function.name)"
                long.insert(key)
                let most = Self.exceptions[key] ?? Self.maxLines
                #expect(
                    function.lines <= most,
                    "\(file.path):\(function.firstLine): \(function.name) has \(function.lines) lines, more than \(most)"
                )
            }
        }
        let fitting = Set(Self.exceptions.keys).subtracting(long).sorted()
        #expect(fitting == [], "these fit a screen or are gone: take them out of the list")
    }

    @Test func aLongFunctionIsFound() {
        let body = String(repeating: "        work()\n", count: 61)
        let text = """
            protocol P {
                func required(
                    _ a: Int
                ) -> Int
                func other()
            }
            struct S {
                @inlinable(x) public mutating func long(
                    _ a: Int
                ) -> Int {
            \(body)
                }
                init() {
                    work()
                }
                func short() { work() }
                func alsoLong() {
            \(body)    }
                var computed: Int {
            \(body)    }
                var stored = 1
            }
            """
        let found = FunctionSpan.all(in: SourceText(path: "Sources/M/S.swift", text: text))
        #expect(found.map(\.name) == ["long", "init", "short", "alsoLong", "computed"])
        #expect(found.map(\.lines) == [66, 3, 1, 63, 63])
    }
}

/// Where a function with a body, or a property that is computed by one, stands in formatted code.
struct FunctionSpan {
    let name: String
    let firstLine: Int
    let lines: Int

    private static func hasBody(_ declaration: Declaration, _ code: Substring) -> Bool {
        switch declaration.keyword {
        case "func", "init", "deinit", "subscript": true
        case "var": code.last == "{" && !code.contains(" = ")
        default: false
        }
    }

    static func all(in file: SourceText) -> [FunctionSpan] {
        file.lines.indices.compactMap { index in
            guard let declaration = Declaration(file.lines[index].code), hasBody(declaration, file.lines[index].code),
                let last = lastLine(of: index, in: file.lines)
            else { return nil }
            return FunctionSpan(
                name: declaration.name, firstLine: file.lines[index].number,
                lines: file.lines[last].number - file.lines[index].number + 1)
        }
    }

    /// The line with the brace that closes the body; nil for a requirement, which has none.
    private static func lastLine(of first: Int, in lines: [SourceText.Line]) -> Int? {
        let indent = lines[first].indent
        if lines[first].code.last == "}" { return first }
        var isOpen = lines[first].code.last == "{"
        for index in (first + 1)..<max(first + 1, lines.count) {
            let line = lines[index]
            if line.isBlank { if isOpen { continue } else { return nil } }
            if line.indent < indent { return nil }
            if line.indent == indent {
                if isOpen, line.code.first == "}" { return index }
                // A signature of several lines goes on with its parenthesis, its conditions, or a line for its brace.
                let isSignature = line.code.first == ")" || line.code.first == "{" || line.code.hasPrefix("where ")
                if !isOpen, !isSignature { return nil }
                if line.code.last == "}" { return index }
            }
            if line.indent == indent, line.code.last == "{" { isOpen = true }
        }
        return nil
    }
}
