import BrokerCore
import ByteBuffers
import HTTPWire
import JobLedger
import KafkaModel
import Security

/// `GET /v1/jobs?count=`: the newest jobs that may be seen, newest first.
enum JobsEndpoint: HTTPEndpoint {
    static var access: EndpointAccess { .nothing }
    static var parameters: [StaticString]? { ["count"] }
    static var operation: OperationText {
        OperationText(summary: "Lists jobs, the newest first", outcome: "The jobs.", schema: "Jobs")
    }

    /// Jobs of one reply where the request names no number.
    private static let usualCount = 100

    static func wish(on loop: GatewayLoop) -> BodyWish { loop.wishForNoBody() }

    static func handle(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        var count = usualCount
        var items = QueryItems(loop.head.query)
        while let item = items.next() {
            guard let number = item.value.decimalValue, (1...1000).contains(number) else {
                return loop.refuseQueue(Problem(.invalidParameter, "count is a number from 1 to 1000."))
            }
            count = number
        }
        do throws(JobRefusal) {
            let jobs = try loop.broker.jobs.jobs()
            let maySeeAll = loop.asker.map { loop.allowsOnCluster(.describe, $0) } ?? true
            loop.out.removeAll()
            loop.out.text("{\"jobs\":[")
            for (index, job) in jobs.lazy.filter({ maySeeAll || loop.owns($0) }).prefix(count).enumerated() {
                if index > 0 { loop.out.text(",") }
                JobText.write(job, withErrors: false, into: &loop.out)
            }
            loop.out.text("]}")
            return .answered
        } catch {
            return loop.refuseQueue(Problem(error))
        }
    }
}

/// `GET /v1/jobs/{job}`: how far a job is, or how it has ended.
enum JobEndpoint: HTTPEndpoint {
    static var access: EndpointAccess { .nothing }
    static var parameters: [StaticString]? { [] }
    static var operation: OperationText {
        OperationText(summary: "Shows a job", outcome: "The job.", schema: "Job")
    }

    static func wish(on loop: GatewayLoop) -> BodyWish { loop.wishForNoBody() }

    static func handle(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        switch loop.visibleJob(.describe) {
        case .failure(let problem): return loop.refuseQueue(problem)
        case .success(let job):
            loop.out.removeAll()
            JobText.write(job, withErrors: true, into: &loop.out)
            return .answered
        }
    }
}

/// `POST /v1/jobs/{job}:cancel`: has a job end at its next window. What is stored of it stays.
enum JobCancelEndpoint: HTTPEndpoint {
    static var access: EndpointAccess { .nothing }
    static var parameters: [StaticString]? { [] }
    static var operation: OperationText {
        OperationText(
            summary: "Ends a job that runs, at its next window", successes: [202], outcome: "It will end.",
            schema: "Job",
            body: """
                {"type":"object","additionalProperties":false}
                """)
    }

    static func wish(on loop: GatewayLoop) -> BodyWish { loop.wishForQueueCall() }

    static func handle(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        let fields = QueueFields(body, known: [])
        if let problem = fields.problem { return loop.refuseQueue(problem) }
        switch loop.visibleJob(.alter) {
        case .failure(let problem): return loop.refuseQueue(problem)
        case .success(let job):
            if let refusal = loop.broker.jobs.cancel(job.id) { return loop.refuseQueue(Problem(refusal)) }
            loop.reply.status = 202
            loop.out.removeAll()
            JobText.write(job, withErrors: false, into: &loop.out)
            return .answered
        }
    }
}

extension GatewayLoop {
    /// Whether who asks has begun the job, and shows a credential that reaches as far as its topic.
    fileprivate func owns(_ job: Job) -> Bool {
        guard let asker, let owner = job.owner else { return false }
        let subject = asker.registered.subject
        // A file's topic is written, that of dead letters read.
        let operation: AclOperation = job.kind == .redrive ? .read : .write
        return owner.isExactly(subject.principal.name.text)
            && subject.reaches(AccessRequest(operation, .topic, ExactString(job.topic)))
    }

