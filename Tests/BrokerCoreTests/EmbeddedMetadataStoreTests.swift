import BrokerTestKit
import Glibc
import StorageIO
import Testing

@testable import BrokerCore

/// The metadata of one node: all of a transaction or nothing of it, and what was acknowledged for good.
@Suite struct EmbeddedMetadataStoreTests {
    private static let path = "/data/metadata.log"

    private func folder(seed: UInt64 = 1) throws -> SimulatedFileSystem {
        let fileSystem = SimulatedFileSystem(seed: seed)
        try fileSystem.createDirectoryDurably("/data")
        return fileSystem
    }

    private func open(_ fileSystem: SimulatedFileSystem, floor: Int64 = 1 << 20) throws -> EmbeddedMetadataStore {
        try EmbeddedMetadataStore(fileSystem: fileSystem, folder: "/data", compactionFloor: floor)
    }

    private func change(_ changes: [(String, String?)], if conditions: [(String, Int64)] = []) -> MetadataTransaction {
        var transaction = MetadataTransaction()
        transaction.conditions = conditions.map { (key: $0.0, revision: $0.1) }
        transaction.changes = changes.map { (key: $0.0, value: $0.1.map { Array($0.utf8) }) }
        return transaction
    }

    /// A disk on which the file holds exactly these bytes.
    private func disk(with bytes: [UInt8]) throws -> SimulatedFileSystem {
        let fileSystem = try folder()
        try fileSystem.writeAtomically(Self.path, bytes)
        return fileSystem
    }

    private func text(_ store: EmbeddedMetadataStore) -> [String: String] {
        Dictionary(
            uniqueKeysWithValues: store.read(prefix: "").map {
                ($0.key, String(decoding: $0.value.bytes, as: UTF8.self))
            })
    }

    @Test func transactionsSurviveARestart() throws {
        let fileSystem = try folder()
        let store = try open(fileSystem)
        #expect(try store.transact(change([("a/1", "x"), ("a/2", "y"), ("b", "z")])))
        #expect(try store.transact(change([("a/1", nil), ("b", "")])))
        for reopened in [store, try open(fileSystem.crash(keeping: .nothing))] {
            #expect(reopened.revision == 2)
            #expect(text(reopened) == ["a/2": "y", "b": ""])
            #expect(reopened.read("a/1") == nil)
            #expect(reopened.read("a/2") == MetadataValue(bytes: [UInt8(ascii: "y")], revision: 1))
            #expect(reopened.read("b") == MetadataValue(bytes: [], revision: 2))
        }
        #expect(try store.transact(change([("a/3", "w")])))
        #expect(store.read(prefix: "a/").map(\.key) == ["a/2", "a/3"])
    }

    @Test func aConditionThatDoesNotHoldChangesNothing() throws {
        let store = try open(folder())
        #expect(try store.transact(change([("a", "1")], if: [("a", 0)])))
        #expect(try !store.transact(change([("a", "2"), ("b", "2")], if: [("a", 0)])))
        #expect(try !store.transact(change([("b", "2")], if: [("a", 1), ("b", 1)])))
        #expect(store.revision == 1)
        #expect(text(store) == ["a": "1"])
        #expect(try store.transact(change([("a", "2")], if: [("a", 1), ("b", 0)])))
        #expect(try !store.transact(change([("a", "3")], if: [("a", 1)])))
        #expect(text(store) == ["a": "2"])
        // A transaction of conditions alone writes nothing.
        #expect(try store.transact(change([], if: [("a", 2)])))
        #expect(store.revision == 2)
    }

    /// The file after each of these transactions.
    private func history() throws -> [[UInt8]] {
        let fileSystem = try folder()
        let store = try open(fileSystem)
        var files = [fileSystem.contents(Self.path)!]
        for number in 0..<4 {
            _ = try store.transact(change([("k\(number)", String(repeating: "v", count: 10 + number))]))
            files.append(fileSystem.contents(Self.path)!)
        }
        return files
    }

