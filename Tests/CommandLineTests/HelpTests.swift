import BrokerTestKit
import CommandSyntax
import Foundation
import Testing

@Suite struct HelpTests {
    /// The help of every command, as it was last looked at and found good. `MILLRACE_TEST_UPDATE=1 swift test` writes it.
    private static let snapshot = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "help.txt")

    private static let current = CommandTable.walk().map { path, command in
        "$ \(path.joined(separator: " ")) --help\n" + CommandTable.help(for: command, path: path)
    }.joined(separator: "\n")

    @Test func helpIsWhatItWas() throws {
        if ProcessInfo.processInfo.environment["MILLRACE_TEST_UPDATE"] == "1" {
            try Self.current.write(to: Self.snapshot, atomically: true, encoding: .utf8)
        }
        let stored = try String(contentsOf: Self.snapshot, encoding: .utf8)
        #expect(stored == Self.current)
    }

    @Test func noLineIsLongerThanATerminalIsWide() {
        for line in Self.current.split(separator: "\n") { #expect(line.count <= 100, "\(line)") }
    }

    @Test func exitCodesAreDocumentedInTheProgramsHelp() {
        let help = CommandTable.help(for: CommandTable.root, path: ["millrace"])
            .split(separator: "\n").joined(separator: " ")
        for code in [
            "0 done", "1 refused", "2 wrong usage", "3 no broker", "4 wrong configuration", "5 damaged", "130", "143",
        ] {
            #expect(help.contains(code))
        }
    }

    /// The reference in the documentation has a section for every command, with every option.
    @Test func theReferenceNamesEveryCommandAndOption() throws {
        let file = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "../../Sources/millrace/millrace.docc/CommandLine.md").standardized
        let text = try String(contentsOf: file, encoding: .utf8)
        for (path, command) in CommandTable.walk() where command.action != nil {
            #expect(text.contains("`\(path.joined(separator: " "))"), "\(path)")
            for option in command.options { #expect(text.contains("`--\(option.long)"), "\(path) --\(option.long)") }
        }
    }
}

@Suite struct CompletionTests {
    @Test(arguments: ["bash", "zsh", "fish"])
    func everyCommandAndOptionCanBeCompleted(shell: String) {
        let script = CommandTable.completion(for: shell)
        for (path, command) in CommandTable.walk() {
            for sub in command.subcommands { #expect(script.contains(sub.name), "\(path) \(sub.name)") }
            for option in command.options {
                let word = shell == "fish" ? "-l \(option.long)" : "--\(option.long)"
                #expect(script.contains(word), "\(path) \(option.long)")
                for choice in option.choices { #expect(script.contains(choice), "\(path) \(choice)") }
            }
        }
    }

    @Test func bashCompletesCommandsOptionsAndValues() throws {
        guard FileManager.default.isExecutableFile(atPath: "/bin/bash") else {
            print("skipped: there is no /bin/bash")
            return
        }
        #expect(try bash("millrace to") == ["topic"])
        #expect(try bash("millrace topic de") == ["delete", "describe"])
        #expect(try bash("millrace topic create --par") == ["--partitions"])
        #expect(try bash("millrace topic ls --int") == ["--internal"])
        #expect(try bash("millrace produce t --codec ") == ["gzip", "lz4", "none", "snappy", "zstd"])
        #expect(try bash("millrace completion ").filter { !$0.hasPrefix("-") } == ["bash", "fish", "zsh"])
    }

    /// What bash offers at the end of `line`, sorted.
    private func bash(_ line: String) throws -> [String] {
        let words = line.split(separator: " ", omittingEmptySubsequences: false).map { "'\($0)'" }
        let script =
            CommandTable.completion(for: "bash")
            + "COMP_WORDS=(\(words.joined(separator: " "))); COMP_CWORD=\(words.count - 1); _millrace; "
            + "printf '%s\\n' \"${COMPREPLY[@]}\""
        return try ChildProgram.run("/bin/bash", ["--norc", "-c", script]).output.split(separator: "\n").map(String.init).sorted()
    }
}
