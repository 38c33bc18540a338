public import CommandSyntax
public import Configuration
import Glibc

/// From a command's options and the environment to a configuration.
public enum ConfigurationSources {
    /// Path of the configuration file; nil: there is none.
    public static func file(_ invocation: Invocation, _ environment: [String: String]) -> String? {
        invocation[ConfigOptions.config] ?? environment["MILLRACE_CONFIG"]
    }

    /// The path as another process finds it; of a file that is not there as it is.
    public static func absolute(_ path: String) -> String {
        guard let resolved = realpath(path, nil) else { return path }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    /// `flags` are the command's own options as keys; they go before `--set`.
    public static func load(
        _ invocation: Invocation, environment: [String: String],
        flags: [(key: String, value: String, flag: String)] = []
    ) throws(ConfigurationError) -> Configuration {
        // The later wins: the last of several --set, and an option of its own.
        let set = invocation[ConfigOptions.set].map { (key: $0.name, value: $0.value, flag: "--set") }
        return try Configuration.load(
            file: file(invocation, environment), environment: environment, flags: set + flags)
    }
}
