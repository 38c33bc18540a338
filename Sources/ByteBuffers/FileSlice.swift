/// An open file whose bytes may be sent without passing through our memory (sendfile(2)).
public protocol ByteFile: AnyObject, Sendable {
    /// The file descriptor, open as long as the file is referenced; -1 where there is none.
    var descriptor: Int32 { get }
}

/// A range of a file's bytes, which it keeps open.
///
/// Whoever makes one promises that these bytes do not change and that the file is not cut below them any more.
public struct FileSlice: Sendable {
    public let file: any ByteFile
    /// First byte, from the file's start.
    public let position: Int64
    /// Length in bytes.
    public let count: Int
    private let onReadFailure: (@Sendable () -> Void)?

    /// `onReadFailure` is told when bytes of the slice could not be read where it is sent.
    public init(
        file: any ByteFile, position: Int64, count: Int, onReadFailure: (@Sendable () -> Void)? = nil
    ) {
        precondition(position >= 0 && count >= 0, "slice \(position)+\(count) outside its file")
        self.file = file
        self.position = position
        self.count = count
        self.onReadFailure = onReadFailure
    }

    /// Tells the owner of the slice that some of its bytes could not be read.
    public func reportReadFailure() { onReadFailure?() }

    /// Returns the slice without its first `count` bytes.
    public func dropFirst(_ count: Int) -> FileSlice {
        precondition(count >= 0 && count <= self.count, "slice outside its slice")
        return FileSlice(
            file: file, position: position + Int64(count), count: self.count - count, onReadFailure: onReadFailure)
    }
}
