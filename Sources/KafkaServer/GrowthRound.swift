/// Tells when several partitions together have grown by so many bytes, though each tells only of its own steps.
///
/// The bytes that are missing are shared out: in a round each of k partitions tells when it has grown by a step of
/// missing / 2k. What they have not told of yet is then less than half of what is missing, so while the rest has not
/// been told, there is not enough, and nobody need look at the others. Afterwards all are looked at once, and the next
/// round shares out what is missing still: at most half as much. That is at most k + 1 steps a round and log2(missing /
/// k) + 2 rounds, however small the commits are. One partition has it exactly, in one step.
///
/// Source: the distributed counting of Cormode, Muthukrishnan and Yi, "Algorithms for distributed functional
/// monitoring".
struct GrowthRound {
    /// Bytes that were missing when the round began.
    private(set) var missing: Int
    /// Growth, in bytes, of which a partition tells.
    private(set) var step = 1
    /// Growth that the partitions may have had without telling.
    private var untold = 0
    private var gained = 0

    init(missing: Int) { self.missing = missing }

    /// Begins the next round over so many partitions that can still grow.
    mutating func begin(over partitions: Int) {
        missing -= gained
        gained = 0
        step = partitions <= 1 ? max(1, missing) : max(1, missing / (2 * partitions))
        untold = partitions * (step - 1)
    }

    mutating func gain(_ bytes: Int) { gained += bytes }

    /// Perhaps there is enough: time to look at all of them.
    var isOver: Bool { gained >= missing - untold }
    var isEnough: Bool { gained >= missing }
    /// Bytes that are missing still, at most.
    var remaining: Int { max(0, missing - gained) }
}
