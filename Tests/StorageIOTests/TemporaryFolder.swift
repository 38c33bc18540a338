import Glibc
import StorageIO
import Testing

/// A new folder under the system's temporary one, removed when the last reference goes.
final class TemporaryFolder: Sendable {
    let path: String

    init() throws {
        let base = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var template = Array("\(base)/millrace-test-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else {
            throw StorageError(.io(errno: errno), .createDirectory, path: base)
        }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit { try? PosixFileSystem().removeTree(path) }

    func callAsFunction(_ name: String) -> String { Path.join(path, name) }
}

/// Memory that direct files take; freed when the last reference goes.
final class AlignedMemory {
    let bytes: UnsafeMutableRawBufferPointer

    init(count: Int, alignment: Int = 4096, filledWith byte: UInt8 = 0) {
        bytes = .allocate(byteCount: count, alignment: alignment)
        bytes.initializeMemory(as: UInt8.self, repeating: byte)
    }

    deinit { bytes.deallocate() }
}

/// The storage error that `body` throws, or `nil`. Any other error is a failure of the test.
func storageError(_ body: () throws -> Void) -> StorageError? {
    do {
        try body()
        return nil
    } catch let error as StorageError {
        return error
    } catch {
        Issue.record(error)
        return nil
    }
}
