public import Alarms
public import Configuration
public import BrokerCore
import KafkaModel

/// What a configuration says of the gateway's routes and of the topics behind them, checked as a whole.
public struct GatewayConfiguration: Sendable {
    public let topics: [TopicDeclaration]
    /// Each behind the one that takes its dead letters.
    public let queues: [QueueDeclaration]
    public let forwarders: [ForwarderDefinition]
    /// Those that are there without a word as well, as far as they are not switched off.
    public let alarms: [AlarmRule]
    public let subscriptions: [SubscriptionDefinition]
    public let pulls: [PullDefinition]
    public let watchers: [WatcherDefinition]
    let routes: [RouteDefinition]
    let perimeter: Perimeter
    /// Routes that are there without configuration, and shall not be.
    let switchedOff: Set<String>
    /// Where each route stands.
    private let sources: [String: ConfigurationSource]

    /// No word of configuration: the built-in routes alone.
    public init() {
        topics = []
        queues = []
        forwarders = []
        alarms = AlarmDeclaration.builtIn
        subscriptions = []
        pulls = []
        watchers = []
        routes = []
        switchedOff = []
        sources = [:]
        perimeter = Perimeter()
    }

    /// Reads the sections, or throws all that is wrong with them.
    ///
    /// - Parameter options: what the gateway holds the routes against. They do not change while it runs.
    public init(_ configuration: Configuration, _ options: GatewayOptions) throws(ConfigurationError) {
        var reader = Reader(configuration, options)
        reader.refuseWhatNobodyReads()
        reader.readSecrets()
        reader.readTopics()
        reader.readQueues()
        reader.readForwarders()
        reader.readAlarms()
        reader.readSubscriptions()
        reader.readPulls()
        reader.readRoutes()
        reader.readWatchers()
        topics = reader.topics
        queues = QueueDeclaration.inOrder(reader.queues)
        forwarders = reader.forwarders
        alarms = reader.alarms
        subscriptions = reader.subscriptions
        pulls = reader.pulls
        watchers = reader.watchers
        routes = reader.routes
        switchedOff = reader.switchedOff
        sources = reader.sources
        var problems: [ConfigurationError.Problem] = []
        perimeter = Perimeter(configuration, &problems)
        problems += reader.findings?.problems ?? []
        if problems.isEmpty, let refusal = RouteTable.refusal(of: definitions(options), options) {
            problems.append(problem(of: refusal))
        }
        if !problems.isEmpty { throw ConfigurationError(problems: problems, valid: configuration) }
    }

    /// The routes that the gateway has by this configuration, for people.
    public func summaries(_ options: GatewayOptions) -> [RouteSummary] { definitions(options).map { RouteSummary($0) } }

    /// All rows: those of the configuration, and of the built-in ones those whose path nobody took.
    func definitions(_ options: GatewayOptions) -> [RouteDefinition] {
        let ids = switchedOff.union(routes.map(\.id))
        let taken = Set(routes.flatMap { $0.paths.map(PathText.shape) })
        let rest = RouteDefinition.builtIn(options).compactMap { builtIn -> RouteDefinition? in
            if ids.contains(builtIn.id) { return nil }
            // Those that operators and probes rely on are not taken silently.
            guard builtIn.endpoint.target != nil else { return builtIn }
            var left = builtIn
            left.paths.removeAll { taken.contains(PathText.shape(of: $0)) }
            return left.paths.isEmpty ? nil : left
        }
        return routes + rest
    }

    private func problem(of refusal: RouteRefusal) -> ConfigurationError.Problem {
        .init(
            key: "routes", value: nil, source: sources[refusal.id], reason: refusal.description,
            remedy: "Correct the route")
    }

    private struct Reader {
        private let configuration: Configuration
        private let options: GatewayOptions
        private(set) var topics: [TopicDeclaration] = []
        private(set) var queues: [QueueDeclaration] = []
        private(set) var forwarders: [ForwarderDefinition] = []
        private(set) var alarms: [AlarmRule] = []
        private(set) var subscriptions: [SubscriptionDefinition] = []
        private(set) var pulls: [PullDefinition] = []
        private(set) var routes: [RouteDefinition] = []
        private(set) var watchers: [WatcherDefinition] = []
        private(set) var switchedOff: Set<String> = []
        private var secrets = NamedSecrets()
        private(set) var sources: [String: ConfigurationSource] = [:]
        /// Of the file; nil: it has no section.
        let findings: ConfigurationFindings?

