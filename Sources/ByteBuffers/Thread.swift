import CSystem
import Glibc

/// A named POSIX thread that runs one closure; `join` waits for its end.
public final class Thread: @unchecked Sendable {
    // SAFETY: `handle` is written once, before the thread can be joined.
    private var handle = pthread_t()

    private final class Body {
        let name: String
        let run: @Sendable () -> Void
        init(_ name: String, _ run: @escaping @Sendable () -> Void) {
            self.name = name
            self.run = run
        }
    }

    /// Starts at once. `name` is cut to 15 bytes.
    public init(name: String, _ run: @escaping @Sendable () -> Void) {
        let body = Unmanaged.passRetained(Body(name, run))
        let result = pthread_create(
            &handle, nil,
            { argument in
                let body = Unmanaged<Body>.fromOpaque(argument!).takeRetainedValue()
                millrace_thread_set_name(body.name)
                body.run()
                return nil
            }, body.toOpaque())
        precondition(result == 0, "cannot start thread \(name): errno \(result)")
    }

    public func join() { pthread_join(handle, nil) }

    /// The calling thread's name, as the system has it. Takes a system call.
    public static var currentName: String {
        var name = [CChar](repeating: 0, count: 16)
        millrace_thread_get_name(&name)
        return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
