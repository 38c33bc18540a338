public import CommandSyntax
public import Configuration
import KafkaClient

/// From the words of the command line to an exit code.
public enum ConsoleProgram {
    /// Runs the command that `arguments` name (without the program's own name), and gives how the program leaves.
    ///
    /// - Parameters:
    ///   - check: throws what the start of a broker would find wrong with a configuration whose values are allowed: its
    ///     certificates. The executable's, for the broker is.
    ///   - serve: runs the broker, which is the executable's: it lives as long as the process.
    public static func run(
        _ arguments: [String], _ console: Console, check: (Configuration) throws -> Void = { _ in },
        serve: (Invocation) throws -> Void
    ) -> Int32 {
        do {
            switch try CommandTable.parse(arguments) {
            case .help(let command, let path): console.output.write(CommandTable.help(for: command, path: path))
            case .version: console.output.write("millrace \(Version.current)\n")
            case .run(let invocation): try perform(invocation, console, check, serve)
            }
            try console.output.finish()
            return ExitCode.done.rawValue
        } catch let error as UsageError {
            return leave(console, error.description, .usage)
        } catch let error as ConfigurationError {
            return leave(console, error.description, .configuration)
        } catch let error as ClientError {
            return leave(
                console, error == .cancelled ? "" : error.description, ExitCode(error, console.interruption))
        } catch let error as CommandFailure {
            return leave(console, error.message, error.code)
        } catch {
            return leave(console, "\(error)", .failed)
        }
    }

    private static func leave(_ console: Console, _ message: String, _ code: ExitCode) -> Int32 {
        // What was written out before the failure is still of use.
        try? console.output.finish()
        if !message.isEmpty { console.complain("millrace: " + message) }
        return code.rawValue
    }

    private static func performOnJobs(_ invocation: Invocation, _ console: Console) throws {
        switch invocation.action {
        case .jobDescribe: try JobCommands.describe(invocation, console)
        case .jobCancel: try JobCommands.cancel(invocation, console)
        default: try JobCommands.list(invocation, console)
        }
    }

    private static func measure(_ invocation: Invocation, _ console: Console) throws {
        switch invocation.action {
        case .benchProduce: try BenchProduceCommand.run(invocation, console)
        case .benchConsume: try BenchConsumeCommand.run(invocation, console)
        default: try BenchIngestCommand.run(invocation, console)
        }
    }

    private static func perform(
        _ invocation: Invocation, _ console: Console, _ check: (Configuration) throws -> Void,
        _ serve: (Invocation) throws -> Void
    ) throws {
        switch invocation.action {
        case .serve: try serve(invocation)
        case .configKeys: try ConfigCommands.keys(invocation, console)
        case .configCheck: try ConfigCommands.check(invocation, console, check)
        case .gatewayValidate: try GatewayCommands.validate(invocation, console)
        case .gatewayPlan: try GatewayPlan.plan(invocation, console)
        case .gatewayApply: try GatewayPlan.apply(invocation, console)
        case .clusterInfo: try ClusterCommands.info(invocation, console)
        case .topicCreate: try TopicCommands.create(invocation, console)
        case .topicList: try TopicCommands.list(invocation, console)
        case .topicDescribe: try TopicCommands.describe(invocation, console)
        case .topicAlter: try TopicCommands.alter(invocation, console)
        case .topicTrim: try TrimCommand.run(invocation, console)
        case .topicDelete: try TopicCommands.delete(invocation, console)
        case .produce: try ProduceCommand.run(invocation, console)
        case .consume: try ConsumeCommand.run(invocation, console)
        case .queueCreate: try QueueCommands.create(invocation, console)
        case .queueList: try QueueCommands.list(invocation, console)
        case .queueDescribe: try QueueCommands.describe(invocation, console)
        case .queueCapacity: try QueueCommands.capacity(invocation, console)
        case .queueSend: try QueueCommands.send(invocation, console)
        case .queueReceive: try QueueCommands.receive(invocation, console)
        case .queuePurge: try QueueCommands.purge(invocation, console)
        case .queueRedrive: try QueueCommands.redrive(invocation, console)
        case .queueDelete: try QueueCommands.delete(invocation, console)
        case .forwarderList, .subscriptionList: try TakerCommands.list(invocation, console)
        case .jobList, .jobDescribe, .jobCancel: try performOnJobs(invocation, console)
        case .groupList: try GroupCommands.list(invocation, console)
        case .groupDescribe: try GroupCommands.describe(invocation, console)
        case .groupResetOffsets: try ResetOffsets.run(invocation, console)
        case .groupDelete: try GroupCommands.delete(invocation, console)
        case .userCreate: try UserCommands.create(invocation, console)
        case .userList: try UserCommands.list(invocation, console)
        case .userAlter: try UserCommands.alter(invocation, console)
        case .userDelete: try UserCommands.delete(invocation, console)
        case .aclAdd: try AclCommands.add(invocation, console)
        case .aclList: try AclCommands.list(invocation, console)
        case .aclDelete: try AclCommands.delete(invocation, console)
        case .keyCreate: try KeyCommands.create(invocation, console)
        case .keyList: try KeyCommands.list(invocation, console)
        case .keyRotate: try KeyCommands.rotate(invocation, console)
        case .keyRevoke: try KeyCommands.revoke(invocation, console)
        case .quotaSet: try QuotaCommands.set(invocation, console)
        case .quotaList: try QuotaCommands.list(invocation, console)
        case .quotaDelete: try QuotaCommands.delete(invocation, console)
        case .logDump: try LogDumpCommand.run(invocation, console)
        case .logVerify: try LogVerifyCommand.run(invocation, console)
        case .logRepair: try LogRepair.run(invocation, console)
        case .benchProduce, .benchConsume, .benchIngest: try measure(invocation, console)
        case .trace: try TraceCommand.run(invocation, console)
        case .mockAPI: try MockAPICommand.run(invocation, console)
        case .mockEvents: try MockEventsCommand.run(invocation, console)
        case .completion: console.output.write(CommandTable.completion(for: invocation.operands[0]))
        case .version: version(invocation, console)
        }
    }

    private static func version(_ invocation: Invocation, _ console: Console) {
        guard invocation[CommonOptions.json] else { return console.output.write("millrace \(Version.current)\n") }
        console.output.writeJSON { json in
            json.object { json in
                json.member("name", "millrace")
                json.member("version", Version.current)
            }
        }
    }
}

extension Invocation {
    var action: Command.Action {
        guard let action = command.action else {
            preconditionFailure("\(name) was parsed as a command with an action")
        }
        return action
    }
}
