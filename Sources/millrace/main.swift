import Configuration
import Glibc

// `millrace serve --data-dir DIR --kafka HOST:PORT --http HOST:PORT [--set KEY=VALUE ...]`
var flags: [(key: String, value: String, flag: String)] = []
var arguments = Array(CommandLine.arguments.dropFirst(2))
let keys = ["--data-dir": "log.dirs", "--kafka": "listeners", "--http": "http.listener"]
while arguments.count >= 2 {
    let option = arguments.removeFirst()
    let value = arguments.removeFirst()
    if option == "--set" {
        let parts = value.split(separator: "=", maxSplits: 1).map(String.init)
        flags.append((parts[0], parts.count > 1 ? parts[1] : "", option))
    } else if let key = keys[option] {
        flags.append((key, value, option))
    }
}
signal(SIGPIPE, SIG_IGN)
var stopSignals = sigset_t()
sigemptyset(&stopSignals)
sigaddset(&stopSignals, SIGTERM)
sigaddset(&stopSignals, SIGINT)
pthread_sigmask(SIG_BLOCK, &stopSignals, nil)
let process = try BrokerProcess.start(Configuration.load(file: nil, environment: [:], flags: flags))
print("millrace is ready: \(process.kafkaAddress)")
var taken: Int32 = 0
sigwait(&stopSignals, &taken)
try process.stop()
