import ByteBuffers
import CommandSyntax
import Configuration
import ConsoleCommands
import Glibc
import Server
import Telemetry

/// `millrace serve`: options, start, the line that says how to connect, and the way out by a signal. All that it has to say
/// is a line of the log.
enum Serve {
    /// A stop that takes longer is cut short: what was acknowledged is on disk already.
    static let stopLimitSeconds = 30

    static func run(_ invocation: Invocation, environment: [String: String]) throws {
        Heap.boundKeptMemory()
        let configuration = try load(invocation, environment)
        // Before any thread starts, so that all of them inherit it and only `sigwait` here takes these signals.
        let signals = Signals([SIGTERM] + [SIGINT, SIGHUP].filter { !Signals.isIgnored($0) })
        signals.block()
        // A client that goes away is an error of its connection, not the end of the process.
        signal(SIGPIPE, SIG_IGN)

        let began = MonotonicClock.milliseconds
        let node: Node
        do {
            node = try Node.start(configuration)
        } catch let error as ConfigurationError {
            for problem in error.problems { Log.error("wrong configuration", "problem", problem) }
            throw CommandFailure("", .configuration)
        } catch {
            Log.error("cannot start", "reason", "\(error)")
            throw CommandFailure("")
        }
        greet(node, configuration, tookMs: MonotonicClock.milliseconds - began)

        let record = ConfigurationSources.file(invocation, environment).map {
            RoutesRecord(
                pid: getpid(), file: ConfigurationSources.absolute($0), reads: 1,
                values: RoutesRecord.values(of: configuration))
        }
        let reloader = Reloader(node, configuration, record) {
            Result { () throws(ConfigurationError) in
                try ConfigurationSources.load(invocation, environment: environment, flags: flags(invocation))
            }
        }
        let taken = waitForStop(signals) { reloader.reload() }
        Log.info("stopping", "signal", Signals.name(taken))
        watchStop(signals.without(SIGHUP))
        do { try node.stop() } catch {
            Log.error("stopped, but not in order", "reason", "\(error)")
            throw CommandFailure("")
        }
        Log.info("stopped")
    }

    /// Reads the configuration, and lets the log be what it says, also for what is wrong with it.
    private static func load(_ invocation: Invocation, _ environment: [String: String]) throws -> Configuration {
        do throws(ConfigurationError) {
            let configuration = try ConfigurationSources.load(
                invocation, environment: environment, flags: flags(invocation))
            configureLog(configuration)
            return configuration
        } catch {
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

    /// SIGHUP is the word for reading the configuration again. One that the kernel sends is something else: the terminal is gone,
    /// and with it whoever started the broker in its foreground.
    private static func waitForStop(_ signals: Signals, reload: () -> Void) -> Int32 {
        while true {
            let taken = signals.wait()
            if taken.number != SIGHUP { return taken.number }
            if taken.isFromKernel {
                Log.warning("the terminal is gone; nohup, or a service manager, keeps a broker without one")
                return SIGHUP
            }
            reload()
        }
    }

    /// The dedicated options as configuration keys.
    static func flags(_ invocation: Invocation) -> [(key: String, value: String, flag: String)] {
        var flags: [(key: String, value: String, flag: String)] = []
        if let folder = invocation[ServeOptions.dataDir] { flags.append(("log.dirs", folder, "--data-dir")) }
        if let address = invocation[ServeOptions.kafka] { flags.append(("listeners", address, "--kafka")) }
        if let address = invocation[ServeOptions.http] {
            if address == "off" {
                flags.append(("http.enable", "false", "--http"))
            } else {
                flags.append(("http.listener", address, "--http"))
            }
        }
        if invocation[ServeOptions.insecure] { flags.append(("security.allow.open", "true", "--insecure")) }
        return flags
    }

    /// What an operator needs to know first: how clients must connect.
    private static func greet(_ node: Node, _ configuration: Configuration, tookMs: Int64) {
        let kafka = reachable(node.kafkaAddress)
        let http = node.httpAddresses.map { ListenerAddress(name: $0.name, endpoint: reachable($0.endpoint)) }
        Log.info(
            "ready", "version", Version.current, "took_ms", tookMs, "data", configuration.dataFolder, "listeners",
            listed(node.kafkaAddresses), "bootstrap.servers", kafka.description, "http",
            http.isEmpty ? "off" : listed(http))
        if Signals.isIgnored(SIGHUP) {
            Log.info(
                "SIGHUP is ignored, as nohup starts a program: it reloads nothing", "instead",
                "POST /v1/configuration:reload at admin.listener, or a start without nohup")
        }
        if !node.adminAddresses.isEmpty { Log.info("for operators", "admin.listener", listed(node.adminAddresses)) }
        if !configuration.advertisedListeners.isEmpty {
            Log.info(
                "clients are told another address than they came by", "advertised.listeners",
                listed(configuration.advertisedListeners))
        }
    }

    /// With the names that say what is spoken; the usual one of Kafka's is left out.
    private static func listed(_ addresses: [ListenerAddress]) -> String {
        addresses.map { $0.text(usual: Configuration.usualKafkaName) }.joined(separator: ",")
    }

    /// `address` as a client on this machine writes it.
    private static func reachable(_ address: Endpoint) -> Endpoint {
        address.isWildcard ? Endpoint(host: "localhost", port: address.port) : address
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
