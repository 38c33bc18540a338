import BrokerCore
import ByteBuffers
import Coordinators
import KafkaModel
import KafkaWire
import Security

/// ListTransactions: the transactional ids that this node coordinates, filtered by state and producer id; version 1 by how long
/// they are open (KIP-994), version 2 by a pattern for the whole id (KIP-1152). Those that the client may not describe are left
/// out. Source: KIP-664.
extension KafkaConnection {
    static func listTransactionsPrice(_ asked: ListTransactionsRequest, _ context: AnswerContext) -> Int {
        var price = ReplyPrice()
        var ids = 0
        for (count, text) in context.broker.transactions.readAll({ ($0.count, $0.textBytes) }).answers {
            price.add(count, ListTransactionsResponse.TransactionState.self, text: 16)
            price.add(text: text)
            ids += count
        }
        price.add(bytes: context.permissions.price(ofDecisions: ids))
        return price.bytes
    }

    /// Steps of a pattern over all ids, about a tenth of a second on a worker.
    private static let patternSteps = 100 * BoundedPattern.maxSteps

    static func listTransactions(
        _ asked: ListTransactionsRequest, _ context: AnswerContext
    ) -> Answer<ListTransactionsResponse> {
        var answer = Answer(response: ListTransactionsResponse())
        answer.response.unknownStateFilters = asked.stateFilters.filter { !TransactionState.knownNames.contains($0) }
        var pattern: BoundedPattern?
        if let text = asked.transactionalIDPattern, !text.isEmpty {
            do { pattern = try BoundedPattern(text) } catch {
                answer.response.errorCode = ErrorCode.invalidRegularExpression.rawValue
                return answer
            }
        }
        let states = Set(asked.stateFilters.compactMap { name in TransactionState.allCases.first { $0.name == name } })
        let producers = Set(asked.producerIDFilters)
        let nowMs = WallClock.milliseconds
        let looks = context.broker.transactions.readAll { shard in
            var listed: [ListTransactionsResponse.TransactionState] = []
            shard.forEach { id, metadata in
                if !asked.stateFilters.isEmpty, !states.contains(metadata.state) { return }
                if !producers.isEmpty, !producers.contains(metadata.producerID) { return }
                if asked.durationFilter >= 0, metadata.startMs < 0 || nowMs - metadata.startMs <= asked.durationFilter {
                    return
                }
                var state = ListTransactionsResponse.TransactionState()
                (state.transactionalID, state.producerID) = (id.text, metadata.producerID)
                state.transactionState = metadata.state.name
                listed.append(state)
            }
            return listed
        }
        // A list that some are missing from would say that they are not there.
        if let refusal = looks.refusal {
            answer.response.errorCode = refusal.rawValue
            return answer
        }
        // Matched and asked about where no shard's lock is held.
        var budget = patternSteps
        answer.response.transactionStates = looks.answers.flatMap { $0 }.filter { state in
            pattern?.matchesWhole(state.transactionalID, budget: &budget) != false
                && context.permissions.allows(.describe, .transactionalID, state.transactionalID, quietly: true)
        }
        if budget <= 0 {
            // It goes back over its choices so often that it was not held against all.
            answer.response.transactionStates = []
            answer.response.errorCode = ErrorCode.invalidRegularExpression.rawValue
        }
        answer.commits.add(looks.ticket)
        return answer
    }
}
