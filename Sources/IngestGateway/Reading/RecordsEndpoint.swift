import BrokerCore
import HTTPWire
import KafkaModel
import LogStorage
import Security

/// `GET /v1/topics/{t}/records?from=&to=&limit=&max_bytes=&wait_ms=`: records of all partitions, and
/// `/v1/topics/{t}/partitions/{p}/records?offset=&timestamp=&…`, or `partition=`, of one: a repeatable read.
///
///     {"topic":"t","records":[{"partition":0,"offset":5,"timestamp":"…","timestamp_ms":…,"key":null,"value":{…},
///      "value_encoding":"json","headers":[{"name":"event_id","value":"…"}]}],"next":"p0:6,p1:9"}
///
/// A value that is JSON (and not larger than an event may be) stands there as JSON, byte for byte; other UTF-8 as a string (`"text"`), anything else as
/// `"base64"`. <doc:Reading> has the parameters.
enum RecordsEndpoint: HTTPEndpoint {
    static var access: EndpointAccess { .topic(.read) }
    static var parameters: [StaticString]? {
        ["partition", "offset", "timestamp", "limit", "max_bytes", "wait_ms", "from", "to", "group", "commit"]
    }
    static var fields: KnownFields { KnownFields(.partitionKey) }

    static func wish(on loop: GatewayLoop) -> BodyWish {
        if let problem = loop.notUnderstood() { return .refused(problem) }
        return .nothing
    }

    static func handle(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion { loop.getRecords(.page) }
}

/// `GET /v1/topics/{t}/stream?from=`, and of one partition: records without end, as Server-Sent Events, or as lines of JSON where
/// the field Accept names them. `Last-Event-ID` says where to go on, before `from`.
enum StreamEndpoint: HTTPEndpoint {
    static var access: EndpointAccess { .topic(.read) }
    static var parameters: [StaticString]? { ["partition", "from", "group", "commit"] }
    static var fields: KnownFields { KnownFields(.lastEventID) }

    static func wish(on loop: GatewayLoop) -> BodyWish {
        if let problem = loop.notUnderstood() { return .refused(problem) }
        return .nothing
    }

    static func handle(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        loop.getRecords(loop.wantsLines ? .lines : .events)
    }
}

extension GatewayLoop {
    fileprivate var wantsLines: Bool {
        guard let accept = head[.accept] else { return false }
        return String(decoding: accept, as: UTF8.self).lowercased().contains("application/x-ndjson")
    }

    fileprivate func getRecords(_ form: RecordsReply.Form) -> Completion {
        var question = RecordsReply.Question()
        question.form = form
        if form != .page { question.start = .latest }
        if let problem = readQuery(&question) ?? readLastEventID(&question) { return refuse(problem) }
        guard let name = PercentDecoding.string(route.topic), let topic = broker.catalog.topic(named: name) else {
            return refuse(Problem(.topicNotFound, "There is no such topic."))
        }
        let partitions: [PartitionLog]
        switch Self.partitions(of: topic, question) {
        case .success(let found): partitions = found
        case .failure(let problem): return refuse(problem)
        }
        var seat: StreamSeat?
        if form != .page {
            let (taken, refusal) = gateway.seats.take(for: peer)
            switch refusal {
            case .peer:
                return refuse(
                    Problem(
                        .quotaExceeded, "Your address has \(options.maxStreamsPerIP) streams of records.",
                        limit: options.maxStreamsPerIP, retryAfter: 5, policy: "streams"))
            case .total:
                return refuse(
                    Problem(
                        .overloaded, "There are too many streams of records.", limit: options.maxStreams, retryAfter: 5)
                )
            case nil: seat = taken
            }
        }
        guard let group = question.group else { return read(topic, partitions, question, seat) }
        guard mayRead(group: group) else { return refuse(Problem(.forbidden, "You may not read for this group.")) }
        var acknowledged: [Int32: Offset] = [:]
        if question.commits, case .position(let position) = question.start {
            if isOfAnotherSite {
                return refuse(
                    Problem(.forbidden, "A page of another site commits nothing for a group: send commit=none."))
            }
            for partition in partitions {
                guard let offset = position.offsets[partition.partitionIndex] else { continue }
                let (first, last, _) = partition.offsets
                guard offset >= first, offset <= last else {
                    return refuse(ReplyEnd.outOfRange(offset, first, last).problem)
                }
                acknowledged[partition.partitionIndex] = offset
            }
        }
        return .suspended(
            .work(
                GroupReadWork(
                    broker, group: group, topic, partitions, question, acknowledged: acknowledged, seat: seat)))
    }

