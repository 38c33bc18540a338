import Configuration
import KafkaModel
import Security

/// Who signs the requests of a route, as its `auth` says. The page Routes describes the keys.
struct WebhookReader {
    private let fields: [String: ConfigurationPlace]
    private let place: ConfigurationPlace
    private let secrets: NamedSecrets

    private static let keys = ["from", "secrets", "public_keys", "principal", "tolerance"]
    private static let genericKeys = ["signature", "timestamp", "id", "algorithm", "encoding", "prefix", "template"]
    private static let known: KeyValuePairs<String, WebhookScheme?> = [
        "github": .github, "stripe": .stripe, "shopify": .shopify, "slack": .slack, "standard": .standard,
        "generic": nil,
    ]
    /// Seconds: longer than any sender repeats a request with its old time.
    private static let tolerances: ClosedRange<Int64> = 1...86_400

    init?(_ place: ConfigurationPlace, _ secrets: NamedSecrets) {
        guard let fields = place.fields(Self.keys + Self.genericKeys) else { return nil }
        self.fields = fields
        self.place = place
        self.secrets = secrets
    }

    /// - Parameter id: the route's, which who signs is called by unless `principal` says another name.
    func read(routeID id: String) -> WebhookRoute? {
        guard let from = fields["from"] else {
            place.refuse("nothing says who signs", remedy: "Write from: github, or another of the senders")
            return nil
        }
        guard let named = from.choice(Self.known) else { return nil }
        guard var scheme = named ?? genericScheme() else { return nil }
        if named != nil {
            for key in Self.genericKeys where fields[key] != nil {
                fields[key]?.refuse("is for from: generic alone", remedy: "Leave it out")
            }
        }
        if let field = fields["tolerance"], let seconds = field.seconds(Self.tolerances) {
            if scheme.tolerance == nil {
                field.refuse("this sender signs no time", remedy: "Leave it out")
            }
            scheme = scheme.tolerating(.seconds(seconds))
        }
        guard let keys = keys(scheme), let principal = principal(id) else { return nil }
        return WebhookRoute(scheme, keys, principal)
    }

    private func keys(_ scheme: WebhookScheme) -> WebhookVerification.Keys? {
        let isStandard = scheme.form == .versioned
        var found: [Secret] = []
        for place in fields["secrets"]?.oneOrMore() ?? [] {
            guard let name = place.text() else { return nil }
            guard let secret = secrets[name] else {
                if !secrets.names.contains(name) {
                    place.refuse("there is no such secret", remedy: "Say in auth.secrets where it is")
                }
                return nil
            }
            guard isStandard else {
                found.append(secret)
                continue
            }
            guard let key = WebhookScheme.standardKey(secret) else {
                place.refuse("is not whsec_ and base64 behind it", remedy: "Write it as the sender shows it")
                return nil
            }
            found.append(key)
        }
        var publicKeys: [PublicKey] = []
        if let field = fields["public_keys"], !isStandard {
            field.refuse("this sender signs with a secret", remedy: "Leave it out")
        }
        for place in fields["public_keys"]?.oneOrMore() ?? [] {
            guard let key = place.text().flatMap({ WebhookScheme.standardPublicKey($0) }) else {
                place.refuse(
                    "is not whpk_ and an Ed25519 key in base64 behind it", remedy: "Write it as the sender shows it",
                    showsValue: false)
                return nil
            }
            publicKeys.append(key)
        }
        do throws(SecurityConfigurationError) {
            return try WebhookVerification.Keys(secrets: found, publicKeys: publicKeys)
        } catch {
            (fields["secrets"] ?? place).refuse("must name \(error.expected)", remedy: "Correct the list")
            return nil
        }
    }

    private func principal(_ id: String) -> Principal? {
        guard let field = fields["principal"] else { return Principal(type: "Webhook", name: id) }
        guard let text = field.text() else { return nil }
        if let principal = Principal(parsing: text), !principal.name.isEmpty { return principal }
        field.refuse("must be TYPE:NAME, such as User:github", remedy: "Correct the value")
        return nil
    }

    private func genericScheme() -> WebhookScheme? {
        guard let signature = headerName("signature"), let template = fields["template"]?.text() else {
            place.refuse(
                "names no header of the signature, or no template", remedy: "Write signature: HEADER and template: TEXT"
            )
            return nil
        }
        let algorithms: KeyValuePairs<String, HashAlgorithm> = ["sha256": .sha256, "sha512": .sha512]
        let encodings: KeyValuePairs<String, WebhookScheme.Encoding> = ["hex": .hex, "base64": .base64]
        do throws(SecurityConfigurationError) {
            return try WebhookScheme.generic(
                signature: signature, timestamp: headerName("timestamp"), id: headerName("id"),
                algorithm: fields["algorithm"]?.choice(algorithms) ?? .sha256, prefix: fields["prefix"]?.text() ?? "",
                encoding: fields["encoding"]?.choice(encodings) ?? .hex, template: template)
        } catch {
            (fields["template"] ?? place).refuse("must have \(error.expected)", remedy: "Correct the template")
            return nil
        }
    }

    private func headerName(_ key: String) -> String? {
        guard let field = fields[key], let name = field.text() else { return nil }
        let isToken = name.utf8.allSatisfy { WebhookScheme.isHeaderByte($0) }
        if isToken, name.utf8.count <= Self.maxHeaderName { return name }
        field.refuse(
            "must be the name of a header field: up to \(Self.maxHeaderName) letters, digits and hyphens",
            remedy: "Correct the name")
        return nil
    }

    private static let maxHeaderName = 64
}