        init(_ configuration: Configuration, _ options: GatewayOptions) {
            self.configuration = configuration
            self.options = options
            let section = Configuration.sectionNames.lazy.compactMap { configuration.section($0) }.first
            findings = section.map { ConfigurationFindings(file: $0.file) }
        }

        private func place(_ name: String) -> ConfigurationPlace? {
            guard let section = configuration.section(name), let findings else { return nil }
            return ConfigurationPlace(section, findings)
        }

        /// A promise that nobody keeps would be worse than none.
        func refuseWhatNobodyReads() {
            if !configuration.servesHTTP {
                for name in ["routes", "alarms", "pulls", "watchers"] {
                    place(name)?.refuse("no HTTP is served", remedy: "Leave the section out, or set http.enable")
                }
            }
        }

        mutating func readSecrets() {
            if let place = place("auth") { secrets.read(place, configuration) }
        }

        mutating func readTopics() {
            for (name, place) in place("topics")?.entries() ?? [] {
                if let topic = TopicDeclaration(name, place) { topics.append(topic) }
            }
        }

        mutating func readQueues() {
            for (name, place) in place("queues")?.entries() ?? [] {
                if let queue = QueueDeclaration(name, place) { queues.append(queue) }
            }
        }

        mutating func readForwarders() {
            let entries = place("forwarders")?.entries() ?? []
            if entries.count > Forwarders.maxForwarders {
                place("forwarders")?.refuse(
                    "has more than \(Forwarders.maxForwarders) forwarders", remedy: "Leave some out")
                return
            }
            for (name, place) in entries {
                guard let declaration = ForwarderDeclaration(name, place, secrets) else { continue }
                let definition = declaration.definition
                if let other = forwarders.first(where: { $0.from.isExactly(definition.from) }) {
                    place.refuse(
                        "\(other.name) forwards the queue \(definition.from) already",
                        remedy: "A queue has one forwarder")
                }
                if declaration.leadsBack(over: forwarders) {
                    place.refuse("brings its messages back to its own queue, without end", remedy: "Name another topic")
                }
                forwarders.append(definition)
            }
        }

        mutating func readAlarms() {
            let entries = place("alarms")?.entries() ?? []
            let names = Set(entries.map(\.key))
            alarms = AlarmDeclaration.builtIn.filter { !names.contains($0.name) }
            let known = AlarmDeclaration.builtIn.map(\.name)
            for (name, place) in entries {
                guard let declaration = AlarmDeclaration(name, place, secrets) else { continue }
                if let rule = declaration.rule {
                    alarms.append(rule)
                } else if !known.contains(name) {
                    place.refuse(
                        "there is no alarm \(name) by itself",
                        remedy: "They are " + known.sorted().joined(separator: ", "))
                }
            }
            if alarms.count > AlarmRule.maxAlarms {
                place("alarms")?.refuse("makes more than \(AlarmRule.maxAlarms) alarms", remedy: "Leave some out")
            }
        }

        mutating func readSubscriptions() {
            guard let section = place("subscriptions") else { return }
            let entries = section.entries() ?? []
            guard entries.count <= Subscriptions.maxSubscriptions else {
                return section.refuse(
                    "has more than \(Subscriptions.maxSubscriptions) subscriptions", remedy: "Leave some out")
            }
            for (name, place) in entries {
                guard let definition = SubscriptionDeclaration(name, place, secrets)?.definition else { continue }
                let takers = forwarders.map { ($0.name, $0.from) } + subscriptions.map { ($0.name, $0.from) }
                if let other = takers.first(where: { $0.1.isExactly(definition.from) }) {
                    place.refuse(
                        "\(other.0) takes the messages of the queue \(definition.from) already",
                        remedy: "A queue has one forwarder or one subscription")
                }
                subscriptions.append(definition)
            }
            if subscriptions.reduce(0, { $0 + $1.concurrency }) > Subscriptions.maxRequests {
                section.refuse(
                    "lets more than \(Subscriptions.maxRequests) requests be under way", remedy: "Lower concurrency")
            }
            if subscriptions.reduce(0, { $0 + $1.concurrency * $1.maxBytes }) > Subscriptions.maxHeldBytes {
                section.refuse(
                    "lets requests of more than \(Subscriptions.maxHeldBytes >> 20) MiB be under way",
                    remedy: "Lower concurrency or batch.bytes")
            }
        }

