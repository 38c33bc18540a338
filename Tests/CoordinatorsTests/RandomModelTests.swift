import BrokerTestKit
import Coordinators
import KafkaModel
import KafkaWire
import Testing

/// Several clients do what clients do, in random order, with lost connections, retries, restarts and late requests.
@Suite struct RandomModelTests {
    @Test(arguments: testSeeds(30)) func invariantsHold(_ seed: UInt64) {
        let world = World(seed: seed)
        for _ in 0..<1_500 { world.step() }
        world.end()
    }
}

private final class World {
    /// One consumer process: what it believes.
    struct Client {
        var instance: String?
        var version: Int16
        var group: String
        var memberID = ""
        var generation: Int32 = -1
        /// Its assignor list, which sometimes changes.
        var topics = ["t"]
        /// Members to assign to, when the last JoinGroup made it the leader.
        var ledMembers: [String] = []
        var parkedJoin: WaiterID?
        var parkedSync: WaiterID?
        /// The generation its parked SyncGroup named.
        var syncGeneration: Int32 = -1
    }

    /// What is known of one generation of one incarnation of a group.
    struct Generation {
        var leader: String?
        var protocolName: String?
        /// By identity.
        var assignments: [String: [UInt8]]?
    }

    struct GenerationKey: Hashable {
        var group: String
        var incarnation: Int
        var generation: Int32
    }

    let seed: UInt64
    var random: SeededRandom
    let driver: ShardDriver
    var clients: [Client] = []
    var generations: [GenerationKey: Generation] = [:]
    var incarnations: [String: Int] = [:]
    var steps = 0
    let groups = ["g", "h"]

    init(seed: UInt64) {
        self.seed = seed
        random = SeededRandom(seed: seed)
        var settings = GroupSettings()
        if random.chance(0.3) { settings.maxSize = 3 }
        if random.chance(0.3) { settings.initialRebalanceDelayMs = 0 }
        driver = ShardDriver(settings: settings, seed: seed)
        for index in 0..<7 {
            let isStatic = random.chance(0.4)
            clients.append(
                Client(
                    instance: isStatic ? "static\(index)" : nil,
                    // Before version 9 a restarted static leader is told its old id, which the model does not follow.
                    version: isStatic ? 9 : random.pick([0, 3, 4, 9]), group: random.pick(groups)))
        }
    }

    /// Who a member is through restarts: its instance id, or its member id.
    func identity(_ memberID: String) -> String {
        memberID.hasPrefix("static") ? String(memberID.dropLast(37)) : memberID
    }

    func key(_ group: String, _ generation: Int32) -> GenerationKey {
        GenerationKey(group: group, incarnation: incarnations[group, default: 0], generation: generation)
    }

    // MARK: Steps

    func step() {
        steps += 1
        let index = random.below(clients.count)
        switch random.below(100) {
        case 0..<30: join(index)
        case 30..<55: sync(index)
        case 55..<70: heartbeat(index)
        case 70..<74: leave(index)
        case 74..<79: commit(index)
        case 79..<83: driver.pass(Int64(random.number(in: 0...25_000)))
        case 83..<91: driver.pass(Int64(random.number(in: 0...4_000)))
        case 91..<94: loseConnection(index)
        case 94..<96: restart(index)
        case 96..<97: impostor(index)
        case 97..<98: transaction()
        case 98..<99: administrate(index)
        default: if random.chance(0.3) { compareWithReplay() }
        }
        settle()
    }

