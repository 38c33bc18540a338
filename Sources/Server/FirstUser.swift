import BrokerCore
import Configuration
import Security
import Telemetry

/// Makes the user of `sasl.first.user`, at a start at which there has never been one.
enum FirstUser {
    /// A longer password is no person's.
    private static let maxBytes = 1_024

    static func make(
        on broker: Broker, _ configuration: Configuration, _ audit: AuditLog?
    ) throws(ConfigurationError) {
        guard let name = configuration.firstUser, let file = configuration.firstUserPasswordFile else { return }
        // Before the file is read: it may be gone by now, as it should be.
        if broker.hasHadUsers { return }
        guard let password = SecretFile.line(of: file, upTo: maxBytes) else {
            throw ConfigurationError(
                configuration, "sasl.first.user.password.file",
                reason: "'\(file)' is not one line of 1 to \(maxBytes) bytes that can be read",
                remedy: "Write the password into it, for the owner of this process alone to read")
        }
        if let refusal = broker.makeFirstUser(name, password) {
            throw ConfigurationError(
                configuration, "sasl.first.user", reason: "the user was not made: \(refusal.message)",
                remedy: "Mend that, and start again")
        }
        Log.info("the first user is made", "user", name)
        audit?.note(
            AuditEntry(
                .change, who: "the configuration", from: "", what: "first user", on: name, result: "NONE"))
    }
}
