@preconcurrency internal import CSystem
internal import Configuration
internal import Glibc
internal import Synchronization

public enum ParseResult: Sendable {
    case run(Invocation)
    case help(Command, path: [String])
    case version
}

extension CommandTable {
    /// Reads the words after the program's name.
    public static func parse(_ arguments: [String], table: Command = root) throws(UsageError) -> ParseResult {
        var command = table
        var path = [table.name]
        var rest = arguments[...]
        while command.action == nil {
            guard let word = rest.first else { return .help(command, path: path) }
            rest = rest.dropFirst()
            if word == "--help" || word == "-h" { return .help(command, path: path) }
            if word == "--version" || word == "-V", path.count == 1 { return .version }
            if word == "help" { return try help(for: Array(rest), command, path) }
            if word.hasPrefix("-") {
                throw UsageError(
                    "\(word): options come after the command"
                        + (path.count == 1 ? "; first say which command" : ""), command: path.joined(separator: " "))
            }
            guard let next = command.subcommands.first(where: { $0.answers(to: word) }) else {
                throw unknown(word, command, path)
            }
            command = next
            path.append(next.name)
        }
        return try parse(Array(rest), command, path)
    }

    /// `millrace help topic create`: the same as `millrace topic create --help`.
    private static func help(
        for words: [String], _ start: Command, _ startPath: [String]
    ) throws(UsageError) -> ParseResult {
        var command = start
        var path = startPath
        for word in words where !word.hasPrefix("-") {
            guard let next = command.subcommands.first(where: { $0.answers(to: word) }) else {
                throw unknown(word, command, path)
            }
            command = next
            path.append(next.name)
        }
        return .help(command, path: path)
    }

    private static func unknown(_ word: String, _ command: Command, _ path: [String]) -> UsageError {
        let nearest = Spelling.nearest(to: word, among: command.subcommands.map(\.name))
        return UsageError(
            "\(word): no such command" + (nearest.map { "; did you mean \($0)?" } ?? ""),
            command: path.joined(separator: " "))
    }

    /// What getopt_long returns for the first long option; above every letter.
    private static let firstLong: Int32 = 1000

    /// getopt_long keeps its place in global variables: one parse at a time.
    private static let getoptLock = Mutex<Void>(())

    private static func parse(
        _ words: [String], _ command: Command, _ path: [String]
    ) throws(UsageError) -> ParseResult {
        let options = command.options + common
        let name = path.joined(separator: " ")
        var given: [String: [String]] = [:]
        var operands: [String] = []
        var problem: UsageError?
        getoptLock.withLock { _ in
            CStrings.with([name] + words) { argv in
                problem = scan(argv, options, name, &given, &operands)
            }
        }
        // Help is given even when the rest of the line is wrong.
        if given["help"] != nil { return .help(command, path: path) }
        if let problem { throw problem }
        var values: [String: [any Sendable]] = [:]
        for option in command.options {
            guard let texts = given[option.long] else { continue }
            values[option.long] = try read(texts, option, name)
        }
        try check(operands, command, name)
        let invocation = Invocation(command: command, path: path, operands: operands, values: values)
        for rule in command.rules {
            if let problem = rule.problem(invocation) { throw UsageError(problem, command: name) }
        }
        return .run(invocation)
    }

    /// The values of an option that was given with `texts`.
    private static func read(
        _ texts: [String], _ option: OptionRow, _ name: String
    ) throws(UsageError) -> [any Sendable] {
        if texts.count > 1 && option.value != nil && !option.isRepeatable {
            throw UsageError("--\(option.long) is given \(texts.count) times", command: name)
        }
        var values: [any Sendable] = []
        for text in texts {
            if !option.choices.isEmpty, !option.choices.contains(text) {
                throw refused(text, of: "--" + option.long, option.choices, name)
            }
            do throws(ValueRefusal) { values.append(try option.read(text)) } catch {
                throw UsageError("--\(option.long) \(text): \(error.reason)", command: name)
            }
        }
        return values
    }

    private static func refused(_ value: String, of what: String, _ choices: [String], _ name: String) -> UsageError {
        let nearest = Spelling.nearest(to: value, among: choices)
        return UsageError(
            "\(what) \(value): must be one of \(choices.joined(separator: ", "))"
                + (nearest.map { "; did you mean \($0)?" } ?? ""), command: name)
    }