        mutating func readPulls() {
            guard let section = place("pulls") else { return }
            let entries = section.entries() ?? []
            guard entries.count <= Pulls.maxPulls else {
                return section.refuse("has more than \(Pulls.maxPulls) pulls", remedy: "Leave some out")
            }
            pulls = entries.compactMap { PullDeclaration($0.key, $0.place, secrets)?.definition }
        }

        mutating func readWatchers() {
            let entries = place("watchers")?.entries() ?? []
            if entries.count > WatcherDefinition.most {
                place("watchers")?.refuse(
                    "has more than \(WatcherDefinition.most) watchers", remedy: "Leave some out")
                return
            }
            for (name, place) in entries {
                guard let watcher = WatcherDefinition(name, place, routes) else { continue }
                if let other = watchers.first(where: { $0.directory == watcher.directory }) {
                    place.refuse(
                        "\(other.name) watches the directory already", remedy: "A directory has one watcher")
                }
                watchers.append(watcher)
            }
        }

        mutating func readRoutes() {
            let known = Set(RouteDefinition.builtIn(options).map(\.id))
            for place in place("routes")?.items() ?? [] {
                guard let reader = RouteReader(place, options, secrets) else { continue }
                if reader.isOff {
                    guard let id = reader.switchedOff else { continue }
                    if !known.contains(id) {
                        place.refuse(
                            "there is no route \(id) by itself",
                            remedy: "They are " + known.sorted().joined(separator: ", "))
                    }
                    switchedOff.insert(id)
                } else if let route = reader.read() {
                    routes.append(route)
                    sources[route.id] = place.source
                }
            }
        }
    }
}

/// A route as a list of routes shows it.
public struct RouteSummary: Sendable {
    public let id: String
    public let paths: [String]
    public let methods: [String]
    /// nil: the path says it, or nothing is written. Of a queue the topic of its messages.
    public let topic: String?
    /// Requests a second and at once; nil: no limit.
    public let rate: (requests: Int, burst: Int)?
    public let isConfigured: Bool
    /// It is at `admin.listener` alone.
    public let isForOperators: Bool

    fileprivate init(_ definition: RouteDefinition) {
        id = definition.id
        paths = definition.paths
        methods = definition.methods.names
        topic = definition.topic
        rate = definition.rate.flatMap { $0.requests > 0 ? ($0.requests, $0.burst > 0 ? $0.burst : $0.requests) : nil }
        isConfigured = definition.plan != nil
        isForOperators = definition.endpoint == ReloadEndpoint.self
    }
}

/// A topic that is made when it is missing.
public struct TopicDeclaration: Sendable, Equatable {
    public let name: String
    /// -1: the broker's default.
    public let partitions: Int32
    /// By the names of topic settings, in their own units.
    public let settings: [String: String]

    fileprivate init?(_ name: String, _ place: ConfigurationPlace) {
        if let problem = TopicName.problem(name) { place.refuse(problem, remedy: "Choose another name") }
        guard let entries = place.entries() else { return nil }
        var partitions: Int32 = -1
        var settings: [String: String] = [:]
        for (key, value) in entries {
            if key == "partitions" {
                partitions = Int32(value.integer(1...Int64(Int32.max)) ?? 1)
                continue
            }
            let setting = key == "retention" ? "retention.ms" : key
            guard let row = TopicSettingKey.named(setting) else {
                let names = ["partitions", "retention"] + TopicSetting.all.map(\.name)
                let nearest = Spelling.nearest(to: key, among: names)
                value.refuse(
                    "there is no such setting of a topic" + (nearest.map { "; did you mean \($0)?" } ?? ""),
                    remedy: "Correct the name, or leave it out")
                continue
            }
            guard let text = value.texts().map({ Quantity.setting(setting, $0.joined(separator: ",")) }) else {
                continue
            }
            if let problem = row.problem(text) { value.refuse(problem, remedy: "Correct the value") }
            settings[setting] = text
        }
        self.name = name
        self.partitions = partitions
        self.settings = settings
    }
}
