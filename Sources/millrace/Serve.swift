import ByteBuffers
import CommandSyntax
import Configuration
import Glibc
import Server
import Telemetry

/// `millrace serve`: options, start, the line that says how to connect, and the way out by a signal. All that it has to say
/// is a line of the log.
enum Serve {
    /// A stop that takes longer is cut short: what was acknowledged is on disk already.
    static let stopLimitSeconds = 30

    static func run(_ invocation: Invocation) throws {
        Heap.boundKeptMemory()
        let configuration = try load(invocation)
        // Before any thread starts, so that all of them inherit it and only `sigwait` here takes these signals.
        let signals = Signals([SIGTERM] + [SIGINT, SIGHUP].filter { !Signals.isIgnored($0) })
        signals.block()
        // A client that goes away is an error of its connection, not the end of the process.
        signal(SIGPIPE, SIG_IGN)

        let began = Clock.milliseconds
        let node: Node
        do {
            node = try Node.start(configuration)
        } catch {
            Log.error("cannot start", "reason", "\(error)")
            throw CommandFailure("")
        }
        greet(node, configuration, tookMs: Clock.milliseconds - began)

        let taken = waitForStop(signals)
        Log.info("stopping", "signal", Signals.name(taken))
        watchStop(signals.without(SIGHUP))
        do { try node.stop() } catch {
            Log.error("stopped, but not in order", "reason", "\(error)")
            throw CommandFailure("")
        }
        Log.info("stopped")
    }

    /// Reads the configuration, and lets the log be what it says, also for what is wrong with it.
    private static func load(_ invocation: Invocation) throws -> Configuration {
        do {
            let configuration = try ConfigurationSources.load(invocation, flags: flags(invocation))
            configureLog(configuration)
            return configuration
        } catch let error as ConfigurationError {
            configureLog(error.valid)
            for problem in error.problems { Log.error("wrong configuration", "problem", problem) }
            throw CommandFailure("", .configuration)
        }
    }

    private static func configureLog(_ configuration: Configuration) {
        guard let level = Log.Level(name: configuration.logLevel),
            let format = Log.Format(name: configuration.logFormat)
        else { preconditionFailure("the configuration allows what the log has not") }
        Log.configure(level: level, format: format)
    }

    /// SIGHUP is the word for reading the configuration again, of which no key can be changed at run time yet; so it
    /// is told and no more. One that the kernel sends is something else: the terminal is gone, and with it whoever
    /// started the broker in its foreground.
    private static func waitForStop(_ signals: Signals) -> Int32 {
        while true {
            let taken = signals.wait()
            if taken.number != SIGHUP { return taken.number }
            if taken.isFromKernel {
                Log.warning("the terminal is gone; nohup, or a service manager, keeps a broker without one")
                return SIGHUP
            }
            Log.info("SIGHUP: there is nothing to reload; SIGTERM stops the broker")
        }
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
    private static func greet(_ node: Node, _ configuration: Configuration, tookMs: Int64) {
        let kafka = node.kafkaAddress
        Log.info(
            "ready", "version", Version.current, "took_ms", tookMs, "data", configuration.dataFolder, "listeners",
            kafka,
            "bootstrap.servers", reachable(kafka), "http", node.httpAddress.map { "http://" + reachable($0) } ?? "off"
        )
        if let advertised = configuration.advertisedListener {
            Log.info("clients are told another address than they came by", "advertised.listeners", advertised)
        }
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
                if let taken = signals.wait(seconds: Serve.stopLimitSeconds) {
                    Log.warning("a second signal: leaving at once", "signal", Signals.name(taken))
                    _exit(ExitCode.ofSignal + taken)
                }
                Log.error("the stop took too long: leaving at once", "seconds", Serve.stopLimitSeconds)
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

    /// Whether the process was started with this signal ignored, as `nohup` does with SIGHUP and a shell with SIGINT of
    /// what it puts into the background. To be left so: blocked, it would be waited for nevertheless.
    static func isIgnored(_ number: Int32) -> Bool {
        var action = sigaction()
        sigaction(number, nil, &action)
        return unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self) == Int(bitPattern: 1)
    }

    func without(_ number: Int32) -> Signals { Signals(numbers.filter { $0 != number }) }

    func wait() -> (number: Int32, isFromKernel: Bool) {
        var set = set
        var information = siginfo_t()
        while true {
            let taken = sigwaitinfo(&set, &information)
            // 0x80: SI_KERNEL, nobody's `kill`.
            if taken > 0 { return (taken, information.si_code == 0x80) }
        }
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
