import BrokerCore
import Configuration
import HTTPWire
import KafkaModel
import Security

/// A route as the section `routes` writes it. The page Routes describes the keys.
struct RouteReader {
    private let fields: [String: ConfigurationPlace]
    private let place: ConfigurationPlace
    private let maxBodyBytes: Int
    private let remembered: Duration
    private let secrets: NamedSecrets

    private static let keys = [
        "id", "enabled", "path", "prefix", "methods", "formats", "csv", "to", "key", "key_required", "reply", "success",
        "file", "rate", "max_body", "schema", "enrich", "ack", "auth", "cors",
    ]

    /// nil: it is no mapping, and the place has noted so. `options`: `maxRequestBytes` is that of a route which says nothing, and
    /// `idempotencyTTL` how long keys are remembered.
    init?(_ place: ConfigurationPlace, _ options: GatewayOptions, _ secrets: NamedSecrets) {
        guard let fields = place.fields(Self.keys + ["idempotency"]) else { return nil }
        self.fields = fields
        self.place = place
        (maxBodyBytes, remembered) = (options.maxRequestBytes, options.idempotencyTTL)
        self.secrets = secrets
    }

    /// For what a pull says as routes do.
    init(_ fields: [String: ConfigurationPlace], of place: ConfigurationPlace, _ secrets: NamedSecrets) {
        (self.fields, self.place, self.secrets) = (fields, place, secrets)
        (maxBodyBytes, remembered) = (0, .zero)
    }

    /// Where a pull's rows go, and what is made of them; nil: its places have noted why not.
    func readPull() -> (topic: String, quarantine: String, plan: IngestPlan)? {
        guard let target = target() else { return nil }
        if target.queue != nil {
            fields["to"]?.refuse("a pull's rows go to a topic", remedy: "Write to: {topic: NAME}")
        }
        let badRows = fields["quarantine"].flatMap { quarantine($0, beside: target.topic) }
        let rowKey = fields["key"] == nil ? EventKey.none : key()
        if rowKey.isField { fields["key"]?.refuse("a pull has no request with a key", remedy: "Write a JSON pointer") }
        let enrich = fields["enrich"]?.fields(["headers", "members"]) ?? [:]
        let plan = IngestPlan(
            schema: fields["schema"].flatMap { JSONSchemaReader.read($0) }, key: rowKey,
            headers: enrichments(enrich["headers"]) ?? Enrichment.usual,
            members: enrichments(enrich["members"]) ?? [], file: FilePlan(quarantine: badRows))
        return (target.topic, badRows ?? FilePlan.quarantinePrefix + target.topic, plan)
    }

    /// A route that is there without configuration, and shall not be.
    var switchedOff: String? {
        guard fields["enabled"]?.boolean() == false else { return nil }
        guard let id = fields["id"]?.text() else {
            place.refuse(
                "it is switched off, and has no id", remedy: "Name one of the routes that are there by themselves")
            return nil
        }
        if fields.count > 2 { place.refuse("it is switched off, and says more", remedy: "Leave id and enabled alone") }
        return id
    }

    var isOff: Bool { fields["enabled"]?.node.content == .text("false", isPlain: true) }

    /// The route; one that is wrong in part is no route that anybody sees, for its places have noted so.
    func read() -> RouteDefinition? {
        let paths = paths()
        guard let first = paths.first else { return nil }
        let reply = reply()
        let target = target()
        let acknowledgements: KeyValuePairs<String, IngestPlan.Acknowledgement> = ["disk": .disk, "none": .nothing]
        let id = fields["id"]?.text() ?? Self.id(of: first)
        let (authentication, webhook) = authentication(id)
        let enrich = fields["enrich"]?.fields(["headers", "members"]) ?? [:]
        let plan = IngestPlan(
            reply: reply, status: status(of: reply), schema: fields["schema"].flatMap { JSONSchemaReader.read($0) },
            key: key(), headers: enrichments(enrich["headers"]) ?? Enrichment.usual,
            members: enrichments(enrich["members"]) ?? [],
            acknowledgement: fields["ack"]?.choice(acknowledgements) ?? .disk, csv: csv(),
            idempotency: idempotency(webhook), queue: target?.queue, file: file(beside: target?.topic))
        if plan.acknowledgement == .nothing, plan.status != 202 {
            fields["ack"]?.refuse("the reply would say that the event is stored", remedy: "Write success: 202")
        }
        let endpoint: any HTTPEndpoint.Type =
            if plan.file != nil { RoutedFileEndpoint.self } else if reply.takesMany { RoutedBatchEndpoint.self } else {
                RoutedEventEndpoint.self
            }
        let methods = methods()
        return RouteDefinition(
            id: id, paths: paths, methods: methods, endpoint: endpoint,
            authentication: authentication, webhook: webhook,
            maxBodyBytes: fields["max_body"]?.bytes(1...Int64(Int32.max)) ?? maxBodyBytes,
            isBodyLimited: fields["max_body"] != nil, mediaTypes: formats(reply),
            topic: target?.topic, rate: rate(), cors: fields["cors"].flatMap { CORSPolicy($0, methods: methods) },
            schemaText: fields["schema"].map { SchemaText.json($0.node, of: id) }, plan: plan)
    }

