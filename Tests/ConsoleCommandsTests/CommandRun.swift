import BrokerTestKit
import ConsoleCommands
import Foundation
import Glibc
import Server
import Synchronization
import Testing

/// A command that runs in this process as `main` would run it: how it left, and what it wrote.
struct CommandRun: Sendable {
    let status: Int32
    let output: String
    let errors: String

    /// The lines that it wrote.
    var lines: [String] { output.split(separator: "\n").map(String.init) }

    /// Runs the words of a command line to its end. Streams are files; `input` may be a pipe of the caller's instead.
    static func of(
        _ words: [String], input: Int32? = nil, text: String = "", environment: [String: String] = [:],
        showsProgress: Bool = false, interruption: Interruption = Interruption(), output: Int32? = nil
    ) throws -> CommandRun {
        let folder = try TemporaryFolder()
        let streams = ["input", "output", "errors"].map { open(folder($0), O_RDWR | O_CREAT | O_CLOEXEC, 0o600) }
        defer { for stream in streams { close(stream) } }
        try #require(streams.allSatisfy { $0 >= 0 })
        try #require(write(streams[0], text, text.utf8.count) == text.utf8.count)
        lseek(streams[0], 0, SEEK_SET)
        let console = Console(
            input: input ?? streams[0], output: output ?? streams[1], errors: streams[2],
            showsProgress: showsProgress, environment: environment, interruption: interruption)
        let status = ConsoleProgram.run(
            words, console, check: { try Node.check($0) }, serve: { _ in Issue.record("no command here serves") })
        return CommandRun(
            status: status, output: try String(contentsOfFile: folder("output"), encoding: .utf8),
            errors: try String(contentsOfFile: folder("errors"), encoding: .utf8))
    }
}

/// A command that runs on a thread of its own until it ends by itself or is interrupted.
final class BegunCommand: Sendable {
    let interruption = Interruption()
    private let input: Int32
    private let done = Mutex<CommandRun?>(nil)
    private let ended = DispatchSemaphore(value: 0)

    init(_ words: [String], environment: [String: String]) throws {
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        let reader = ends[0]
        input = ends[1]
        Thread.detachNewThread { [self] in
            let run = try? CommandRun.of(
                words, input: reader, environment: environment, interruption: interruption)
            close(reader)
            done.withLock { $0 = run }
            ended.signal()
        }
    }

    /// Types `text`.
    func type(_ text: String) { _ = write(input, text, text.utf8.count) }

    /// Ends the input.
    func endInput() { close(input) }

    func end() throws -> CommandRun {
        ended.wait()
        return try #require(done.withLock { $0 })
    }
}
