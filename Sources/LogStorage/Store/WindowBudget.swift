import ByteBuffers
import StorageIO
import Synchronization

/// How much memory the newest batches of all partitions may take just now, and for how long: <doc:HotWindow>.
///
/// Time passes in ticks, of a second or longer, which `WindowKeeper` makes while there is anything in the window. Each
/// looks at the machine's memory. The limit falls with that at once, and rises as batches come, at a pace that writers do not feel.
///
/// All that other threads read is atomic; `lastTick` is of who makes ticks.
final class WindowBudget: Sendable {
    /// Bytes that may always be taken: `LogStoreOptions.cacheBytes`.
    let base: Int
    /// Ticks after which a batch leaves, and after which a partition that was not read is not followed any more.
    let lifetime: Int
    private let mostBytes: Int
    private let percent: Int
    private let machine: (any MachineMemory)?
    private let now: @Sendable () -> Int
    private let writing: Pace
    private let growing: Pace

    private let ticks = Atomic<Int>(0)
    private let current: Atomic<Int>
    /// The limit at the last tick.
    private let settledLimit: Atomic<Int>
    private let shared: Atomic<Int>
    /// When the machine was last looked at, in nanoseconds of the monotonic clock.
    private let lookedNs = Atomic<Int>(0)
    /// No more is written than the pace allows; told by the last whole tick, and at once when it ends.
    private let calm = Atomic<Bool>(true)
    /// More was written than the pace allows, since the last tick.
    private let isHurried = Atomic<Bool>(false)
    /// Under the lock: the time of the last tick, and ticks one after the other in which more was written than the pace allows.
    private let lastTick = Lock<(ms: Int64, hurriedTicks: Int)>((.min, 0))

    /// Fresh memory costs a fault and a cleared page for every 4 KiB, 0.2 to 0.5 CPU-seconds a GB: at this pace 1.6 to 4 %
    /// of the cores. Memory that is used again costs none of that.
    static let paceBytesPerCore = 80 << 20
    /// How far writers may be ahead of the pace: what a tail holds that is written behind comes at once.
    static let maxAheadNs = 250_000_000
    /// How much of the limit's growth may be made up for: a second's, as long as a disk may keep a commit waiting.
    static let maxOwedNs = 1_000_000_000
    /// Share of time, in percent, that somebody on this machine waited for memory (PSI, over 10 s) above which half is given
    /// back every second.
    static let maxPressurePercent = 10.0
    static let tickMs: Int64 = 1000
    /// Ticks one after the other with more writing than the pace allows, after which all beyond `base` is given back. So much is
    /// written then that the window holds parts of a second, and its memory is not in the processor's cache when it is used again,
    /// which all writers pay for. A burst that lasts a second costs nothing.
    static let maxHurriedTicks = 2
    /// How long the limit rises by an old look at the machine.
    static let maxUnlookedNs = 10_000_000_000

    init(_ options: LogStoreOptions) {
        base = options.cacheBytes
        mostBytes = max(options.cacheBytes, options.windowBytes)
        percent = options.windowPercent
        lifetime = max(1, Int(options.windowMs / Self.tickMs))
        machine = options.machineMemory
        now = options.windowClock
        writing = Pace(bytesPerSecond: options.windowPaceBytes, maxAheadNs: Self.maxAheadNs)
        // Twice as much, because batches keep whole chunks alive, of which about half is theirs.
        growing = Pace(bytesPerSecond: 2 * options.windowPaceBytes, maxAheadNs: Self.maxOwedNs)
        current = Atomic(base)
        settledLimit = Atomic(base)
        shared = Atomic(base)
        look(kept: 0)
    }

    /// The number of ticks so far.
    var tick: Int { ticks.load(ordering: .relaxed) }
    /// Bytes that may be taken just now.
    var limit: Int { current.load(ordering: .relaxed) }
    /// Bytes that the limit may rise to: the window's part of what the machine has.
    var share: Int { shared.load(ordering: .relaxed) }
    /// Whether a log that nobody has read stays, as long as all of it is in memory: only while there is a window, and so little
    /// is written that the memory for it is not felt.
    var keepsNewLogs: Bool { share > base && isCalm }
    /// No more is written than the pace allows.
    var isCalm: Bool { calm.load(ordering: .relaxed) }

    /// Counts bytes that were settled. Where they are more than the pace allows, the limit does not rise until a tick has passed
    /// without. What it has risen by since the last tick was for them, and is given back at once: a writer that does all it can from
    /// the first moment on works with the memory that it would have without a window.
    func count(settled bytes: Int) {
        guard share > base, !writing.take(bytes, at: now()) else { return }
        // Looked at before: all writers read it.
        if !isHurried.load(ordering: .relaxed) { isHurried.store(true, ordering: .relaxed) }
        if isCalm {
            calm.store(false, ordering: .relaxed)
            current.min(settledLimit.load(ordering: .relaxed), ordering: .relaxed)
        }
    }

    /// Gives the limit; raises it to what is `kept`, as far as the machine and the pace allow. What a tick or a hurry beside it has
    /// lowered may be raised again, until the next one.
    func limit(kept: Int) -> Int {
        let limit = limit
        let wanted = min(kept, share)
        guard wanted > limit, isCalm else { return limit }
        let now = now()
        guard now - lookedNs.load(ordering: .relaxed) < Self.maxUnlookedNs, growing.take(wanted - limit, at: now)
        else { return limit }
        // Never down: others raise it, too, and what they keep would leave.
        current.max(wanted, ordering: .relaxed)
        return max(wanted, self.limit)
    }

    /// Passes a second, if one is over at `nowMs`; gives whether it was. `kept`: bytes that the window has.
    func advance(nowMs: Int64, kept: Int) -> Bool {
        lastTick.withLock { last in
            guard last.ms == .min || nowMs - last.ms >= Self.tickMs || nowMs < last.ms else { return false }
            last.ms = nowMs
            ticks.add(1, ordering: .relaxed)
            look(kept: kept)
            let wasHurried = isHurried.exchange(false, ordering: .relaxed)
            calm.store(!wasHurried, ordering: .relaxed)
            last.hurriedTicks = wasHurried ? last.hurriedTicks + 1 : 0
            if last.hurriedTicks >= Self.maxHurriedTicks { current.store(base, ordering: .relaxed) }
            settledLimit.store(limit, ordering: .relaxed)
            return true
        }
    }

    /// Looks at what the machine has now. The limit is little more than what is kept, since what comes instead of what has left
    /// is fresh memory again; not less, since more has come during the look.
    private func look(kept: Int) {
        let share = share(kept: kept)
        shared.store(share, ordering: .relaxed)
        current.store(min(share, limit, base + kept), ordering: .relaxed)
        lookedNs.store(now(), ordering: .relaxed)
    }

    /// What the window may have of the machine's memory.
    private func share(kept: Int) -> Int {
        guard mostBytes > base, percent > 0 else { return base }
        guard let machine else { return mostBytes }
        // A machine that does not tell gets no window.
        guard let look = machine.look() else { return base }
        var share = min(mostBytes, (look.availableBytes + kept) / 100 * percent)
        if look.pressurePercent > Self.maxPressurePercent { share = min(share, kept / 2) }
        return max(base, share)
    }
}
