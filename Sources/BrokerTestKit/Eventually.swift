import Glibc

/// Waits until `condition` holds; false when it has not after a time that only a failure takes.
public func eventually(_ condition: () throws -> Bool) rethrows -> Bool {
    for _ in 0..<20_000 {
        if try condition() { return true }
        usleep(500)
    }
    return false
}
