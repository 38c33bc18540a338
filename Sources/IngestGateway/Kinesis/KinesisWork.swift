import BrokerCore
import ByteBuffers
import HTTPWire
import KafkaModel
import LogStorage
import Security
import Telemetry
import Transport

/// One request of Kinesis on its way: on a worker its signature is looked at, its body read, and its operation done, or, where the
/// metadata changes, on the broker's own thread. Records that are asked for are then read as any reply of records, in slices.
///
/// When the request is given up meanwhile, what was begun is done all the same, and nothing else is.
final class KinesisWork: ExchangeWork, @unchecked Sendable {
    // SAFETY: all that changes is with one thread at a time: with the one that works until it calls `done`, then with the loop.

    private let gateway: Gateway
    private let proof: AWSProof
    /// nil: there is no such one.
    private let operation: KinesisOperation?
    private var body: ByteSlice?
    private var reservation: HandedReservation?
    private let wait = WaitEnd()

    private var out = ByteWriter(capacity: 64)
    private var outcome: Outcome?

    private enum Outcome {
        case refused(KinesisError)
        case done(KinesisCalls.Effect)
        case read(KinesisCalls.Read)
    }

    /// Takes the request at hand.
    init(on loop: GatewayLoop) {
        gateway = loop.gateway
        proof = AWSProof(on: loop, for: .kinesis)
        operation = loop.head[.amzTarget].flatMap { KinesisOperation(target: $0) }
    }

    // MARK: On the loop

    func begin(_ exchange: Exchange, for peer: PeerKey, _ done: @escaping @Sendable () -> Void) -> Bool {
        reservation = HandedReservation(of: exchange, for: peer, gateway.inflight)
        body = exchange.body
        return gateway.broker.workers.submit { [self] in
            // Who has gone before anything was begun has asked for nothing.
            if !wait.isCancelled { work(done) }
        }
    }

    func handOver(to exchange: Exchange) { reservation?.handBack(to: exchange) }

    func refuse() {}

    func cancel() { wait.cancel() }

    func resume(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        switch outcome {
        case nil: loop.answer(KinesisError(.throughputExceeded, "Too many requests wait for a worker."))
        case .refused(let error):
            if case .signature = error.kind { loop.countWrongSignature(proof.origin.address) }
            loop.answer(error)
        case .done(let effect):
            swap(&loop.out, &out)
            loop.reply.contentType = ErrorDialect.kinesis.mediaType
            loop.routeRow.pointee.counters.accepted.add(effect.records)
            if !effect.commits.isEmpty { return .gated(effect.commits, bytes: effect.bytes) }
        case .read(let read): return loop.read(read.topic, [read.partition], read.question, nil)
        }
        return .answered
    }

    var lateProblem: Problem {
        Problem(
            .commitTimeout, "The request was not handled in time; what it asked for may still be done.", retryAfter: 5)
    }

    // MARK: On a worker

    private func work(_ done: @escaping @Sendable () -> Void) {
        let kept = body
        let bytes = kept?.bytes ?? UnsafeRawBufferPointer(start: nil, count: 0)
        defer { withExtendedLifetime(kept) {} }
        do throws(KinesisError) {
            let asker = try identified(bytes)
            guard let operation else { throw Self.noOperation }
            if operation.isOfAdmin {
                let isTaken = gateway.broker.admin.submit { [self] in
                    perform(operation, for: asker)
                    done()
                }
                if isTaken { return }
                throw KinesisError(.throughputExceeded, "Too many changes are under way.")
            }
            perform(operation, for: asker)
        } catch {
            outcome = .refused(error)
        }
        done()
    }

    private static let noOperation = KinesisError(
        .unknownOperation,
        "The field X-Amz-Target names none of the operations that are served here: "
            + KinesisOperation.allCases.map(\.rawValue).joined(separator: ", ") + ".")

    private func identified(_ body: UnsafeRawBufferPointer) throws(KinesisError) -> Asker? {
        do throws(AWSProof.Refusal) {
            return try proof.asker(of: body, gateway)
        } catch {
            switch error {
            case .throttled: throw KinesisError(.throughputExceeded, AWSProof.throttledWords)
            case .signature(let refusal): throw KinesisError(.signature(refusal), AWSProof.words(refusal))
            }
        }
    }

    private func perform(_ operation: KinesisOperation, for asker: Asker?) {
        let kept = body
        let bytes = kept?.bytes ?? UnsafeRawBufferPointer(start: nil, count: 0)
        defer { withExtendedLifetime(kept) {} }
        let calls = KinesisCalls(
            broker: gateway.broker, region: gateway.options.sqsRegion, maxRecordBytes: gateway.options.maxEventBytes
        ) { [gateway] in gateway.allows($0, $1, ExactString($2), asker) }
        do throws(KinesisError) {
            let members = try KinesisMembers(bytes, operation.members)
            if operation == .getRecords {
                outcome = .read(try calls.getRecords(members, seal: gateway.iteratorSeal()))
            } else {
                let seal = operation == .getShardIterator ? gateway.iteratorSeal() : nil
                let effect = try calls.perform(operation, members, seal: seal, into: &out) { count in
                    reserve(count)
                }
                outcome = .done(effect)
            }
        } catch {
            outcome = .refused(error)
        }
        // It is read: nothing of it is asked for again.
        body = nil
    }

    /// Takes memory for what a part of the body says, which is no more than the part itself.
    private func reserve(_ bytes: Int) -> Bool { reservation?.grow(by: bytes) ?? true }
}