    func join(_ index: Int) {
        let client = clients[index]
        // One request at a time, but now and then a client retries on a new connection.
        if client.parkedJoin != nil || client.parkedSync != nil, !random.chance(0.1) { return }
        if random.chance(0.1) { clients[index].topics = random.pick([["t"], ["u"], ["t", "u"]]) }
        let old = client.parkedJoin
        clients[index].parkedJoin = driver.join(
            client.memberID, instance: client.instance, group: client.group, version: client.version,
            session: 10_000, rebalance: Int32(random.pick([10_000, 20_000, 60_000])),
            protocols: [subscription(clients[index].topics), subscription(clients[index].topics, "sticky")])
        if let old, driver.joined(old) != nil { #expect(driver.joinError(old) != ErrorCode.none) }
    }

    func sync(_ index: Int) {
        let client = clients[index]
        guard client.generation >= 0, client.parkedJoin == nil, client.parkedSync == nil else { return }
        let generation = random.chance(0.05) ? client.generation - 1 : client.generation
        var assignments: [String: [UInt8]] = [:]
        if generation == client.generation {
            for memberID in client.ledMembers where !random.chance(0.05) {
                assignments[memberID] = random.bytes(4)
            }
        }
        let key = key(client.group, generation)
        let isAwaited = driver.state(client.group) == .completingRebalance
        clients[index].syncGeneration = generation
        clients[index].parkedSync = driver.sync(
            client.memberID, generation, assignments: assignments, instance: client.instance, group: client.group)
        // The assignment was taken if it was the leader's, and the group waited for it.
        if isAwaited, driver.state(client.group) == .stable {
            #expect(generations[key]?.leader == identity(client.memberID), "seed \(seed) step \(steps)")
            #expect(generations[key]?.assignments == nil, "seed \(seed) step \(steps): two assignments")
            generations[key]?.assignments = Dictionary(
                uniqueKeysWithValues: assignments.map { (identity($0.key), $0.value) })
        }
    }

    func heartbeat(_ index: Int) {
        let client = clients[index]
        let error = driver.heartbeat(
            client.memberID, client.generation, instance: client.instance, group: client.group)
        if error == .unknownMemberID || error == .fencedInstanceID { forget(index) }
    }

    func leave(_ index: Int) {
        driver.leave([(clients[index].memberID, clients[index].instance)], group: clients[index].group)
        forget(index)
        if clients[index].parkedJoin == nil, clients[index].parkedSync == nil, random.chance(0.3) {
            clients[index].group = random.pick(groups)
        }
    }

    func commit(_ index: Int) {
        let client = clients[index]
        let isSimple = random.chance(0.2)
        let commits = (0..<random.number(in: 1...3)).map { _ in
            ShardDriver.Commit(
                random.pick(["t", "u"]), Int32(random.below(3)), offset: Int64(random.below(1_000)),
                metadata: random.pick([nil, "", "text"]))
        }
        driver.commit(
            commits, group: client.group, member: isSimple ? "" : client.memberID,
            generation: isSimple ? -1 : client.generation, instance: isSimple ? nil : client.instance)
    }

    func loseConnection(_ index: Int) {
        guard let waiter = clients[index].parkedJoin ?? clients[index].parkedSync else { return }
        driver.connectionGone(waiter)
        clients[index].parkedJoin = nil
        clients[index].parkedSync = nil
    }

    /// The process starts anew: it knows its instance id, if that.
    func restart(_ index: Int) {
        loseConnection(index)
        forget(index)
    }

    /// A member that does not lead sends an assignment.
    func impostor(_ index: Int) {
        let client = clients[index]
        guard client.ledMembers.isEmpty, client.generation >= 0, client.parkedSync == nil, client.parkedJoin == nil,
            generations[key(client.group, client.generation)]?.leader != identity(client.memberID)
        else { return }
        clients[index].syncGeneration = client.generation
        clients[index].parkedSync = driver.sync(
            client.memberID, client.generation, assignments: [client.memberID: [0xff]], instance: client.instance,
            group: client.group)
    }

    func transaction() {
        let producer = Int64(random.number(in: 1...3))
        if random.chance(0.5) {
            driver.commitInTransaction(
                producer, [.init(random.pick(["t", "u"]), 0, offset: Int64(random.below(1_000)))],
                group: random.pick(groups))
        } else {
            driver.endTransaction(of: ProducerID(producer), committed: random.chance(0.5))
        }
    }

    func administrate(_ index: Int) {
        let group = clients[index].group
        switch random.below(4) {
        case 0: _ = driver.deleteGroups([group])
        case 1: _ = driver.deleteOffsets(random.pick(["t", "u"]), [0, 1], group: group)
        case 2:
            if random.chance(0.3) { driver.time.wallClockMs += 8 * 24 * 60 * 60_000 }
            driver.expireOffsets()
        default:
            driver.topicDeleted("u")
        }
    }

    func forget(_ index: Int) {
        clients[index].memberID = ""
        clients[index].generation = -1
        clients[index].ledMembers = []
    }

    // MARK: What comes back

    func settle() {
        for group in groups where driver.state(group) == .dead {
            incarnations[group, default: 0] += 1
        }
        for index in clients.indices {
            if let waiter = clients[index].parkedJoin, let response = driver.joined(waiter) {
                clients[index].parkedJoin = nil
                take(response, index)
            }
            if let waiter = clients[index].parkedSync, let response = driver.synced(waiter) {
                clients[index].parkedSync = nil
                take(response, index)
            }
        }
        checkGroups()
    }

    func take(_ response: JoinGroupResponse, _ index: Int) {
        switch ErrorCode(rawValue: response.errorCode) {
        case .none:
            let client = clients[index]
            clients[index].memberID = response.memberID
            clients[index].generation = response.generationID
            clients[index].ledMembers = response.skipAssignment ? [] : response.members.map(\.memberID)
            let key = key(client.group, response.generationID)
            var generation = generations[key] ?? Generation()
            #expect(generation.leader ?? identity(response.leader) == identity(response.leader), "seed \(seed)")
            #expect(generation.protocolName ?? response.protocolName == response.protocolName, "seed \(seed)")
            generation.leader = identity(response.leader)
            generation.protocolName = response.protocolName
            generations[key] = generation
            let leads = response.leader == response.memberID
            #expect(leads == !response.members.isEmpty, "seed \(seed) step \(steps)")
            #expect(Set(response.members.map(\.memberID)).count == response.members.count)
            #expect(!leads || response.members.contains { $0.memberID == response.memberID })
        case .memberIDRequired:
            clients[index].memberID = response.memberID
        case .unknownMemberID, .fencedInstanceID, .groupMaxSizeReached:
            forget(index)
        case .rebalanceInProgress:
            break
        default:
            Issue.record("seed \(seed) step \(steps): JoinGroup got \(response.errorCode)")
        }
    }

    func take(_ response: SyncGroupResponse, _ index: Int) {
        let client = clients[index]
        let known = generations[key(client.group, client.syncGeneration)]
        switch ErrorCode(rawValue: response.errorCode) {
        case .none:
            // From the leader of that generation, and of nobody else.
            let expected = known?.assignments.map { $0[identity(client.memberID)] ?? [] }
            #expect(response.assignment == expected, "seed \(seed) step \(steps)")
            #expect(response.protocolName == known?.protocolName, "seed \(seed) step \(steps)")
        case .unknownMemberID, .fencedInstanceID:
            #expect(response.assignment.isEmpty)
            forget(index)
        case .rebalanceInProgress, .illegalGeneration:
            #expect(response.assignment.isEmpty)
        default:
            Issue.record("seed \(seed) step \(steps): SyncGroup got \(response.errorCode)")
        }
    }

    func checkGroups() {
        // No reply is lost: whoever waits is parked, and the other way round.
        #expect(driver.waiting.count == driver.shard.metrics.parkedRequests, "seed \(seed) step \(steps)")
        for group in groups {
            let described = driver.shard.describeGroup(group, apiVersion: 5)
            #expect(
                described.members.isEmpty == (described.groupState == "Empty" || described.groupState == "Dead")
                    || described.groupState == "PreparingRebalance", "seed \(seed) step \(steps)")
            let instances = described.members.compactMap(\.groupInstanceID)
            // The size counts who has rejoined; static members that have not are kept beyond it.
            if instances.isEmpty && described.groupState != "PreparingRebalance" {
                #expect(driver.settings.maxSize >= described.members.count, "seed \(seed) step \(steps)")
            }
            #expect(Set(instances).count == instances.count, "seed \(seed) step \(steps): an instance twice")
        }
    }

