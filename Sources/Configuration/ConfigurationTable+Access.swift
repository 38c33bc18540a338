extension ConfigurationTable {
    static let access: [ConfigurationKey] = [
        ConfigurationKey(
            "sasl.enabled.mechanisms", .list(among: ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]),
            default: "SCRAM-SHA-256,SCRAM-SHA-512",
            "How clients of SASL_PLAINTEXT and SASL_SSL may show who they are, for users that millrace user create makes. "
                + "PLAIN sends the password itself: over TLS, or to the loopback alone"),
        ConfigurationKey(
            "connections.max.reauth.ms", .duration(.milliseconds, 0...Int64(Int32.max)), default: "0",
            "How long a client may go on before it shows again who it is (KIP-368), or is disconnected; 0: for ever"),
        ConfigurationKey(
            "connection.failed.authentication.delay.ms", .duration(.milliseconds, 0...Int64(Int32.max), width: .int),
            default: "100",
            "How long a wrong password waits for its answer. Shorter than connections.max.idle.ms"),
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
    ]
}
