public import CommandSyntax
public import Configuration

/// From a command's options and the environment to a configuration.
public enum ConfigurationSources {
    /// `flags` are the command's own options as keys; they go before `--set`.
    public static func load(
        _ invocation: Invocation, environment: [String: String],
        flags: [(key: String, value: String, flag: String)] = []
    ) throws -> Configuration {
        // The later wins: the last of several --set, and an option of its own.
        let set = invocation[ConfigOptions.set].map { (key: $0.name, value: $0.value, flag: "--set") }
        return try Configuration.load(
            file: invocation[ConfigOptions.config] ?? environment["MILLRACE_CONFIG"], environment: environment,
            flags: set + flags)
    }
}
