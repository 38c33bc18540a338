import Testing

@testable import Security

/// Addresses that somebody else's words may lead to.
@Suite struct NetworkReachTests {
    @Test(arguments: [
        // IPv4: of no host, private, shared, this machine, the link, documents, tests, many receivers, kept for later.
        "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.0.3",
        "169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.0.192", "192.0.2.1",
        "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.9", "224.0.0.1",
        "239.255.255.250", "240.0.0.1", "255.255.255.255", "100.100.100.200", "168.63.129.16",
        // IPv6: of none, this machine, the link, private, documents, many receivers, kept for later.
        "::", "::1", "fe80::1", "febf::1", "fec0::1", "fc00::1", "fd00:ec2::254", "fd20:ce::254", "fd12:3456::1",
        "ff02::1", "ff0e::1", "2001:db8::1", "2001::1", "2001:20::1", "3fff::1", "100::1", "4000::1", "64:ff9b:2::1",
        // Forms that carry an address of IPv4.
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "::10.0.0.1",
        "::169.254.169.254",
        "64:ff9b::7f00:1", "64:ff9b::10.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b:1::a9fe:a9fe", "2002:7f00:1::1",
        // The same prefix with the address elsewhere (RFC 6052, 2.2): the last bits say nothing.
        "64:ff9b:1:a9fe:a9:fe00:808:808", "64:ff9b:1::808:808",
        "2002:a00:1::", "2002:a9fe:a9fe::1",
    ]) func isNotOfTheInternetAtLarge(_ text: String) throws {
        #expect(try !#require(NetworkAddress(text)).isGlobal, "\(text)")
    }

    @Test(arguments: [
        "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "128.0.0.1", "169.253.0.1",
        "169.255.0.1", "172.15.255.255", "172.32.0.0", "192.0.1.1", "192.167.0.1", "192.169.0.1", "198.17.0.1",
        "198.20.0.1", "223.255.255.255", "::ffff:8.8.8.8", "2606:4700::1111", "2a00:1450::1", "2001:4860::8888",
        "64:ff9b::808:808", "2002:808:808::1", "3ffe::1",
    ]) func isOfTheInternetAtLarge(_ text: String) throws {
        #expect(try #require(NetworkAddress(text)).isGlobal, "\(text)")
    }

    @Test(arguments: [
        ("169.254.169.254", true), ("169.254.170.2", true), ("169.254.0.1", true), ("fe80::a9fe:a9fe", true),
        ("fd00:ec2::254", true), ("fd00:ec2::23", true), ("fd20:ce::254", true), ("100.100.100.200", true),
        ("168.63.129.16", true), ("::ffff:169.254.169.254", true), ("64:ff9b::a9fe:a9fe", true),
        ("64:ff9b:1::a9fe:a9fe", true), ("2002:a9fe:a9fe::", true), ("::169.254.169.254", true),
        ("64:ff9b::6464:64c8", true), ("64:ff9b:1:a9fe:a9:fe00:808:808", true), ("64:ff9b:1::808:808", true),
        ("64:ff9b:2::a9fe:a9fe", false),
        ("10.0.0.1", false), ("127.0.0.1", false), ("::1", false), ("192.168.0.1", false), ("fd00:ec3::254", false),
        ("fd20:ce::253", false), ("100.100.100.201", false), ("8.8.8.8", false), ("2606:4700::1111", false),
    ]) func cloudsGiveCredentialsThere(_ text: String, _ expected: Bool) throws {
        #expect(try #require(NetworkAddress(text)).isMetadata == expected, "\(text)")
    }
}
