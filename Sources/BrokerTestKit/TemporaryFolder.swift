import Glibc
import StorageIO

/// A new folder under the system's temporary one, removed when the last reference goes.
public final class TemporaryFolder: Sendable {
    public let path: String

    public init() throws {
        let base = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var template = Array("\(base)/millrace-test-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else {
            throw StorageError(.io(errno: errno), .createDirectory, path: base)
        }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit { try? PosixFileSystem().removeTree(path) }

    public func callAsFunction(_ name: String) -> String { Path.join(path, name) }
}
