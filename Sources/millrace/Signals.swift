import ByteBuffers
import ConsoleCommands
import Glibc

/// A set of signals that are waited for instead of interrupting whoever runs.
struct Signals: Sendable {
    private let numbers: [Int32]

    init(_ numbers: [Int32]) { self.numbers = numbers }

    private var set: sigset_t {
        var set = sigset_t()
        sigemptyset(&set)
        for number in numbers { sigaddset(&set, number) }
        return set
    }

    /// For this thread and all that it starts from now on.
    func block() {
        var set = set
        pthread_sigmask(SIG_BLOCK, &set, nil)
    }

    /// Whether the process was started with this signal ignored, as `nohup` does with SIGHUP and a shell with SIGINT of
    /// what it puts into the background. To be left so: blocked, it would be waited for nevertheless.
    static func isIgnored(_ number: Int32) -> Bool {
        var action = sigaction()
        sigaction(number, nil, &action)
        return unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self) == Int(bitPattern: 1)
    }

    func without(_ number: Int32) -> Signals { Signals(numbers.filter { $0 != number }) }

    func wait() -> (number: Int32, isFromKernel: Bool) {
        var set = set
        var information = siginfo_t()
        while true {
            let taken = sigwaitinfo(&set, &information)
            // 0x80: SI_KERNEL, nobody's `kill`.
            if taken > 0 { return (taken, information.si_code == 0x80) }
        }
    }

    /// `nil` after `seconds` without one.
    func wait(seconds: Int) -> Int32? {
        var set = set
        let end = MonotonicClock.milliseconds + Int64(seconds) * 1000
        while true {
            let left = max(0, end - MonotonicClock.milliseconds)
            var limit = timespec(tv_sec: Int(left / 1000), tv_nsec: Int(left % 1000) * 1_000_000)
            let taken = sigtimedwait(&set, nil, &limit)
            if taken > 0 { return taken }
            if errno != EINTR { return nil }
        }
    }

    static func name(_ number: Int32) -> String {
        switch number {
        case SIGTERM: "SIGTERM"
        case SIGINT: "SIGINT"
        case SIGHUP: "SIGHUP"
        default: "signal \(number)"
        }
    }
}
