import CommandSyntax
import Testing

@Suite struct ParserTests {
    private func invocation(_ words: String...) throws -> Invocation {
        guard case .run(let invocation) = try CommandTable.parse(words) else {
            throw UsageError("not a command to run", command: words.joined(separator: " "))
        }
        return invocation
    }

    private func complaint(_ words: [String]) -> String? {
        do {
            _ = try CommandTable.parse(words)
            return nil
        } catch {
            return error.description
        }
    }

    @Test func optionsAndOperandsMayComeInAnyOrder() throws {
        for words in [
            ["topic", "create", "-p", "3", "orders"], ["topic", "create", "orders", "--partitions=3"],
            ["topic", "create", "orders", "-p3"],
        ] {
            guard case .run(let found) = try CommandTable.parse(words) else {
                Issue.record("\(words)")
                continue
            }
            #expect(found.command.action == .topicCreate)
            #expect(found.operands == ["orders"])
            #expect(found[TopicOptions.partitions] == 3)
        }
    }

    @Test func benchCommandsTakeTheirOptions() throws {
        let produce = try invocation(
            "bench", "produce", "-t", "load", "--rate", "5000", "--acks=1", "--compression", "lz4")
        #expect(produce.command.action == .benchProduce)
        #expect(produce[BenchOptions.rate] == 5000)
        #expect(produce[CommonOptions.acks] == .leader)
        #expect(complaint(["bench", "produce", "--acks", "2"]) != nil)
        #expect(try invocation("bench", "consume", "--from", "end").command.action == .benchConsume)
        let ingest = try invocation(
            "bench", "ingest", "--mode", "ndjson", "--events", "50", "-H", "X-A=b", "-H", "X-C=d")
        #expect(ingest.command.action == .benchIngest)
        #expect(ingest[BenchIngestOptions.headers].map(\.value) == ["b", "d"])
        #expect(complaint(["bench", "ingest", "--mode", "xml"]) != nil)
    }

    @Test func sizesAndTimesTakeUnits() throws {
        let bench = try invocation("bench", "produce", "--size", "2KiB", "--duration", "1m", "--linger", "2s")
        #expect(bench[BenchProduceOptions.size] == 2048)
        #expect(bench[BenchOptions.duration] == 60_000)
        #expect(bench[BenchProduceOptions.linger] == 2000)
        let plain = try invocation("bench", "produce", "--size", "2048", "--duration", "60", "--linger", "5")
        #expect(plain[BenchProduceOptions.size] == 2048)
        #expect(plain[BenchOptions.duration] == 60_000)
        #expect(plain[BenchProduceOptions.linger] == 5)
        let settings = try invocation(
            "topic", "create", "t", "-s", "retention.ms=7d", "-s", "segment.bytes=64MiB", "-s", "cleanup.policy=delete",
            "-s", "retention.bytes=-1", "-s", "segment.ms=soon"
        )[TopicOptions.settings]
        #expect(settings.map(\.value) == ["604800000", "67108864", "delete", "-1", "soon"])
    }

    @Test func aCommandMayHaveAnotherName() throws {
        #expect(try invocation("topic", "ls").command.action == .topicList)
        #expect(try invocation("group", "ls", "--json").path == ["millrace", "group", "list"])
        #expect(complaint(["topic", "lss"])?.contains("did you mean list?") == true)
    }

    @Test func repeatedOptionsKeepTheirOrder() throws {
        let found = try invocation("topic", "create", "t", "-s", "a=1", "--set", "b=x=y", "--if-not-exists")
        let settings = found[TopicOptions.settings]
        #expect(settings.map(\.name) == ["a", "b"] && settings.map(\.value) == ["1", "x=y"])
        #expect(found[TopicOptions.ifNotExists] && !found[CommonOptions.json])
    }

    @Test func wordsBehindTwoDashesAreOperands() throws {
        #expect(try invocation("topic", "describe", "--", "-odd-name").operands == ["-odd-name"])
    }

    @Test func aNegativeNumberIsAnOptionsValue() throws {
        #expect(try invocation("consume", "t", "-o", "-5")[ConsumeOptions.from] == .last(5))
        let reset = try invocation("group", "reset-offsets", "g", "--shift-by", "-2", "--all-topics")
        #expect(reset[GroupResetOptions.shiftBy] == -2)
    }

