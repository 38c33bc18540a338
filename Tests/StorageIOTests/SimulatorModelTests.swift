import BrokerTestKit
import Glibc
import StorageIO
import Testing

/// What the simulated file system is for: protocols that are right survive every crash, and wrong ones are caught.
@Suite struct CrashSweepTests {
    private static let old = [UInt8](repeating: 1, count: 1500)
    private static let new = [UInt8](repeating: 2, count: 2500)

    /// Contents of "a" after a crash at each call of `replace`, for each seed.
    private func outcomes(_ replace: (any FileSystem) throws -> Void) throws -> Set<[UInt8]?> {
        var outcomes: Set<[UInt8]?> = []
        for seed in testSeeds(10) {
            for call in 0..<100 {
                let fileSystem = SimulatedFileSystem(seed: seed)
                try fileSystem.writeAtomically("a", Self.old)
                fileSystem.haltAtCall(fileSystem.callCount + call)
                let error = storageError { try replace(fileSystem) }
                for _ in 0..<20 { outcomes.insert(fileSystem.crash().contents("a")) }
                if error == nil {
                    // The replacement was done before the power went: it must be there.
                    #expect(fileSystem.crash(keeping: .nothing).contents("a") == Self.new)
                    break
                }
            }
        }
        return outcomes
    }

    @Test func anAtomicReplacementLeavesTheOldOrTheNewContent() throws {
        let all = try outcomes { fileSystem in try fileSystem.writeAtomically("a", Self.new) }
        #expect(all == [Self.old, Self.new])
    }

    @Test func aReplacementWithoutASyncIsCaught() throws {
        let all = try outcomes { fileSystem in
            let file = try fileSystem.open("b", .createNew)
            try file.write(Self.new, at: 0)
            try fileSystem.rename("b", to: "a")
            try fileSystem.syncDirectory(".")
            try file.sync()
        }
        #expect(!all.isSubset(of: [Self.old, Self.new]))
    }

    @Test func anOverwriteInPlaceIsCaught() throws {
        let all = try outcomes { fileSystem in
            let file = try fileSystem.open("a", .readWrite(create: false))
            try file.write(Self.new, at: 0)
            try file.sync()
        }
        #expect(!all.isSubset(of: [Self.old, Self.new]))
    }

    @Test func everyCallAfterTheHaltFails() throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        let file = try fileSystem.open("a", .createNew)
        fileSystem.haltAtCall(fileSystem.callCount)
        #expect(storageError { try file.write([1], at: 0) }?.errno == EIO)
        #expect(fileSystem.isHalted)
        #expect(storageError { _ = try file.read(1, at: 0) }?.errno == EIO)
        #expect(storageError { _ = try fileSystem.list(".") }?.errno == EIO)
        let sizes = Set((1...50).map { fileSystem.crash(seed: $0).contents("a")?.count })
        #expect(sizes == [nil, 0, 1], "the write under way may be there")
    }
}

/// Random calls, made on the simulated file system and on the real one.
@Suite struct SimulatorModelTests {
    @Test(arguments: testSeeds(6))
    func theRunningSystemBehavesLikeTheRealOne(seed: UInt64) throws {
        let folder = try TemporaryFolder()
        var pair = Pair(real: folder.path, seed: seed)
        for _ in 0..<400 { try pair.step() }
        try pair.compareTrees()
    }

    @Test(arguments: testSeeds(4))
    func theSameSeedGivesTheSameRun(seed: UInt64) throws {
        func run() throws -> (records: [String], files: [[UInt8]?]) {
            let fileSystem = SimulatedFileSystem(seed: seed)
            fileSystem.inject(Fault(.fail(errno: EIO), on: .sync, skipping: 20, times: 3))
            fileSystem.inject(Fault(.failHalfway(errno: ENOSPC), on: .write, skipping: 50, times: 5))
            var workload = Workload(seed: seed)
            for _ in 0..<300 { _ = workload.step(on: fileSystem) }
            let after = fileSystem.crash()
            let files = Workload.files.map { after.contents($0) }
            return (fileSystem.operations.map(\.description), files)
        }
        let first = try run()
        let second = try run()
        #expect(first.records == second.records)
        #expect(first.files == second.files)
    }
}

/// Draws calls; what it opened stays open.
private struct Workload {
    static let files = ["a", "b", "x/a", "x/b", "x/y/a"]
    static let folders = ["x", "x/y", "z"]
    var random: SeededRandom
    var prefix = ""
    private var open: [String: any StorageFile] = [:]

    init(seed: UInt64, prefix: String = "") {
        random = SeededRandom(seed: seed)
        self.prefix = prefix
    }

    /// What one random call gave, as text that does not name the prefix.
    mutating func step(on fileSystem: any FileSystem) -> String {
        let path = Self.files[random.below(Self.files.count)]
        let other = random.pick(Self.files + Self.folders)
        let kind = random.below(16)
        let offset = Int64(random.pick([0, 1, 511, 512, 4095, 4096, random.below(20_000)]))
        let bytes = random.bytes(random.pick([1, 2, 512, 600, 4096, 9000]))
        let call: String
        do throws(StorageError) {
            switch kind {
            case 0: call = "mkdir \(other)"; try fileSystem.createDirectory(prefix + other)
            case 1:
                call = "rename \(path) \(other)"
                try fileSystem.rename(prefix + path, to: prefix + other)
                open = [:]
            case 2:
                call = "remove \(other)"
                try fileSystem.remove(prefix + other)
                open = [:]
            case 3: call = "list \(try fileSystem.list(prefix + random.pick(Self.folders)))"
            case 4: call = "size \(path) \(try fileSystem.size(prefix + path))"
            case 5:
                call =
                    "exists \(other) \(try fileSystem.exists(prefix + other)) \(try fileSystem.isDirectory(prefix + other))"
            case 6: call = "tree"; try fileSystem.removeTree(prefix + "x/y"); open = [:]
            default:
                if open[path] == nil { open[path] = try fileSystem.open(prefix + path, .readWrite(create: true)) }
                let file = open[path]!
                switch kind {
                case 7: call = "cut \(path)"; try file.truncate(to: offset)
                case 8: call = "allocate \(path)"; try file.allocate(upTo: offset)
                case 9: call = "sync \(path)"; try file.sync()
                case 10: call = "fsize \(path) \(try file.size())"
                case 11, 12: call = "read \(path) \(try file.read(bytes.count, at: offset))"
                default: call = "write \(path)"; try file.write(bytes, at: offset)
                }
            }
        } catch {
            if error.operation == .sync || error.errno == EIO { open = [:] }
            return "\(kind) failed: \(error.operation) \(error.kind)"
        }
        return call
    }
}

private struct Pair {
    let simulated: SimulatedFileSystem
    let realPath: String
    var onSimulated: Workload
    var onReal: Workload

    init(real: String, seed: UInt64) {
        simulated = SimulatedFileSystem(seed: seed)
        realPath = real
        onSimulated = Workload(seed: seed)
        onReal = Workload(seed: seed, prefix: real + "/")
    }

    mutating func step() throws {
        let expected = onReal.step(on: PosixFileSystem())
        let actual = onSimulated.step(on: simulated)
        try #require(actual == expected)
    }

    func compareTrees() throws {
        for file in Workload.files {
            let path = Path.join(realPath, file)
            let isFile = try PosixFileSystem().exists(path) && !PosixFileSystem().isDirectory(path)
            let real = isFile ? try PosixFileSystem().readWhole(path, limit: 1 << 20) : nil
            #expect(simulated.contents(file) == real, "\(file)")
        }
    }
}
