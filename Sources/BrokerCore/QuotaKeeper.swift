import ByteBuffers
public import KafkaModel
public import Security
public import Synchronization
import Telemetry

/// What clients have used of their quotas lately, of all edges and loops together: who has a quota of a user has it once,
/// however many connections he opens and whichever edge he comes by.
///
/// Without any quota that is one look at a number (``version``); with one, a lock of some hundred nanoseconds for each kind that
/// holds for the client. Source: KIP-13, KIP-124, KIP-219, KIP-599, KIP-612.
public final class QuotaKeeper: Sendable {
    private let settings: QuotaSettings
    /// 0: no quota of a user or client id is set. Else it grows whenever quotas change.
    @usableFromInline let current = Atomic<Int64>(0)
    private let addressQuotas = Lock<AddressQuotas>(AddressQuotas())
    private let limitsAddresses = Atomic<Bool>(false)

    private let produced: QuotaBuckets
    private let fetched: QuotaBuckets
    private let requests: QuotaBuckets
    private let mutations: Lock<MutationBuckets>
    private let addresses: Lock<AddressMeters>

    init(_ settings: QuotaSettings) {
        self.settings = settings
        produced = QuotaBuckets(windows: settings.windows)
        fetched = QuotaBuckets(windows: settings.windows)
        requests = QuotaBuckets(windows: settings.windows)
        mutations = Lock(MutationBuckets(windows: settings.controllerWindows))
        addresses = Lock(AddressMeters(windows: settings.windows))
    }

    @inlinable public var version: Int64 { current.load(ordering: .acquiring) }

    /// Takes what was changed, once it is in `Broker.access` and before the change is answered.
    func take(_ quotas: ClientQuotas, version: Int64) {
        let hasAddresses = quotas.addresses.byDefault != nil || !quotas.addresses.addresses.isEmpty
        addressQuotas.withLock { $0 = quotas.addresses }
        limitsAddresses.store(hasAddresses, ordering: .releasing)
        current.store(quotas.table.entities.isEmpty ? 0 : max(1, version), ordering: .releasing)
    }

    // MARK: Counting
    // Where a client is counted is looked up once, and again when idle ones were forgotten: by his names that is most of the price.

    /// Counts bytes of a request to produce; returns how long the client has to wait for its next one.
    public func countProduced(_ bytes: Int, of client: inout QuotaClient, now: MonotonicTime) -> Duration? {
        guard let limit = client.limits.produce?.value else { return nil }
        if !produced.knows(client.produced), let bucket = client.limits.produce?.bucket {
            client.produced = produced.place(for: bucket, now: now)
        }
        return produced.record(Double(bytes), at: client.produced, limit: limit, now: now)
    }

    /// Counts bytes that somebody else than Kafka's protocol writes, unless they have to wait.
    func admitProduced(_ bytes: Int, of client: inout QuotaClient, now: MonotonicTime) -> Duration? {
        guard let limit = client.limits.produce?.value else { return nil }
        if !produced.knows(client.produced), let bucket = client.limits.produce?.bucket {
            client.produced = produced.place(for: bucket, now: now)
        }
        return produced.admit(Double(bytes), at: client.produced, limit: limit, now: now)
    }

    /// Counts bytes of a reply to a fetch.
    public func countFetched(_ bytes: Int, of client: inout QuotaClient, now: MonotonicTime) -> Duration? {
        guard let limit = client.limits.fetch?.value else { return nil }
        if !fetched.knows(client.fetched), let bucket = client.limits.fetch?.bucket {
            client.fetched = fetched.place(for: bucket, now: now)
        }
        return fetched.record(Double(bytes), at: client.fetched, limit: limit, now: now)
    }

    /// Takes back what was counted at the same time, because another reply is sent in its place.
    public func takeBackFetched(_ bytes: Int, of client: inout QuotaClient, now: MonotonicTime) {
        guard client.limits.fetch != nil else { return }
        if !fetched.knows(client.fetched), let bucket = client.limits.fetch?.bucket {
            client.fetched = fetched.place(for: bucket, now: now)
        }
        fetched.takeBack(Double(bytes), at: client.fetched, now: now)
    }

    /// Counts time on threads. 100 is one thread's whole time; nobody waits longer for it than a window.
    public func countTime(_ nanoseconds: Int64, of client: inout QuotaClient, now: MonotonicTime) -> Duration? {
        guard let limit = client.limits.requests?.value else { return nil }
        if !requests.knows(client.requests), let bucket = client.limits.requests?.bucket {
            client.requests = requests.place(for: bucket, now: now)
        }
        let percent = Double(nanoseconds) / 1e9 * 100
        return requests.record(percent, at: client.requests, limit: limit, now: now, most: settings.windows.length)
    }

    /// Most bytes of one fetch: a larger reply would have to wait even of a client that was idle, so would never come.
    public func mostFetched(_ limits: ClientLimits) -> Int {
        limits.fetch.map { Int(min(settings.windows.most(at: $0.value), Double(Int32.max))) } ?? .max
    }

