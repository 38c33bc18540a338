/// The whole command line, one row a command.
public enum CommandTable {
    public static let root = Command(
        "millrace", "A durable Kafka-protocol broker with an HTTP gateway, and its tools",
        discussion: [
            "Exit codes: 0 done; 1 refused or failed; 2 wrong usage; 3 no broker reached, or no answer in time; "
                + "4 wrong configuration; 5 damaged data found; 130 interrupted by SIGINT, 143 by SIGTERM, 129 by SIGHUP. "
                + "`millrace serve` leaves with 0 after any of them.",
            "A size may have a unit (64KiB, 1MiB, 2GB), a time too (500ms, 30s, 12h, 7d), wherever one is taken.",
        ],
        subcommands: [
            serve, config, gateway, cluster, topic, produce, consume, queue, forwarder, subscription, job, group, user,
            acl, key,
            quota,
            log, bench, trace, mockAPI, mockEvents, completion, version,
        ])

    /// Options that every command has.
    public static let common = [CommonOptions.help.row]

    // MARK: Broker

    static let serve = Command(
        "serve", "Run the broker in the foreground until SIGTERM or SIGINT", action: .serve,
        options: [
            ServeOptions.dataDir, ServeOptions.kafka, ServeOptions.http, ServeOptions.insecure, ConfigOptions.config,
            ConfigOptions.set,
        ],
        discussion: [
            "A value is taken from the key's own option, else from --set, else from the environment (MILLRACE_ and the key in capitals, "
                + "underscores for dots), else from the file, else it is the default. `millrace config keys` lists "
                + "every key.",
            "SIGTERM and SIGINT stop the broker: it takes no more connections, finishes what was acknowledged, "
                + "flushes and leaves with 0. A second signal ends it at once. SIGHUP does not stop it, unless it tells "
                + "that the terminal is gone; started by nohup, it ignores that too. It makes the broker read routes, topics and certificates "
                + "again.",
        ])

    static let config = Command(
        "config", "Look at the broker's configuration keys and check a configuration",
        subcommands: [
            Command(
                "keys", "List every configuration key with its default and what it may hold", action: .configKeys,
                operands: [Operand("KEY", .optional)],
                options: [CommonOptions.json, ConfigOptions.markdown]),
            Command(
                "check", "Check a configuration and show what differs from the defaults", action: .configCheck,
                options: [ConfigOptions.config, ConfigOptions.set, ConfigOptions.all, CommonOptions.json]),
        ])

    static let gateway = Command(
        "gateway", "Look at the routes of the HTTP gateway",
        subcommands: [
            Command(
                "validate", "Check a configuration's routes and topics, and list the routes that it makes",
                action: .gatewayValidate, options: [ConfigOptions.config, ConfigOptions.set, CommonOptions.json]),
            Command(
                "plan", "Show in what a configuration's routes and topics differ from those that are served",
                action: .gatewayPlan, options: [ConfigOptions.config, ConfigOptions.set, ServeOptions.dataDir],
                discussion: [
                    "Exit code 0: they are the same; 2: they differ, or the command was used wrongly, which is told as an error. What is served is told by the broker in its data folder; "
                        + "values of the environment are those of this command."
                ]),
            Command(
                "apply", "Let the broker that serves a data folder take its configuration file's routes and topics",
                action: .gatewayApply, options: [ConfigOptions.config, ConfigOptions.set, ServeOptions.dataDir],
                discussion: [
                    "It checks the file, sends SIGHUP to the broker and waits for what came of it. The broker reads the file that it was "
                        + "started with, by its own environment; another file is refused."
                ]),
        ])

    static let cluster = Command(
        "cluster", "Look at a cluster as a whole",
        subcommands: [
            Command(
                "info", "Show the cluster's id, its brokers and how much there is in it", action: .clusterInfo,
                options: [CommonOptions.json] + CommonOptions.connection)
        ])

    static let completion = Command(
        "completion", "Write a completion script for a shell", action: .completion,
        operands: [Operand("SHELL", choices: ["bash", "zsh", "fish"])],
        discussion: [
            "bash: source <(millrace completion bash). zsh: millrace completion zsh > \"${fpath[1]}/_millrace\". "
                + "fish: millrace completion fish > ~/.config/fish/completions/millrace.fish."
        ])

    static let version = Command("version", "Show the version", action: .version, options: [CommonOptions.json])
}

public enum ServeOptions {
    public static let dataDir = Option("data-dir", "d", "DIR", .text, "Data folder; made if missing (default: data)")
    public static let kafka = Option(
        "kafka", nil, "HOST:PORT", .text, "Address of the Kafka protocol (default: localhost:9092)")
    public static let http = Option(
        "http", nil, "HOST:PORT|off", .text, "Address of the HTTP gateway (default: localhost:8080)")
    public static let insecure = Switch(
        "insecure", nil, "Serve other machines where nobody is asked who he is (security.allow.open=true)")
}

/// Options of `config`, which `serve` has too.
public enum ConfigOptions {
    public static let config = Option("config", "c", "FILE", .text, "Configuration in YAML")
    public static let set = RepeatableOption("set", "s", "KEY=VALUE", .pair, "Set one configuration key")
    public static let all = Switch("all", "a", "Show the defaults too")
    public static let markdown = Switch("markdown", nil, "Write a Markdown table")
}
