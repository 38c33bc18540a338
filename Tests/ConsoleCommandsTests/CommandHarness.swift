import BrokerTestKit
import Configuration
import Foundation
import Server
import Testing

/// A broker of this process, and commands that talk to it.
final class CommandHarness {
    let folder: TemporaryFolder
    let node: Node
    let environment: [String: String]

    /// - Parameter more: configuration beside what every one has.
    init(_ more: [String: String] = [:]) throws {
        let folder = try TemporaryFolder()
        node = try Node.start(
            folder: folder.path,
            ["http.enable": "false", "group.initial.rebalance.delay.ms": "0"].merging(more) { $1 })
        self.folder = folder
        environment = ["MILLRACE_BOOTSTRAP": node.kafkaAddress.description]
    }

    /// Of its gateway, where `http.enable` is on.
    var httpAddress: String { node.httpAddresses[0].endpoint.description }

    deinit { try? stop() }

    /// Stops the broker; its data stays.
    func stop() throws {
        guard isRunning else { return }
        isRunning = false
        try node.stop()
    }

    private var isRunning = true

    /// How long a command waits for an answer: longer than a disk that everybody uses takes for a sync.
    static let patience = ["--timeout", "5m"]

    /// Runs a command, which must end with `status`.
    @discardableResult
    func run(
        _ words: String..., text: String = "", environment more: [String: String] = [:], status: Int32 = 0,
        location: SourceLocation = #_sourceLocation
    ) throws -> CommandRun {
        let run = try CommandRun.of(
            words + Self.patience, text: text, environment: environment.merging(more) { $1 })
        #expect(run.status == status, "\(words): \(run.output)\(run.errors)", sourceLocation: location)
        return run
    }

    func begin(_ words: String...) throws -> BegunCommand {
        try BegunCommand(words + Self.patience, environment: environment)
    }

    /// Runs `condition` again and again until it is true.
    func wait(_ what: Comment, until condition: () throws -> Bool) throws {
        for _ in 0..<2_000 {
            if try condition() { return }
            usleep(10_000)
        }
        Issue.record(what)
    }
}

/// JSON as a command wrote it.
struct JSON {
    private let value: Any?

    init(_ text: String) throws { value = try JSONSerialization.jsonObject(with: Data(text.utf8)) }

    private init(_ value: Any?) { self.value = value }

    subscript(name: String) -> JSON { JSON((value as? [String: Any])?[name]) }

    subscript(index: Int) -> JSON {
        guard let values = value as? [Any], values.indices.contains(index) else { return JSON(nil) }
        return JSON(values[index])
    }

    var integer: Int? { value as? Int }
    var text: String? { value as? String }
    var count: Int? { (value as? [Any])?.count }
}
