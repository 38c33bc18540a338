import KafkaModel
import Security
import Testing

@Suite struct QuotaTests {
    private let start = MonotonicTime(seconds: 1_000)

    // MARK: Kafka's windows

    /// Milliseconds since the last one, bytes, the rate and the throttle time under a limit of 800: what `Rate` and
    /// `QuotaUtils` of Apache Kafka 4.3.1 say. -1: none.
    private static let kafkas: [[(Int, Double, Double, Int64)]] = [
        [
            (388, 1847, 184.7, -1), (854, 4904, 621.9826791966096, -1), (406, 4978, 1143.17738791423, 4401),
            (8473, 317, 1122.332991707817, 4324), (162, 1234, 1218.907755851308, 5705),
            (462, 3596, 1629.4293714396063, 10738),
            (332, 4310, 1982.0376087566658, 15794), (2959, 298, 893.7242327072836, 1279),
            (237, 1302, 1089.1449960598898, 3669),
            (454, 3800, 1400.810861776353, 7965), (563, 3955, 1849.9360802438785, 13346),
            (2075, 2834, 2113.0417805544707, 16814),
            (860, 3477, 2486.441013460016, 21300), (592, 4220, 2743.362004487659, 25983),
            (1357, 1452, 3063.2646971053414, 28441),
            (476, 4055, 3309.905973976636, 33034), (145, 3358, 3579.5390668915124, 37086),
            (2884, 3600, 3039.650474490275, 29796),
            (286, 3683, 3297.099460151889, 34114), (1908, 4514, 3321.175470093546, 33352),
            (128, 3859, 3641.7701428438054, 38048),
            (415, 1058, 3592.6773455377574, 35087), (387, 2192, 3669.4769112856866, 37439),
            (801, 4797, 4209.2977829866195, 43635),
        ],
        [
            (40, 67, 6.7, -1), (2606, 4719, 451.25400716575524, -1), (10094, 1086, 575.0941153160294, -1),
            (714, 3514, 862.2316802368616, 841), (367, 3399, 793.4728697549847, -1),
            (431, 1678, 920.5669710806696, 1584),
            (7642, 2256, 1175.2018908804412, 4762), (862, 635, 1254.7923322683705, 5694),
            (562, 4179, 1583.1915295897145, 10356),
            (607, 2150, 1689.4948591864104, 12436), (824, 3997, 1674.04831625183, 11939),
            (367, 3588, 1937.3173970783532, 16058),
            (655, 358, 1577.9167049737978, 10577), (2240, 4134, 2105.0706731244436, 16504),
            (136, 3767, 2444.552813810592, 21077),
            (3898, 3531, 2816.9638459265097, 25593), (7758, 1402, 458.5424800148727, -1),
            (173, 1314, 571.4939163845943, -1),
            (94, 1113, 734.1645885286782, -1), (656, 4538, 1113.9406422619606, 4192),
            (394, 947, 1274.937965260546, 5981),
            (236, 1435, 1384.928716904277, 7539), (2271, 2508, 1224.7782705099778, 5747),
            (105, 2419, 1434.3489797785708, 8666),
        ],
        [
            (560, 4210, 421.0, -1), (528, 2202, 609.0425531914893, -1), (1459, 3961, 944.1157731864931, 1979),
            (82, 3277, 1355.6460423080741, 6993), (681, 2806, 1530.7906976744187, 9820),
            (237, 886, 1578.4108491854008, 10690),
            (1092, 3385, 2056.4540132949696, 15830), (778, 1913, 2085.2905959288937, 17443),
            (1946, 2793, 2354.253448116264, 20988),
            (2922, 4768, 2815.944055944056, 27026), (117, 3561, 3114.001106806862, 31360),
            (753, 3787, 3544.0302029259083, 36341),
            (15632, 2074, 207.4, -1), (442, 4928, 670.5611951733384, -1), (424, 414, 682.4958586416345, -1),
            (1157, 1589, 898.4336027137584, 1233), (27507, 1246, 124.6, -1), (810, 2526, 348.93617021276594, -1),
            (175, 3186, 633.4091943559399, -1), (687, 3995, 1026.330584707646, 3019),
            (350, 1709, 1263.4204749550988, 5806),
            (380, 3946, 1596.616035377812, 10358), (430, 2426, 1757.2008862629245, 12960),
            (293, 2620, 2138.6666666666665, 16942),
        ],
        [
            (52, 3303, 330.3, -1), (105, 2911, 614.9430974764967, -1), (462, 3427, 912.3686949938487, 1484),
            (608, 1552, 1100.04914004914, 3816), (362, 2052, 1256.999145866945, 6019),
            (2662, 3148, 1607.314442592411, 10292),
            (569, 22, 1524.424219910847, 9751), (139, 2703, 1752.8192903639865, 12991),
            (123, 2969, 2202.0937188434696, 17579),
            (82, 683, 2251.7800632911394, 18351), (110, 2945, 2515.652514185091, 21922),
            (1025, 784, 2586.0251781009074, 22877),
            (828, 3166, 2944.416873449132, 27006), (402, 3261, 3142.6935191371576, 30681),
            (506, 3841, 3347.628152599472, 34976),
            (648, 3144, 3754.209387639921, 39258), (2580, 2173, 3753.8132191597538, 41394),
            (658, 1409, 3165.51337198429, 31621),
            (394, 886, 3132.936507936508, 32335), (1902, 2109, 3031.460879080795, 30588),
            (777, 2901, 3364.423345434236, 34437),
            (509, 4927, 3650.106647707074, 40087), (147, 875, 3679.7964733748577, 41034),
            (1875, 2291, 2829.7701763762693, 28483),
        ],
    ]

