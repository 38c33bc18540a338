import Glibc

/// A program that a test runs to its end.
///
/// Foundation has one that does not do here: it looks for the highest descriptor by copies of a whole `dirent` out of what
/// `readdir` returns, so it reads past the end of that buffer when thousands of descriptors are open, and may end the process with
/// SIGSEGV.
public enum ChildProgram {
    /// It could not be started, or a signal ended it.
    public struct Failure: Error, CustomStringConvertible {
        public let description: String
    }

    /// Runs a program, and waits for its end. Descriptors that close on exec stay with the caller.
    /// - Parameter environment: Lines of `NAME=value`; nil is the caller's.
    /// - Returns: What it wrote to its standard output, and its exit status.
    public static func run(
        _ program: String, _ arguments: [String], environment: [String]? = nil
    ) throws -> (status: Int32, output: String) {
        var ends: [Int32] = [0, 0]
        // A pair of sockets is closed on exec from the start; of a pipe another thread's child could keep the end that is written to.
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, kind, 0, &ends) == 0 else {
            throw Failure(description: "\(program): no sockets, errno \(errno)")
        }
        defer { close(ends[0]) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO)
        var words = ([program] + arguments).map { strdup($0) } + [nil]
        var variables = (environment ?? []).map { strdup($0) } + [nil]
        defer { for word in words + variables { free(word) } }
        var child: pid_t = 0
        let failure =
            environment == nil
            ? posix_spawn(&child, program, &actions, nil, &words, environ)
            : posix_spawn(&child, program, &actions, nil, &words, &variables)
        close(ends[1])
        guard failure == 0 else { throw Failure(description: "\(program): cannot be started, errno \(failure)") }
        var output: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = read(ends[0], &piece, piece.count)
            if count > 0 {
                output += piece[..<count]
            } else if count == 0 || errno != EINTR {
                break
            }
        }
        var status: Int32 = 0
        while waitpid(child, &status, 0) < 0, errno == EINTR {}
        guard status & 0x7f == 0 else { throw Failure(description: "\(program): ended by signal \(status & 0x7f)") }
        return (status >> 8 & 0xff, String(decoding: output, as: UTF8.self))
    }
}