    func takeMutations(
        _ count: Int, _ limit: ClientLimits.Limit, isStrict: Bool, now: MonotonicTime
    ) -> (isTaken: Bool, wait: Duration?) {
        mutations.withLock {
            $0.take(Double(count), in: limit.bucket, limit: limit.value, isStrict: isStrict, now: now)
        }
    }

    /// Counts a new connection; returns how long one that is too many is kept waiting for its end. It is not counted then.
    public func admit(_ address: NetworkAddress, now: MonotonicTime) -> Duration? {
        guard limitsAddresses.load(ordering: .acquiring),
            let limit = addressQuotas.withLock({ $0.limit(for: address) })
        else { return nil }
        return addresses.withLock { $0.admit(address, limit: limit, now: now) }
    }

    // MARK: Looking inside

    /// Who is counted just now, of all kinds.
    public var bucketCount: Int {
        produced.count + fetched.count + requests.count
            + mutations.withLock { $0.count } + addresses.withLock { $0.count }
    }

    func showMetrics(in registry: MetricsRegistry) {
        registry.reading(
            "millrace_quota_buckets",
            help: "Users, client ids, pairs of both and addresses whose use of a quota is remembered, of all kinds."
        ) { [weak self] in Double(self?.bucketCount ?? 0) }
    }
}

/// The windows in which use is measured.
public struct QuotaSettings: Sendable {
    /// `quota.window.num` and `quota.window.size.seconds`.
    public var windows = QuotaWindows()
    /// `controller.quota.window.num` and `controller.quota.window.size.seconds`.
    public var controllerWindows = QuotaWindows()

    public init() {}
}

/// Whose requests are counted, and the limits that hold for him: looked up anew when quotas have changed, or he calls himself
/// otherwise. Of one connection, or of one principal; one thread's at a time.
public struct QuotaClient: Sendable {
    public private(set) var limits = ClientLimits.none
    /// Where he is counted, once it was looked up for these limits.
    fileprivate var produced = QuotaPlace()
    fileprivate var fetched = QuotaPlace()
    fileprivate var requests = QuotaPlace()
    /// 0: nothing was looked up.
    private var version: Int64 = 0
    private var clientID: [UInt8] = []

    /// Of a client id, which may have 32 KiB: a byte more than the longest that a quota is set for, so that the rest tells apart
    /// nobody who has one.
    private static let keptClientBytes = QuotaAlteration.maxNameBytes + 1

    public init() {}

    /// Takes what holds at `version` of ``QuotaKeeper``, which is not 0. Who has no client id has quotas of users alone; one client
    /// either always has one or never.
    public mutating func look(
        at version: Int64, _ broker: Broker, user: @autoclosure () -> ExactString, clientID: UnsafeRawBufferPointer?
    ) {
        let kept = (clientID ?? UnsafeRawBufferPointer(start: nil, count: 0)).prefix(Self.keptClientBytes)
        if version == self.version, kept.elementsEqual(self.clientID) { return }
        let access = broker.access
        self.clientID = Array(kept)
        // Of what is looked at, which may be newer: then it is looked at once more.
        self.version = max(1, access.quotasVersion)
        let client = clientID == nil ? nil : ExactString(String(decoding: kept, as: UTF8.self))
        limits = access.quotas.table.limits(user: user(), client: client)
        (produced, fetched, requests) = (QuotaPlace(), QuotaPlace(), QuotaPlace())
    }

    /// Looks up the limits the next time, whatever has changed.
    public mutating func forget() { version = 0 }
}

extension Broker {
    /// The seam for an edge that refuses where Kafka's protocol makes its clients wait: counts the bytes of a request to write
    /// by a user, or says how long he has to wait and counts nothing. One request may go far over the rate, as in Kafka; it
    /// is the next that waits. To be asked before the bytes are read.
    ///
    /// `client` is kept by the caller, one for each user whom it serves. Who has not shown who he is, is the user that he is for
    /// Kafka's protocol.
    public func admitProduce(
        _ bytes: Int, of user: @autoclosure () -> ExactString = Principal.anonymous.name, client: inout QuotaClient,
        nowMs: Int64 = BrokerClock.monotonicMs()
    ) -> Duration? {
        let version = quotas.version
        if version == 0 { return nil }
        client.look(at: version, self, user: user(), clientID: nil)
        return quotas.admitProduced(bytes, of: &client, now: MonotonicTime(milliseconds: nowMs))
    }

    /// Counts bytes of a request that was let in before anybody knew how many they would be; gives how long the user should send nothing
    /// more.
    @discardableResult
    public func countProduce(
        _ bytes: Int, of user: @autoclosure () -> ExactString = Principal.anonymous.name, client: inout QuotaClient,
        nowMs: Int64 = BrokerClock.monotonicMs()
    ) -> Duration? {
        let version = quotas.version
        if version == 0 { return nil }
        client.look(at: version, self, user: user(), clientID: nil)
        return quotas.countProduced(bytes, of: &client, now: MonotonicTime(milliseconds: nowMs))
    }
}
