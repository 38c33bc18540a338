import Glibc

/// A file that lives as long as the test needs it.
final class TemporaryFile {
    let path: String

    init(_ content: String) {
        var template = Array("/tmp/millrace-configuration-XXXXXX".utf8CString)
        let descriptor = mkstemp(&template)
        precondition(descriptor >= 0, "no temporary file: errno \(errno)")
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        var bytes = Array(content.utf8)
        precondition(write(descriptor, &bytes, bytes.count) == bytes.count)
        close(descriptor)
    }

    deinit { unlink(path) }
}
