import COpenSSL

/// Bytes that must not leave the process: a password, a key, a token. Copied into memory of their own, which is wiped
/// when the last reference goes; printed, dumped or interpolated they show nothing.
///
/// What the caller copied them from is the caller's to wipe: `init(wiping:)` does both.
public final class Secret: @unchecked Sendable {
    // SAFETY: written once, in `init`; afterwards only read, until `deinit`, which nobody can overlap.
    private let storage: UnsafeMutableRawBufferPointer

    public init(copying bytes: UnsafeRawBufferPointer) {
        storage = .allocate(byteCount: max(bytes.count, 1), alignment: 1)
        storage.copyMemory(from: bytes)
        count = bytes.count
    }

    /// For bytes that are somebody else's: a field of a frame, a line of a file.
    public init(copying bytes: ArraySlice<UInt8>) {
        storage = .allocate(byteCount: max(bytes.count, 1), alignment: 1)
        count = bytes.count
        bytes.withUnsafeBytes { storage.copyMemory(from: $0) }
    }

    /// Takes the bytes over, and leaves zeros where they were.
    public convenience init(wiping bytes: inout [UInt8]) {
        self.init(copying: bytes[...])
        Self.wipe(&bytes)
    }

    /// Leaves zeros in an array that held a secret for a while. No other array, and no slice of this one, may be in use: that
    /// would keep the bytes.
    public static func wipe(_ bytes: inout [UInt8]) { bytes.withUnsafeMutableBytes { wipe($0) } }

    /// Leaves zeros in a buffer that held a secret for a while.
    public static func wipe(_ bytes: UnsafeMutableRawBufferPointer) {
        if let base = bytes.baseAddress { OPENSSL_cleanse(base, bytes.count) }
    }

    /// Leaves zeros in an array, whoever else has it: for what was decoded of a request, once that is handled.
    public static func wipe(shared bytes: [UInt8]) {
        // SAFETY: the elements of an array that was made at run time are in memory of the heap, which may be written; nobody reads
        // them any more, for the caller says so.
        bytes.withUnsafeBytes { wipe(UnsafeMutableRawBufferPointer(mutating: $0)) }
    }

    deinit {
        OPENSSL_cleanse(storage.baseAddress, storage.count)
        storage.deallocate()
    }

    public let count: Int
    public var isEmpty: Bool { count == 0 }

    /// The pointer must not outlive the call.
    public func withBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(UnsafeRawBufferPointer(rebasing: storage[..<count]))
    }
}

extension Secret: Equatable {
    /// In constant time for secrets of one length; that lengths differ may be seen.
    public static func == (one: Secret, other: Secret) -> Bool {
        one.withBytes { left in other.withBytes { right in ConstantTime.equal(left, right) } }
    }
}

extension Secret: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    public var description: String { "(secret)" }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: []) }
}

/// Comparisons whose time does not tell where two values differ.
public enum ConstantTime {
    public static func equal(_ one: UnsafeRawBufferPointer, _ other: UnsafeRawBufferPointer) -> Bool {
        guard one.count == other.count else { return false }
        guard let left = one.baseAddress, let right = other.baseAddress, one.count > 0 else { return true }
        return CRYPTO_memcmp(left, right, one.count) == 0
    }

    public static func equal(_ one: [UInt8], _ other: [UInt8]) -> Bool {
        one.withUnsafeBytes { left in other.withUnsafeBytes { right in equal(left, right) } }
    }
}
