import ByteBuffers
import CommandSyntax
import Configuration
import Glibc
import IngestGateway
import StorageIO

/// `millrace gateway plan` and `apply`: a configuration file beside the routes that a broker serves.
enum GatewayPlan {
    /// How long a broker may take to read its file again: making a topic waits for the disk.
    private static let patienceMs: Int64 = 30_000
    private static let pauseMs: Int64 = 20

    static func plan(_ invocation: Invocation, _ console: Console) throws {
        let (_, record, changes) = try compare(invocation, console)
        for change in changes { console.output.write(change + "\n") }
        // What a file says otherwise of topics and queues, the broker has not looked at yet.
        let declaredAsServed = !changes.contains { change in
            ["topics.", "queues."].contains { change.dropFirst(2).hasPrefix($0) }
        }
        if declaredAsServed { tell(record.leftAsTheyAre, console) }
        if changes.isEmpty { return console.output.write("no difference to what is served by \(record.file)\n") }
        throw CommandFailure("", .differs)
    }

    static func apply(_ invocation: Invocation, _ console: Console) throws {
        let (folder, record, changes) = try compare(invocation, console)
        if let file = ConfigurationSources.file(invocation, console.environment),
            ConfigurationSources.absolute(file) != record.file
        {
            throw CommandFailure(
                "the broker reads \(record.file), not \(file); change that file, or start the broker with the other",
                .configuration)
        }
        if changes.isEmpty, record.problems.isEmpty {
            tell(record.leftAsTheyAre, console)
            return console.output.write("nothing to change\n")
        }
        guard try isServed(folder) else { throw nobodyServes(folder) }
        if ignoresHangUp(record.pid) {
            throw CommandFailure(
                "the broker was started with SIGHUP ignored, as nohup does: ask it by POST /v1/configuration:reload at its "
                    + "admin.listener, or start it without nohup", .unreachable)
        }
        guard kill(record.pid, SIGHUP) == 0 else { throw nobodyServes(folder) }
        let taken = try outcome(after: record, folder)
        guard taken.problems.isEmpty else {
            throw CommandFailure(taken.problems.joined(separator: "\n"), .configuration)
        }
        for change in record.changes(to: taken.values) { console.output.write(change + "\n") }
        tell(taken.leftAsTheyAre, console)
        console.output.write("applied\n")
    }

    private static func nobodyServes(_ folder: String) -> CommandFailure {
        CommandFailure("no broker of this user serves \(folder)", .unreachable)
    }

    /// Topics and queues that are there are changed by who has the right to, and not by a file.
    private static func tell(_ leftAsTheyAre: [String], _ console: Console) {
        for difference in leftAsTheyAre { console.output.write("stays: \(difference)\n") }
    }

    /// Whether the signal would be lost. Where the system does not say so, it is sent.
    private static func ignoresHangUp(_ pid: Int32) -> Bool {
        guard let file = fopen("/proc/\(pid)/status", "re") else { return false }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 256)
        while fgets(&line, Int32(line.count), file) != nil {
            let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            if text.hasPrefix("SigIgn:") { return hasHangUp(text.dropFirst(7)) }
        }
        return false
    }

    /// `mask`: a bit for each signal, in hexadecimal digits.
    private static func hasHangUp(_ mask: Substring) -> Bool {
        let digits = mask.filter { !$0.isWhitespace }
        return UInt64(digits, radix: 16).map { $0 >> UInt64(SIGHUP - 1) & 1 == 1 } ?? false
    }

    /// Checks the configuration as a broker would, and holds it against what is served.
    private static func compare(
        _ invocation: Invocation, _ console: Console
    ) throws -> (folder: String, record: RoutesRecord, changes: [String]) {
        guard ConfigurationSources.file(invocation, console.environment) != nil else {
            throw CommandFailure("no configuration file is named: give -c FILE", .usage)
        }
        let flags = invocation[ServeOptions.dataDir].map { [(key: "log.dirs", value: $0, flag: "--data-dir")] } ?? []
        let configuration = try ConfigurationSources.load(
            invocation, environment: console.environment, flags: flags)
        _ = try GatewayConfiguration(configuration, GatewayOptions(configuration))
        let record = try read(configuration.dataFolder)
        return (configuration.dataFolder, record, record.changes(to: RoutesRecord.values(of: configuration)))
    }

    private static func read(_ folder: String) throws -> RoutesRecord {
        let path = Path.join(folder, RoutesRecord.fileName)
        do {
            let bytes = try PosixFileSystem().readWhole(path, limit: RoutesRecord.maxBytes)
            if let record = RoutesRecord(decoding: bytes) { return record }
            throw CommandFailure("\(path) is not what a broker writes there", .configuration)
        } catch let error as StorageError where error.isNotFound {
            throw CommandFailure(
                "\(path) is not there: no broker with a configuration file has served this folder; name the broker's "
                    + "data folder by --data-dir", .unreachable)
        }
    }

    /// A broker holds the lock of its folder; without one the process of that number is something else by now.
    private static func isServed(_ folder: String) throws -> Bool {
        do throws(StorageError) {
            try PosixFileSystem().lock(Path.join(folder, "millrace.lock")).release()
            return false
        } catch {
            guard error.isLockedByAnother else { throw error }
            return true
        }
    }

    private static func outcome(after before: RoutesRecord, _ folder: String) throws -> RoutesRecord {
        let began = MonotonicClock.milliseconds
        let nobody = Signal()
        while MonotonicClock.milliseconds - began < patienceMs {
            nobody.wait(timeoutMs: pauseMs)
            let now = try read(folder)
            if now.pid == before.pid, now.reads > before.reads { return now }
        }
        throw CommandFailure("the broker has not said in time whether it has taken the file", .unreachable)
    }
}
