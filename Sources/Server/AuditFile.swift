import ByteBuffers
import Configuration
import Glibc
import StorageIO
import Telemetry

/// The file of the audit: appended to, and begun anew at a size, with the one before beside it. Nothing of it is synced: it tells
/// of what happened, and nothing rests on it.
final class AuditFile: Sendable {
    private struct State {
        var file: (any StorageFile)?
        var size: Int64 = 0
    }

    private let files: any FileSystem
    private let path: String
    private let maxBytes: Int64
    private let state = Lock(State())

    init(_ files: any FileSystem, path: String, maxBytes: Int64) {
        self.files = files
        self.path = path
        self.maxBytes = maxBytes
    }

    /// The audit that the configuration asks for; nil: none.
    static func audit(
        _ configuration: Configuration, on files: any FileSystem, metrics: MetricsRegistry
    ) -> AuditLog? {
        switch configuration.auditLog {
        case "off": return nil
        case "stderr":
            return AuditLog(metrics: metrics) { lines in
                lines.withUnsafeBytes { Glibc.write(2, $0.baseAddress, $0.count) } == lines.count
            }
        case let path:
            let whole = path.hasPrefix("/") ? path : Path.join(configuration.dataFolder, path)
            let file = AuditFile(files, path: whole, maxBytes: configuration.maxAuditLogBytes)
            return AuditLog(metrics: metrics) { file.append($0) }
        }
    }

    /// False, and the log says why: the lines are lost.
    func append(_ lines: [UInt8]) -> Bool {
        state.withLock { state -> Bool in
            do throws(StorageError) {
                try open(&state, for: Int64(lines.count))
                guard let file = state.file else { preconditionFailure("an audit without a file") }
                let size = state.size
                try file.write(lines, at: size)
                state.size += Int64(lines.count)
                return true
            } catch {
                // Opened anew by the next lines: what is wrong may be over then.
                state = State()
                Log.error("the audit cannot be written, and what it should tell is lost", "reason", "\(error)")
                return false
            }
        }
    }

    private func open(_ state: inout State, for count: Int64) throws(StorageError) {
        if state.file == nil {
            let file = try files.open(path, .readWrite(create: true))
            state = State(file: file, size: try file.size())
        }
        guard state.size > 0, state.size + count > maxBytes else { return }
        state.file?.close()
        state = State()
        try files.rename(path, to: path + ".1")
        state.file = try files.open(path, .readWrite(create: true))
    }
}
