internal import KafkaModel
internal import KafkaWire

extension Cluster {
    /// Asks the leader of each partition, and asks again for those that have not answered or whose error may pass.
    ///
    /// - Parameters:
    ///   - what: what is asked for, in the words of an error.
    ///   - request: the request for some of the partitions, which have the same leader.
    ///   - answers: the entries of a response, each with its partition and error code.
    ///   - take: receives the answer for a partition without an error.
    func askLeaders<Asked: KafkaRequest, Answer>(
        of partitions: Set<PartitionName>, for what: String, request: ([PartitionName]) -> Asked,
        answers: (Asked.Response) -> [(PartitionName, errorCode: Int16, Answer)],
        take: (PartitionName, Answer) throws(ClientError) -> Void
    ) throws(ClientError) {
        var missing = partitions
        try retrying { deadline throws(ClientError) in
            var byLeader: [Int32: [PartitionName]] = [:]
            for name in missing {
                byLeader[try leader(of: name.topic, name.partition), default: []].append(name)
            }
            var failure: ClientError?
            for (node, names) in byLeader.sorted(by: { $0.key < $1.key }) {
                let response = try connection(to: node, deadline).call(request(names), deadline: deadline)
                for (name, errorCode, answer) in answers(response) {
                    let code = ErrorCode(rawValue: errorCode)
                    guard code == .none else {
                        failure = .refused(code, "\(what) of \(name)", message: nil)
                        forget(name.topic)
                        continue
                    }
                    try take(name, answer)
                    missing.remove(name)
                }
            }
            if let failure { throw failure }
            if let name = missing.first { throw .invalidAnswer("\(Asked.apiKey.name) says nothing of \(name)") }
        }
    }
}