    /// Who may ask: what `http.auth` says, who signs, or who has shown a certificate.
    private func authentication(_ id: String) -> (RouteAuthentication, WebhookRoute?) {
        guard let place = fields["auth"], let fields = place.fields(["webhook", "certificate"]) else {
            return (.caller, nil)
        }
        switch (fields["webhook"], fields["certificate"]) {
        case (let webhook?, nil): return (.signed, WebhookReader(webhook, secrets)?.read(routeID: id))
        case (nil, let certificate?):
            let choices: KeyValuePairs<String, RouteAuthentication> = ["required": .certificate]
            if let choice = certificate.choice(choices) { return (choice, nil) }
        default:
            place.refuse(
                "must say one of webhook and certificate",
                remedy: "Write webhook: {from: SENDER, secrets: NAME} or certificate: required, or leave it out")
        }
        return (.caller, nil)
    }

    // MARK: Where it is

    /// Each path behind each prefix.
    private func paths() -> [String] {
        guard let field = fields["path"] else {
            place.refuse("there is no path", remedy: "Write path: /…")
            return []
        }
        let prefixes = fields["prefix"].map { place in
            (place.oneOrMore() ?? []).compactMap { $0.node.content == .text("", isPlain: false) ? "" : $0.text() }
        }
        let paths = field.texts() ?? []
        return (prefixes ?? [""]).flatMap { prefix in paths.map { $0 == "/" && !prefix.isEmpty ? prefix : prefix + $0 }
        }
    }

    /// `/dev/api` makes dev-api.
    private static func id(of path: String) -> String {
        let words = path.split { !$0.isASCII || !($0.isLetter || $0.isNumber) }
        return words.isEmpty ? "root" : words.joined(separator: "-")
    }

    private func methods() -> RouteMethods {
        guard let field = fields["methods"] else { return .post }
        let known: KeyValuePairs<String, HTTPMethod> = ["POST": .post, "PUT": .put]
        return (field.oneOrMore() ?? []).compactMap { $0.choice(known) }.reduce(RouteMethods()) {
            $0.union(RouteMethods($1))
        }
    }

    private func rate() -> RouteDefinition.RequestRate? {
        guard let fields = fields["rate"]?.fields(["rps", "burst"]) else { return nil }
        let most: Int64 = 1_000_000_000
        guard let requests = fields["rps"] else {
            self.fields["rate"]?.refuse("says no rate", remedy: "Write rps: REQUESTS, those of a second")
            return nil
        }
        return RouteDefinition.RequestRate(
            requests: requests.integer(1...most) ?? 1, burst: fields["burst"]?.integer(1...most) ?? 0)
    }

    // MARK: What it takes

    /// What a route says of files; nil: it takes none. What is said for requests with events has no meaning for them.
    private func file(beside target: String?) -> FilePlan? {
        guard let place = fields["file"] else { return nil }
        for name in ["reply", "success", "max_body", "ack", "idempotency"] {
            fields[name]?.refuse(
                "a file is taken row by row, and answered with its job", remedy: "Leave it out, or the key file")
        }
        if let webhook = fields["auth"]?.fields(["webhook", "certificate"])?["webhook"] {
            webhook.refuse("a file is stored before all of it is there", remedy: "Leave it out, or the key file")
        }
        guard case .mapping = place.node.content else {
            if place.boolean() == false {
                place.refuse("a route takes files or says nothing of them", remedy: "Leave it out")
            }
            return FilePlan()
        }
        let named = place.fields(["quarantine"])?["quarantine"]
        return FilePlan(quarantine: named.flatMap { quarantine($0, of: place, beside: target) })
    }

    private func quarantine(
        _ named: ConfigurationPlace, of place: ConfigurationPlace? = nil, beside target: String?
    ) -> String? {
        guard let quarantine = topic(named) else { return nil }
        let place = place ?? named
        if let target, quarantine.isExactly(target) {
            place.refuse("good rows and bad ones would be in one topic", remedy: "Name another quarantine")
        }
        if Topic.isInternal(quarantine) {
            place.refuse("is a topic that only the broker writes", remedy: "Name another quarantine")
        }
        return quarantine
    }

