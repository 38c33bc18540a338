import CommandSyntax
import Configuration
@preconcurrency import Glibc

/// From a command's options and the environment to a configuration.
enum ConfigurationSources {
    static func load(_ invocation: Invocation, flags: [(key: String, value: String, flag: String)]) throws
        -> Configuration
    {
        // Dedicated options stand behind --set: of two values from the command line the later wins.
        let set = try invocation.pairs("set").map { (key: $0.name, value: $0.value, flag: "--set") }
        let environment = environment()
        return try Configuration.load(
            file: invocation.value("config") ?? environment["MILLRACE_CONFIG"], environment: environment,
            flags: set + flags)
    }

    private static func environment() -> [String: String] {
        var variables: [String: String] = [:]
        var entry = environ
        while let text = entry.pointee {
            let pair = String(cString: text)
            if let equals = pair.firstIndex(of: "="), pair.hasPrefix(ConfigurationTable.environmentPrefix) {
                variables[String(pair[..<equals])] = String(pair[pair.index(after: equals)...])
            }
            entry += 1
        }
        return variables
    }
}
