import CommandSyntax
import KafkaClient
import KafkaModel
import RecordFormat

/// `millrace consume`.
enum ConsumeCommand {
    /// How long one fetch waits for news; an interruption is seen within it.
    static let waitMs: Int32 = 1_000

    static func run(_ invocation: Invocation, _ console: Console) throws {
        let start = invocation[ConsumeOptions.from]
        let stop = invocation[ConsumeOptions.to]
        let limit = invocation[ConsumeOptions.max]
        let output = RecordOutput(invocation)
        if limit == 0 { return }
        // Who names an end wants what is there, and not to wait for nothing.
        let standard: StartPosition = invocation[ConsumeOptions.untilEnd] || stop != nil ? .beginning : .end
        if let group = invocation[ConsumeOptions.group] {
            try consumeInGroup(group, invocation, console, start ?? standard, limit, output)
        } else {
            try consumeAlone(invocation, console, start ?? standard, stop, limit, output)
        }
    }

    /// A reader without an end waits for its broker for ever, another one as long as for an answer.
    private static func patience(_ cluster: Cluster, _ console: Console, isFollowing: Bool) -> Patience {
        Patience(limitMs: isFollowing ? nil : cluster.options.requestTimeoutMs, console)
    }

    // MARK: Without a group

    private static func consumeAlone(
        _ invocation: Invocation, _ console: Console, _ start: StartPosition, _ stop: StartPosition?, _ limit: Int?,
        _ output: RecordOutput
    ) throws {
        var output = output
        let cluster = try ClusterConnection.open(invocation, console)
        let names = try partitions(invocation, cluster)
        var options = RecordReader.Options()
        options.isReadCommitted = invocation[ConsumeOptions.readCommitted]
        let ends = try cluster.offsets(of: names, .latest, readCommitted: options.isReadCommitted)
        let positions = try self.positions(names, start, ends, cluster)
        // Exclusive; a partition without one is followed.
        var stops = try stop.map { try self.positions(names, $0, ends, cluster) } ?? [:]
        if invocation[ConsumeOptions.untilEnd] { stops.merge(ends) { min($0, $1) } }
        let reader = RecordReader(cluster, from: positions, options: options)
        var patience = patience(cluster, console, isFollowing: stops.isEmpty)
        var count = 0
        while !console.interruption.wasRequested {
            for (name, stop) in stops where reader.positions[name] ?? .max >= stop { reader.drop(name) }
            if reader.positions.isEmpty { break }
            do throws(ClientError) {
                try reader.poll(maxWaitMs: waitMs) { name, record in
                    if let stop = stops[name], record.offset.rawValue >= stop { return true }
                    output.write(name, record, to: console.output)
                    count += 1
                    return count != limit && console.output.isIntact
                }
                patience.regained()
            } catch {
                if error == .cancelled { break }
                try patience.lost(error)
            }
            console.output.flush()
            console.output.checkReader()
            if count == limit || !console.output.isIntact { break }
            console.progress("\(count) records")
        }
        try end(count, console)
    }

    private static func end(_ count: Int, _ console: Console) throws {
        console.clearProgress()
        console.output.flush()
        if console.interruption.wasRequested { throw console.interruption.failure }
    }

    static func partitions(_ invocation: Invocation, _ cluster: Cluster) throws -> [PartitionName] {
        let wanted = invocation[CommonOptions.partitions]
        var names: [PartitionName] = []
        for topicName in Set(invocation.operands).sorted() {
            let indexes = try cluster.topic(topicName).partitions.map(\.index)
            for number in wanted where !indexes.contains(number) {
                throw CommandFailure("topic \(topicName) has no partition \(number); it has \(indexes.count)")
            }
            names += indexes.filter { wanted.isEmpty || wanted.contains($0) }.map { PartitionName(topicName, $0) }
        }
        return names
    }

