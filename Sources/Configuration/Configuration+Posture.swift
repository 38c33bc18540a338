/// What a start refuses because it would be open to whoever reaches a port, and nobody has said that this is meant.
///
/// ```
///   address      asks who somebody is           serves
///   loopback     no matter                      yes
///   other        SASL, a client certificate     yes
///   other        no                             with security.allow.open (--insecure) alone
/// ```
/// A listener of SASL goes with `authorizer.enable` written out: without ACLs whoever signs in may do everything, set the
/// passwords of others included. ACLs hold for who has shown who he is: with them HTTP is not served to other machines that are
/// asked nothing (`http.auth=off`, no certificate); there is no word that allows it.
extension Configuration {
    /// Whether a listener asks its clients who they are, and takes no one who does not show it.
    private func asksWho(_ listener: KafkaListener) -> Bool {
        switch listener.securityProtocol {
        case .saslPlaintext, .saslSSL: true
        case .ssl: of(listener: listener.name).text("ssl.client.auth") == "required"
        case .plaintext: false
        }
    }

    private func asksWho(http listener: ListenerAddress) -> Bool {
        httpAuthentication == "required" || listener.isSecureHTTP && text("http.ssl.client.auth") == "required"
    }

    /// Listeners that whoever reaches them may use without a word about himself.
    public var openListeners: [ListenerAddress] {
        let kafka = kafkaListeners.filter { !$0.endpoint.isLoopback && !asksWho($0) }
            .map { ListenerAddress(name: $0.name, endpoint: $0.endpoint) }
        return kafka + openHTTPListeners + openAdminListeners
    }

    private var openHTTPListeners: [ListenerAddress] {
        servesHTTP ? httpListeners.filter { !$0.endpoint.isLoopback && !asksWho(http: $0) } : []
    }

    private var openAdminListeners: [ListenerAddress] {
        servesHTTP ? adminListeners.filter { !$0.endpoint.isLoopback && !asksWho(http: $0) } : []
    }

    public var hasSaslListener: Bool { kafkaListeners.contains { $0.securityProtocol.hasSasl } }

    /// Of one key's value in force.
    func problem(_ key: String, _ reason: String, _ remedy: String) -> ConfigurationError.Problem {
        let value = value(for: key)
        return .init(key: key, value: value?.text, source: value?.source, reason: reason, remedy: remedy)
    }

    /// What contradicts itself in the keys about authentication.
    func authenticationProblems() -> [ConfigurationError.Problem] {
        var problems: [ConfigurationError.Problem] = []
        if (firstUser == nil) != (firstUserPasswordFile == nil) {
            problems.append(
                problem(
                    firstUser == nil ? "sasl.first.user" : "sasl.first.user.password.file",
                    "must be set where the other one is: a user has a name and a password", "Set both, or none"))
        }
        if authenticationFailureDelayMs >= maxIdleConnectionMs {
            problems.append(
                problem(
                    "connection.failed.authentication.delay.ms", "must be shorter than connections.max.idle.ms",
                    "Set one below \(maxIdleConnectionMs)"))
        }
        return problems
    }

    /// To be asked where `listeners` has no other problem: each has a protocol.
    func postureProblems() -> [ConfigurationError.Problem] {
        var problems: [ConfigurationError.Problem] = []
        func add(_ key: String, _ reason: String, _ remedy: String) {
            problems.append(problem(key, reason, remedy))
        }
        let (http, admin) = (openHTTPListeners, openAdminListeners)
        if !boolean("security.allow.open") {
            let open = openListeners.dropLast(admin.count + http.count)
            if let first = open.first {
                add(
                    "listeners",
                    "\(first.name)://\(first.endpoint) is open to other machines, and asks nobody who he is",
                    "Let it speak SASL_SSL or SASL_PLAINTEXT (sasl.first.user makes the first user), or SSL with "
                        + "ssl.client.auth=required; or listen at 127.0.0.1 or localhost; or say --insecure "
                        + "(security.allow.open=true) if all who reach it may do everything")
            }
            if let first = http.first {
                add(
                    "http.listener",
                    "\(first.name)://\(first.endpoint) is open to other machines, and asks nobody who he is",
                    "Set http.auth=required (API keys, tokens, passwords), or let it be https:// with "
                        + "http.ssl.client.auth=required; or listen at 127.0.0.1 or localhost, behind a proxy that asks, or not at all (http.enable=false); or say --insecure (security.allow.open=true) if "
                        + "all who reach it may do everything")
            }
            if let first = admin.first {
                add(
                    "admin.listener",
                    "\(first.name)://\(first.endpoint) is open to other machines, and asks nobody who he is",
                    "Listen at 127.0.0.1 or localhost; or set http.auth=required, or let it be https:// with "
                        + "http.ssl.client.auth=required; or say --insecure (security.allow.open=true) if all who reach it may see it"
                )
            }
        }
        if hasSaslListener, value(for: "authorizer.enable")?.source == .builtIn {
            add(
                "authorizer.enable",
                "must be written out where a listener speaks SASL: without ACLs whoever signs in may do everything, and set "
                    + "everybody's password",
                "Set it to true, with super.users for who makes the ACLs, or to false if that is meant")
        }
        if hasAuthorizer, httpAuthentication == "off", let first = http.first {
            add(
                "http.listener",
                "\(first.name)://\(first.endpoint) would serve other machines whatever the ACLs of authorizer.enable deny",
                "Set http.auth=required, listen at 127.0.0.1 or localhost, let it be https:// with "
                    + "http.ssl.client.auth=required, or set http.enable=false")
        }
        return problems
    }
}