    @Test func ratesAreKafkas() {
        for events in Self.kafkas {
            var window = QuotaWindow()
            var now = start
            for (gap, bytes, rate, throttle) in events {
                now = now + .milliseconds(gap)
                window.record(bytes, now: now)
                #expect(abs(window.rate(now: now) - rate) < 1e-6)
                #expect(window.throttle(limit: 800, now: now)?.milliseconds ?? -1 == throttle)
            }
        }
    }

    @Test func aThrottleHasABound() {
        var window = QuotaWindow()
        window.record(1e12, now: start)
        #expect(window.throttle(limit: 1, now: start) == .milliseconds(Int64(Int32.max)))
        #expect(window.throttle(limit: 1, now: start, most: .seconds(1)) == .seconds(1))
        #expect(window.throttle(limit: 0, now: start, most: .seconds(1)) == .seconds(1))
        #expect(window.throttle(limit: 1e12, now: start) == nil)
        // Forgotten once all windows are over.
        #expect(window.rate(now: start + .seconds(11)) == 0)
    }

    // MARK: Token buckets

    @Test func aBucketPassesItsBurstAndThenItsRate() {
        var bucket = TokenBucket(perSecond: 10, burst: 5, now: start)!
        for _ in 0..<5 { #expect(bucket.take(1, now: start) == nil) }
        #expect(bucket.take(1, now: start) == .milliseconds(100))
        #expect(bucket.take(1, now: start + .milliseconds(99)) == .milliseconds(1))
        #expect(bucket.take(1, now: start + .milliseconds(100)) == nil)
        #expect(bucket.take(1, now: start + .milliseconds(100)) == .milliseconds(100))
        // Never more than the burst, however long nobody came.
        #expect(bucket.available(now: start + .seconds(1_000)) == 5)
        #expect(bucket.take(5, now: start + .seconds(1_000)) == nil)
    }

    @Test func whatIsMoreThanTheBucketHoldsWaitsUntilItIsFull() {
        var bucket = TokenBucket(perSecond: 1, burst: 10, now: start)!
        #expect(bucket.take(100, now: start) == nil)
        #expect(bucket.take(100, now: start + .seconds(99)) == .seconds(1))
        #expect(bucket.take(1, now: start) == .seconds(91))
        var slow = TokenBucket(perSecond: 1e-9, burst: 1, now: start)!
        #expect(slow.take(1, now: start) == nil && slow.take(1, now: start) == TokenBucket.maxWait)
    }

    /// KIP-599: the request that goes below passes, the next is refused until the debt is paid.
    @Test func mutationsMayGoIntoDebt() {
        var bucket = TokenBucket(perSecond: 5, burst: 55, now: start)!
        bucket.debit(100, now: start)
        #expect(bucket.debt(now: start) == .seconds(9) && bucket.debt(now: start + .seconds(9)) == nil)
        #expect(bucket.available(now: start) == -45)
    }

    // MARK: Precedence

    @Test func theMostParticularLimitHolds() {
        typealias Entity = QuotaTable.Entity
        let (alice, app) = (QuotaTable.Name.exactly("alice"), QuotaTable.Name.exactly("app"))
        // From the least to the most particular: each one added wins over those before.
        let order: [(Entity, ExactString?, ExactString?)] = [
            (Entity(user: nil, client: .byDefault), nil, "app"), (Entity(user: nil, client: app), nil, "app"),
            (Entity(user: .byDefault, client: nil), "alice", nil),
            (Entity(user: .byDefault, client: .byDefault), "alice", "app"),
            (Entity(user: .byDefault, client: app), "alice", "app"), (Entity(user: alice, client: nil), "alice", nil),
            (Entity(user: alice, client: .byDefault), "alice", "app"),
            (Entity(user: alice, client: app), "alice", "app"),
        ]
        var table = QuotaTable()
        #expect(table.limit(.produce, user: "alice", client: "app") == nil)
        for (index, (entity, user, client)) in order.enumerated() {
            table.set(.produce, to: Double(index + 1), for: entity)
            let found = table.limit(.produce, user: "alice", client: "app")
            #expect(found?.value == Double(index + 1) && found?.bucket.user == user && found?.bucket.client == client)
        }
        // Another limit is looked for by itself.
        #expect(table.limit(.fetch, user: "alice", client: "app") == nil)
        #expect(table.limit(.produce, user: "bob", client: "x")?.value == 4)
        for (entity, _, _) in order { table.set(.produce, to: nil, for: entity) }
        #expect(table.entities.isEmpty)
    }

    @Test func defaultsAreCountedByName() {
        var table = QuotaTable()
        table.set(.fetch, to: 1, for: QuotaTable.Entity(user: .byDefault, client: nil))
        let (one, two) = (table.limit(.fetch, user: "a", client: "x")!, table.limit(.fetch, user: "b", client: "x")!)
        #expect(one.bucket != two.bucket && one.bucket == table.limit(.fetch, user: "a", client: "y")!.bucket)
        // A user who is called like the default is none.
        #expect(
            QuotaTable.Entity(user: .exactly("<default>"), client: nil)
                != QuotaTable.Entity(user: .byDefault, client: nil))
    }

