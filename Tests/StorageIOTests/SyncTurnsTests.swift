import ByteBuffers
import Glibc
import Testing

@testable import StorageIO

/// The kernel tells of lost pages once for each open file: who syncs beside the one that is told must hear of it, too.
@Suite struct SyncTurnsTests {
    private static let failed = StorageError(.io(errno: EIO), .sync, path: "f")

    @Test func aSyncThatComesDuringAFailingOneIsNotBelieved() {
        let turns = SyncTurns()
        let hasBegun = Signal()
        let isSecondMade = Lock(false)
        let outcome = Lock<StorageError?>(nil)
        var second: Thread?
        do throws(StorageError) {
            try turns.take(.sync, "f") { () throws(StorageError) in
                second = Thread(name: "second") {
                    hasBegun.raise()
                    do throws(StorageError) {
                        try turns.take(.sync, "f") { isSecondMade.withLock { $0 = true } }
                    } catch {
                        outcome.withLock { $0 = error }
                    }
                }
                hasBegun.wait()
                // Long enough for one that does not wait.
                MonotonicClock.sleep(milliseconds: 50)
                throw Self.failed
            }
            Issue.record("the failure was not told")
        } catch {
            #expect(error == Self.failed)
        }
        second?.join()
        #expect(outcome.withLock { $0?.kind } == .outOfService(errno: EIO))
        #expect(!isSecondMade.withLock { $0 })
    }

    @Test func theFirstFailureIsWhatLaterCallsAreTold() throws {
        let turns = SyncTurns()
        try turns.check(.write, "f")
        try? turns.take(.sync, "f") { () throws(StorageError) in throw Self.failed }
        for operation in [StorageError.Operation.write, .sync] {
            #expect(throws: StorageError(.outOfService(errno: EIO), operation, path: "f")) {
                try turns.check(operation, "f")
            }
        }
        #expect(throws: StorageError(.outOfService(errno: EIO), .sync, path: "f")) {
            try turns.take(.sync, "f") { () throws(StorageError) in
                throw StorageError(.io(errno: ENOSPC), .sync, path: "f")
            }
        }
    }
}