    @Test func anUnambiguousBeginningOfALongOptionIsEnough() throws {
        #expect(try invocation("produce", "t", "--cod", "lz4")[ProduceOptions.codec] == .lz4)
    }

    @Test func parsesInParallelDoNotDisturbEachOther() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<200 {
                group.addTask {
                    guard case .run(let found) = try CommandTable.parse(["consume", "t\(number)", "-n", "\(number)"])
                    else { return }
                    #expect(found.operands == ["t\(number)"] && found[ConsumeOptions.max] == number)
                }
            }
            try await group.waitForAll()
        }
    }

    @Test(arguments: [
        (["topc"], "topc: no such command; did you mean topic?\nTry `millrace --help`."),
        (["topic", "craete"], "craete: no such command; did you mean create?\nTry `millrace topic --help`."),
        (["xyzzy"], "xyzzy: no such command\nTry `millrace --help`."),
        (
            ["topic", "create", "t", "--partitons", "3"],
            "--partitons: no such option; did you mean --partitions?\nTry `millrace topic create --help`."
        ),
        (["topic", "create", "t", "-x"], "-x: no such option\nTry `millrace topic create --help`."),
        (["topic", "create", "t", "-jx"], "-j: no such option\nTry `millrace topic create --help`."),
        (["topic", "create", "t", "-p"], "-p: needs a value\nTry `millrace topic create --help`."),
        (["topic", "create", "t", "--set"], "--set: needs a value\nTry `millrace topic create --help`."),
        (["topic", "list", "--json=1"], "--json: takes no value\nTry `millrace topic list --help`."),
        (["topic", "create"], "TOPIC is missing\nTry `millrace topic create --help`."),
        (["produce", "a", "b"], "b: one operand too many\nTry `millrace produce --help`."),
        (["produce", "a", "-p", "1", "-p", "2"], "--partition is given 2 times\nTry `millrace produce --help`."),
        (
            ["produce", "a", "-z", "gzp"],
            "--codec gzp: must be one of none, gzip, snappy, lz4, zstd; did you mean gzip?\n"
                + "Try `millrace produce --help`."
        ),
        (
            ["group", "reset-offsets", "g", "--to", "1"],
            "--to: could be --topic or --to-earliest or --to-latest or --to-current or --to-offset or --to-datetime\n"
                + "Try `millrace group reset-offsets --help`."
        ),
        (
            ["completion", "tcsh"],
            "SHELL tcsh: must be one of bash, zsh, fish; did you mean bash?\nTry `millrace completion --help`."
        ),
        (
            ["--json", "topic", "list"],
            "--json: options come after the command; first say which command\nTry `millrace --help`."
        ),
    ])
    func wrongWordsAreToldWithTheWayToHelp(words: [String], expected: String) {
        #expect(complaint(words) == expected)
    }

    /// Each kind of value says what is allowed, and each rule what it asks for.
    @Test(arguments: [
        ("topic create t -p 0", "--partitions 0: must be a whole number from 1 to 100000"),
        ("topic create t -s a", "--set a: must be NAME=VALUE"),
        ("consume t -p x", "--partition x: must be a whole number from 0"),
        ("consume t --from -1y", "--from -1y: must be \(StartPosition.allowed)"),
        ("consume t --format %x", "--format %x: %x is no field; fields are %t %p %o %T %D %k %v %h %K %V"),
        (
            "produce t --batch-bytes 0",
            "--batch-bytes 0: must be a number of bytes from 1 to 67108864, with a unit such as 64KiB or 1MiB if you like"
        ),
        ("produce t -k \\x", "--key-separator \\x: a \\ must be followed by n, t, r, 0 or \\"),
        (
            "topic list --timeout x",
            "--timeout x: must be a time from 1 to 86400000 ms; a bare number is in seconds, and 500ms, 30s, 5m, 12h and "
                + "7d are taken"
        ),
        ("group reset-offsets g --to-latest --topic :", "--topic :: must be TOPIC or TOPIC:P,P"),
        (
            "group reset-offsets g --all-topics --to-datetime x",
            "--to-datetime x: must be ms since 1970, YYYY-MM-DDTHH:MM:SS with Z or +HH:MM, or -1h"
        ),
        ("produce t --json --whole", "--json and --whole exclude each other"),
        ("produce t -k : --key x", "--key-separator and --key exclude each other"),
        ("produce t --json --null x", "--json and --null exclude each other"),
        ("produce t --ignore-partitions", "--ignore-partitions needs --json"),
        ("consume t --json --format %v", "--json and --format exclude each other"),
        ("consume t --to 2 --group g", "--to and --group exclude each other"),
        ("consume t -p 1 --group g", "--partition and --group exclude each other: the group assigns"),
        (
            "consume t --group g --from 7",
            "with --group, --from takes beginning, end or a time; `millrace group reset-offsets` sets offsets"
        ),
        ("topic alter t", "nothing to alter: give --partitions, --set or --unset"),
        ("topic trim t", "say up to where: --before POSITION"),
        (
            "group reset-offsets g --all-topics",
            "give exactly one of --to-earliest, --to-latest, --to-current, --to-offset, --shift-by, --to-datetime"
        ),
        ("group reset-offsets g --to-latest", "give either --topic or --all-topics"),
        (
            "group reset-offsets g --to-latest --all-topics --execute --dry-run",
            "--execute and --dry-run exclude each other"
        ),
        ("bench ingest --events 5", "--events needs --mode batch or ndjson"),
        ("bench ingest --mode batch --events 5 --records 7", "--records 7: must be a multiple of --events"),
    ])
    func whatIsNotAllowedIsToldAsTheTableHasIt(line: String, expected: String) {
        let words = line.split(separator: " ").map(String.init)
        #expect(complaint(words)?.split(separator: "\n").first.map(String.init) == expected)
    }

    @Test func helpIsGivenOnEveryLevelAndInEveryWay() throws {
        func isHelp(_ words: [String], _ path: [String]) throws -> Bool {
            guard case .help(_, let found) = try CommandTable.parse(words) else { return false }
            return found == path
        }
        #expect(try isHelp([], ["millrace"]))
        #expect(try isHelp(["--help"], ["millrace"]))
        #expect(try isHelp(["topic"], ["millrace", "topic"]))
        #expect(try isHelp(["topic", "-h"], ["millrace", "topic"]))
        #expect(try isHelp(["help", "topic", "create"], ["millrace", "topic", "create"]))
        // Even when the rest is wrong.
        #expect(try isHelp(["topic", "create", "--help", "--nonsense"], ["millrace", "topic", "create"]))
        #expect(complaint(["help", "topik"])?.contains("did you mean topic?") == true)
    }

    @Test func versionHasAnOptionAndACommand() throws {
        guard case .version = try CommandTable.parse(["--version"]), case .version = try CommandTable.parse(["-V"])
        else {
            Issue.record("no version")
            return
        }
        #expect(try invocation("version").command.action == .version)
    }
}

