import BrokerTestKit
import Testing

@testable import StorageIO

@Suite struct MachineMemoryTests {
    /// Looks at a machine of these files.
    private func look(_ files: [String: String]) throws -> MemoryLook? {
        let folder = try TemporaryFolder()
        let system = PosixFileSystem()
        for (path, text) in files {
            let whole = folder.path + path
            try system.createDirectory(String(whole[..<whole.lastIndex(of: "/")!]))
            let file = try system.open(whole, .createNew)
            try file.write(Array(text.utf8), at: 0)
            file.close()
        }
        return LinuxMemory(root: folder.path).look()
    }

    private let machine = [
        "/proc/meminfo": "MemTotal:  8000 kB\nMemFree:   100 kB\nMemAvailable:    3000 kB\n",
        "/proc/pressure/memory":
            "some avg10=1.50 avg60=0.00 avg300=0.00 total=1\nfull avg10=9.00 avg60=0 avg300=0 total=1\n",
    ]

    @Test func withoutGroupsItIsTheMachines() throws {
        #expect(try look(machine) == MemoryLook(availableBytes: 3000 << 10, pressurePercent: 1.5))
    }

    @Test func theNarrowestGroupDecides() throws {
        var files = machine
        files["/proc/self/cgroup"] = "0::/a/b\n"
        files["/sys/fs/cgroup/a/b/cgroup.procs"] = "1\n"
        files["/sys/fs/cgroup/a/b/memory.max"] = "max\n"
        files["/sys/fs/cgroup/a/b/memory.current"] = "500\n"
        files["/sys/fs/cgroup/a/b/memory.pressure"] = "some avg10=12.25 avg60=0.00 avg300=0.00 total=1\n"
        files["/sys/fs/cgroup/a/memory.max"] = "1000000\n"
        files["/sys/fs/cgroup/a/memory.current"] = "900000\n"
        files["/sys/fs/cgroup/a/memory.stat"] = "anon 1\ninactive_file 50000\nactive_file 7000\n"
        #expect(try look(files) == MemoryLook(availableBytes: 157_000, pressurePercent: 12.25))
    }

    @Test func aGroupInAContainersOwnNameSpaceIsTheTop() throws {
        var files = machine
        files["/proc/self/cgroup"] = "0::/\n"
        files["/sys/fs/cgroup/memory.max"] = "2000\n"
        files["/sys/fs/cgroup/memory.current"] = "3000\n"
        #expect(try look(files) == MemoryLook(availableBytes: 0, pressurePercent: 1.5))
    }

    @Test func groupsOfTheFirstVersionCount() throws {
        var files = machine
        files["/proc/self/cgroup"] = "9:name=systemd:/\n4:memory:/a\n0::/\n"
        files["/sys/fs/cgroup/memory/a/cgroup.procs"] = "1\n"
        files["/sys/fs/cgroup/memory/memory.limit_in_bytes"] = "9223372036854771712\n"
        files["/sys/fs/cgroup/memory/memory.usage_in_bytes"] = "100\n"
        files["/sys/fs/cgroup/memory/a/memory.limit_in_bytes"] = "1000000\n"
        files["/sys/fs/cgroup/memory/a/memory.usage_in_bytes"] = "400000\n"
        files["/sys/fs/cgroup/memory/a/memory.stat"] = "total_inactive_file 1000\ntotal_active_file 10\n"
        #expect(try look(files)?.availableBytes == 601_010)
    }

    @Test func aGroupThatThrottlesBeforeItsLimitHasNoMoreThanThat() throws {
        var files = machine
        files["/proc/self/cgroup"] = "0::/a\n"
        files["/sys/fs/cgroup/a/cgroup.procs"] = "1\n"
        files["/sys/fs/cgroup/a/memory.max"] = "max\n"
        files["/sys/fs/cgroup/a/memory.high"] = "600000\n"
        files["/sys/fs/cgroup/a/memory.current"] = "400000\n"
        #expect(try look(files)?.availableBytes == 200_000)
        files["/sys/fs/cgroup/a/memory.max"] = "500000\n"
        #expect(try look(files)?.availableBytes == 100_000)
    }

    /// A container that mounts no groups may be narrower than the machine.
    @Test func whereTheGroupIsNotSeenNothingIsTold() throws {
        var files = machine
        files["/proc/self/cgroup"] = "0::/a/b\n"
        #expect(try look(files) == nil)
        // The outer one is what a container sees as the top.
        files["/sys/fs/cgroup/cgroup.procs"] = "1\n"
        files["/sys/fs/cgroup/memory.max"] = "2000\n"
        files["/sys/fs/cgroup/memory.current"] = "500\n"
        #expect(try look(files)?.availableBytes == 1500)
        // A machine that has groups and mounts none.
        files = machine
        files["/proc/self/cgroup"] = "0::/\n"
        #expect(try look(files)?.availableBytes == 3000 << 10)
    }

    @Test func whatCannotBeToldIsNil() throws {
        #expect(try look([:]) == nil)
        #expect(LinuxMemory().look() != nil)
    }
}
