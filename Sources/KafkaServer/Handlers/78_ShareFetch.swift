import BrokerCore
import ByteBuffers
import Coordinators
import KafkaModel
import KafkaWire
import LogStorage
import Security

/// ShareFetch: settles what the session's member has acquired, and acquires records of all partitions of its session, each of which comes first
/// in its turn. Where there are none, and nothing was settled, it waits up to `maxWaitMs`: nothing but some bytes are kept for it then.
/// Versions: 2 limits by records (KIP-1206), which is kept in version 1 and in both modes, and lets locks last longer (KIP-1222).
/// Source: KIP-932.
extension KafkaConnection {
    static let shareFetchPrice = RequestPrice(decoded: 24)

    func shareFetch(_ request: borrowing Request) throws(DecodeError) {
        if shareConnection == 0 { shareConnection = broker.shares.openConnection() }
        let (context, connection) = (answerContext(request.ticket), shareConnection)
        let later = LaterReply(self, request.ticket)
        try answer(request, ShareFetchRequest.self, Self.shareFetchPrice) { asked in
            (asked, ShareFetchWork.price(of: asked))
        } onWorker: { asked, bytes, done in
            switch ShareFetchWork.begin(asked, context, connection, later, bytes) {
            case .success(let work): work.attempt(done)
            case .failure(let refusal):
                var response = ShareFetchResponse()
                (response.errorCode, response.errorMessage) = (refusal.code.rawValue, refusal.message)
                done(PreparedReply(Answer(response: response), context.ticket, priced: bytes, pool: later.place.pool))
            }
        }
    }
}

/// Where the reply to a request goes whose connection is muted, and where what is done for it is charged.
struct LaterReply: Sendable {
    let place: WorkPlace
    let finish: @Sendable (PreparedReply?) -> Void

    init(_ connection: KafkaConnection, _ ticket: ReplyTicket) {
        (place, finish) = (connection.workPlace, connection.finishParked(ticket))
    }
}

/// One ShareFetch in work: on one thread at a time.
final class ShareFetchWork: Sendable {
    private let asked: ShareFetchRequest
    private let requests: ShareRequests
    private let session: ShareSession
    /// How it went with what was to be settled.
    private let settled: [(id: TopicPartition, refusal: ShareRefusal?)]
    private let commits: CommitSpan
    private let later: LaterReply
    private let charged: Int
    /// By the clock that nobody sets.
    private let untilMs: Int64

    /// Bytes of records of one reply at most, unless one batch is larger.
    static let maxReplyBytes = 1 << 20
    /// Records of one reply at most.
    private static let maxRecords = 4_096
    private static let finalEpoch: Int32 = -1
    private static let rowBytes = 512

    private init(
        _ asked: ShareFetchRequest, _ requests: ShareRequests, _ session: ShareSession,
        _ settled: [(id: TopicPartition, refusal: ShareRefusal?)], _ commits: CommitSpan, _ later: LaterReply,
        _ charged: Int
    ) {
        // What is named is in the session by now, and may be much: nothing is charged for it during a wait.
        var rest = asked
        (rest.topics, rest.forgottenTopicsData) = ([], [])
        (self.asked, self.requests, self.session, self.settled) = (rest, requests, session, settled)
        (self.commits, self.later, self.charged) = (commits, later, charged)
        untilMs = requests.context.broker.shares.steadyMs() + Int64(min(max(0, asked.maxWaitMs), FetchPlan.maxWaitMs))
    }

    /// Bytes of memory that the reply takes: its records as a list and, twice, encoded.
    static func price(of asked: ShareFetchRequest) -> Int {
        let named =
            asked.topics.reduce(0) { $0 + $1.partitions.count }
            + asked.forgottenTopicsData.reduce(0) { $0 + $1.partitions.count }
        let records = min(max(0, Int(asked.maxRecords)), maxRecords)
        return 3 * min(max(0, Int(asked.maxBytes)), maxReplyBytes) + rowBytes * (1 + named) + 128 * records
    }

