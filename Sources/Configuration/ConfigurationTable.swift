/// All keys, one row each. `ConfigurationTable+*.swift` hold the rows by subject.
public enum ConfigurationTable {
    public static let environmentPrefix = "MILLRACE_"

    public static let keys: [ConfigurationKey] = broker + network + tls + logs + groups + gateway + access

    /// The row that `name`, or an alias of it, stands for.
    public static func key(named name: String) -> ConfigurationKey? { index[name].map { keys[$0] } }

    static func position(of name: String) -> Int? { index[name] }

    /// Every name that a file or a flag may use, aliases included, in the table's order.
    public static var names: [String] { keys.flatMap { [$0.name] + $0.aliases } }

    private static let index: [String: Int] = {
        var index: [String: Int] = [:]
        for (position, key) in keys.enumerated() {
            for name in [key.name] + key.aliases {
                precondition(index.updateValue(position, forKey: name) == nil, "two rows are named \(name)")
            }
        }
        return index
    }()

    static let byEnvironmentName: [String: Int] = {
        var index: [String: Int] = [:]
        for (position, key) in keys.enumerated() {
            for name in [key.name] + key.aliases {
                let variable = ConfigurationKey.environmentName(of: name)
                precondition(index.updateValue(position, forKey: variable) == nil, "two rows are set by \(variable)")
            }
        }
        return index
    }()
}

extension ConfigurationTable {
    /// The rows as a Markdown table, for the documentation.
    public static func markdown(_ keys: [ConfigurationKey] = keys) -> String {
        var text = "| Key | Default | Allowed | What it is |\n| --- | --- | --- | --- |\n"
        for key in keys {
            let names = ([key.name] + key.aliases).map { "`\($0)`" }.joined(separator: ", ")
            let value = key.defaultText.map { $0.isEmpty ? "empty" : "`\($0)`" } ?? "unset"
            let topic = key.topicKey.map { " Topics: `\($0)`." } ?? ""
            text += "| \(names) | \(value) | \(key.allowed) | \(key.documentation).\(topic) |\n"
        }
        return text
    }
}