    /// The job of the path, where who asks has begun it, or is allowed that on the cluster.
    fileprivate func visibleJob(_ operation: AclOperation) -> Result<Job, Problem> {
        guard let id = PercentDecoding.string(route.topic).flatMap({ JobID($0) }) else {
            return .failure(Problem(JobRefusal.notFound))
        }
        do throws(JobRefusal) {
            let job = try broker.jobs.job(id)
            guard let asker, !owns(job), !allowsOnCluster(operation, asker) else { return .success(job) }
            if operation != .describe, allowsOnCluster(.describe, asker) {
                return .failure(Problem(.forbidden, "You may not do this with the job."))
            }
            return .failure(Problem(JobRefusal.notFound))
        } catch {
            return .failure(Problem(error))
        }
    }
}

/// Jobs as JSON.
enum JobText {
    private static func kindName(_ kind: Job.Kind) -> StaticString {
        switch kind {
        case .upload: "upload"
        case .redrive: "redrive"
        case .pull: "pull"
        case .watch: "watch"
        }
    }

    static func write(_ job: Job, withErrors: Bool, into out: inout ByteWriter) {
        out.text("{\"job_id\":\"")
        out.utf8(job.id.text)
        out.text("\",\"kind\":\"")
        out.text(kindName(job.kind))
        out.text("\",\"state\":\"")
        out.text(name(of: job.state))
        out.text("\"")
        out.member("route")
        JSONText.write(job.route, into: &out)
        out.member("topic")
        JSONText.write(job.topic, into: &out)
        if let file = job.fileName {
            out.member("file")
            JSONText.write(file, into: &out)
        }
        if let pull = job.pull {
            out.member("pull")
            JSONText.write(pull.name, into: &out)
            out.member("pages")
            out.decimal(Int(pull.pages))
        }
        if let owner = job.owner {
            out.member("owner")
            JSONText.write(owner, into: &out)
        }
        out.text(",\"created\":\"")
        out.utf8(ReceivedAt.text(ofMs: job.createdMs))
        out.text("\",\"changed\":\"")
        out.utf8(ReceivedAt.text(ofMs: job.changedMs))
        out.text("\"")
        if let redrive = job.redrive {
            write(redrive, job.progress, into: &out)
        } else {
            write(job.progress, quarantine: job.quarantine, into: &out)
        }
        if let reason = job.reason {
            out.member("reason")
            JSONText.write(reason, into: &out)
        }
        if withErrors, job.kind != .redrive { write(job.rejected, into: &out) }
        out.text("}")
    }

    private static func write(_ redrive: Job.Redrive, _ progress: JobProgress, into out: inout ByteWriter) {
        out.member("from")
        JSONText.write(redrive.source, into: &out)
        if let destination = redrive.destination {
            out.member("to")
            JSONText.write(destination, into: &out)
        }
        if let rate = redrive.perSecond {
            out.member("rate")
            out.decimal(rate)
        }
        let numbers: [(StaticString, Int64)] = [
            ("expected", Int64(redrive.expected)), ("moved", progress.accepted), ("stayed", progress.rejected),
        ]
        for (name, number) in numbers {
            out.member(name)
            out.decimal(Int(number))
        }
    }

    private static func name(of state: Job.State) -> StaticString {
        switch state {
        case .running: "running"
        case .finished: "finished"
        case .failed: "failed"
        case .cancelled: "cancelled"
        }
    }

    /// Further members of an object. The quarantine is told where something is in it.
    static func write(_ progress: JobProgress, quarantine: String, into out: inout ByteWriter) {
        let numbers: [(StaticString, Int64)] = [
            ("rows", progress.rows), ("accepted", progress.accepted), ("rejected", progress.rejected),
            ("bytes", progress.bytes), ("line", progress.line),
        ]
        for (name, number) in numbers {
            out.member(name)
            out.decimal(Int(number))
        }
        guard progress.rejected > 0 else { return }
        out.member("quarantine")
        JSONText.write(quarantine, into: &out)
    }

    static func write(_ rows: [RejectedRow], into out: inout ByteWriter) {
        out.member("errors")
        for (index, row) in rows.enumerated() {
            out.text(index == 0 ? "[{\"line\":" : ",{\"line\":")
            out.decimal(Int(row.line))
            if let column = row.column {
                out.member("column")
                out.decimal(Int(column))
            }
            out.member("reason")
            JSONText.write(row.reason, into: &out)
            out.text("}")
        }
        out.text(rows.isEmpty ? "[]" : "]")
    }
}
