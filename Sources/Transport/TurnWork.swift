/// Work that a loop does at the end of a turn and that may have to wait, as for a disk.
///
/// `run` is called at a point where the loop's state is whole. When it takes longer than a moment (`LoopRelief.scanMs`),
/// another thread goes on with the loop and `run` comes to its end beside it: it must not use the loop or anything that
/// belongs to it, and is not called again for this loop before it has returned or the loop was taken over.
public final class TurnWork: Sendable {
    /// There is something to do. Asked for at the end of each turn: must cost nothing and not wait.
    let isWanted: @Sendable () -> Bool
    let run: @Sendable () -> Void

    public init(isWanted: @escaping @Sendable () -> Bool, run: @escaping @Sendable () -> Void) {
        self.isWanted = isWanted
        self.run = run
    }
}
