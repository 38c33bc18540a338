import BrokerCore
import HTTPWire
import LogStorage

/// `GET /readyz`: whether the broker is ready, which means that it can commit: started, not draining, the data folder takes
/// writes.
enum ReadinessEndpoint: HTTPEndpoint {
    static var access: EndpointAccess { .nothing }

    static func handle(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        let broker = loop.broker
        if let problem = problem(on: loop) {
            loop.answer(problem, instance: loop.head.path)
            return .answered
        }
        loop.out.text("{\"status\":\"ready\"")
        // Damage does not make the broker unready: all but the quarantined ranges is served.
        let damage = broker.store.damage
        if !damage.isEmpty {
            loop.out.text(",\"quarantined_partitions\":")
            loop.out.decimal(damage.count)
            loop.out.text(",\"partitions_refusing_appends\":")
            loop.out.decimal(damage.count(where: \.refusesAppends))
        }
        loop.out.text("}\n")
        return .answered
    }

    private static func problem(on loop: GatewayLoop) -> Problem? {
        if loop.gateway.isDraining { return Problem(.storageUnavailable, "The broker is shutting down.") }
        if loop.broker.isReady { return nil }
        let why = loop.broker.store.fullness.map { "No events are taken: \($0)." }
        return Problem(.storageUnavailable, why ?? "The broker cannot commit writes at the moment.")
    }
}