    @Test func aTornLastEntryIsCut() throws {
        let files = try history()
        let (before, whole) = (files[3], files[4])
        for length in before.count..<whole.count {
            // Cut short; and with its size on disk, but not the bytes.
            for torn in [
                Array(whole[..<length]), whole[..<length] + [UInt8](repeating: 0, count: whole.count - length),
            ] {
                let fileSystem = try disk(with: torn)
                let store = try open(fileSystem)
                #expect(store.revision == 3, "cut at \(length)")
                #expect(fileSystem.contents(Self.path) == before)
                #expect(try store.transact(change([("after", "1")])))
                #expect(try open(fileSystem.crash(keeping: .nothing)).revision == 4)
            }
        }
    }

    @Test func aDamagedEntryBeforeOthersIsRefusedWithItsFile() throws {
        let files = try history()
        for at in files[0].count..<files[3].count {
            for bit in [0, 6] {
                var bytes = files[4]
                bytes[at] ^= 1 << UInt8(bit)
                let fileSystem = try disk(with: bytes)
                let error = storageError { _ = try open(fileSystem) }
                guard case .corrupt? = error?.kind else {
                    Issue.record("byte \(at), bit \(bit): \(String(describing: error))")
                    continue
                }
                #expect(error?.path == Self.path)
                // Somebody will want to look at it.
                #expect(fileSystem.contents(Self.path) == bytes)
            }
        }
    }

    @Test func anotherFileOrVersionIsRefused() throws {
        let files = try history()
        for at in 0..<6 {
            var bytes = files[4]
            bytes[at] ^= 1
            let fileSystem = try disk(with: bytes)
            #expect(storageError { _ = try open(fileSystem) }?.path == Self.path)
        }
    }

