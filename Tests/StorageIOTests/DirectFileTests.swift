import BrokerTestKit
import Glibc
import StorageIO
import Testing

@Suite struct DirectFileTests {
    let fileSystem = PosixFileSystem()
    let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
        if !fileSystem.supportsDirect(folder.path) {
            try Test.cancel("skipped: the file system of \(folder.path) takes no direct I/O")
        }
    }

    @Test func theProbeLeavesNothingBehind() throws {
        #expect(try fileSystem.list(folder.path) == [])
    }

    @Test func alignedBytesAreReadBack() throws {
        let file = try fileSystem.open(folder("a"), .createNew, direct: true)
        #expect(file.isDirect && file.directAlignment >= 4096)
        let block = file.directAlignment
        let memory = AlignedMemory(count: 4 * block, alignment: block, filledWith: 5)
        try file.write(UnsafeRawBufferPointer(memory.bytes), at: 0)
        try file.writeDurably(UnsafeRawBufferPointer(memory.bytes), at: Int64(4 * block))
        try file.sync()
        memory.bytes.initializeMemory(as: UInt8.self, repeating: 0)
        #expect(try file.read(into: memory.bytes, at: Int64(4 * block)) == 4 * block)
        #expect(memory.bytes.allSatisfy { $0 == 5 })
    }

    @Test func aReadEndsWithAFileThatEndsInsideABlock() throws {
        try fileSystem.writeAtomically(folder("a"), [UInt8](repeating: 3, count: 5000))
        let file = try fileSystem.open(folder("a"), .read, direct: true)
        let memory = AlignedMemory(count: 4 * file.directAlignment, alignment: file.directAlignment)
        #expect(try file.read(into: memory.bytes, at: 0) == 5000)
        #expect(memory.bytes[4999] == 3 && memory.bytes[5000] == 0)
    }

    @Test func unalignedMemoryOffsetOrLengthIsNamed() throws {
        let file = try fileSystem.open(folder("a"), .createNew, direct: true)
        let block = file.directAlignment
        let memory = AlignedMemory(count: 2 * block, alignment: block)
        let bytes = UnsafeRawBufferPointer(memory.bytes)
        let expected = StorageError(.unaligned(required: block), .write, path: folder("a"))
        let calls: [() throws -> Void] = [
            { try file.write(UnsafeRawBufferPointer(rebasing: bytes[1...block]), at: 0) },
            { try file.write(UnsafeRawBufferPointer(rebasing: bytes[..<512]), at: 0) },
            { try file.write(UnsafeRawBufferPointer(rebasing: bytes[..<block]), at: 512) },
            {
                try file.writeDurably(UnsafeRawBufferPointer(rebasing: bytes[..<100]), at: 0)
            },
        ]
        for call in calls { #expect(storageError(call) == expected) }
        let read = storageError {
            _ = try file.read(into: UnsafeMutableRawBufferPointer(rebasing: memory.bytes[..<10]), at: 0)
        }
        #expect(read?.kind == .unaligned(required: block))
        #expect(try file.size() == 0)
        // A mistake in the call is no reason to put the file out of service.
        try file.writeDurably(bytes, at: 0)
    }

    @Test func directAndCachedAccessSeeTheSameBytes() throws {
        let direct = try fileSystem.open(folder("a"), .createNew, direct: true)
        let cached = try fileSystem.open(folder("a"), .readWrite(create: false))
        let memory = AlignedMemory(count: 8192, alignment: max(4096, direct.directAlignment), filledWith: 1)
        try direct.write(UnsafeRawBufferPointer(memory.bytes), at: 0)
        #expect(try cached.read(1, at: 8191) == [1])
        try cached.write([2], at: 0)
        #expect(try direct.read(into: memory.bytes, at: 0) == 8192)
        #expect(memory.bytes[0] == 2)
    }
}
