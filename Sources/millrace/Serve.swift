import CommandSyntax
import Configuration
import Glibc

/// `millrace serve`: options, start, the line that says how to connect, and the way out by a signal.
enum Serve {
    /// A stop that takes longer is cut short: what was acknowledged is on disk already.
    static let stopLimitSeconds = 30

    static func run(_ invocation: Invocation) throws {
        let configuration = try ConfigurationSources.load(invocation, flags: flags(invocation))
        // Before any thread starts, so that all of them inherit it and only `sigwait` here takes these signals.
        let signals = Signals([SIGTERM, SIGINT, SIGHUP])
        signals.block()
        // A client that goes away is an error of its connection, not the end of the process.
        signal(SIGPIPE, SIG_IGN)

        let began = Clock.milliseconds
        let broker: BrokerProcess
        do {
            broker = try BrokerProcess.start(configuration)
        } catch {
            throw CommandFailure("cannot start: \(error)")
        }
        Terminal.complain(greeting(broker, configuration, tookMs: Clock.milliseconds - began))

        let taken = signals.wait()
        Terminal.complain("millrace: \(Signals.name(taken)): stopping")
        watchStop(signals)
        do { try broker.stop() } catch { throw CommandFailure("stopped, but not in order: \(error)") }
        Terminal.complain("millrace: stopped")
    }

    /// The dedicated options as configuration keys.
    static func flags(_ invocation: Invocation) -> [(key: String, value: String, flag: String)] {
        var flags: [(key: String, value: String, flag: String)] = []
        if let folder = invocation.value("data-dir") { flags.append(("log.dirs", folder, "--data-dir")) }
        if let address = invocation.value("kafka") { flags.append(("listeners", address, "--kafka")) }
        if let address = invocation.value("http") {
            if address == "off" {
                flags.append(("http.enable", "false", "--http"))
            } else {
                flags.append(("http.listener", address, "--http"))
            }
        }
        return flags
    }

    /// What an operator needs to know first: how clients must connect.
    static func greeting(_ broker: BrokerProcess, _ configuration: Configuration, tookMs: Int64) -> String {
        var text = "millrace \(Version.current) is ready after \(tookMs) ms, data in \(configuration.dataFolder)\n"
        let kafka = broker.kafkaAddress
        text += "  Kafka clients: bootstrap.servers=\(reachable(kafka))"
        if let advertised = configuration.advertisedListener {
            text += "; they are then told to use \(advertised) (advertised.listeners)"
        } else if kafka.isWildcard {
            text += "; from elsewhere HOST:\(kafka.port) with any address of this machine"
        }
        if let http = broker.httpAddress { text += "\n  HTTP: http://\(reachable(http))" }
        return text
    }

    /// `address` as a client on this machine writes it.
    private static func reachable(_ address: Endpoint) -> String {
        address.isWildcard ? Endpoint(host: "localhost", port: address.port).description : address.description
    }

    /// Ends the process when a second signal comes, or when the stop takes too long.
    private static func watchStop(_ signals: Signals) {
        let thread = UnsafeMutablePointer<Signals>.allocate(capacity: 1)
        thread.initialize(to: signals)
        var id = pthread_t()
        let started = pthread_create(
            &id, nil,
            { context in
                let signals = context!.assumingMemoryBound(to: Signals.self).pointee
                if signals.wait(seconds: Serve.stopLimitSeconds) != nil {
                    Terminal.complain("millrace: a second signal: leaving at once")
                    _exit(ExitCode.interrupted.rawValue)
                }
                Terminal.complain("millrace: the stop took more than \(Serve.stopLimitSeconds) s: leaving at once")
                _exit(ExitCode.failed.rawValue)
            }, thread)
        // Without the watch a stop still ends; it only cannot be hurried.
        if started == 0 { pthread_detach(id) }
    }
}

/// A set of signals that are waited for instead of interrupting whoever runs.
struct Signals: Sendable {
    private let numbers: [Int32]

    init(_ numbers: [Int32]) { self.numbers = numbers }

    private var set: sigset_t {
        var set = sigset_t()
        sigemptyset(&set)
        for number in numbers { sigaddset(&set, number) }
        return set
    }

    /// For this thread and all that it starts from now on.
    func block() {
        var set = set
        pthread_sigmask(SIG_BLOCK, &set, nil)
    }

    func wait() -> Int32 {
        var set = set
        var taken: Int32 = 0
        while sigwait(&set, &taken) != 0 {}
        return taken
    }

    /// `nil` after `seconds` without one.
    func wait(seconds: Int) -> Int32? {
        var set = set
        let end = Clock.milliseconds + Int64(seconds) * 1000
        while true {
            let left = max(0, end - Clock.milliseconds)
            var limit = timespec(tv_sec: Int(left / 1000), tv_nsec: Int(left % 1000) * 1_000_000)
            let taken = sigtimedwait(&set, nil, &limit)
            if taken > 0 { return taken }
            if errno != EINTR { return nil }
        }
    }

    static func name(_ number: Int32) -> String {
        switch number {
        case SIGTERM: "SIGTERM"
        case SIGINT: "SIGINT"
        case SIGHUP: "SIGHUP"
        default: "signal \(number)"
        }
    }
}
