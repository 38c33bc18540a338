import CommandSyntax
import Configuration
import Glibc
import KafkaClient

/// How the program leaves; the numbers are documented in the help of `millrace`.
enum ExitCode: Int32 {
    case done = 0
    /// Refused by the broker, or failed in part.
    case failed = 1
    case usage = 2
    /// No broker reached, or no answer in time.
    case unreachable = 3
    case configuration = 4
    /// Damaged data found.
    case damaged = 5
    /// The end by a signal is 128 and its number, as a shell has it.
    static let ofSignal: Int32 = 128
    case hungUp = 129
    case interrupted = 130
    case terminated = 143
}

/// The end of a command that did not do what was asked, with what to tell the user.
struct CommandFailure: Error {
    var code: ExitCode
    /// Empty: everything was told already.
    var message: String

    init(_ message: String, _ code: ExitCode = .failed) {
        self.message = message
        self.code = code
    }
}

/// From the words of the command line to an exit code.
enum Program {
    static func run(_ arguments: [String]) -> Int32 {
        // A limit of the size of files (`ulimit -f`) is an error of the write that meets it, not the end of the process.
        signal(SIGXFSZ, SIG_IGN)
        do {
            switch try CommandTable.parse(arguments) {
            case .help(let command, let path): Output.standard.write(CommandTable.help(for: command, path: path))
            case .version: Output.standard.write("millrace \(Version.current)\n")
            case .run(let invocation): try perform(invocation)
            }
            try Output.standard.finish()
            return ExitCode.done.rawValue
        } catch let error as UsageError {
            return leave(error.description, .usage)
        } catch let error as ConfigurationError {
            return leave(error.description, .configuration)
        } catch let error as ClientError {
            return error == .cancelled ? leave("", Interruption.exitCode) : leave(error.description, ExitCode(error))
        } catch let error as CommandFailure {
            return leave(error.message, error.code)
        } catch {
            return leave("\(error)", .failed)
        }
    }

    private static func leave(_ message: String, _ code: ExitCode) -> Int32 {
        // What was written out before the failure is still of use.
        try? Output.standard.finish()
        if !message.isEmpty { Terminal.complain("millrace: " + message) }
        return code.rawValue
    }

    private static func perform(_ invocation: Invocation) throws {
        guard let action = invocation.command.action else {
            preconditionFailure("\(invocation.name) was parsed as a command with an action")
        }
        switch action {
        case .serve: try Serve.run(invocation)
        case .configKeys: try ConfigCommands.keys(invocation)
        case .configCheck: try ConfigCommands.check(invocation)
        case .clusterInfo: try ClusterCommands.info(invocation)
        case .topicCreate: try TopicCommands.create(invocation)
        case .topicList: try TopicCommands.list(invocation)
        case .topicDescribe: try TopicCommands.describe(invocation)
        case .topicAlter: try TopicCommands.alter(invocation)
        case .topicTrim: try TrimCommand.run(invocation)
        case .topicDelete: try TopicCommands.delete(invocation)
        case .produce: try ProduceCommand.run(invocation)
        case .consume: try ConsumeCommand.run(invocation)
        case .groupList: try GroupCommands.list(invocation)
        case .groupDescribe: try GroupCommands.describe(invocation)
        case .groupResetOffsets: try ResetOffsets.run(invocation)
        case .groupDelete: try GroupCommands.delete(invocation)
        case .logDump: try LogCommands.dump(invocation)
        case .logVerify: try LogCommands.verify(invocation)
        case .logRepair: try LogRepair.run(invocation)
        case .benchProduce: try BenchProduceCommand.run(invocation)
        case .benchConsume: try BenchConsumeCommand.run(invocation)
        case .benchIngest: try BenchIngestCommand.run(invocation)
        case .completion: Output.standard.write(CommandTable.completion(for: invocation.operands[0]))
        case .version: version(invocation)
        }
    }

    private static func version(_ invocation: Invocation) {
        guard invocation.has("json") else { return Output.standard.write("millrace \(Version.current)\n") }
        Output.standard.writeJSON { json in
            json.object { json in
                json.member("name", "millrace")
                json.member("version", Version.current)
            }
        }
    }
}