    private static func check(_ operands: [String], _ command: Command, _ name: String) throws(UsageError) {
        var rest = operands[...]
        for operand in command.operands {
            switch operand.count {
            case .one, .oneOrMore:
                guard !rest.isEmpty else { throw UsageError("\(operand.name) is missing", command: name) }
            case .optional: break
            }
            let taken = operand.count == .oneOrMore ? rest : rest.prefix(1)
            rest = rest.dropFirst(taken.count)
            for word in taken where !operand.choices.isEmpty && !operand.choices.contains(word) {
                throw refused(word, of: operand.name, operand.choices, name)
            }
        }
        if let extra = rest.first {
            let takesFile =
                command.operands.isEmpty && command.options.contains { $0.long == ConfigOptions.config.row.long }
            throw UsageError(
                "\(extra): one operand too many" + (takesFile ? "; a configuration file is named by -c \(extra)" : ""),
                command: name)
        }
    }

    /// One pass of getopt_long over `argv`; what is wrong, or `nil`.
    private static func scan(
        _ argv: CStrings.Vector, _ options: [OptionRow], _ name: String, _ given: inout [String: [String]],
        _ operands: inout [String]
    ) -> UsageError? {
        // ':' first: a missing value is told apart from an unknown option, and glibc prints nothing.
        var short = ":"
        for option in options {
            guard let letter = option.short else { continue }
            short.append(letter)
            if option.value != nil { short.append(":") }
        }
        return CStrings.with(options.map(\.long)) { names in
            var long: [CSystem.option] = []
            for (index, option) in options.enumerated() {
                long.append(
                    CSystem.option(
                        name: names[index], has_arg: option.value == nil ? 0 : 1, flag: nil,
                        val: firstLong + Int32(index)))
            }
            long.append(CSystem.option())
            // 0, not 1: glibc then forgets what it kept from an earlier scan.
            optind = 0
            opterr = 0
            while true {
                let before = Int(optind)
                let found = getopt_long(Int32(argv.count), argv.base, short, long, nil)
                if found == -1 { break }
                if found == Int32(UInt8(ascii: "?")) || found == Int32(UInt8(ascii: ":")) {
                    return wrong(found, argv, options, name, before)
                }
                let letter = found < firstLong ? Character(UnicodeScalar(UInt8(truncatingIfNeeded: found))) : nil
                let option =
                    letter.map { letter in options.first { $0.short == letter }! }
                    ?? options[Int(found - firstLong)]
                given[option.long, default: []].append(optarg.map { String(cString: $0) } ?? "")
                if option.long == "help" { return nil }
            }
            // glibc has moved the operands behind the options.
            for index in Int(optind)..<argv.count { operands.append(argv.string(index)) }
            return nil
        }
    }

    private static func wrong(
        _ found: Int32, _ argv: CStrings.Vector, _ options: [OptionRow], _ name: String, _ before: Int
    ) -> UsageError {
        // For a long option optind has moved past the word; within a cluster of short ones it has not.
        let index = max(1, min(Int(optind) - 1, argv.count - 1))
        let word = argv.string(index)
        let letter = optopt > 0 && optopt < 256 ? "-" + String(UnicodeScalar(UInt8(optopt))) : nil
        if found == Int32(UInt8(ascii: ":")) {
            let long = Int(optopt) - Int(firstLong)
            let option = letter ?? (options.indices.contains(long) ? "--" + options[long].long : word)
            return UsageError("\(option): needs a value", command: name)
        }
        if let letter { return UsageError("\(letter): no such option", command: name) }
        let typed = String(word.drop { $0 == "-" }.prefix { $0 != "=" })
        if optopt >= firstLong { return UsageError("--\(typed): takes no value", command: name) }
        let fitting = options.map(\.long).filter { $0.hasPrefix(typed) }
        if fitting.count > 1 {
            return UsageError(
                "--\(typed): could be " + fitting.map { "--" + $0 }.joined(separator: " or "), command: name)
        }
        let nearest = Spelling.nearest(to: typed, among: options.map(\.long))
        return UsageError(
            "--\(typed): no such option" + (nearest.map { "; did you mean --\($0)?" } ?? ""), command: name)
    }
}
