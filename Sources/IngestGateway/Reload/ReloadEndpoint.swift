import BrokerCore
import ByteBuffers
import Configuration
import HTTPWire
import Security
import Telemetry
import Transport

/// `POST /v1/configuration:reload`, at `admin.listener` alone: does what SIGHUP does, and says what came of it. With `?dry_run=true` it
/// says what would.
///
///     {"file":"/etc/millrace.yaml","applied":true,"changes":["~ routes[0].rate.rps: 5 -> 6"],"left_as_they_are":[],
///      "read_at_next_start":[],"request_id":"…"}
///
/// A body is not looked at. Its type is: what says that it is JSON no web page sends here behind its visitor's back.
enum ReloadEndpoint: HTTPEndpoint {
    static var access: EndpointAccess { .cluster(.alterConfigs) }
    static var parameters: [StaticString]? { ["dry_run"] }
    static var operation: OperationText {
        OperationText(summary: "Reads the configuration file again", outcome: "It is served.")
    }

    static func wish(on loop: GatewayLoop) -> BodyWish {
        if let problem = loop.notUnderstood() ?? loop.unsupportedMediaType() { return .refused(problem) }
        return .nothing
    }

    static func handle(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        guard let reader = loop.gateway.configurationReader else {
            loop.answer(
                Problem(.nothingToReload, "The broker was started without a configuration file."),
                instance: loop.head.path)
            return .answered
        }
        var items = QueryItems(loop.head.query)
        var isTrial = false
        while let item = items.next() {
            if item.value.equals("true") {
                isTrial = true
            } else if !item.value.equals("false") {
                loop.answer(Problem(.invalidParameter, "dry_run is true or false."), instance: loop.head.path)
                return .answered
            }
        }
        return .suspended(.work(ReloadWork(reader, isTrial: isTrial, loop.gateway)))
    }
}

/// The reading of the configuration, on one of the broker's workers: it reads files, and makes topics.
final class ReloadWork: ExchangeWork, @unchecked Sendable {
    // SAFETY: `result` is with one thread at a time: with the worker until it calls `done`, then with the loop.

    private let gateway: Gateway
    private let reader: any ConfigurationReader
    private let isTrial: Bool
    private var result: Result<ReloadOutcome, Problem>

    init(_ reader: any ConfigurationReader, isTrial: Bool, _ gateway: Gateway) {
        self.gateway = gateway
        self.reader = reader
        self.isTrial = isTrial
        result = .failure(Problem(.overloaded, "Too much work waits for a worker.", retryAfter: 1))
    }

    func begin(_ exchange: Exchange, for peer: PeerKey, _ done: @escaping @Sendable () -> Void) -> Bool {
        let (asker, audit) = (exchange.asker?.registered.subject, gateway.audit)
        return gateway.broker.workers.submit { [self] in
            if let outcome = reader.reload(isTrial: isTrial) {
                result = .success(outcome)
                // Here: who has asked may be gone, and what he has changed is told all the same.
                if !isTrial {
                    audit?.note(
                        AuditEntry(change: "RELOAD", by: asker, on: outcome.file, isDone: outcome.problems.isEmpty))
                }
            } else {
                result = .failure(
                    Problem(.overloaded, "The configuration is being read for somebody else.", retryAfter: 1))
            }
            done()
        }
    }

    func refuse() {}

    func resume(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        switch result {
        case .failure(let problem): loop.answer(problem, instance: loop.head.path)
        case .success(let outcome):
            if outcome.problems.isEmpty { loop.write(outcome, isTrial: isTrial) } else { loop.refuse(outcome) }
        }
        return .answered
    }

    var lateProblem: Problem {
        Problem(
            .commitTimeout,
            "The configuration was not read in time, and may still be taken; the log says what came of it.",
            retryAfter: 5)
    }
}

extension GatewayLoop {
    fileprivate func write(_ outcome: ReloadOutcome, isTrial: Bool) {
        out.removeAll()
        out.text("{\"file\":")
        JSONText.write(outcome.file, into: &out)
        out.text(isTrial ? ",\"applied\":false,\"changes\":" : ",\"applied\":true,\"changes\":")
        write(outcome.changes)
        out.text(",\"left_as_they_are\":")
        write(outcome.leftAsTheyAre)
        out.text(",\"read_at_next_start\":")
        write(outcome.waitingKeys)
        out.text(",\"request_id\":\"")
        out.bytes(requestID)
        out.text("\"}")
    }

    private func write(_ texts: [String]) {
        out.text("[")
        for (index, text) in texts.enumerated() {
            if index > 0 { out.text(",") }
            JSONText.write(text, into: &out)
        }
        out.text("]")
    }

    /// The problem has an error for each of the file's, as far as the list is long: the log has all of them.
    fileprivate func refuse(_ outcome: ReloadOutcome) {
        let count = outcome.problems.count
        answer(
            Problem(
                .invalidConfiguration,
                "\(outcome.file) has \(count == 1 ? "a mistake" : "\(count) mistakes"); what was served goes on."),
            instance: head.path)
        // Before the brace that ends the body.
        out.truncate(to: out.count - 1)
        out.text(",\"errors\":[")
        for (index, problem) in outcome.problems.prefix(Self.maxListedErrors).enumerated() {
            out.text(index == 0 ? "{\"key\":" : ",{\"key\":")
            JSONText.write(problem.key ?? "", into: &out)
            if case .file(let path, let line) = problem.source {
                out.text(",\"file\":")
                JSONText.write(path, into: &out)
                out.text(",\"line\":")
                out.decimal(line)
            }
            out.text(",\"detail\":")
            JSONText.write(problem.reason, into: &out)
            out.text(",\"remedy\":")
            JSONText.write(problem.remedy, into: &out)
            out.text("}")
        }
        out.text("]}")
    }
}
