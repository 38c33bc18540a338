import Testing

/// Names say what a thing is. These words say only that there is one, and these spellings are not how names are written here.
@Suite struct WordsTests {
    /// Parts of names that no declaration, parameter or file may have.
    private static let banned: Set<String> = [
        "Manager", "manager", "Helper", "helper", "Helpers", "Util", "Utils", "Utility", "Impl", "process", "Process",
        "Processor", "data", "Data",
        // Acronyms keep their capitals.
        "Id", "Ids", "Http", "Json", "Url", "Api", "Tcp", "Uuid", "Crc", "Lso", "LSO",
    ]

    /// Names in which such a word is the field's own.
    private static let exceptions: [String: String] = [
        "ProcessConsole": "the console of the operating system's process",
        "ProcessMetrics": "what the operating system counts of this process",
        "dataDir": "the option is called so",
        "dataFolder": "Kafka's and our users' word for it",
        "withData": "a transaction's data, beside its markers (KIP-98)",
        "isMarkerWithoutData": "the same",
        "data": "what a chunk holds between its ends (RFC 9112); a hash's input",
        "dataCR": "the line end behind a chunk's data", "dataLF": "the same",
        "KafkaVersionedData": "Kafka's schema has data beside messages",
        "18_ApiVersions": "the name of an API, as Kafka spells it",
        "22_InitProducerId": "the name of an API, as Kafka spells it",
    ]

    @Test func namesSayWhatAThingIs() throws {
        var found: Set<String> = []
        for file in try SourceTree.handWritten() {
            for name in Self.badNames(in: file) {
                found.insert(name)
                if Self.exceptions[name] == nil { Issue.record("\(file.path): \(name)") }
            }
        }
        #expect(Set(Self.exceptions.keys).subtracting(found).sorted() == [], "no longer declared: take it off the list")
    }

    @Test func lastStableOffsetIsSpelledOut() throws {
        for text in try SourceTree.prose() {
            for line in text.lines { #expect(!line.text.words.contains("LSO"), "\(text.path):\(line.number)") }
        }
    }

    /// Two words for one thing leave the reader to find out that it is one.
    @Test func oneThingHasOneWord() throws {
        let words = ["straight": "written through, or direct where it is O_DIRECT"]
        for text in try SourceTree.prose() {
            for line in text.lines {
                for word in line.text.words {
                    guard let other = words[word.lowercased()] else { continue }
                    Issue.record("\(text.path):\(line.number): \(word): say \(other)")
                }
            }
        }
    }

    /// A second clock would be another to exchange in a test, and to get wrong.
    @Test func theSystemsClocksAreReadInOnePlace() throws {
        let calls: Set<Substring> = ["clock_gettime", "gettimeofday", "nanosleep", "usleep", "CLOCK_REALTIME"]
        let places: [String: String] = [
            "Sources/BrokerTestKit/Eventually.swift": "a test's thread that waits for another's",
            "Sources/ByteBuffers/Clocks.swift": "the clocks",
            "Sources/ByteBuffers/Signal.swift": "the deadline of a wait, as the system wants it",
            "Sources/Telemetry/ProcessMetrics.swift": "processor time is no time of day",
        ]
        for file in try SourceTree.handWritten() where places[file.path] == nil {
            for line in file.lines {
                for word in line.code.words where calls.contains(word) {
                    Issue.record("\(file.path):\(line.number): \(word): take MonotonicClock or WallClock")
                }
            }
        }
    }

    @Test func aBannedWordIsFound() {
        let text = """
            struct FrameManager {
                let producerId: Int
                let identifier, idle: Int
                private static func processData() {}
                func metadata(rawData: Int, of userId: [Int]) {
                    for helper in userId { try rawData.work(with: helper, textUtil: { $0 }) }
                }
                // class Helper
                let text = "class Helper"
            }
            """
        let found = Self.badNames(in: SourceText(path: "Sources/M/StringUtils.swift", text: text))
        #expect(
            found == [
                "StringUtils", "FrameManager", "producerId", "processData", "rawData", "userId", "helper", "textUtil",
            ])
    }

    /// Each once, in the order of the file: what is declared, and what stands before a colon or behind `for`.
    private static func badNames(in file: SourceText) -> [String] {
        var names = [file.name]
        for line in file.lines {
            if let declaration = Declaration(line.code) { names.append(declaration.name) }
            let words = line.code.withoutStrings.words
            for (index, word) in words.enumerated() {
                let isLabel = word.base[word.endIndex...].first == ":"
                if isLabel || index > 0 && words[index - 1] == "for" { names.append(String(word)) }
            }
        }
        var seen: Set<String> = []
        return names.filter { name in
            name.nameParts.contains { banned.contains($0) } && seen.insert(name).inserted
        }
    }
}