    @Test func entitiesHaveABound() {
        var table = QuotaTable()
        for index in 0..<QuotaTable.maxEntities {
            table.set(.produce, to: 1, for: QuotaTable.Entity(user: .exactly(ExactString("u\(index)")), client: nil))
        }
        let known = QuotaTable.Entity(user: .exactly("u1"), client: nil)
        let another = QuotaTable.Entity(user: .exactly("x"), client: nil)
        #expect(table.set(.produce, to: 1, for: another) == .full && table.set(.fetch, to: 2, for: known) == nil)
        #expect(table.set(.produce, to: nil, for: another) == nil && table.entities.count == QuotaTable.maxEntities)
        #expect(
            QuotaTable.Limit.allCases.map(\.rawValue)
                == ["producer_byte_rate", "consumer_byte_rate", "request_percentage", "controller_mutation_rate"])
    }

    /// AlterClientQuotas carries any double, and a store gives back what was written.
    @Test func whatIsNoLimitIsNotTaken() {
        let entity = QuotaTable.Entity(user: .exactly("a"), client: nil)
        for limit in QuotaTable.Limit.allCases {
            for bad in [0, -1, .nan, .infinity, -.infinity] as [Double] {
                var table = QuotaTable()
                #expect(table.set(limit, to: bad, for: entity) == .notPositive && table.entities.isEmpty)
            }
            var table = QuotaTable()
            let isWhole = limit == .produce || limit == .fetch
            #expect(table.set(limit, to: 1.5, for: entity) == (isWhole ? .notWhole : nil))
            #expect(table.set(limit, to: 1, for: QuotaTable.Entity(user: nil, client: nil)) == .nobody)
        }
        var addresses = AddressQuotas()
        for bad in [0, -1, .nan, .infinity] as [Double] {
            #expect(addresses.set(bad, for: one) == .notPositive && addresses.set(bad, for: nil) == .notPositive)
            #expect(TokenBucket(perSecond: bad, burst: 1, now: start) == nil)
            #expect(TokenBucket(perSecond: 1, burst: bad, now: start) == nil)
        }
        #expect(addresses.set(1.5, for: one) == .notWhole && addresses.byDefault == nil)
        var window = QuotaWindow()
        window.record(1, now: start)
        #expect(window.throttle(limit: .nan, now: start, most: .seconds(1)) == .seconds(1))
    }

    /// A client that makes up an id for each connection, under a limit that counts each by itself.
    @Test func madeUpClientsShareWhatIsLeft() {
        var table = QuotaTable()
        table.set(.produce, to: 1_000, for: QuotaTable.Entity(user: .byDefault, client: .byDefault))
        func bucket(_ user: ExactString, _ client: String) -> QuotaTable.Bucket {
            table.limit(.produce, user: user, client: ExactString(client))!.bucket
        }
        var ofUsers = QuotaTable()
        ofUsers.set(.produce, to: 1_000, for: QuotaTable.Entity(user: .exactly("v"), client: nil))
        let buckets = QuotaBuckets()
        #expect(buckets.record(1, in: bucket("a", "honest"), limit: 1_000, now: start) == nil)
        let own = ofUsers.limit(.produce, user: "v", client: "x")!.bucket
        #expect(own.client == nil && buckets.record(1, in: own, limit: 1_000, now: start) == nil)
        for index in 0..<QuotaBuckets.maxBuckets + 100 {
            _ = buckets.record(100, in: bucket("m", "c\(index)"), limit: 1_000, now: start)
        }
        // One for all that came too late, and their sum is over the limit; who was there before is not in it.
        #expect(buckets.count == QuotaBuckets.maxBuckets + 1)
        #expect(buckets.record(1_000, in: bucket("m", "another"), limit: 1_000, now: start) != nil)
        #expect(buckets.record(1, in: bucket("a", "honest"), limit: 1_000, now: start) == nil)
        // Nor is a user who has a bucket of his own, nor does an id of any length take memory.
        #expect(buckets.record(1, in: bucket("v", "late"), limit: 1_000, now: start) == nil)
        let long = String(repeating: "c", count: QuotaBuckets.maxClientBytes + 1)
        #expect(buckets.record(1, in: bucket("v", long), limit: 1_000, now: start) == nil)
        #expect(buckets.record(1, in: bucket("m", long), limit: 1_000, now: start) != nil)
        #expect(buckets.count == QuotaBuckets.maxBuckets + 1)
        // An hour later they are gone.
        let later = start + QuotaBuckets.idleEnd
        #expect(buckets.record(1, in: bucket("a", "new"), limit: 1_000, now: later) == nil && buckets.count == 1)
    }

    /// To find a place costs ten times what it costs to count there.
    @Test func aPlaceThatIsKeptIsTheBuckets() {
        let buckets = QuotaBuckets()
        let bucket = QuotaTable.Bucket(user: "a", client: "c")
        #expect(!buckets.knows(QuotaPlace()))
        let (one, other) = (buckets.place(for: bucket, now: start), buckets.place(for: bucket, now: start))
        #expect(buckets.knows(one) && buckets.count == 1)
        #expect(buckets.record(600, at: one, limit: 100, now: start) == nil)
        #expect(buckets.record(600, at: other, limit: 100, now: start) == .seconds(2))
        // It is in use, though nobody has looked for it since.
        let soon = start + QuotaBuckets.idleEnd - .seconds(1)
        _ = buckets.place(for: QuotaTable.Bucket(user: "b", client: nil), now: start)
        _ = buckets.record(1_000, at: one, limit: 100, now: soon)
        let later = start + QuotaBuckets.idleEnd + .seconds(61)
        let third = buckets.place(for: QuotaTable.Bucket(user: "new", client: nil), now: later)
        #expect(buckets.count == 2, "b is forgotten, a is not")
        // Somebody was forgotten, and it might be this one: asked for again, it is the same.
        #expect(!buckets.knows(one) && buckets.knows(third))
        let again = buckets.place(for: bucket, now: soon + .seconds(1))
        #expect(buckets.record(1_000, at: again, limit: 100, now: soon + .seconds(1)) != nil)
    }

    @Test func whatWasCountedAtTheSameTimeIsTakenBack() {
        let bucket = QuotaTable.Bucket(user: "a", client: nil)
        let buckets = QuotaBuckets()
        #expect(buckets.record(2_000, in: bucket, limit: 100, now: start) == .seconds(10))
        buckets.takeBack(2_000, at: buckets.place(for: bucket, now: start), now: start)
        #expect(buckets.record(500, in: bucket, limit: 100, now: start) == nil)
        #expect(QuotaWindows().most(at: 100) == 1_000 && QuotaWindows(count: 5, length: .seconds(2)).most(at: 10) == 80)
        let narrow = QuotaBuckets(windows: QuotaWindows(count: 2, length: .seconds(2)))
        #expect(narrow.record(400, in: bucket, limit: 100, now: start) == .seconds(2))
    }

    @Test func strictMutationsAreRefusedInDebtAndOthersWait() {
        let bucket = QuotaTable.Bucket(user: "a", client: nil)
        var buckets = MutationBuckets(windows: QuotaWindows(count: 2))
        func take(_ count: Double, _ isStrict: Bool, _ now: MonotonicTime) -> (isTaken: Bool, wait: Duration?) {
            buckets.take(count, in: bucket, limit: 5, isStrict: isStrict, now: now)
        }
        // Ten at once, and the one that goes below has all it wants.
        #expect(take(9, true, start) == (true, Duration?.none) && take(6, true, start) == (true, Duration?.none))
        #expect(
            take(1, true, start) == (false, Duration.seconds(1)) && take(1, true, start) == (false, Duration.seconds(1))
        )
        #expect(take(5, false, start) == (true, Duration.seconds(2)))
        #expect(take(1, true, start + .seconds(2)) == (true, Duration?.none))
        // A new limit goes on with what lacks.
        let doubled = buckets.take(1, in: bucket, limit: 10, isStrict: true, now: start + .seconds(2))
        #expect(doubled == (false, Duration.milliseconds(100)) && buckets.count == 1)
    }

    @Test func limitsOfAClientAreFoundByKind() {
        var table = QuotaTable()
        #expect(table.limits(user: "a", client: "x").isEmpty)
        table.set(.produce, to: 1, for: QuotaTable.Entity(user: .exactly("a"), client: nil))
        table.set(.requests, to: 2, for: QuotaTable.Entity(user: nil, client: .byDefault))
        let limits = table.limits(user: "a", client: "x")
        #expect(limits.produce?.value == 1 && limits.requests?.bucket.client == "x" && limits.fetch == nil)
        // Without a client id quotas of client ids are nobody's.
        let gateways = table.limits(user: "a", client: nil)
        #expect(gateways.produce?.bucket == limits.produce?.bucket && gateways.requests == nil)
        #expect(limits.mutations == nil && table.limits(user: "b", client: "x").produce == nil)
    }

    // MARK: Addresses

    @Test func connectionsOverTheRateAreNotCounted() {
        var meters = AddressMeters()
        func admit(_ address: NetworkAddress, _ now: MonotonicTime) -> Duration? {
            meters.admit(address, limit: 1, now: now)
        }
        for _ in 0..<10 { #expect(admit(one, start) == nil) }
        // As long as a window at most; those that were refused add nothing.
        for _ in 0..<10 { #expect(admit(one, start) == .seconds(1)) }
        #expect(admit(NetworkAddress("10.0.0.2")!, start) == nil)
        #expect(admit(one, start + .milliseconds(999)) != nil && admit(one, start + .seconds(12)) == nil)
        // Many addresses are counted together, and forgotten in the end.
        for index in 0..<UInt32(AddressMeters.maxAddresses) { _ = admit(NetworkAddress(v4: index), start) }
        #expect(meters.count == AddressMeters.maxAddresses + 1)
        #expect(admit(NetworkAddress("10.9.9.9")!, start + QuotaBuckets.idleEnd + .seconds(61)) == nil)
        #expect(meters.count == 1)
    }

    private let one = NetworkAddress("10.0.0.1")!

    @Test func addressesHaveTheirOwnLimitOrTheDefault() {
        var quotas = AddressQuotas()
        #expect(quotas.limit(for: one) == nil && AddressQuotas.key == "connection_creation_rate")
        quotas.set(5, for: nil)
        quotas.set(2, for: one)
        #expect(quotas.limit(for: one) == 2 && quotas.limit(for: NetworkAddress("10.0.0.2")!) == 5)
        #expect(quotas.limit(for: NetworkAddress("::ffff:10.0.0.1")!) == 2)
        quotas.set(nil, for: one)
        #expect(quotas.limit(for: one) == 5 && quotas.addresses.isEmpty)
        for index in 0..<UInt32(AddressQuotas.maxAddresses) { quotas.set(1, for: NetworkAddress(v4: index)) }
        #expect(quotas.set(1, for: one) == .full && quotas.set(3, for: NetworkAddress(v4: 7)) == nil)
    }

    @Test func failuresOfAnAddressAreCounted() {
        var limiter = AttemptLimiter()
        for _ in 0..<50 {
            #expect(limiter.wait(for: one, now: start) == nil)
            limiter.countFailure(of: one, now: start)
        }
        #expect(limiter.wait(for: one, now: start) == .milliseconds(100))
        #expect(limiter.wait(for: NetworkAddress("10.0.0.2")!, now: start) == nil)
        #expect(limiter.wait(for: one, now: start + .milliseconds(100)) == nil)
        // A household's network of IPv6 counts as one.
        for _ in 0..<50 { limiter.countFailure(of: NetworkAddress("2001:db8::1")!, now: start) }
        #expect(limiter.wait(for: NetworkAddress("2001:db8::ffff")!, now: start) != nil)
        #expect(limiter.wait(for: NetworkAddress("2001:db8:0:1::1")!, now: start) == nil)
    }

    @Test func whatEndedWellIsGivenBack() {
        var limiter = AttemptLimiter(perSecond: 1, burst: 2)
        for _ in 0..<10 {
            #expect(limiter.wait(for: one, now: start) == nil)
            limiter.countFailure(of: one, now: start)
            limiter.giveBack(to: one, now: start)
        }
        for _ in 0..<2 { limiter.countFailure(of: one, now: start) }
        #expect(limiter.wait(for: one, now: start) == .seconds(1))
        // No more than was taken.
        for _ in 0..<10 { limiter.giveBack(to: one, now: start) }
        for _ in 0..<2 { limiter.countFailure(of: one, now: start) }
        #expect(limiter.wait(for: one, now: start) == .seconds(1))
        limiter.giveBack(to: NetworkAddress("10.0.0.9")!, now: start)
        #expect(limiter.count == 1)
    }

    @Test func fullBucketsAreForgottenAtTheBound() {
        var limiter = AttemptLimiter()
        for _ in 0..<51 { limiter.countFailure(of: one, now: start + .seconds(60)) }
        for index in 0..<UInt32(AttemptLimiter.maxAddresses - 1) {
            limiter.countFailure(of: NetworkAddress(v4: index), now: start)
        }
        #expect(limiter.count == AttemptLimiter.maxAddresses)
        for index in 0..<10_000 as Range<UInt32> {
            limiter.countFailure(of: NetworkAddress(v4: 1 << 24 + index), now: start + .seconds(60))
        }
        #expect(limiter.count == AttemptLimiter.maxAddresses)
        #expect(limiter.wait(for: one, now: start + .seconds(60)) != nil)
    }

    // MARK: Tables with a bound

    @Test func aNewcomerTakesThePlaceOfWhatIsSpare() {
        var table = BoundedTable<Int, Bool>(maxCount: 100)
        // One of five is spare: each newcomer finds one within its looks.
        for key in 0..<100 { table.set(key % 5 == 4, for: key) { $0 } }
        for key in 100..<120 { table.set(false, for: key) { $0 } }
        #expect(table.count == 100)
        #expect((0..<120).allSatisfy { (table[$0] != nil) == ($0 >= 100 || $0 % 5 != 4) })
        // None is spare now.
        for key in 200..<300 {
            table.set(false, for: key) { $0 }
            #expect(table.count == 100 && table[key] == false)
        }
        // One that is there is no newcomer.
        table.set(true, for: 299) { $0 }
        #expect(table.count == 100 && table[299] == true)
    }

    /// A flood of names pays for itself: each costs a few looks, however many there are.
    @Test func aNewcomerLooksAtFew() {
        var table = BoundedTable<Int, Int>(maxCount: 10_000)
        for key in 0..<10_000 { table.set(key, for: key) { _ in false } }
        var looks = 0
        for key in 10_000..<20_000 {
            table.set(key, for: key) { _ in
                looks += 1
                return false
            }
        }
        #expect(table.count == 10_000 && looks == 10_000 * 8)
    }
}

extension QuotaBuckets {
    /// Looked up for this once.
    fileprivate func record(
        _ value: Double, in bucket: QuotaTable.Bucket, limit: Double, now: MonotonicTime
    ) -> Duration? {
        record(value, at: place(for: bucket, now: now), limit: limit, now: now)
    }
}