    /// Whether a browser says that a page of another site has made the request, which it may do without asking where it is a GET.
    private var isOfAnotherSite: Bool {
        (0..<head.fieldCount).contains { index in
            guard head.isField(index, named: "sec-fetch-site") else { return false }
            let site = head.fieldValue(index)
            return !site.equals("same-origin") && !site.equals("none")
        }
    }

    /// Begins the reply.
    func read(
        _ topic: Topic, _ partitions: [PartitionLog], _ question: RecordsReply.Question, _ seat: StreamSeat?
    ) -> Completion {
        let made = RecordsReply(
            topic, partitions, question, maxJSONBytes: options.maxEventBytes, pool: pool, context: compression,
            seat: seat)
        return .suspended(.records(made))
    }

    /// The partitions that are asked for, in the order of their indexes.
    private static func partitions(
        of topic: Topic, _ question: RecordsReply.Question
    ) -> Result<[PartitionLog], Problem> {
        let count = topic.partitions.count
        func isThere(_ index: Int) -> Problem? {
            index < count
                ? nil : Problem(.partitionNotFound, "The topic has the partitions 0 to \(count - 1).")
        }
        if let index = question.partition {
            if let problem = isThere(index) { return .failure(problem) }
            return .success([topic.partitions[index]])
        }
        if case .position(let position) = question.start, let last = position.offsets.keys.max(),
            let problem = isThere(Int(last))
        {
            return .failure(problem)
        }
        guard count <= RecordsReply.maxPartitions else {
            return .failure(ReplyEnd.tooManyPartitions(count).problem)
        }
        return .success(topic.partitions)
    }

    private func refuse(_ problem: Problem) -> Completion {
        answer(problem, instance: head.path)
        return .answered
    }

    // MARK: The question

    /// What is said of where it begins.
    private struct Beginnings {
        var partition: Int?
        /// Of one partition.
        var offset: RecordsReply.Start?
        var from: RecordsReply.Start?
        var timestampMs: Int64?
        var commit: Bool?
    }

    private func readQuery(_ question: inout RecordsReply.Question) -> Problem? {
        var said = Beginnings()
        if let raw = route.partition {
            guard let number = raw.decimalValue else {
                return Problem(.partitionNotFound, "A partition is a number.")
            }
            said.partition = number
        }
        var items = QueryItems(head.query)
        while let item = items.next() {
            if let problem = read(item.name, item.value, &said, &question) { return problem }
        }
        return settle(said, &question)
    }

    private func read(
        _ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, _ said: inout Beginnings,
        _ question: inout RecordsReply.Question
    ) -> Problem? {
        let number = value.decimalValue
        if name.equals("partition") {
            guard let number else { return Problem(.invalidParameter, "partition is a number.") }
            said.partition = number
        } else if name.equals("offset") {
            if value.equals("latest") {
                said.offset = .latest
            } else if let number {
                said.offset = .position(ReadPosition([0: Offset(Int64(number))]))
            } else if value.equals("earliest") {
                said.offset = .earliest
            } else {
                return Problem(.invalidParameter, "offset is a number, earliest or latest.")
            }
        } else if name.equals("timestamp") {
            guard let number else {
                return Problem(.invalidParameter, "timestamp is a number of milliseconds since 1970.")
            }
            said.timestampMs = Int64(number)
        } else if name.equals("from") {
            guard let start = Self.start(value) else {
                return Problem(
                    .invalidParameter,
                    "from is earliest, latest, a position (p0:123,p1:456: the next of another reply), milliseconds since 1970, or a time like 2026-11-21T10:00:00Z."
                )
            }
            said.from = start
        } else if name.equals("to") {
            guard let text = PercentDecoding.string(value), let time = Self.time(text) else {
                return Problem(
                    .invalidParameter, "to is milliseconds since 1970, or a time like 2026-11-21T10:00:00Z.")
            }
            question.until = time
        } else if name.equals("group") {
            guard let text = PercentDecoding.string(value, plusIsSpace: true), !text.isEmpty,
                text.utf8.count <= GroupReadWork.maxIDBytes
            else {
                let most = GroupReadWork.maxIDBytes
                return Problem(.invalidParameter, "group is the id of a group, of 1 to \(most) bytes.", limit: most)
            }
            question.group = text
        } else if name.equals("commit") {
            guard value.equals("auto") || value.equals("none") else {
                return Problem(.invalidParameter, "commit is auto or none.")
            }
            said.commit = value.equals("auto")
        } else {
            return readBound(name, value, &question)
        }
        return nil
    }

