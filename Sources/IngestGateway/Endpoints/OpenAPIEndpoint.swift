import ByteBuffers
import HTTPWire

/// `GET /openapi.json`: the routes, described for programs.
enum OpenAPIEndpoint: HTTPEndpoint {
    static var access: EndpointAccess { .nothing }
    static var operation: OperationText { OperationText(summary: "This description") }

    static func handle(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        loop.out.bytes(loop.routes.description)
        return .answered
    }
}

/// `GET /`, and `GET /index.html`: where things are, for a browser. The path `/` is that of `/ingest` by POST.
enum WelcomeEndpoint: HTTPEndpoint {
    static var access: EndpointAccess { .nothing }
    static var operation: OperationText {
        OperationText(summary: "Where things are, for people", mediaType: "text/html; charset=utf-8")
    }

    static func handle(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        loop.reply.contentType = operation.mediaType
        loop.out.bytes(loop.routes.welcome)
        return .answered
    }
}

/// The page of `GET /`. It has no script and nothing of another address.
enum WelcomePage {
    static func bytes(_ definitions: [RouteDefinition]) -> [UInt8] {
        var out = ByteWriter(capacity: 4 << 10)
        out.text(
            """
            <!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Millrace gateway</title>\
            <style>body{font:16px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em}\
            td{padding:.2em 1em .2em 0;vertical-align:top}code{font-size:95%}</style></head><body>\
            <h1>Millrace gateway</h1><p>Events come in by HTTP and are on disk before they are acknowledged. \
            <a href="/openapi.json">openapi.json</a> describes all of it for programs.</p><table>
            """)
        for definition in definitions {
            for path in definition.paths where path != "*" {
                out.text("<tr><td>")
                out.utf8(definition.methods.names.joined(separator: ", "))
                out.text("</td><td><code>")
                let isPlain = definition.methods.contains(.get) && !path.contains("{")
                if isPlain {
                    out.text("<a href=\"")
                    out.utf8(escaped(path))
                    out.text("\">")
                }
                out.utf8(escaped(path))
                if isPlain { out.text("</a>") }
                out.text("</code></td><td>")
                out.text(definition.endpoint.operation.summary)
                out.text("</td></tr>")
            }
        }
        out.text(
            """
            </table><p>Try it:</p><pre>curl -H 'Content-Type: application/json' -d '{"id":1}' \
            HOST:PORT/v1/topics/demo/events</pre></body></html>
            """)
        return out.array
    }

    /// Paths are configuration, and may hold what HTML would read otherwise.
    private static func escaped(_ text: String) -> String {
        text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing("\"", with: "&quot;")
    }
}
