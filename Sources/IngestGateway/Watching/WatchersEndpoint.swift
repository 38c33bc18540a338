import ByteBuffers
import HTTPWire
import Security

/// `GET /v1/watchers`: the watched directories, and what became of their files.
///
///     200 {"watchers":[{"name":"landing","directory":"/srv/landing","route":"events","state":"watching","running":0,"done":12,
///          "failed":1,"unsettled":0,"unreadable":0,"special":0}]}
enum WatchersEndpoint: HTTPEndpoint {
    static var access: EndpointAccess { .cluster(.describe) }
    static var parameters: [StaticString]? { [] }
    static var operation: OperationText {
        OperationText(summary: "Shows the watched directories", outcome: "As they are now.", schema: "Watchers")
    }

    static func handle(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        loop.out.removeAll()
        loop.out.text("{\"watchers\":[")
        for (index, status) in loop.gateway.watchers.statuses.enumerated() {
            loop.out.text(index == 0 ? "{" : ",{")
            loop.out.member("name", first: true)
            JSONText.write(status.name, into: &loop.out)
            loop.out.member("directory")
            JSONText.write(status.directory, into: &loop.out)
            loop.out.member("route")
            JSONText.write(status.route, into: &loop.out)
            loop.out.text(",\"state\":")
            loop.out.text(status.problem == nil ? "\"watching\"" : "\"waiting\"")
            let numbers: [(StaticString, Int)] = [
                ("running", status.running), ("done", status.done), ("failed", status.failed),
                ("unsettled", status.unsettled), ("unreadable", status.unreadable), ("special", status.special),
            ]
            for (name, number) in numbers {
                loop.out.member(name)
                loop.out.decimal(number)
            }
            if let problem = status.problem {
                loop.out.member("problem")
                JSONText.write(problem, into: &loop.out)
            }
            loop.out.text("}")
        }
        loop.out.text("]}")
        return .answered
    }
}