    private func readBound(
        _ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, _ question: inout RecordsReply.Question
    ) -> Problem? {
        let number = value.decimalValue
        if name.equals("limit") {
            let most = RecordsReply.maxRecords
            guard let number, number > 0, number <= most else {
                return Problem(.invalidParameter, "limit is 1 to \(most).", limit: most)
            }
            question.limit = number
        } else if name.equals("max_bytes") {
            let most = RecordsReply.maxBytes
            guard let number, number > 0, number <= most else {
                return Problem(.invalidParameter, "max_bytes is 1 to \(most).", limit: most)
            }
            question.maxBytes = number
        } else if name.equals("wait_ms") {
            let most = RecordsReply.maxWaitMs
            guard let number, number <= most else {
                return Problem(.invalidParameter, "wait_ms is 0 to \(most).", limit: most)
            }
            question.wait = .milliseconds(Int64(number))
        }
        return nil
    }

    /// An offset is one of a partition: of the first where none is named. A time without a partition was always that of the first.
    private func settle(_ said: Beginnings, _ question: inout RecordsReply.Question) -> Problem? {
        let ways = (said.offset == nil ? 0 : 1) + (said.timestampMs == nil ? 0 : 1) + (said.from == nil ? 0 : 1)
        guard ways <= 1 else {
            return Problem(.invalidParameter, "offset, timestamp and from exclude each other.")
        }
        guard said.commit == nil || question.group != nil else {
            return Problem(.invalidParameter, "commit is said of a group.")
        }
        // Whoever asks for the head alone has read nothing.
        question.commits = (said.commit ?? true) && head.method != .head
        question.partition = said.partition
        if question.group != nil, ways == 0 { question.start = .committed }
        if let from = said.from {
            question.start = from
        } else if let time = said.timestampMs {
            question.start = .time(time)
            question.partition = said.partition ?? 0
        } else if let offset = said.offset {
            let partition = said.partition ?? 0
            question.partition = partition
            question.start = offset
            if case .position(let position) = offset, let number = position.offsets[0] {
                // One that no topic can have is answered as that.
                question.start = .position(ReadPosition([Int32(clamping: partition): number]))
            }
        }
        return nil
    }

    private func readLastEventID(_ question: inout RecordsReply.Question) -> Problem? {
        guard question.form != .page, let id = head[.lastEventID], id.count > 0 else { return nil }
        guard let position = ReadPosition(id) else {
            return Problem(.invalidHeader, "Last-Event-ID is the id of an event of this stream: p0:123,p1:456.")
        }
        question.start = .position(position)
        return nil
    }

    private static func start(_ value: UnsafeRawBufferPointer) -> RecordsReply.Start? {
        guard var text = PercentDecoding.string(value) else { return nil }
        if text == "earliest" { return .earliest }
        if text == "latest" { return .latest }
        if let position = text.withUTF8({ ReadPosition(UnsafeRawBufferPointer($0)) }) { return .position(position) }
        return time(text).map { .time($0) }
    }

    private static func time(_ text: String) -> Int64? {
        var text = text
        return text.withUTF8 { ReadTime.milliseconds(UnsafeRawBufferPointer($0)) }
    }
}
