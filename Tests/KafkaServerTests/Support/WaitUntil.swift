import Glibc

struct NeverHappened: Error {}

/// Looks again and again until something is so; gives up only after a time that means it never will be.
func waitUntil(_ isSo: () throws -> Bool) throws {
    for _ in 0..<60_000 {
        if try isSo() { return }
        usleep(1_000)
    }
    throw NeverHappened()
}