    static func positions(
        _ names: [PartitionName], _ start: StartPosition, _ ends: [PartitionName: Int64], _ cluster: Cluster
    ) throws -> [PartitionName: Int64] {
        switch start {
        case .end: return ends
        case .beginning: return try cluster.offsets(of: names, .earliest)
        case .time(let time): return ends.merging(try cluster.offsets(of: names, .time(time))) { $1 }
        case .offset(let offset): return Dictionary(uniqueKeysWithValues: names.map { ($0, offset) })
        case .last(let count):
            let first = try cluster.offsets(of: names, .earliest)
            return ends.reduce(into: [:]) { $0[$1.key] = max(first[$1.key] ?? 0, $1.value - count) }
        }
    }

    // MARK: In a group

    private static func consumeInGroup(
        _ group: String, _ invocation: Invocation, _ console: Console, _ start: StartPosition, _ limit: Int?,
        _ output: RecordOutput
    ) throws {
        var output = output
        var options = GroupConsumer.Options()
        switch start {
        case .end: options.start = .latest
        case .beginning: options.start = .earliest
        case .time(let time): options.start = .time(time)
        case .offset, .last:
            preconditionFailure("the table refuses \(start) beside --group")
        }
        options.reader.isReadCommitted = invocation[ConsumeOptions.readCommitted]
        let cluster = try ClusterConnection.open(invocation, console)
        let topics = Set(invocation.operands).sorted()
        var ends: [PartitionName: Int64] = [:]
        for topic in topics {
            let names = try cluster.topic(topic).partitions.map { PartitionName(topic, $0.index) }
            ends.merge(try cluster.offsets(of: names, .latest)) { $1 }
        }
        let consumer = GroupConsumer(cluster, group: group, topics: topics, options: options)
        consumer.onAssignment = { partitions in
            guard console.showsProgress else { return }
            console.complain(
                "group \(group): "
                    + (partitions.isEmpty ? "no partitions" : partitions.map(\.description).joined(separator: " ")))
        }
        var patience = patience(cluster, console, isFollowing: !invocation[ConsumeOptions.untilEnd])
        var count = 0
        var failure: ClientError?
        while !console.interruption.wasRequested {
            do throws(ClientError) {
                try consumer.poll(maxWaitMs: waitMs) { name, record in
                    output.write(name, record, to: console.output)
                    count += 1
                    return count != limit && console.output.isIntact
                }
                // Committed is what was handed on, never more.
                console.output.flush()
                console.output.checkReader()
                guard console.output.isIntact else { break }
                if try !consumer.commit() { tellUncommitted(group, console) }
                patience.regained()
                if count == limit { break }
                // Who is no member (any more) holds no partitions, which does not mean that they were read to their ends.
                let isAtEnd = consumer.isMember && consumer.positions.allSatisfy { $0.value >= ends[$0.key] ?? 0 }
                if invocation[ConsumeOptions.untilEnd], isAtEnd { break }
                console.progress("\(count) records")
            } catch {
                if error == .cancelled { break }
                do throws(ClientError) { try patience.lost(error) } catch {
                    failure = error
                    break
                }
            }
        }
        try leave(consumer, console, count, failure)
    }

    private static func tellUncommitted(_ group: String, _ console: Console) {
        console.complain(
            "millrace: group \(group) went on without this member; the records since the last commit come again")
    }

    /// The end of a member: what it handed on is committed, and its partitions go to others at once.
    private static func leave(
        _ consumer: GroupConsumer, _ console: Console, _ count: Int, _ failure: ClientError?
    ) throws {
        console.interruption.finishInOrder()
        console.output.flush()
        do throws(ClientError) {
            if failure == nil, console.output.isIntact, try !consumer.commit() {
                tellUncommitted(consumer.group, console)
            }
            try consumer.leave()
        } catch {
            guard failure == nil else { throw failure! }
            console.complain(
                "millrace: \(error); the group knows of this member until its session ends, and the records since the last "
                    + "commit come again")
            if !console.interruption.wasRequested { throw error }
        }
        if let failure { throw failure }
        try end(count, console)
    }
}
