import BrokerCore
import KafkaModel
import KafkaWire
import Testing

@testable import KafkaServer

@Suite struct MetadataTests {
    @Test func theBrokerIsNamedByTheAddressItWasReachedBy() throws {
        let broker = try TestBroker()
        let reply = try broker.client().metadata([])
        #expect(reply.brokers.map(\.nodeID) == [1])
        #expect(reply.brokers[0].host == "127.0.0.1")
        #expect(reply.brokers[0].port == Int32(broker.port))
        #expect(reply.controllerID == 1)
        #expect(reply.clusterID?.isEmpty == false)
        #expect(reply.topics.isEmpty)
    }

    @Test func theAdvertisedAddressIsToldInstead() throws {
        let client = try TestBroker { $0.advertised = .init(host: "kafka.example", port: 19_092) }.client()
        let node = try client.metadata([]).brokers[0]
        #expect((node.host, node.port) == ("kafka.example", 19_092))
        var find = FindCoordinatorRequest()
        find.coordinatorKeys = ["readers"]
        #expect(try client.call(find).coordinators[0].host == "kafka.example")
    }

    @Test func nullMeansAllTopics() throws {
        let client = try TestBroker().client()
        let id = try client.createTopic("orders", partitions: 3)
        let topics = try client.metadata(nil).topics
        #expect(topics.map(\.name) == ["__consumer_offsets", "orders"])
        #expect(topics.map(\.isInternal) == [true, false])
        #expect(topics[1].topicID == id)
        #expect(topics[1].partitions.map(\.partitionIndex) == [0, 1, 2])
        for partition in topics[1].partitions {
            #expect((partition.leaderID, partition.leaderEpoch) == (1, 0))
            #expect((partition.replicaNodes, partition.isrNodes, partition.offlineReplicas) == ([1], [1], []))
        }
    }

    @Test func anEmptyListMeansAllInVersion0AndNoneAfterwards() throws {
        let client = try TestBroker().client()
        try client.createTopic("orders")
        #expect(try client.metadata([], mayCreate: true, version: 0).topics.count == 2)
        #expect(try client.metadata([], mayCreate: true, version: 1).topics.isEmpty)
    }

    @Test func topicsAreFoundByID() throws {
        let client = try TestBroker().client()
        let id = try client.createTopic("orders")
        var request = MetadataRequest()
        request.allowAutoTopicCreation = false
        request.topics = [id, TopicID(high: 1, low: 1)].map { id in
            var topic = MetadataRequest.MetadataRequestTopic()
            (topic.topicID, topic.name) = (id, nil)
            return topic
        }
        let topics = try client.call(request).topics
        #expect(topics.map(\.code) == [.none, .unknownTopicID])
        #expect(topics.map(\.name) == ["orders", nil])
    }

    @Test func aMissingTopicIsMadeWhenClientAndBrokerAllowIt() throws {
        let client = try TestBroker().client()
        #expect(try client.metadata(["orders"]).topics.map(\.code) == [.unknownTopicOrPartition])
        let made = try client.metadata(["orders"], mayCreate: true).topics[0]
        #expect(made.code == .none)
        #expect(made.partitions.count == 1)
        // Usable at once.
        #expect(try client.append("orders", count: 1) == 0)
    }

    @Test func aBrokerThatMakesNoTopicsSaysSo() throws {
        let client = try TestBroker { $0.broker.autoCreateTopics = false }.client()
        #expect(try client.metadata(["orders"], mayCreate: true).topics.map(\.code) == [.unknownTopicOrPartition])
    }

    @Test(arguments: ["", ".", "..", "a/b", "a b", "ü", String(repeating: "x", count: 250)])
    func aNameThatIsNotValidIsInvalidTopic(name: String) throws {
        let client = try TestBroker().client()
        #expect(try client.metadata([name], mayCreate: true).topics.map(\.code) == [.invalidTopicException])
        #expect(try client.metadata(nil).topics.count == 1)
    }

    @Test func goodAndBadNamesAreAnsweredTogether() throws {
        let client = try TestBroker().client()
        let topics = try client.metadata(["good", "a/b", "also-good"], mayCreate: true).topics
        #expect(topics.map(\.name) == ["good", "a/b", "also-good"])
        #expect(topics.map(\.code) == [.none, .invalidTopicException, .none])
    }

    @Test func describeClusterNamesTheNode() throws {
        let broker = try TestBroker()
        let client = try broker.client()
        let reply = try client.call(DescribeClusterRequest())
        #expect(reply.brokers.map(\.brokerID) == [1])
        #expect(reply.brokers.first?.port == Int32(broker.port))
        var request = DescribeClusterRequest()
        request.endpointType = 2
        #expect(try client.call(request).code == .mismatchedEndpointType)
        request.endpointType = 3
        #expect(try client.call(request).code == .unsupportedEndpointType)
    }

    @Test func findCoordinatorNamesThisNodeForGroupsAndTransactions() throws {
        let client = try TestBroker().client()
        for version in Int16(0)...6 {
            var request = FindCoordinatorRequest()
            if version >= 4 { request.coordinatorKeys = ["a", "b"] } else { request.key = "a" }
            let reply = try client.call(request, version: version)
            #expect(version >= 4 ? reply.coordinators.map(\.key) == ["a", "b"] : reply.code == .none)
            #expect(version >= 4 ? reply.coordinators.allSatisfy { $0.nodeID == 1 } : reply.nodeID == 1)
        }
        var transactions = FindCoordinatorRequest()
        (transactions.keyType, transactions.coordinatorKeys) = (1, ["payments"])
        // The topic is made for who asks first, and nobody waits for it.
        #expect(try client.call(transactions).coordinators.map(\.code) == [.coordinatorNotAvailable])
        try waitUntil { try client.call(transactions).coordinators[0].code == .none }
        #expect(try client.call(transactions).coordinators.map(\.nodeID) == [1])
        #expect(try client.metadata(nil).topics.map(\.name).contains("__transaction_state"))
        var shares = FindCoordinatorRequest()
        (shares.keyType, shares.coordinatorKeys) = (2, ["g:AAAAAAAAAAAAAAAAAAAAAA:0"])
        #expect(try client.call(shares).coordinators.map(\.code) == [.unsupportedVersion])
    }
}