    private func formats(_ reply: PlanReply) -> MediaTypes {
        let isFile = fields["file"] != nil
        guard let field = fields["formats"] else {
            return isFile ? FileFormat.mediaTypes.union(.multipart) : reply.takesMany ? [.json, .lines] : .json
        }
        var types: MediaTypes = isFile ? .multipart : []
        for place in field.oneOrMore() ?? [] {
            guard let type = place.choice(Self.formatNames) else { continue }
            if !type.isDisjoint(with: [.lines, .csv]), !reply.takesMany {
                place.refuse("the reply is of one event", remedy: "Write reply: list, or leave this format out")
            }
            if isFile, type.isDisjoint(with: FileFormat.mediaTypes) {
                place.refuse("a file is csv, ndjson or json", remedy: "Leave this format out")
            }
            types.formUnion(reply.takesMany ? type : type.subtracting(.cloudEvents))
        }
        if types.contains(.anyJSON), !types.isDisjoint(with: [.raw, .form]) {
            field.refuse("a body of any type cannot be JSON and something else", remedy: "Leave one of the two out")
        }
        if types.contains(.raw), fields["schema"] != nil {
            field.refuse(
                "what is stored as it is cannot be held against a schema", remedy: "Leave raw out, or the schema")
        }
        if fields["csv"] != nil, !types.contains(.csv) { field.refuse("csv is not among them", remedy: "Add it") }
        return types
    }

    private static let formatNames: KeyValuePairs<String, MediaTypes> = [
        "json": .json, "ndjson": .lines, "any-json": .anyJSON, "csv": .csv, "form": .form, "raw": .raw,
        "cloudevents": [.cloudEvent, .cloudEvents],
    ]

    private func csv() -> CSVPlan {
        var plan = CSVPlan()
        guard let fields = fields["csv"]?.fields(["delimiter", "skip_lines", "columns", "names"]) else { return plan }
        if let place = fields["delimiter"], case .text(let text, _) = place.node.content {
            if let byte = CSVPlan.delimiter(text) {
                plan.delimiter = byte
            } else {
                place.refuse("must be one character of ASCII, no quote and no line end", remedy: "Write one, or tab")
            }
        }
        plan.skippedLines = fields["skip_lines"]?.integer(0...Int64(CSVPlan.maxSkippedLines)) ?? 0
        plan.columns = fields["columns"]?.texts()
        for (name, place) in fields["names"]?.entries() ?? [] { plan.names[name] = place.text() }
        if let columns = plan.columns {
            if columns.count > CSVRows.maxCells {
                fields["columns"]?.refuse("a row has at most \(CSVRows.maxCells) cells", remedy: "Leave some out")
            }
            if plan.members(of: columns) == nil {
                fields["columns"]?.refuse(CSVPlan.namesProblem, remedy: "Correct it, or its member in names")
            }
        }
        return plan
    }

    /// Where its events go: the topic, which of a queue is that of its messages.
    private func target() -> (topic: String, queue: String?)? {
        guard let field = fields["to"] else {
            place.refuse("nothing says where its events go", remedy: "Write to: {topic: NAME} or to: {queue: NAME}")
            return nil
        }
        guard case .mapping = field.node.content else { return topic(field).map { ($0, nil) } }
        guard let target = field.fields(["topic", "queue"]) else { return nil }
        switch (target["topic"], target["queue"]) {
        case (let place?, nil): return topic(place).map { ($0, nil) }
        case (nil, let place?):
            guard let name = place.text() else { return nil }
            if let problem = QueueCoordinator.problem(ofName: name) {
                place.refuse(problem, remedy: "Choose another name")
            }
            return (QueueCoordinator.topicPrefix + name, name)
        default:
            field.refuse("names one topic or one queue", remedy: "Write {topic: NAME} or {queue: NAME}")
            return nil
        }
    }

    private func topic(_ place: ConfigurationPlace) -> String? {
        guard let name = place.text() else { return nil }
        if let problem = TopicName.problem(name) { place.refuse(problem, remedy: "Choose another name") }
        return name
    }

    private func key() -> EventKey {
        let isRequired = fields["key_required"]?.boolean() ?? false
        guard let field = fields["key"] else { return isRequired ? .requiredField : .field }
        guard let text = field.text() else { return .none }
        switch text {
        case "Partition-Key": return isRequired ? .requiredField : .field
        case "none":
            if isRequired {
                fields["key_required"]?.refuse(
                    "the route's events have no key", remedy: "Leave it out, or say by key where the key comes from")
            }
            return .none
        default:
            guard let pointer = JSONPointer(text) else {
                field.refuse(
                    "must be Partition-Key, none, or a JSON pointer such as /event_type", remedy: "Correct the value")
                return .none
            }
            return .pointer(pointer, isRequired: isRequired)
        }
    }

