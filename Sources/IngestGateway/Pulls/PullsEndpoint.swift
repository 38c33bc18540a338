import BrokerCore
import ByteBuffers
import HTTPWire
import JobLedger
import KafkaModel
import Security

/// `GET /v1/pulls`: the pulls, each with its newest job.
enum PullsEndpoint: HTTPEndpoint {
    static var access: EndpointAccess { .cluster(.describe) }
    static var parameters: [StaticString]? { [] }
    static var operation: OperationText {
        OperationText(summary: "Lists the pulls, each with its newest run", outcome: "The pulls.", schema: "Pulls")
    }

    static func wish(on loop: GatewayLoop) -> BodyWish { loop.wishForNoBody() }

    static func handle(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        do throws(JobRefusal) {
            let jobs = try loop.broker.jobs.jobs()
            loop.out.removeAll()
            loop.out.text("{\"pulls\":[")
            for (index, pull) in loop.gateway.pulls.all.enumerated() {
                if index > 0 { loop.out.text(",") }
                write(pull, jobs.first { $0.pull?.name == pull.definition.name }, into: &loop.out)
            }
            loop.out.text("]}")
            return .answered
        } catch {
            return loop.refuseQueue(Problem(error))
        }
    }

    private static func write(_ pull: Pull, _ job: Job?, into out: inout ByteWriter) {
        let outlook = pull.outlook
        out.text("{")
        out.member("name", first: true)
        JSONText.write(pull.definition.name, into: &out)
        out.member("url")
        JSONText.write(pull.shownAddress, into: &out)
        out.member("topic")
        JSONText.write(pull.definition.topic, into: &out)
        out.member("every_ms")
        if let everyMs = pull.definition.everyMs { out.decimal(Int(everyMs)) } else { out.text("null") }
        out.member("next")
        if let nextMs = outlook.nextMs {
            JSONText.write(ReceivedAt.text(ofMs: nextMs), into: &out)
        } else {
            out.text("null")
        }
        out.member("trouble")
        if let trouble = outlook.trouble { JSONText.write(trouble, into: &out) } else { out.text("null") }
        out.member("job")
        if let job { JobText.write(job, withErrors: false, into: &out) } else { out.text("null") }
        out.text("}")
    }
}

/// `POST /v1/pulls/{pull}:run`: begins a run. The reply comes when its job is on disk.
enum PullRunEndpoint: HTTPEndpoint {
    static var access: EndpointAccess { .cluster(.alter) }
    static var parameters: [StaticString]? { [] }
    static var operation: OperationText {
        OperationText(
            summary: "Begins a run of a pull, unless one is under way", successes: [202], outcome: "It has begun.",
            schema: "Job",
            body: """
                {"type":"object","additionalProperties":false}
                """)
    }

    static func wish(on loop: GatewayLoop) -> BodyWish { loop.wishForQueueCall() }

    static func handle(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        let fields = QueueFields(body, known: [])
        if let problem = fields.problem { return loop.refuseQueue(problem) }
        guard let name = PercentDecoding.string(loop.route.topic), let pull = loop.gateway.pulls[name] else {
            return loop.refuseQueue(Problem(.pullNotFound, "There is no such pull."))
        }
        if !loop.broker.jobs.isOpen { return .suspended(.work(FileTopicWork(.jobs, loop.broker))) }
        switch pull.begin(owner: loop.asker?.registered.subject.principal.name.text) {
        case .failure(.ended):
            return loop.refuseQueue(Problem(.pullRuns, "A run of the pull is under way.", retryAfter: 5))
        case .failure(let refusal): return loop.refuseQueue(Problem(refusal))
        case .success(let begun):
            loop.reply.status = 202
            loop.out.removeAll()
            JobText.write(begun.job, withErrors: false, into: &loop.out)
            return .gated(begun.commits, bytes: 0)
        }
    }
}
