import CommandSyntax
import Configuration
import KafkaClient

/// How a command reaches its cluster: brokers to ask first, and how long to wait.
struct ClusterConnection: Sendable {
    private let bootstrap: [BrokerAddress]
    private let options: ClientOptions

    /// Takes them from the command's options, else from the environment.
    init(_ invocation: Invocation, _ console: Console) throws {
        let text =
            invocation[CommonOptions.bootstrap] ?? console.environment["MILLRACE_BOOTSTRAP"]
            ?? "localhost:\(BrokerAddress.defaultPort)"
        guard let bootstrap = BrokerAddress.list(text) else {
            throw UsageError(
                "--bootstrap \(text): must be HOST:PORT, several with commas between them", command: invocation.name)
        }
        self.bootstrap = bootstrap
        var options = ClientOptions()
        options.softwareVersion = Version.current
        if let milliseconds = invocation[CommonOptions.timeout] {
            options.requestTimeoutMs = milliseconds
            options.connectTimeoutMs = min(options.connectTimeoutMs, options.requestTimeoutMs)
        }
        options.login = try Self.login(console, invocation)
        let interruption = console.interruption
        interruption.begin()
        options.isCancelled = { interruption.cancels }
        self.options = options
    }

    /// Who the environment says that the command is, for a listener that asks.
    private static func login(_ console: Console, _ invocation: Invocation) throws -> ClientOptions.Login? {
        guard let user = console.environment["MILLRACE_LOGIN"], !user.isEmpty else { return nil }
        guard let file = console.environment["MILLRACE_LOGIN_FILE"] else {
            throw UsageError(
                "MILLRACE_LOGIN=\(user): MILLRACE_LOGIN_FILE has to name a file with the password",
                command: invocation.name)
        }
        return ClientOptions.Login(user: user, password: try PasswordFile.read(file, console))
    }

    /// Gives a client of its own: each thread needs one.
    func open() -> Cluster { Cluster(bootstrap: bootstrap, options: options) }

    /// The cluster that a command of one thread talks to.
    static func open(_ invocation: Invocation, _ console: Console) throws -> Cluster {
        try ClusterConnection(invocation, console).open()
    }
}

extension ExitCode {
    init(_ error: ClientError, _ interruption: Interruption) {
        switch error {
        case .unreachable, .timedOut: self = .unreachable
        case .cancelled: self = interruption.exitCode
        case .invalidAnswer, .noSuchTopic, .unsupported, .refused: self = .failed
        }
    }
}
