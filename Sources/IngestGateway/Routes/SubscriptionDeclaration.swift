import BrokerCore
import Configuration
import KafkaModel
import Security

/// A push subscription, as the section `subscriptions` writes it. The page Routes describes the keys.
struct SubscriptionDeclaration {
    let definition: SubscriptionDefinition

    private static let keys = ["from", "to", "secret", "batch", "concurrency", "timeout", "ca", "link_local"]
    private static let maxLinkLocal = 16

    init?(_ name: String, _ place: ConfigurationPlace, _ secrets: NamedSecrets) {
        if let problem = QueueCoordinator.problem(ofName: name) { place.refuse(problem, remedy: "Choose another name") }
        guard let fields = place.fields(Self.keys) else { return nil }
        for key in ["from", "to", "secret"] where fields[key] == nil {
            place.refuse("must say \(key)", remedy: "Write from: QUEUE, to: URL and secret: NAME")
        }
        guard let from = fields["from"]?.text(), let to = fields["to"], let url = to.text(),
            let key = fields["secret"].flatMap({ Self.key($0, secrets) })
        else { return nil }
        if let problem = QueueCoordinator.problem(ofName: from) {
            fields["from"]?.refuse(problem, remedy: "Name a queue")
        }
        guard Self.checkAddress(url, to) else { return nil }
        var definition = SubscriptionDefinition(name: name, from: from, url: url, signingKey: key)
        if let batch = fields["batch"]?.fields(["records", "bytes", "window"]) {
            Self.read(batch, &definition)
        }
        definition.concurrency =
            fields["concurrency"]?.integer(Self.wide(SubscriptionDefinition.concurrencyLimits))
            ?? definition.concurrency
        definition.timeoutMs =
            fields["timeout"]?.milliseconds(SubscriptionDefinition.timeoutLimitsMs).map { Int64($0) }
            ?? definition.timeoutMs
        definition.authorityFile = fields["ca"]?.text()
        definition.linkLocal = fields["link_local"].map(Self.addresses) ?? []
        self.definition = definition
    }

    private static func wide(_ limits: ClosedRange<Int>) -> ClosedRange<Int64> {
        Int64(limits.lowerBound)...Int64(limits.upperBound)
    }

    private static func read(_ batch: [String: ConfigurationPlace], _ definition: inout SubscriptionDefinition) {
        definition.maxRecords =
            batch["records"]?.integer(wide(SubscriptionDefinition.recordsLimits)) ?? definition.maxRecords
        definition.maxBytes = batch["bytes"]?.bytes(wide(SubscriptionDefinition.bytesLimits)) ?? definition.maxBytes
        definition.windowMs =
            batch["window"]?.milliseconds(SubscriptionDefinition.windowLimitsMs).map { Int64($0) }
            ?? definition.windowMs
    }

    static func key(_ place: ConfigurationPlace, _ secrets: NamedSecrets) -> Secret? {
        guard let name = place.text() else { return nil }
        guard let secret = secrets[name] else {
            if !secrets.names.contains(name) {
                place.refuse(
                    "there is no secret of this name", remedy: "Say in auth.secrets where it is", showsValue: false)
            }
            return nil
        }
        if let key = WebhookScheme.standardKey(secret) { return key }
        place.refuse(
            "is not whsec_ and base64 behind it", remedy: "Make one: echo whsec_$(openssl rand -base64 24)",
            showsValue: false)
        return nil
    }

    /// Whether it is an address that may be posted to; where it is none, that is told.
    static func checkAddress(_ url: String, _ place: ConfigurationPlace) -> Bool {
        if WebAddress(url) != nil { return true }
        place.refuse(
            "is no address of http or https, without a user's name and a fragment",
            remedy: "Write https://HOST/PATH; the requests are signed, by secret", showsValue: false)
        return false
    }

    private static func addresses(_ place: ConfigurationPlace) -> [NetworkAddress] {
        let places = place.oneOrMore() ?? []
        if places.count > maxLinkLocal {
            place.refuse("has more than \(maxLinkLocal) addresses", remedy: "Leave some out")
        }
        return places.compactMap { place in
            guard let text = place.text() else { return nil }
            if let address = NetworkAddress(text), address.isMetadata { return address }
            place.refuse(
                "is none of the addresses at which clouds give credentials, such as 169.254.0.0/16 and fe80::/10",
                remedy: "Others need not be listed")
            return nil
        }
    }
}
