import CommandSyntax
import Configuration
import IngestGateway

/// `millrace gateway validate`.
enum GatewayCommands {
    static func validate(_ invocation: Invocation, _ console: Console) throws {
        let configuration = try ConfigurationSources.load(invocation, environment: console.environment)
        let options = GatewayOptions(configuration)
        let routes = try GatewayConfiguration(configuration, options).summaries(options)
            .filter { !$0.isForOperators || !configuration.adminListeners.isEmpty }
        if invocation[CommonOptions.json] {
            return console.output.writeJSON { json in
                json.array { json in for route in routes { write(route, to: &json) } }
            }
        }
        var table = TextTable([
            ("ROUTE", .left), ("METHODS", .left), ("PATHS", .left), ("TOPIC", .left), ("RATE", .left),
        ])
        for route in routes {
            table.append([
                route.id, route.methods.joined(separator: ","), route.paths.joined(separator: " "), route.topic ?? "-",
                route.rate.map { "\($0.requests)/s, \($0.burst) at once" } ?? "-",
            ])
        }
        console.output.write(table.text)
        console.output.write("valid\n")
    }

    private static func write(_ route: RouteSummary, to json: inout JSONWriter) {
        json.object { json in
            json.member("id", route.id)
            json.array("methods") { json in for method in route.methods { json.string(method) } }
            json.array("paths") { json in for path in route.paths { json.string(path) } }
            json.member("topic", route.topic)
            if let rate = route.rate {
                json.member("rate", rate.requests)
                json.member("burst", rate.burst)
            }
            json.member("configured", route.isConfigured)
        }
    }
}
