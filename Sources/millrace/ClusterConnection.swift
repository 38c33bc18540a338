import CommandSyntax
import Glibc
import KafkaClient
import Synchronization

/// From a command's options to the cluster it talks to.
enum ClusterConnection {
    static func open(_ invocation: Invocation) throws -> Cluster {
        let text =
            invocation.value("bootstrap") ?? getenv("MILLRACE_BOOTSTRAP").map { String(cString: $0) }
            ?? "localhost:\(BrokerAddress.defaultPort)"
        guard let bootstrap = BrokerAddress.list(text) else {
            throw UsageError(
                "--bootstrap \(text): must be HOST:PORT, several with commas between them", command: invocation.name)
        }
        var options = ClientOptions()
        options.softwareVersion = Version.current
        if let seconds = try invocation.integer("timeout", in: Int64(1)...86_400) {
            options.requestTimeoutMs = seconds * 1000
            options.connectTimeoutMs = min(options.connectTimeoutMs, options.requestTimeoutMs)
        }
        Interruption.install()
        options.isCancelled = { Interruption.wasRequested }
        return Cluster(bootstrap: bootstrap, options: options)
    }
}

/// SIGINT and SIGTERM while a client command runs: it ends its work in order (commits, leaves its group). A second
/// signal ends the process at once.
enum Interruption {
    private static let requested = Atomic<Bool>(false)

    static var wasRequested: Bool { requested.load(ordering: .relaxed) }

    /// Work that must still be done after an interruption is not cancelled by it.
    static func clear() { requested.store(false, ordering: .relaxed) }

    static func install() {
        var action = sigaction()
        action.__sigaction_handler.sa_handler = { _ in
            // Async-signal-safe: an atomic store and, the second time, _exit.
            if Interruption.requested.exchange(true, ordering: .relaxed) {
                _exit(ExitCode.interrupted.rawValue)
            }
        }
        // Without SA_RESTART: a waiting call returns and looks at the flag.
        sigaction(SIGINT, &action, nil)
        sigaction(SIGTERM, &action, nil)
        // A reader of our output that goes away is seen at the write, so that a group is still left in order.
        signal(SIGPIPE, SIG_IGN)
    }
}

extension ExitCode {
    init(_ error: ClientError) {
        switch error {
        case .unreachable, .timedOut: self = .unreachable
        case .cancelled: self = .interrupted
        case .invalidAnswer, .noSuchTopic, .unsupported, .refused: self = .failed
        }
    }
}