    @Test func writingAnewKeepsValuesAndRevisions() throws {
        let fileSystem = try folder()
        let store = try open(fileSystem, floor: 1 << 10)
        #expect(try store.transact(change([("old", "1")])))
        for number in 0..<200 { _ = try store.transact(change([("busy", "\(number)"), ("b\(number % 3)", "x")])) }
        #expect(try store.transact(change([("old2", "1"), ("busy", nil)])))
        let size = fileSystem.contents(Self.path)!.count
        #expect(size < 8 << 10)
        let reopened = try open(fileSystem.crash(keeping: .nothing), floor: 1 << 10)
        #expect(reopened.revision == store.revision)
        #expect(reopened.read("old")?.revision == 1)
        for key in ["b0", "b1", "b2", "old", "old2", "busy"] { #expect(reopened.read(key) == store.read(key)) }
    }

    @Test func theRevisionOfARemovalIsNotGivenTwice() throws {
        let fileSystem = try folder()
        let store = try open(fileSystem, floor: 64)
        _ = try store.transact(change([("a", "1")]))
        for _ in 0..<20 {
            _ = try store.transact(change([("b", "1")]))
            _ = try store.transact(change([("b", nil)]))
        }
        let reopened = try open(fileSystem.crash(keeping: .nothing))
        #expect(reopened.revision == 41)
        _ = try reopened.transact(change([("b", "1")]))
        #expect(reopened.read("b")?.revision == 42)
    }

    // MARK: Failures

    /// Transaction `number` of the crash test: sets, grows and removes, so that the file is written anew now and then.
    private func step(_ number: Int) -> MetadataTransaction {
        change([
            ("k\(number % 5)", number % 7 == 6 ? nil : String(repeating: "v", count: 5 + number * 13 % 90)),
            ("n", "\(number)"),
        ])
    }

    @Test func acknowledgedTransactionsSurviveACrashAtAnyCall() throws {
        var states: [[String: String]] = [[:]]
        let plain = try open(folder())
        for number in 0..<25 {
            _ = try plain.transact(step(number))
            states.append(text(plain))
        }
        for seed in UInt64(1)...6 {
            var call = 0
            while true {
                let fileSystem = try folder(seed: seed)
                fileSystem.haltAtCall(fileSystem.callCount + call)
                var acknowledged = 0
                if let store = try? open(fileSystem, floor: 300) {
                    for number in 0..<25 {
                        guard (try? store.transact(step(number))) == true else { break }
                        acknowledged += 1
                    }
                }
                let after = fileSystem.crash(keeping: .random, seed: seed &* 4096 &+ UInt64(call))
                do {
                    let found = text(try open(after, floor: 300))
                    let isTrue =
                        found == states[acknowledged] || acknowledged < 25 && found == states[acknowledged + 1]
                    #expect(isTrue, "seed \(seed), call \(call): \(acknowledged) acknowledged, found \(found)")
                } catch {
                    Issue.record("seed \(seed), call \(call): \(error)")
                }
                if !fileSystem.isHalted { break }
                call += 1
            }
            #expect(call > 50)
        }
    }

    /// What a start shows was perhaps never synced by the process that wrote it; topics are served and folders removed by
    /// it, so a power cut must not take it back.
    @Test func whatAStartShowsIsOnDiskThoughItsWriterDied() throws {
        var call = 0
        while true {
            let fileSystem = try folder(seed: UInt64(call) + 1)
            fileSystem.haltAtCall(fileSystem.callCount + call)
            if let store = try? open(fileSystem, floor: 300) {
                for number in 0..<12 where (try? store.transact(step(number))) != true { break }
            }
            let next = fileSystem.kill()
            let shown = text(try open(next, floor: 300))
            #expect(text(try open(next.crash(keeping: .nothing), floor: 300)) == shown, "killed at call \(call)")
            if !fileSystem.isHalted { break }
            call += 1
        }
        #expect(call > 50)
    }

    /// After a failed sync the kernel takes the pages for clean: they are read until it drops them.
    @Test func whatAFailedSyncDroppedIsWrittenAgainAtTheNextStart() throws {
        for seed in UInt64(1)...10 {
            let fileSystem = try folder(seed: seed)
            let store = try open(fileSystem)
            fileSystem.inject(Fault(.fail(errno: EIO), on: .sync, pathContains: "metadata.log"))
            _ = try? store.transact(change([("a", String(repeating: "v", count: 3000))]))
            let next = fileSystem.kill()
            let shown = text(try open(next))
            next.dropCaches()
            #expect(text(try open(next)) == shown)
        }
    }

    @Test func aFailedWriteIsTakenBack() throws {
        let fileSystem = try folder()
        let store = try open(fileSystem)
        _ = try store.transact(change([("a", "1")]))
        fileSystem.inject(Fault(.failHalfway(errno: ENOSPC), on: .write, times: 1))
        let large = String(repeating: "\u{1}", count: 500)
        #expect(storageError { _ = try store.transact(change([("large", large)])) }?.isNoSpace == true)
        #expect(store.read("large") == nil)
        // What fits is taken, and no rest of the failed one stands behind it.
        #expect(try store.transact(change([("b", "2")])))
        for keeping in [SimulatedFileSystem.Keeping.nothing, .everything] {
            #expect(text(try open(fileSystem.crash(keeping: keeping))) == ["a": "1", "b": "2"])
        }
    }

    @Test func afterAFailedSyncNothingIsChangedAnyMore() throws {
        let fileSystem = try folder()
        let store = try open(fileSystem)
        _ = try store.transact(change([("a", "1")]))
        fileSystem.inject(Fault(.fail(errno: EIO), on: .sync, times: 1))
        #expect(storageError { _ = try store.transact(change([("b", "2")])) } != nil)
        #expect(storageError { _ = try store.transact(change([("c", "3")])) } != nil)
        #expect(text(store) == ["a": "1"])
        #expect(text(try open(fileSystem.crash(keeping: .nothing))) == ["a": "1"])
    }

    /// The transaction is durable, so it must be told so; which file has the name is not known, so it is the last.
    @Test func aFailureToWriteAnewDoesNotDenyTheTransaction() throws {
        let fileSystem = try folder()
        let store = try open(fileSystem, floor: 300)
        fileSystem.inject(Fault(.fail(errno: EIO), on: .syncDirectory, times: 1))
        var count = 0
        while storageError({ _ = try store.transact(step(count)) }) == nil {
            count += 1
            try #require(count < 1000)
        }
        #expect(count > 0)
        for keeping in [SimulatedFileSystem.Keeping.nothing, .everything] {
            #expect(text(try open(fileSystem.crash(keeping: keeping))) == text(store))
        }
    }
}