    /// Begins or goes on with the session, and settles what is to be settled.
    static func begin(
        _ asked: ShareFetchRequest, _ context: AnswerContext, _ connection: UInt64, _ later: LaterReply,
        _ charged: Int
    ) -> Result<ShareFetchWork, ShareRefusal> {
        if let refusal = ShareRequests.refusal(asked.groupID, asked.memberID, context) ?? refusal(of: asked) {
            return .failure(refusal)
        }
        let group = ExactString(asked.groupID ?? "")
        func ids(_ topic: TopicID, _ indexes: [Int32]) -> [TopicPartition] {
            indexes.map { TopicPartition(topicID: topic, partitionIndex: $0) }
        }
        let session: ShareSession
        do throws(ShareRefusal) {
            session = try context.broker.shares.beginFetch(
                of: group, ExactString(asked.memberID ?? ""), epoch: asked.shareSessionEpoch, connection: connection,
                adding: asked.topics.flatMap { ids($0.topicID, $0.partitions.map(\.partitionIndex)) },
                forgetting: asked.forgottenTopicsData.flatMap { ids($0.topicID, $0.partitions) })
        } catch {
            return .failure(error)
        }
        let requests = ShareRequests(context: context, group: group, isRenewal: asked.isRenewAck)
        var settled: [(id: TopicPartition, refusal: ShareRefusal?)] = []
        var commits = CommitSpan()
        for topic in asked.topics {
            for partition in topic.partitions where !partition.acknowledgementBatches.isEmpty {
                let id = TopicPartition(topicID: topic.topicID, partitionIndex: partition.partitionIndex)
                settled.append(
                    (id, requests.acknowledge(partition.acknowledgementBatches, in: id, session, &commits)))
            }
        }
        return .success(ShareFetchWork(asked, requests, session, settled, commits, later, charged))
    }

    private static func refusal(of asked: ShareFetchRequest) -> ShareRefusal? {
        let settles = asked.topics.contains { $0.partitions.contains { !$0.acknowledgementBatches.isEmpty } }
        if asked.shareSessionEpoch == 0, settles {
            return ShareRefusal(.invalidRequest, "A request that begins a share session has nothing to acknowledge.")
        }
        if asked.isRenewAck, asked.maxWaitMs != 0 || asked.minBytes != 0 || asked.maxBytes != 0 || asked.maxRecords != 0
        {
            return ShareRefusal(
                .invalidRequest, "A ShareFetch that renews has MaxWaitMs, MinBytes, MaxBytes and MaxRecords 0.")
        }
        if !(0...1).contains(asked.shareAcquireMode) {
            return ShareRefusal(.invalidRequest, "ShareAcquireMode is 0 or 1.")
        }
        return nil
    }

    // MARK: Acquiring

    private struct Found {
        var rows: [(id: TopicPartition, result: Result<ShareAcquisition, ShareRefusal>)] = []
        var commits: CommitSpan
        var records = 0
        var bytes = 0
        /// What was told of its partitions before they were looked into; nil: there is nothing to wait for.
        var mark: UInt64?
    }

    /// Looks for records, and answers or waits. `done` is called once.
    func attempt(_ done: @escaping @Sendable (PreparedReply?) -> Void) {
        let shares = requests.context.broker.shares
        if asked.shareSessionEpoch == Self.finalEpoch {
            shares.end(session)
            return answer(Found(commits: commits), done)
        }
        while true {
            let found = acquire()
            requests.context.broker.store.kick()
            guard found.records == 0, settled.isEmpty, let mark = found.mark,
                shares.steadyMs() < untilMs
            else { return answer(found, done) }
            let waits = shares.wait(session, since: mark, untilMs: untilMs) { [self] isNews in resume(isNews, found) }
            // Nothing is charged while it waits; the reply comes by another way.
            if waits { return done(nil) }
        }
    }

    /// Goes on after a wait, on any thread. `found`: before it, which is no record, but perhaps why there are none.
    private func resume(_ isNews: Bool, _ found: Found) {
        guard isNews else { return answer(found, later.finish) }
        let isTaken = later.place.charge(charged, then: later.finish) { [self] done in
            if requests.context.broker.shares.isCurrent(session) { return attempt(done) }
            requests.context.broker.shares.passOn(session)
            answer(Found(commits: commits), done)
        }
        if !isTaken { later.finish(.refused("too many requests wait for memory")) }
    }

