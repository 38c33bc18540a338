import HTTPClient
import IngestGateway

/// Asks the server of a pull: by libcurl, which asks whom it may call with each address that it is about to call.
final class PullClient: PullSource {
    private let definition: PullDefinition
    /// Made with the first call, which tells what is missing.
    private var caller: HTTPCaller?

    /// How long a connection is waited for, TLS included: no longer than the whole request.
    private static let connectTimeoutMs = 5_000

    init(_ definition: PullDefinition) { self.definition = definition }

    func get(
        _ address: WebAddress, headers: [String], isStopping: @escaping @Sendable () -> Bool
    ) -> Result<PullReply, PullFailure> {
        var call = HTTPCall(
            url: address.text, reach: .global(or: definition.allowed), maxBodyBytes: definition.maxBytes)
        call.headers = headers
        call.authorities = definition.authorityFile
        call.timeoutMs = Int(definition.timeoutMs)
        call.connectTimeoutMs = min(Self.connectTimeoutMs, call.timeoutMs)
        do throws(HTTPCallFailure) {
            let caller = if let known = self.caller { known } else { try HTTPCaller() }
            self.caller = caller
            let answer = try caller.perform(call, isStopping: isStopping)
            return .success(
                PullReply(
                    status: answer.status, body: answer.body, retryAfter: answer.retryAfter, location: answer.location,
                    links: answer.links))
        } catch {
            let reason = "\(address.withoutQuery): \(error.reason)"
            switch error.kind {
            case .forbidden, .tooLong: return .failure(.lasting("could not be had from \(reason)"))
            case .notSent, .lost, .timedOut: return .failure(.passing("could not be had from \(reason)"))
            }
        }
    }
}
