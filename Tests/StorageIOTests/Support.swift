import StorageIO
import Testing

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