@Suite struct CommandTableTests {
    @Test func everyActionHasExactlyOneCommand() {
        let actions = CommandTable.walk().compactMap(\.command.action)
        #expect(actions.count == Command.Action.allCases.count)
        #expect(Set(actions) == Set(Command.Action.allCases))
    }

    @Test func namesAreUniqueAndSummariesAreOneSentence() {
        for (path, command) in CommandTable.walk() {
            let options = command.options + CommandTable.common
            #expect(Set(options.map(\.long)).count == options.count, "\(path)")
            let letters = options.compactMap(\.short)
            #expect(Set(letters).count == letters.count, "\(path)")
            #expect(Set(command.subcommands.map(\.name)).count == command.subcommands.count, "\(path)")
            for summary in [command.summary] + options.map(\.summary) {
                #expect(!summary.isEmpty && !summary.hasSuffix(".") && !summary.contains("\n"), "\(path): \(summary)")
            }
        }
    }

    @Test func everyReadingCommandCanWriteJSON() {
        let reading: Set<Command.Action> = [
            .configKeys, .configCheck, .gatewayValidate, .clusterInfo, .topicCreate, .topicList, .topicDescribe,
            .topicAlter, .topicTrim,
            .topicDelete, .produce, .consume, .groupList, .groupDescribe, .groupResetOffsets, .groupDelete, .logDump,
            .logVerify, .version,
        ]
        for (path, command) in CommandTable.walk() {
            guard let action = command.action, reading.contains(action) else { continue }
            #expect(command.options.contains { $0.long == "json" }, "\(path)")
        }
    }
}