    // MARK: Restarts

    func compareWithReplay() {
        let once = driver.restarted()
        // A transaction that is open at the log's end would else be ended by a marker of the second round.
        let aborts = (1...3).map { ShardDriver.LogEntry.transactionEnd(ProducerID($0), committed: false) }
        let twice = ShardDriver(settings: driver.settings, replaying: driver.log + aborts + driver.log)
        for group in groups {
            #expect(once.fetchAll(group: group) == driver.fetchAll(group: group), "seed \(seed) step \(steps)")
            #expect(twice.fetchAll(group: group) == driver.fetchAll(group: group), "seed \(seed) step \(steps)")
            let live = driver.shard.describeGroup(group, apiVersion: 6)
            let replayed = once.shard.describeGroup(group, apiVersion: 6)
            #expect(twice.shard.describeGroup(group, apiVersion: 6) == replayed, "seed \(seed) step \(steps)")
            // A group beyond its size rebalances at once after a restart.
            if replayed.members.count > driver.settings.maxSize { continue }
            switch driver.state(group) {
            case .stable: #expect(replayed == live, "seed \(seed) step \(steps)")
            case .empty: #expect(["Empty", "Dead"].contains(replayed.groupState), "seed \(seed) step \(steps)")
            case .dead: #expect(replayed.groupState == "Dead", "seed \(seed) step \(steps)")
            // The last generation that was completed.
            case .preparingRebalance, .completingRebalance: #expect(replayed.groupState != "PreparingRebalance")
            }
        }
    }

    /// All clients go; nothing may be left waiting.
    func end() {
        compareWithReplay()
        for index in clients.indices { restart(index) }
        driver.pass(20 * 60_000)
        #expect(driver.waiting.isEmpty, "seed \(seed)")
        #expect(driver.shard.metrics.parkedRequests == 0, "seed \(seed)")
        #expect(driver.shard.metrics.members == 0, "seed \(seed)")
        #expect(driver.shard.nextDeadline == nil, "seed \(seed)")
        for group in groups { #expect([.empty, .dead].contains(driver.state(group)), "seed \(seed)") }
    }
}
