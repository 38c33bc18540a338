import KafkaModel
import Security
import Telemetry

/// What the audit is told of HTTP: who showed who he is, and who was refused. Never a credential.
extension GatewayLoop {
    /// How a credential, or a signature, was found. `who`: nobody is known by a wrong one.
    func audit(_ result: String, who: Principal?, by what: String, from address: NetworkAddress) {
        gateway.audit?.note(
            AuditEntry(
                .authentication, who: who?.description ?? "", from: address.description, what: what, result: result))
    }

    /// A permission that who asks does not have.
    func audit(denied operation: AclOperation, on resource: String, to asker: Asker) {
        guard let audit = gateway.audit else { return }
        let subject = asker.registered.subject
        audit.note(
            AuditEntry(
                .refusal, who: subject.principal.description, from: subject.address.description, what: "\(operation)",
                on: resource, result: "DENIED"))
    }
}

extension AuditEntry {
    /// A change that `subject` has asked for, nil where nobody is asked who he is.
    init(change what: String, by subject: AccessSubject?, on resource: String, isDone: Bool) {
        self.init(
            .change, who: subject?.principal.description ?? "", from: subject?.address.description ?? "", what: what,
            on: resource, result: isDone ? "DONE" : "REFUSED")
    }
}
