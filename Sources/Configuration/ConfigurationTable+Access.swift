extension ConfigurationTable {
    static let access: [ConfigurationKey] = [
        ConfigurationKey(
            "authorizer.enable", .boolean, default: "false",
            "Whether there are ACLs: without, their APIs answer SECURITY_DISABLED. So far they are kept, and no request is held against them"
        ),
        ConfigurationKey(
            "super.users", .text, default: nil,
            "Who may do everything, whatever the ACLs say: TYPE:NAME, several with semicolons between them"),
        ConfigurationKey(
            "allow.everyone.if.no.acl.found", .boolean, default: "false",
            "Whether everybody may use what no ACL is on"),
    ]
}