    /// Where a request's key comes from; nil: it says nothing of it. Of a signed route the signature, unless it says another place.
    private func idempotency(_ webhook: WebhookRoute?) -> IdempotencyRule? {
        guard let place = fields["idempotency"],
            let fields = place.fields(["header", "pointers", "cloudevents", "signature", "required"])
        else { return webhook.map { bySignature($0) } }
        if fields.keys.filter({ $0 != "required" }).count > 1 {
            place.refuse(
                "takes a key from several places", remedy: "Write one of header, pointers, cloudevents and signature")
        }
        var rule = IdempotencyRule(isRequired: fields["required"]?.boolean() ?? false)
        if let field = fields["signature"], webhook == nil {
            field.refuse("the route's requests are not signed", remedy: "Leave it out, or write auth: {webhook: …}")
        }
        if fields["signature"]?.boolean() == false { return nil }
        if let webhook, fields.keys.allSatisfy({ $0 == "required" || $0 == "signature" }) {
            return bySignature(webhook)
        }
        if let name = fields["header"]?.text() {
            if name.utf8.isEmpty || !name.utf8.allSatisfy(Self.isOfFieldName) {
                fields["header"]?.refuse("is no name of a header field", remedy: "Write one such as webhook-id")
            }
            rule.source = .field(name.lowercased())
        }
        if let pointers = fields["pointers"] {
            let found = (pointers.oneOrMore() ?? []).compactMap { place -> JSONPointer? in
                guard let text = place.text() else { return nil }
                let pointer = JSONPointer(text)
                if pointer == nil {
                    place.refuse("\(text) is no JSON pointer such as /id", remedy: "Correct the value")
                }
                return pointer
            }
            if !(1...IdempotencyRule.maxPointers).contains(found.count) {
                pointers.refuse("has 1 to \(IdempotencyRule.maxPointers) pointers", remedy: "Leave some out")
            }
            rule.source = .pointers(found)
        }
        if fields["cloudevents"]?.boolean() == true { rule.source = .cloudEvent }
        return rule
    }

    private func bySignature(_ webhook: WebhookRoute) -> IdempotencyRule {
        if let memory = webhook.scheme.memory, memory > remembered {
            fields["auth"]?.refuse(
                "a repeat would be taken after it is forgotten: http.idempotency.ttl.ms is less than twice the tolerance",
                remedy: "Lower the tolerance, or raise http.idempotency.ttl.ms")
        }
        return IdempotencyRule(source: .signature)
    }

    private static func isOfFieldName(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
            true
        default: false
        }
    }

    // MARK: What it adds and answers

    private func status(of reply: PlanReply) -> Int {
        let usual = if case .shard = reply { 202 } else { 201 }
        let known: KeyValuePairs<String, Int> = ["200": 200, "201": 201, "202": 202]
        return fields["success"]?.choice(known) ?? usual
    }

    private func reply() -> PlanReply {
        guard let field = fields["reply"] else { return .list }
        let forms: KeyValuePairs<String, PlanReply> = [
            "list": .list, "event": .event, "shard": .shard(message: Self.usualMessage, echo: []),
        ]
        guard case .mapping = field.node.content else { return field.choice(forms) ?? .list }
        guard let fields = field.fields(["form", "message", "echo"]), let form = fields["form"]?.choice(forms) else {
            return .list
        }
        guard case .shard = form else {
            if fields.count > 1 { field.refuse("only the form shard has more to say", remedy: "Leave the rest out") }
            return form
        }
        var echo: [PlanReply.Echo] = []
        for (name, place) in fields["echo"]?.entries() ?? [] {
            guard let text = place.text() else { continue }
            if let pointer = JSONPointer(text) {
                echo.append(PlanReply.Echo(name: name, pointer: pointer))
            } else {
                place.refuse("must be a JSON pointer such as /event_type", remedy: "Correct the value")
            }
        }
        if echo.count > IngestPlan.maxEnrichments {
            self.fields["reply"]?.refuse(
                "echoes more than \(IngestPlan.maxEnrichments) values", remedy: "Leave some out")
        }
        return .shard(message: fields["message"]?.text() ?? Self.usualMessage, echo: echo)
    }

    private static let usualMessage = GatewayOptions().ingestMessage

    private func enrichments(_ place: ConfigurationPlace?) -> [Enrichment]? {
        guard let place, let entries = place.entries() else { return nil }
        var found: [Enrichment] = []
        for (name, place) in entries {
            guard let text = place.text() else { continue }
            if let source = Enrichment.Source(text) {
                found.append(Enrichment(name: name, source: source))
            } else {
                place.refuse("must be \(Enrichment.Source.words)", remedy: "Correct the value")
            }
        }
        if found.count > IngestPlan.maxEnrichments {
            place.refuse("has more than \(IngestPlan.maxEnrichments) names", remedy: "Leave some out")
        }
        return found
    }
}
