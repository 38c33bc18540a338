import BrokerCore
import ByteBuffers
import Forwarder
import KafkaClient
import KafkaModel
import RecordFormat
import Security
import Synchronization
import TLS

/// A topic of another Kafka cluster. The forwarder's thread alone asks it; its waits end soon when the forwarder is stopped.
final class ClusterDestination: ForwardDestination, @unchecked Sendable {
    // SAFETY: `cluster` is the calling thread's alone; the rest is constant or atomic.
    private let way: ForwardCluster
    private let topicName: String
    private let cluster: Cluster
    private let isInterrupted: Flag
    private let context = CompressionContext()

    private final class Flag: Sendable {
        let value = Atomic(false)
    }

    /// How long a connection, and an answer, are waited for: a batch of some megabytes on a slow disk, and no more, as the other partitions
    /// wait as well.
    private static let connectTimeoutMs: Int64 = 5_000
    private static let requestTimeoutMs: Int64 = 20_000
    /// What an answer may have at most: the longest is what a cluster says of its nodes and of one topic's partitions.
    private static let maxAnswerBytes = 8 << 20

    init(_ way: ForwardCluster, topic: String) {
        let flag = Flag()
        (self.way, topicName, isInterrupted) = (way, topic, flag)
        var options = ClientOptions()
        options.clientID = "millrace-forwarder"
        options.connectTimeoutMs = Self.connectTimeoutMs
        options.requestTimeoutMs = Self.requestTimeoutMs
        options.maxAnswerBytes = Self.maxAnswerBytes
        options.isCancelled = { flag.value.load(ordering: .acquiring) }
        options.tls = way.tls.map(TLSClientSettings.init)
        options.login = way.login.map { login in
            ClientOptions.Login(
                user: login.user, password: login.password,
                mechanism: login.mechanism == .scramSHA256 ? .sha256 : .sha512)
        }
        cluster = Cluster(
            bootstrap: way.bootstrap.map { BrokerAddress(host: $0.host, port: $0.port) }, options: options)
    }

    func target() throws(ForwardTrouble) -> ForwardTarget {
        do throws(ClientError) {
            cluster.forget(topicName)
            let topic = try cluster.topic(topicName)
            return ForwardTarget(
                identity: identity(of: topic), partitionCount: Int32(topic.partitions.count))
        } catch {
            throw ForwardTrouble(error.description)
        }
    }

    /// By the cluster's id and the topic's: a topic that was made again is another one. Where they are not told, by names.
    private func identity(of topic: Cluster.TopicMetadata) -> [UInt8] {
        let place = cluster.clusterID ?? way.bootstrap.map(\.description).joined(separator: ",")
        let name = topic.id == .zero ? topic.name : topic.id.description
        return Array(
            HashAlgorithm.sha256.hash(Array("\(place)\u{0}\(name)".utf8)).prefix(ForwardIntent.destinationBytes))
    }

    func openProducer() throws(ForwardTrouble) -> ForwardProducer {
        do throws(ClientError) {
            let session = try cluster.openProducer()
            return ForwardProducer(id: session.id, epoch: session.epoch)
        } catch {
            throw ForwardTrouble(error.description)
        }
    }

    func send(_ batches: [ForwardedBatch]) -> [ForwardOutcome] {
        var builder = RecordBatchBuilder(context: context)
        var finished: [FinishedBatch] = []
        for batch in batches {
            do throws(CompressionError) {
                finished.append(
                    FinishedBatch(
                        partitionIndex: batch.intent.partitionIndex,
                        bytes: try batch.encoded(compression, &builder)))
            } catch {
                return batches.map { _ in .failed("COMPRESSION_FAILED") }
            }
        }
        return cluster.send(finished, to: topicName).map { result in
            switch result {
            case .success: .accepted
            case .failure(.refused(let code, _, _)): ForwardOutcome(code)
            case .failure(.noSuchTopic): ForwardOutcome(.unknownTopicOrPartition)
            case .failure(.timedOut): ForwardOutcome(.requestTimedOut)
            case .failure: ForwardOutcome(.networkException)
            }
        }
    }

    private var compression: Compression {
        switch way.compression {
        case .none: .none
        case .gzip: .gzip
        case .snappy: .snappy
        case .lz4: .lz4
        case .zstd: .zstd
        }
    }

    func interrupt() { isInterrupted.value.store(true, ordering: .releasing) }
}

extension TLSClientSettings {
    fileprivate init(_ tls: ForwardCluster.TLS) {
        self.init(authorityFile: tls.authorityFile)
        if let certificateFile = tls.certificateFile, let keyFile = tls.keyFile {
            identity = Identity(certificateFile: certificateFile, keyFile: keyFile)
        }
        serverName = tls.serverName
    }
}