    private func acquire() -> Found {
        var found = Found(commits: commits)
        let most = (
            records: min(Int(asked.maxRecords), Self.maxRecords),
            bytes: min(Int(asked.maxBytes), Self.maxReplyBytes)
        )
        guard most.records > 0, most.bytes > 0 else { return found }
        var logs: [(id: TopicPartition, log: PartitionLog)] = []
        for id in session.partitions {
            switch requests.log(of: id) {
            case .success(let log): logs.append((id, log))
            case .failure(let refusal): found.rows.append((id, .failure(refusal)))
            }
        }
        let shares = requests.context.broker.shares
        if !logs.isEmpty, asked.maxWaitMs > 0 { found.mark = shares.watch(logs.map(\.log), for: session) }
        for (id, log) in logs {
            guard found.records < most.records, found.bytes < most.bytes else { break }
            let result = shares.acquire(
                session, from: log, maxRecords: most.records - found.records, maxBytes: most.bytes - found.bytes)
            switch result {
            case .success(let acquired):
                if acquired.ranges.isEmpty { continue }
                found.records += acquired.recordCount
                found.bytes += acquired.bytes.count
                found.commits.add(acquired.ticket)
                found.rows.append((id, result))
            case .failure(let refusal):
                // Clients look up the leader and ask again.
                let isGone = refusal.code == .coordinatorNotAvailable
                found.rows.append(
                    (id, .failure(isGone ? ShareRefusal(.notLeaderOrFollower, refusal.message) : refusal)))
            }
        }
        return found
    }

    // MARK: Answering

    private func answer(_ found: Found, _ done: @escaping @Sendable (PreparedReply?) -> Void) {
        let (place, ticket) = (later.place, requests.context.ticket)
        // A batch that is larger than asked for, or partitions of the session that were not named.
        let bytes = 3 * found.bytes + Self.rowBytes * (1 + found.rows.count + settled.count) + 128 * found.records
        let more = max(0, bytes - charged)
        if more > 0 { place.budget.chargeMore(more, place.pool) }
        done(
            PreparedReply(
                Answer(response: response(found), commits: found.commits), ticket, priced: max(bytes, charged),
                pool: place.pool))
        if more > 0 { place.budget.release(more, place.pool) }
    }

    private func response(_ found: Found) -> ShareFetchResponse {
        var response = ShareFetchResponse()
        response.acquisitionLockTimeoutMs = requests.lockMs
        var places: [TopicID: Int] = [:]
        var entries: [TopicPartition: Int] = [:]
        func change(_ id: TopicPartition, _ body: (inout ShareFetchResponse.PartitionData) -> Void) {
            let place = places[id.topicID] ?? response.responses.count
            if place == response.responses.count {
                places[id.topicID] = place
                var topic = ShareFetchResponse.ShareFetchableTopicResponse()
                topic.topicID = id.topicID
                response.responses.append(topic)
            }
            if entries[id] == nil {
                entries[id] = response.responses[place].partitions.count
                var entry = ShareFetchResponse.PartitionData()
                entry.partitionIndex = id.partitionIndex
                (entry.currentLeader.leaderID, entry.currentLeader.leaderEpoch) = (-1, -1)
                response.responses[place].partitions.append(entry)
            }
            body(&response.responses[place].partitions[entries[id]!])
        }
        for (id, refusal) in settled {
            change(id) { entry in
                entry.acknowledgeErrorCode = refusal?.code.rawValue ?? 0
                entry.acknowledgeErrorMessage = refusal?.message
            }
        }
        for (id, result) in found.rows {
            change(id) { entry in
                switch result {
                case .failure(let refusal):
                    (entry.errorCode, entry.errorMessage) = (refusal.code.rawValue, refusal.message)
                case .success(let acquired):
                    entry.records = acquired.bytes
                    entry.acquiredRecords = acquired.ranges.map { range in
                        var row = ShareFetchResponse.AcquiredRecords()
                        (row.firstOffset, row.lastOffset) = (range.first.rawValue, range.last.rawValue)
                        row.deliveryCount = Int16(clamping: range.deliveryCount)
                        return row
                    }
                }
            }
        }
        return response
    }
}
