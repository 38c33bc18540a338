public import ByteBuffers
import Glibc

/// An open file without a name, gone with its last reference.
public final class TemporaryBytes: ByteFile {
    public let descriptor: Int32

    public struct Failure: Error {
        let errno: Int32
    }

    public init(_ bytes: [UInt8]) throws {
        var name = Array("/tmp/millrace-bytes-XXXXXX".utf8CString)
        descriptor = mkstemp(&name)
        guard descriptor >= 0 else { throw Failure(errno: errno) }
        unlink(name)
        guard write(descriptor, bytes, bytes.count) == bytes.count else { throw Failure(errno: errno) }
    }

    deinit { close(descriptor) }
}
