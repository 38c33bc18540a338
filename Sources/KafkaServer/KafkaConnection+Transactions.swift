import BrokerCore
import ByteBuffers
import Coordinators
import KafkaModel
import LogStorage

/// Events of the coordinator of transactions. Each writes a record that names all partitions of the transaction, of which there may
/// be thousands.
extension KafkaConnection {
    /// Runs an event of an id, and goes on with what came of it: at once where its record is short, else when a worker has run it,
    /// while the connection is muted. What others add to the transaction before the worker's turn is within the limits of one
    /// record (`TransactionSettings.maxRecordBytes`), and is not charged.
    ///
    /// - Parameter added: bytes of memory that the event adds to what the id takes.
    func askTransactions<Result: Sendable>(
        about id: ExactString, adding added: Int = 0,
        _ event: @escaping @Sendable (TransactionCoordinator) -> TransactionCoordinator.Outcome<Result>,
        then goOn: @escaping @Sendable (KafkaConnection, TransactionCoordinator.Outcome<Result>) -> Void
    ) {
        let broker = broker
        let price = broker.transactions.recordPrice(of: id) + added
        if price <= RequestLimits.inlineReplyBytes { return goOn(self, event(broker.transactions)) }
        let made = Lock<TransactionCoordinator.Outcome<Result>?>(nil)
        onWorker(charging: price) {
            let outcome = event(broker.transactions)
            made.withLock { $0 = outcome }
            broker.store.kick()
        } then: { _, connection, _ in
            if let connection, let outcome = made.withLock({ $0 }) { goOn(connection, outcome) }
        }
    }
}
