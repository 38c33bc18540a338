import CommandSyntax
import Configuration
import IngestGateway

/// `millrace config keys` and `millrace config check`.
enum ConfigCommands {
    static func keys(_ invocation: Invocation, _ console: Console) throws {
        var keys = ConfigurationTable.keys
        if let name = invocation.operands.first {
            guard let key = ConfigurationTable.key(named: name) else {
                let nearest = Spelling.nearest(to: name, among: ConfigurationTable.names)
                throw CommandFailure(
                    "there is no key \(name)" + (nearest.map { "; did you mean \($0)?" } ?? ""), .usage)
            }
            keys = [key]
        }
        if invocation[CommonOptions.json] {
            console.output.writeJSON { json in
                json.array { json in for key in keys { write(key, to: &json) } }
            }
        } else if invocation[ConfigOptions.markdown] {
            console.output.write(ConfigurationTable.markdown(keys))
        } else {
            for key in keys {
                console.output.write("\(key.name)\(key.defaultText.map { " = \($0)" } ?? "  (unset)")\n")
                console.output.write("    \(key.documentation).\n    \(key.allowed); \(key.environmentName)")
                if !key.aliases.isEmpty { console.output.write("; also \(key.aliases.joined(separator: ", "))") }
                console.output.write("\n")
            }
        }
    }

    private static func write(_ key: ConfigurationKey, to json: inout JSONWriter) {
        json.object { json in
            json.member("name", key.name)
            json.array("aliases") { json in for alias in key.aliases { json.string(alias) } }
            json.member("default", key.defaultText)
            json.member("allowed", key.allowed)
            json.member("environment", key.environmentName)
            json.member("topic_setting", key.topicKey)
            json.member("documentation", key.documentation)
        }
    }

    static func check(
        _ invocation: Invocation, _ console: Console, _ check: (Configuration) throws -> Void
    ) throws {
        let configuration = try ConfigurationSources.load(invocation, environment: console.environment)
        do { try check(configuration) } catch { throw CommandFailure("\(error)", .configuration) }
        _ = try GatewayConfiguration(configuration, GatewayOptions(configuration))
        let shown = configuration.described().filter { invocation[ConfigOptions.all] || $0.source != .builtIn }
        if invocation[CommonOptions.json] {
            console.output.writeJSON { json in
                json.array { json in
                    for value in shown {
                        json.object { json in
                            json.member("name", value.name)
                            json.member("value", value.value)
                            if value.isSensitive { json.member("hidden", true) }
                            json.member("source", value.source.description)
                        }
                    }
                }
            }
            return
        }
        if shown.isEmpty { return console.output.write("Every key is at its default.\n") }
        var table = TextTable([("KEY", .left), ("VALUE", .left), ("SOURCE", .left)])
        for value in shown {
            let text = value.isSensitive && value.source != .builtIn ? "(hidden)" : value.value ?? "(unset)"
            table.append([value.name, text, value.source.description])
        }
        console.output.write(table.text)
    }
}
