import BrokerCore
import Foundation
import IngestGateway
import Testing

/// What is served as the description of the routes is what they do.
@Suite struct OpenAPITests {
    private static let yaml = """
        routes:
          - path: [/orders, "/a&b"]
            prefix: ["", /dev]
            formats: [json, csv, cloudevents]
            methods: [POST, PUT]
            to: {topic: orders}
            success: 200
          - id: trace
            enabled: false
          - path: /typed
            formats: any-json
            to: {topic: typed}
            reply: {form: shard}
            idempotency: {header: webhook-id}
        """
    private static let methods = ["get", "head", "post", "put", "patch", "delete"]

    private struct Operation {
        let path: String
        let method: String
        let text: [String: Any]

        func list(_ name: String) -> [[String: Any]] { text[name] as? [[String: Any]] ?? [] }
        var responses: [String: Any] { text["responses"] as? [String: Any] ?? [:] }
        var bodies: [String] {
            ((text["requestBody"] as? [String: Any])?["content"] as? [String: Any])?.keys.sorted() ?? []
        }
        /// What it takes are no events: QueueEndpointTests, FileTests and PullTests have its requests.
        var hasOwnRequests: Bool {
            ["/v1/queues", "/v1/files", "/v1/jobs/", "/v1/pulls/"].contains(where: path.hasPrefix)
        }
        var query: Set<String> { names(in: "query") }

        func names(in place: String) -> Set<String> {
            Set(list("parameters").filter { $0["in"] as? String == place }.compactMap { $0["name"] as? String })
        }

        /// A body that the operation takes.
        var sample: String {
            if bodies.contains(where: { $0.hasPrefix("application/vnd.kafka") }) {
                return "{\"records\":[{\"value\":1}]}"
            }
            if path.hasSuffix("records:batch") {
                return "{\"entries\":[{\"id\":\"1\",\"value\":{\"type\":\"JSON\",\"data\":1}}]}"
            }
            if path.hasSuffix("/records") { return "{\"value\":{\"type\":\"JSON\",\"data\":1}}" }
            if path.hasPrefix("/v1/alarms") { return "{\"name\":\"damage\",\"for_ms\":1000}" }
            return "{\"event_type\":\"a\",\"payload\":{\"b\":1}}"
        }
    }

    private func node() throws -> GatewayHarness {
        let node = try GatewayHarness(configuration: GatewayConfiguration(yaml: Self.yaml))
        #expect(try node.post("t", "1").status == 201)
        return node
    }

    private func operations(_ node: GatewayHarness) throws -> [Operation] {
        let reply = try node.call("GET", "/openapi.json")
        #expect(reply.status == 200)
        #expect(reply.fields["content-type"] == "application/json")
        #expect(reply.string("openapi") == "3.1.0")
        let paths = try #require(reply.json["paths"] as? [String: [String: Any]])
        let records = try node.call("GET", "/v1/topics/t/records?limit=1").json["records"] as? [[String: Any]]
        let headers = records?.first?["headers"] as? [[String: Any]] ?? []
        let event = headers.first { $0["name"] as? String == "event_id" }?["value"] as? String ?? "none"
        return paths.sorted { $0.key < $1.key }.flatMap { path, item in
            Self.methods.compactMap { method in
                (item[method] as? [String: Any]).map {
                    Operation(
                        path: path.replacingOccurrences(of: "{topic}", with: "t")
                            .replacingOccurrences(of: "{queue}", with: "t")
                            .replacingOccurrences(of: "{partition}", with: "0")
                            .replacingOccurrences(of: "{job}", with: "0192f3a4-b5c6-7d8e-9fab-cdef01234567")
                            .replacingOccurrences(of: "{event}", with: event)
                            .replacingOccurrences(of: "{pull}", with: "items")
                            .replacingOccurrences(of: "{cluster}", with: node.broker.clusterID), method: method,
                        text: $0)
                }
            }
        }
    }

