import Configuration
import Security

/// A pull, as the section `pulls` writes it. The page Pulls describes the keys.
struct PullDeclaration {
    let definition: PullDefinition

    private static let keys = [
        "url", "to", "every", "records", "pages", "headers", "retry", "max_pages", "max_bytes", "timeout", "redirects",
        "allow", "origins", "ca", "quarantine", "schema", "key", "key_required", "enrich",
    ]
    private static let maxNameBytes = 80
    private static let maxHeaders = 16
    private static let maxNetworks = 16
    private static let maxOrigins = 16

    init?(_ name: String, _ place: ConfigurationPlace, _ secrets: NamedSecrets) {
        if !(1...Self.maxNameBytes).contains(name.utf8.count) || !name.utf8.allSatisfy(WebhookScheme.isHeaderByte) {
            place.refuse(
                "the name of a pull has 1 to \(Self.maxNameBytes) letters, digits, '_' and '-'",
                remedy: "Choose another name")
        }
        guard let fields = place.fields(Self.keys) else { return nil }
        if fields["url"] == nil { place.refuse("must say url", remedy: "Write url: https://HOST/PATH") }
        guard let rows = RouteReader(fields, of: place, secrets).readPull(),
            let address = fields["url"].flatMap({ Self.address($0) })
        else { return nil }
        var pages = PullPages.Plan(address: address)
        if let place = fields["pages"] { Self.read(place, &pages) }
        pages.origins = (fields["origins"]?.oneOrMore() ?? []).compactMap { Self.address($0)?.origin }
        if pages.origins.count > Self.maxOrigins {
            fields["origins"]?.refuse("has more than \(Self.maxOrigins) origins", remedy: "Leave some out")
        }
        pages.maxPages = fields["max_pages"]?.integer(PullDefinition.pagesLimits) ?? pages.maxPages
        var definition = PullDefinition(
            name: name, topic: rows.topic, quarantine: rows.quarantine, plan: rows.plan, pages: pages,
            leaves: place.node.leaves.map { "\($0.path)=\($0.value)" })
        definition.records = fields["records"].flatMap { Self.pointer($0) }
        definition.everyMs = fields["every"]?.milliseconds(PullDefinition.everyLimitsMs).map { Int64($0) }
        if let place = fields["headers"] { definition.headers = Self.headers(place, secrets) }
        if let place = fields["retry"] { Self.read(place, &definition.retry) }
        definition.maxBytes = fields["max_bytes"]?.bytes(PullDefinition.bytesLimits) ?? definition.maxBytes
        definition.timeoutMs =
            fields["timeout"]?.milliseconds(PullDefinition.timeoutLimitsMs).map { Int64($0) } ?? definition.timeoutMs
        definition.maxRedirects =
            fields["redirects"]?.integer(PullDefinition.redirectsLimits) ?? definition.maxRedirects
        definition.allowed = fields["allow"].map { Self.networks($0) } ?? []
        definition.authorityFile = fields["ca"]?.text()
        self.definition = definition
    }

    private static func address(_ place: ConfigurationPlace) -> WebAddress? {
        guard let text = place.text() else { return nil }
        if let address = WebAddress(text) { return address }
        place.refuse(
            "is no address of http or https, without a user's name and a fragment",
            remedy: "Write https://HOST/PATH; what logs in is a header", showsValue: false)
        return nil
    }

    private static func pointer(_ place: ConfigurationPlace) -> JSONPointer? {
        guard let text = place.text() else { return nil }
        let pointer = JSONPointer(text)
        if pointer == nil { place.refuse("must be a JSON pointer such as /data", remedy: "Correct the value") }
        return pointer
    }

    // MARK: Pages

    private enum Way { case link, page, offset, cursor, next }
    private static let ways: KeyValuePairs<String, Way> = [
        "link": .link, "page": .page, "offset": .offset, "cursor": .cursor, "next": .next,
    ]

