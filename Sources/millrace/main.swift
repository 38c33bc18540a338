import ConsoleCommands
import Glibc

// A limit of the size of files (`ulimit -f`) is an error of the write that meets it, not the end of the process.
signal(SIGXFSZ, SIG_IGN)
let console = ProcessConsole.make()
exit(
    ConsoleProgram.run(Array(CommandLine.arguments.dropFirst()), console) { invocation in
        try Serve.run(invocation, environment: console.environment)
    })
