import Testing

@testable import StorageIO

/// Files and connections together never need more descriptors than there are.
@Suite struct DescriptorPlanTests {
    @Test func theRestIsForConnections() {
        #expect(DescriptorPlan(limit: 1024).segments == 256)
        #expect(DescriptorPlan(limit: 1024).connections == 1024 - 256 - DescriptorPlan.reserve)
        for limit in [200, 600, 1024, 4096, 65_536, 1 << 20] {
            let plan = DescriptorPlan(limit: limit)
            #expect(plan.segments + plan.connections + DescriptorPlan.reserve <= limit)
        }
        #expect(DescriptorPlan(limit: 1 << 20).segments == DescriptorPlan.maxSegments)
        #expect(DescriptorPlan(limit: 64).segments == 32 && DescriptorPlan(limit: 64).connections == 16)
        #expect(DescriptorPlan(limit: .max).connections > 1 << 40)
    }

    /// 4,096 and more are usual limits; 1,024 leaves room for 672 clients.
    @Test func onlyALimitThatClientsMayNoticeIsTight() {
        for limit in [64, 1024, 1460] { #expect(DescriptorPlan(limit: limit).isTight, "\(limit)") }
        for limit in [1462, 4096, 20_000, 1 << 20] { #expect(!DescriptorPlan(limit: limit).isTight, "\(limit)") }
    }

    @Test func listenersShareWhatThereIs() {
        let plan = DescriptorPlan(limit: 600)
        #expect(plan.share([100, 50]) == [100, 50])
        let shares = plan.share([20_000, 10_000])
        #expect(shares.reduce(0, +) <= plan.connections && shares[0] == 236 && shares[1] == 118)
    }
}
