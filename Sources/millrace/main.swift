import ConsoleCommands
import Glibc
import Server

// A limit of the size of files (`ulimit -f`) is an error of the write that meets it, not the end of the process.
signal(SIGXFSZ, SIG_IGN)
let console = ProcessConsole.make()
exit(
    ConsoleProgram.run(
        Array(CommandLine.arguments.dropFirst()), console, check: { try Node.check($0) },
        serve: { try Serve.run($0, environment: console.environment) }))
