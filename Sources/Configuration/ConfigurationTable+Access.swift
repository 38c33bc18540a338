extension ConfigurationTable {
    static let access: [ConfigurationKey] = [
        ConfigurationKey(
            "sasl.enabled.mechanisms", .list(among: ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"]),
            default: "SCRAM-SHA-256,SCRAM-SHA-512",
            "How clients of SASL_PLAINTEXT and SASL_SSL may show who they are: users that millrace user create makes, and by "
                + "OAUTHBEARER holders of tokens. PLAIN sends the password itself, OAUTHBEARER the token: over TLS, or to the "
                + "loopback alone"),
        ConfigurationKey(
            "sasl.first.user", .text, default: nil,
            "The user who is made at a start at which there has never been one, to make the others; see super.users"),
        ConfigurationKey(
            "sasl.first.user.password.file", .text, default: nil,
            "File with his password, one line; read at that start alone"),
        ConfigurationKey(
            "connections.max.reauth.ms", .duration(.milliseconds, 0...Int64(Int32.max)), default: "0",
            "How long a client may go on before it shows again who it is (KIP-368), or is disconnected; 0: for ever"),
        ConfigurationKey(
            "connection.failed.authentication.delay.ms", .duration(.milliseconds, 0...Int64(Int32.max), width: .int),
            default: "100",
            "How long a wrong password waits for its answer. Shorter than connections.max.idle.ms"),
        ConfigurationKey(
            "sasl.oauthbearer.expected.issuer", .text, default: nil,
            "Whose tokens OAUTHBEARER takes: what they have as iss"),
        ConfigurationKey(
            "sasl.oauthbearer.expected.audience", .list(among: []), default: "",
            "For whom tokens have to be: one of these in aud"),
        ConfigurationKey(
            "sasl.oauthbearer.jwks.endpoint.url", .text, default: nil,
            "Where the issuer's keys are: https, http to this machine alone, or file:///PATH; unset: what discovery at the "
                + "issuer says"),
        ConfigurationKey(
            "sasl.oauthbearer.jwks.endpoint.refresh.ms", .duration(.milliseconds, 10_000...86_400_000),
            default: "600000",
            "How often keys are fetched again; for a key that is not there once in 30 s at most. Keys that could not be "
                + "fetched for a day are not used"),
        ConfigurationKey(
            "sasl.oauthbearer.clock.skew.seconds", .duration(.seconds, 0...300, width: .int), default: "30",
            "How far the issuer's clock may be from this one"),
        ConfigurationKey(
            "sasl.oauthbearer.sub.claim.name", .text, default: "sub", "Which claim of a token is the user's name"),
        ConfigurationKey(
            "sasl.oauthbearer.scope.claim.name", .text, default: "scope",
            "Which claim has the scopes; an ACL may name one as Scope:NAME"),
        ConfigurationKey(
            "sasl.oauthbearer.groups.claim.name", .text, default: nil,
            "Which claim has the user's groups; an ACL may name one as Group:NAME"),
        ConfigurationKey(
            "token.issuers.file", .text, default: nil,
            "JSON file with several issuers, in place of sasl.oauthbearer.expected.issuer"),
        ConfigurationKey(
            "token.issuers.ca.location", .text, default: nil,
            "PEM file with the certificates that sign those of issuers; unset: the system's"),
        ConfigurationKey(
            "authorizer.enable", .boolean, default: "false",
            "Whether requests of Kafka's protocol are held against ACLs; without, everybody may do everything, and their APIs "
                + "answer SECURITY_DISABLED"),
        ConfigurationKey(
            "super.users", .text, default: nil,
            "Who may do everything, whatever the ACLs say: TYPE:NAME, several with semicolons between them"),
        ConfigurationKey(
            "allow.everyone.if.no.acl.found", .boolean, default: "false",
            "Whether everybody may use what no ACL is on"),
        ConfigurationKey(
            "quota.window.num", .integer(1...100), default: "11",
            "Windows over which use of a quota is measured: of bytes, of request time, of new connections"),
        ConfigurationKey(
            "quota.window.size.seconds", .integer(1...3600), default: "1",
            "Length of each of them. For request time and new connections it is the longest wait as well"),
        ConfigurationKey(
            "controller.quota.window.num", .integer(1...100), default: "11",
            "Windows whose use of controller_mutation_rate a client may spend at once, when it was idle"),
        ConfigurationKey(
            "controller.quota.window.size.seconds", .integer(1...3600), default: "1", "Length of each of them"),
        ConfigurationKey(
            "audit.log", .text, default: "audit.log",
            "Where it is told who signed in, changed what and was refused, as JSON a line: a file, by a relative path of the data "
                + "folder; stderr; or off"),
        ConfigurationKey(
            "audit.log.max.bytes", .bytes(65_536...Int64.max), default: "16777216",
            "At this size the file begins anew; the one before is kept beside it, as audit.log.1"),
    ]
}
