import Glibc
public import Security

/// A file that holds one secret, on one line.
public enum SecretFile {
    /// The line, without its end. Nil: it cannot be read, it is empty, has more than one line, or more than `most` bytes.
    public static func line(of path: String, upTo most: Int) -> Secret? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: most + 2)
        defer { Secret.wipe(&bytes) }
        var count = 0
        while count < bytes.count {
            let got = bytes.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress! + count, $0.count - count) }
            if got < 0, errno == EINTR { continue }
            guard got >= 0 else { return nil }
            if got == 0 { break }
            count += got
        }
        if count > 0, bytes[count - 1] == UInt8(ascii: "\n") { count -= 1 }
        if count > 0, bytes[count - 1] == UInt8(ascii: "\r") { count -= 1 }
        guard (1...most).contains(count), !bytes[..<count].contains(UInt8(ascii: "\n")) else { return nil }
        return Secret(copying: bytes[..<count])
    }
}