    private static func read(_ place: ConfigurationPlace, _ plan: inout PullPages.Plan) {
        guard let fields = place.fields(["by", "parameter", "first", "pointer", "size", "size_parameter"]) else {
            return
        }
        guard let by = fields["by"] else {
            return place.refuse("must say by", remedy: "Write by: link, page, offset, cursor or next")
        }
        guard let way = by.choice(ways) else { return }
        let taken: [Way: [String]] = [
            .link: [], .page: ["parameter", "first"], .offset: ["parameter"], .cursor: ["parameter", "pointer"],
            .next: ["pointer"],
        ]
        for (key, place) in fields where ["parameter", "first", "pointer"].contains(key) {
            if taken[way]?.contains(key) != true {
                place.refuse("pages by \(ways.first { $0.value == way }?.key ?? "") have none", remedy: "Leave it out")
            }
        }
        if let pagination = pagination(way, fields, place) { plan.pagination = pagination }
        switch (fields["size"], fields["size_parameter"]) {
        case (nil, nil): break
        case (let size?, let parameter?):
            if let rows = size.integer(PullDefinition.sizeLimits), let parameter = parameter.text() {
                plan.size = PullPages.Plan.Size(parameter: parameter, rows: Int64(rows))
            }
        default:
            place.refuse("must say both of size and size_parameter, or none", remedy: "Write size_parameter: limit")
        }
    }

    private static func pagination(
        _ way: Way, _ fields: [String: ConfigurationPlace], _ place: ConfigurationPlace
    ) -> Pagination? {
        switch way {
        case .link: return .link
        case .page:
            return .page(
                parameter: fields["parameter"]?.text() ?? "page",
                first: fields["first"]?.integer(0...1).map(Int64.init) ?? 1)
        case .offset: return .offset(parameter: fields["parameter"]?.text() ?? "offset")
        case .cursor, .next:
            guard let pointer = fields["pointer"] else {
                place.refuse("must say pointer", remedy: "Write pointer: /next, where a page says what follows it")
                return nil
            }
            return Self.pointer(pointer).map {
                way == .next ? .next($0) : .cursor(parameter: fields["parameter"]?.text() ?? "cursor", $0)
            }
        }
    }

    // MARK: Requests

    private static func headers(_ place: ConfigurationPlace, _ secrets: NamedSecrets) -> [PullDefinition.Header] {
        let entries = place.entries() ?? []
        if entries.count > maxHeaders {
            place.refuse("has more than \(maxHeaders) headers", remedy: "Leave some out")
        }
        return entries.compactMap { name, place in
            if name.isEmpty || !name.utf8.allSatisfy(WebhookScheme.isHeaderByte) {
                place.refuse("is no name of a header field", remedy: "Write one such as Accept", showsValue: false)
            }
            guard case .mapping = place.node.content else {
                return place.text().map { PullDefinition.Header(name: name, text: $0, secret: nil) }
            }
            guard let fields = place.fields(["secret", "prefix"]), let named = fields["secret"] else {
                place.refuse("must say secret", remedy: "Write {secret: NAME}, a name of auth.secrets")
                return nil
            }
            guard let secret = secret(named, secrets) else { return nil }
            var prefix = ""
            if let place = fields["prefix"], let text = place.text() {
                prefix = text.hasSuffix(" ") ? text : text + " "
            }
            return PullDefinition.Header(name: name, text: prefix, secret: secret)
        }
    }

    private static func secret(_ place: ConfigurationPlace, _ secrets: NamedSecrets) -> Secret? {
        guard let name = place.text() else { return nil }
        if let secret = secrets[name] {
            if secret.withBytes({ $0.allSatisfy { $0 >= 0x20 && $0 < 0x7f } }) { return secret }
            place.refuse("has what no header field may", remedy: "Write printable ASCII into it", showsValue: false)
        } else if !secrets.names.contains(name) {
            place.refuse(
                "there is no secret of this name", remedy: "Say in auth.secrets where it is", showsValue: false)
        }
        return nil
    }

    private static func read(_ place: ConfigurationPlace, _ rule: inout PullRetry.Rule) {
        guard let fields = place.fields(["attempts", "base", "cap", "retry_after"]) else { return }
        func wait(_ key: String, _ usual: Int64) -> Int64 {
            fields[key]?.milliseconds(PullDefinition.waitLimitsMs).map { Int64($0) } ?? usual
        }
        rule.attempts = fields["attempts"]?.integer(PullDefinition.attemptsLimits) ?? rule.attempts
        (rule.baseMs, rule.mostMs) = (wait("base", rule.baseMs), wait("cap", rule.mostMs))
        rule.mostAskedMs = wait("retry_after", rule.mostAskedMs)
    }

    private static func networks(_ place: ConfigurationPlace) -> [NetworkRange] {
        let places = place.oneOrMore() ?? []
        if places.count > maxNetworks {
            place.refuse("has more than \(maxNetworks) networks", remedy: "Leave some out")
        }
        return places.compactMap { place in
            guard let text = place.text() else { return nil }
            if let network = NetworkRange(text) { return network }
            place.refuse("is no network such as 10.0.0.0/8", remedy: "Write an address and the length of its network")
            return nil
        }
    }
}
