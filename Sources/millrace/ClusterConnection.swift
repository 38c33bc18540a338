import CommandSyntax
import Configuration
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
        if let milliseconds = try invocation.milliseconds("timeout", bareMs: 1000, in: 1...86_400_000) {
            options.requestTimeoutMs = milliseconds
            options.connectTimeoutMs = min(options.connectTimeoutMs, options.requestTimeoutMs)
        }
        Interruption.install()
        options.isCancelled = { Interruption.cancels }
        return Cluster(bootstrap: bootstrap, options: options)
    }
}

extension ExitCode {
    init(_ error: ClientError) {
        switch error {
        case .unreachable, .timedOut: self = .unreachable
        case .cancelled: self = Interruption.exitCode
        case .invalidAnswer, .noSuchTopic, .unsupported, .refused: self = .failed
        }
    }
}