    @Test func eachPathServesTheMethodsThatItSaysAndNoOther() throws {
        let node = try node()
        let operations = try operations(node)
        let paths = Set(operations.map(\.path))
        #expect(
            paths.isSuperset(of: [
                "/orders", "/dev/orders", "/a&b", "/typed", "/healthz", "/openapi.json", "/v1/topics/t/events",
            ]))
        #expect(!paths.contains("/trace"), "it is switched off")
        for path in paths {
            let said = Set(operations.filter { $0.path == path }.map(\.method))
            let reply = try node.call("OPTIONS", path)
            let allowed = Set((reply.fields["allow"] ?? "").lowercased().split(separator: ", ").map(String.init))
            #expect(allowed.subtracting(["options"]) == said, "\(path)")
            for method in Self.methods where !said.contains(method) && method != "head" {
                // A browser's page has the path of an endpoint.
                if path == "/", method == "get" { continue }
                #expect(try node.call(method.uppercased(), path).status == 405, "\(method) \(path)")
            }
        }
        let ids = operations.compactMap { $0.text["operationId"] as? String }
        #expect(ids.count == operations.count && Set(ids).count == ids.count)
    }

    @Test func whatIsSaidOfRepliesIsWhatComes() throws {
        let node = try node()
        // A stream has no end; StreamTests reads some.
        for operation in try operations(node) where !operation.hasOwnRequests && !operation.path.hasSuffix("/stream") {
            let hasBody = operation.method == "post" || operation.method == "put"
            let json = operation.bodies.first {
                ["application/json", "application/vnd.kafka.json.v2+json"].contains($0)
            }
            let reply = try node.call(
                operation.method.uppercased(), operation.path, hasBody ? operation.sample : nil,
                fields: json.map { ["Content-Type: \($0)"] } ?? [])
            #expect((200..<300).contains(reply.status), "\(operation.method) \(operation.path): \(reply.text)")
            let said = operation.responses[String(reply.status)] as? [String: Any]
            #expect(said != nil, "\(operation.method) \(operation.path) \(reply.status)")
            if operation.method == "head" { continue }
            let contents = said?["content"] as? [String: Any] ?? [:]
            #expect(Array(contents.keys) == [reply.fields["content-type"] ?? ""], "\(operation.path)")
        }
    }

    @Test func mediaTypesThatAreNotSaidAreNotTaken() throws {
        let node = try node()
        for operation in try operations(node) where !operation.bodies.isEmpty && !operation.hasOwnRequests {
            let reply = try node.call(
                operation.method.uppercased(), operation.path, operation.sample,
                fields: ["Content-Type: application/x-unheard"])
            #expect(reply.status == 415 || operation.path == "/typed", "\(operation.path): \(reply.status)")
            for type in operation.bodies
            where !type.contains("csv") && !type.contains("cloudevents") && !type.contains("binary") {
                let reply = try node.call(
                    operation.method.uppercased(), operation.path, operation.sample, fields: ["Content-Type: \(type)"])
                #expect(
                    reply.status < 300 || type.contains("text") && reply.status == 422,
                    "\(operation.path) \(type): \(reply.text)")
            }
        }
    }

    @Test func parametersThatAreNotSaidAreRefusedByWhatTakesEvents() throws {
        let node = try node()
        for operation in try operations(node) where !operation.bodies.isEmpty && !operation.hasOwnRequests {
            let reply = try node.call(operation.method.uppercased(), operation.path + "?unheard=1", operation.sample)
            #expect(reply.string("code") == "unsupported_parameter", "\(operation.path)")
            for name in operation.query {
                #expect(try node.call("POST", operation.path + "?\(name)=all", operation.sample).status < 300)
            }
            for (field, value) in [
                ("Partition-Key", "a"), ("X-Batch-Mode", "partial"),
                ("Idempotency-Key", "\(operation.path)\(operation.method)"),
            ] {
                let reply = try node.call(
                    operation.method.uppercased(), operation.path, operation.sample,
                    fields: [
                        "\(field): \(value)",
                        "Content-Type: \(operation.bodies.contains("application/json") ? "application/json" : operation.bodies[0])",
                    ])
                let isSaid = operation.names(in: "header").contains(field.lowercased())
                #expect(
                    (reply.string("code") != "unsupported_header") == isSaid,
                    "\(field) \(operation.path): \(reply.text)")
            }
        }
    }

    @Test func aBrowserIsToldWhereThingsAre() throws {
        let node = try node()
        for path in ["/", "/index.html"] {
            let reply = try node.call("GET", path, fields: ["Accept: text/html"])
            #expect(reply.status == 200)
            #expect(reply.fields["content-type"] == "text/html; charset=utf-8")
            for part in [
                "<a href=\"/openapi.json\">", "<code>/orders</code>", "<code>/a&amp;b</code>", "<a href=\"/healthz\">",
            ] {
                #expect(reply.text.contains(part), "\(part)")
            }
            #expect(try node.call("HEAD", path).status == 200)
        }
        #expect(try node.call("DELETE", "/").status == 405)
        #expect(try node.call("POST", "/", "{\"event_type\":\"a\",\"payload\":{}}").status == 202)
        #expect(try node.call("GET", "/?x=1").status == 200)
    }

    @Test func schemasOfRoutesStandInIt() throws {
        let yaml = """
            routes:
              - id: one
                path: /one
                to: {topic: t}
                reply: event
                schema:
                  type: object
                  required: [kind, "2"]
                  properties: {kind: {enum: [a, "1", 1, null, true]}, "2": {$ref: "#/$defs/tree"}}
                  $defs: {tree: {properties: {child: {$ref: "#/$defs/tree"}}, maxProperties: 5}}
              - {id: many, path: /many, to: {topic: t}, schema: {minimum: 1.50}}
              - {id: cloud, path: /cloud, to: {topic: t}, formats: cloudevents, schema: {type: string}}
            """
        let node = try GatewayHarness(configuration: GatewayConfiguration(yaml: yaml))
        let reply = try node.call("GET", "/openapi.json")
        for text in [
            ##""route-one":{"type":"object","required":["kind","2"],"properties":{"kind":{"enum":["a","1",1,null,true]},"2":{"$ref":"#/components/schemas/route-one/$defs/tree"}},"$defs":{"tree":{"properties":{"child":{"$ref":"#/components/schemas/route-one/$defs/tree"}},"maxProperties":5}}}"##,
            ##""route-many":{"minimum":1.50}"##,
            ##""content":{"application/json":{"schema":{"$ref":"#/components/schemas/route-one"}}}"##,
            ##""properties":{"data":{"$ref":"#/components/schemas/route-cloud"}}"##,
        ] { #expect(reply.text.contains(text), "\(text)") }
        // An array is several events, and each is held against it.
        let operations = try operations(node)
        let many = try #require(operations.first { $0.path == "/many" })
        let content = (many.text["requestBody"] as? [String: Any])?["content"] as? [String: [String: Any]]
        #expect((content?["application/json"]?["schema"] as? [String: Any])?.isEmpty == true)
    }

    /// What every request or event needs, for without it nothing is stored.
    @Test func whatKeysAreMadeOfStandsInIt() throws {
        let yaml = """
            routes:
              - {path: /by-key, to: {topic: t}, key: /user, key_required: true}
              - {path: /deep, to: {topic: t}, reply: event, idempotency: {pointers: [/a/0, /b/c], required: true}}
              - {path: /field, to: {topic: t}, idempotency: {header: X-Delivery, required: true}}
              - {path: /usual, to: {topic: t}, idempotency: {header: Idempotency-Key, required: true}}
              - {path: /may, to: {topic: t}, key: /user, idempotency: {pointers: [/id]}}
              - {path: /partition, to: {topic: t}, key_required: true}
            """
        let node = try GatewayHarness(configuration: GatewayConfiguration(yaml: yaml))
        let operations = try operations(node)
        func schema(_ path: String) throws -> [String: Any] {
            let operation = try #require(operations.first { $0.path == path })
            let content = (operation.text["requestBody"] as? [String: Any])?["content"] as? [String: [String: Any]]
            return try #require(content?["application/json"]?["schema"] as? [String: Any])
        }
        // One event, or each of an array.
        let forms = try #require(try schema("/by-key")["anyOf"] as? [[String: Any]])
        let event = try #require((forms[0]["allOf"] as? [[String: Any]])?.first)
        #expect(event["type"] as? String == "object" && event["required"] as? [String] == ["user"])
        #expect(
            forms.count == 2 && forms[1]["type"] as? String == "array"
                && forms[1]["items"] as? NSDictionary == forms[0] as NSDictionary)
        let needs = try #require(try schema("/deep")["allOf"] as? [[String: Any]])
        #expect(needs.map { $0["required"] as? [String] } == [["a"], ["b"]])
        let inner = (needs[0]["properties"] as? [String: [String: Any]])?["a"]
        #expect(inner?.isEmpty == true, "a number may be an index")
        #expect(try schema("/may").isEmpty)
        for (path, name) in [("/field", "x-delivery"), ("/usual", "idempotency-key"), ("/partition", "partition-key")] {
            let operation = try #require(operations.first { $0.path == path })
            let fields = operation.list("parameters").filter { $0["name"] as? String == name }
            #expect(fields.count == 1 && fields.first?["required"] as? Bool == true, "\(path)")
            #expect(try node.call("POST", path, "{}").status == 400)
        }
    }

    @Test func aReloadChangesTheDescription() throws {
        let node = try node()
        #expect(try operations(node).contains { $0.path == "/orders" })
        node.gateway.replaceRoutes(try GatewayConfiguration(yaml: "routes:\n  - {path: /other, to: other}"))
        let paths = try operations(node).map(\.path)
        #expect(paths.contains("/other") && !paths.contains("/orders"))
    }
}
