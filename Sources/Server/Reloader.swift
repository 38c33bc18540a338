import ByteBuffers
public import Configuration
public import IngestGateway
import Telemetry

/// Reads the configuration file again while the broker runs: for SIGHUP, and for who asks at the listener of operators. One at a time,
/// so that what the data folder tells (`RoutesRecord`) is what is served.
///
/// Of the file the routes and topics are taken; a broker key has the value that it had at the start. A file that is wrong changes
/// nothing.
public final class Reloader: ConfigurationReader {
    private let node: Node
    private let started: Configuration
    private let read: @Sendable () -> Result<Configuration, ConfigurationError>
    private let state: Lock<State>
    private struct State {
        /// What is served; nil: the broker was started without a file.
        var record: RoutesRecord?
        var isBusy = false
    }

    /// How long a signal waits for who asked before it, and looks again.
    private static let pauseMs: Int64 = 20

    /// Takes over what the data folder tells, and lets operators ask for another look until the node stops.
    ///
    /// - Parameters:
    ///   - started: what the node was started with.
    ///   - record: what it serves by a file; nil: there is none.
    public init(
        _ node: Node, _ started: Configuration, _ record: RoutesRecord?,
        read: @escaping @Sendable () -> Result<Configuration, ConfigurationError>
    ) {
        self.node = node
        self.started = started
        self.read = read
        var record = record
        record?.leftAsTheyAre = (try? node.checkRoutes(of: started)) ?? []
        state = Lock(State(record: record))
        guard let record else { return }
        node.record(record, in: started.dataFolder)
        node.gateway?.readConfiguration(by: self)
    }

    /// Does what SIGHUP asks for, once whoever asks at the same time has his answer.
    public func reload() {
        let pause = Signal()
        while !begin() { pause.wait(timeoutMs: Self.pauseMs) }
        defer { end() }
        let certificates = node.reloadCertificates()
        if let record = state.withLock({ $0.record }) {
            _ = take(record)
        } else if !certificates {
            Log.info("SIGHUP: there is nothing to reload; SIGTERM stops the broker")
        }
    }

    public func reload(isTrial: Bool) -> ReloadOutcome? {
        guard begin() else { return nil }
        defer { end() }
        guard let record = state.withLock({ $0.record }) else { preconditionFailure("a reload of no file") }
        if isTrial { return attempt(record) }
        _ = node.reloadCertificates()
        return take(record)
    }

    private func begin() -> Bool {
        state.withLock { state in
            defer { state.isBusy = true }
            return !state.isBusy
        }
    }

    private func end() { state.withLock { $0.isBusy = false } }

    /// Says what would come of it.
    private func attempt(_ served: RoutesRecord) -> ReloadOutcome {
        var outcome = ReloadOutcome(file: served.file)
        do throws(ConfigurationError) {
            let configuration = try read().get()
            outcome.leftAsTheyAre = try node.checkRoutes(of: configuration)
            tell(of: configuration, served, &outcome)
        } catch {
            outcome.problems = error.problems
        }
        return outcome
    }

    private func take(_ before: RoutesRecord) -> ReloadOutcome {
        var outcome = ReloadOutcome(file: before.file)
        var served = before
        served.reads += 1
        served.problems = []
        do throws(ConfigurationError) {
            let configuration = try read().get()
            outcome.leftAsTheyAre = try node.replaceRoutes(by: configuration)
            served.leftAsTheyAre = outcome.leftAsTheyAre
            tell(of: configuration, before, &outcome)
            if !outcome.waitingKeys.isEmpty {
                Log.warning(
                    "keys that have changed are read at the next start", "keys",
                    outcome.waitingKeys.joined(separator: ","))
            }
            served.values = RoutesRecord.values(of: configuration)
            Log.info("routes reloaded", "file", served.file)
        } catch {
            outcome.problems = error.problems
            served.problems = error.problems.map(\.description)
            for problem in error.problems { Log.error("wrong configuration: the old routes stay", "problem", problem) }
        }
        node.record(served, in: started.dataFolder)
        state.withLock { $0.record = served }
        return outcome
    }

    private func tell(of configuration: Configuration, _ served: RoutesRecord, _ outcome: inout ReloadOutcome) {
        outcome.changes = served.changes(to: RoutesRecord.values(of: configuration))
        outcome.waitingKeys = configuration.keysThatDiffer(from: started)
    }
}
