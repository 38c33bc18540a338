extension Configuration {
    /// Variables with our prefix that are not keys: the command line's own, and what Kubernetes adds for a service
    /// called `millrace` (`MILLRACE_SERVICE_HOST`, `MILLRACE_PORT_9092_TCP`, ...), which nobody wrote and nobody means.
    static let otherVariables: Set<String> = [
        "MILLRACE_BOOTSTRAP", "MILLRACE_CONFIG", "MILLRACE_LOGIN", "MILLRACE_LOGIN_FILE", "MILLRACE_PORT",
        "MILLRACE_UNSAFE_WITHOUT_SYNC",
    ]
    static let ignoredPrefixes = ["MILLRACE_SERVICE_", "MILLRACE_PORT_", "MILLRACE_TEST_"]

    /// Reads all sources: flags go before the environment, it before the file, it before the defaults.
    ///
    /// - Parameters:
    ///   - file: path of a YAML file, or `nil`.
    ///   - environment: the process's environment; names with the prefix `MILLRACE_` are looked at, and those that the
    ///     file names.
    ///   - flags: keys with values from the command line, in order; of two for one key the later wins. `flag` names
    ///     the option as the user wrote it.
    /// - Throws: everything that is wrong with any of them, at once.
    public static func load(
        file: String?, environment: [String: String], flags: [(key: String, value: String, flag: String)]
    ) throws(ConfigurationError) -> Configuration {
        var loader = Loader()
        loader.configuration.keep(environment)
        if let file { loader.load(file: file, environment) }
        loader.load(environment: environment)
        for (key, value, flag) in flags { loader.set(key, value, .flag(flag)) }
        // Contradictions are only looked for among values that are each valid.
        if loader.problems.isEmpty { loader.problems = loader.configuration.contradictions() }
        if !loader.problems.isEmpty {
            throw ConfigurationError(problems: loader.problems, valid: loader.configuration)
        }
        return loader.configuration
    }

    private struct Loader {
        var configuration = Configuration()
        var problems: [ConfigurationError.Problem] = []

        mutating func load(file path: String, _ environment: [String: String]) {
            let content: [UInt8]
            switch YAMLDocument.read(path) {
            case .success(let bytes): content = bytes
            case .failure(let failure):
                problems.append(
                    .init(
                        key: nil, value: nil, source: nil,
                        reason: "cannot read the configuration file \(path): "
                            + failure.reason, remedy: "Give --config the path of a readable YAML file"))
                return
            }
            do throws(YAMLDocument.Failure) {
                var lines: [String: Int] = [:]
                let tree = try YAMLDocument.entries(of: content, environment: environment)
                let isSection = { (entry: ConfigurationEntry) in Configuration.sectionNames.contains(entry.key) }
                for entry in tree.filter(isSection) { set(section: entry, path) }
                for entry in try FlatEntries(tree.filter { !isSection($0) }).entries {
                    let source = ConfigurationSource.file(path, line: entry.line)
                    let name = ConfigurationTable.key(named: entry.key)?.name ?? ListenerKey(entry.key)?.name
                    if let name, let earlier = lines.updateValue(entry.line, forKey: name) {
                        problems.append(
                            .init(
                                key: entry.key, value: Configuration.shown(entry.value, of: entry.key), source: source,
                                reason: "the same key is set in line \(earlier)", remedy: "Remove one of the two"))
                        continue
                    }
                    set(entry.key, entry.value, source)
                }
            } catch {
                problems.append(
                    .init(
                        key: nil, value: nil, source: .file(path, line: error.line), reason: error.reason,
                        remedy: error.remedy
                            ?? "Correct the file; it is a mapping of keys to values, such as `num.partitions: 3`"))
            }
        }

        private mutating func set(section entry: ConfigurationEntry, _ path: String) {
            var reason: String?
            if let other = configuration.section(entry.key) {
                reason = "the same key is set in line \(other.node.line)"
            } else if entry.value.isNull {
                reason = "there is nothing in it"
            }
            if let reason {
                problems.append(
                    .init(
                        key: entry.key, value: nil, source: .file(path, line: entry.line), reason: reason,
                        remedy: "Remove it"))
            } else {
                configuration.add(ConfigurationSection(name: entry.key, file: path, node: entry.value))
            }
        }

        mutating func load(environment: [String: String]) {
            let prefix = ConfigurationTable.environmentPrefix
            for (name, value) in environment.sorted(by: { $0.key < $1.key }) where name.hasPrefix(prefix) {
                if Configuration.otherVariables.contains(name) { continue }
                if Configuration.ignoredPrefixes.contains(where: name.hasPrefix) { continue }
                if let key = ListenerKey(variable: name) {
                    set(key.name, value, .environment(name))
                    continue
                }
                guard let position = ConfigurationTable.byEnvironmentName[name] else {
                    let nearest = Spelling.nearest(to: name, among: ConfigurationTable.byEnvironmentName.keys.sorted())
                    problems.append(
                        .init(
                            key: name, value: Configuration.shown(value, of: name), source: .environment(name),
                            reason: "no key is set by this variable" + (nearest.map { "; did you mean \($0)?" } ?? ""),
                            remedy: nearest.map { "Write \($0), or unset it" } ?? "Unset it"))
                    continue
                }
                set(ConfigurationTable.keys[position].name, value, .environment(name))
            }
        }

        mutating func set(_ name: String, _ text: String, _ source: ConfigurationSource) {
            if let own = ListenerKey(name) {
                let key = ConfigurationTable.keys[own.position]
                if let canonical = key.canonical(text) {
                    configuration.add(own, canonical, source)
                } else {
                    problems.append(Configuration.refused(key, name: name, value: text, source: source))
                }
                return
            }
            guard let position = ConfigurationTable.position(of: name) else {
                problems.append(Configuration.unknown(name, value: text, source: source))
                return
            }
            let key = ConfigurationTable.keys[position]
            guard let canonical = key.canonical(text) else {
                problems.append(Configuration.refused(key, name: name, value: text, source: source))
                return
            }
            configuration.add(position, canonical, source)
        }
    }

    /// Pairs of valid values that cannot hold together.
    private func contradictions() -> [ConfigurationError.Problem] {
        var problems: [ConfigurationError.Problem] = []
        func check(_ key: String, _ other: String, _ isFine: Bool, _ relation: String, _ remedy: String) {
            guard !isFine, let value = value(for: key) else { return }
            problems.append(
                .init(
                    key: key, value: value.text, source: value.source,
                    reason: "must \(relation) \(other), which is \(self.value(for: other)?.text ?? "unset")",
                    remedy: remedy))
        }
        check(
            "group.min.session.timeout.ms", "group.max.session.timeout.ms",
            integer("group.min.session.timeout.ms") <= integer("group.max.session.timeout.ms"),
            "not be more than", "Lower it, or raise group.max.session.timeout.ms")
        // Who heartbeats no sooner than its session ends is taken for gone each time.
        check(
            "group.consumer.heartbeat.interval.ms", "group.consumer.session.timeout.ms",
            integer("group.consumer.heartbeat.interval.ms") < integer("group.consumer.session.timeout.ms"),
            "be less than", "Lower it, or raise group.consumer.session.timeout.ms")
        check(
            "group.share.heartbeat.interval.ms", "group.share.session.timeout.ms",
            integer("group.share.heartbeat.interval.ms") < integer("group.share.session.timeout.ms"),
            "be less than", "Lower it, or raise group.share.session.timeout.ms")
        check(
            "message.max.bytes", "socket.request.max.bytes",
            integer("message.max.bytes") <= integer("socket.request.max.bytes"),
            "not be more than", "Lower it, or raise socket.request.max.bytes")
        check(
            "socket.request.max.bytes", "queued.max.request.bytes",
            integer("socket.request.max.bytes") <= integer("queued.max.request.bytes"),
            "not be more than", "Lower it, or raise queued.max.request.bytes")
        // What is received by HTTP counts in the memory of all requests, and a body in its peer's share of it.
        for (smaller, larger) in [
            ("http.max.event.bytes", "http.max.request.bytes"),
            ("http.max.request.bytes", "http.max.inflight.bytes.per.ip"),
            ("http.max.inflight.bytes.per.ip", "http.max.inflight.bytes"),
            ("http.max.inflight.bytes", "queued.max.request.bytes"),
        ] where boolean("http.enable") {
            check(
                smaller, larger, integer(smaller) <= integer(larger), "not be more than",
                "Lower it, or raise \(larger)")
        }
        let ofListeners = listenerProblems()
        // A listener without a protocol cannot be asked whether it is open.
        return problems + authenticationProblems() + ofListeners + (ofListeners.isEmpty ? postureProblems() : [])
    }
}
