import BrokerTestKit
import ByteBuffers
import COpenSSL
import Glibc
import Security
import Testing

@testable import TLS
@testable import Transport

extension TLSTests {
    /// What a handshake agrees on: certificates, names, protocols, sessions.
    @Suite struct TermsTests {
        private typealias Client = MemoryClient.Options

        private func pair(_ settings: TLSSettings, _ options: Client = .init()) throws -> Pair {
            let pair = Pair(try TLSTerminator(settings), options)
            pair.settle()
            return pair
        }

        // MARK: Client certificates

        private func mutual(_ authentication: TLSSettings.ClientAuthentication, rules: String = "DEFAULT")
            -> TLSSettings
        {
            .test {
                $0.clientAuthentication = authentication
                $0.trustedCertificates = TestCertificates.authority
                $0.principalRules = rules
            }
        }

        private let alice = Client(certificate: TestCertificates.clientCertificate, key: TestCertificates.clientKey)
        private let stranger = Client(
            certificate: TestCertificates.strangerCertificate, key: TestCertificates.strangerKey)

        @Test func aRequiredCertificateNamesItsOwner() throws {
            for version in [TLS1_2_VERSION, TLS1_3_VERSION] {
                var options = alice
                (options.lowest, options.highest) = (version, version)
                let pair = try pair(mutual(.required), options)
                #expect(pair.server.principal == .user("CN=alice,OU=Clients,O=Millrace tests"))
            }
        }

        /// A connection lives no longer than what its client has shown of itself.
        @Test func theEndOfACertificateIsTheConnections() throws {
            let own = try Certificate.read(PEMBlock.all(in: Array(TestCertificates.clientCertificate.utf8))[0])
            for version in [TLS1_2_VERSION, TLS1_3_VERSION] {
                var options = alice
                (options.lowest, options.highest) = (version, version)
                #expect(try pair(mutual(.required), options).server.peerEndsAt == own?.endsAt)
            }
            #expect(try pair(mutual(.requested)).server.peerEndsAt == nil)
            #expect(try pair(.test(), alice).server.peerEndsAt == nil)
        }

        /// As for Java: what stands in the trust store is trusted, whoever has signed it.
        @Test func anIntermediateAuthorityIsAnAnchor() throws {
            let settings = TLSSettings.test {
                $0.clientAuthentication = .required
                $0.trustedCertificates = TestCertificates.intermediate
            }
            let bob = Client(
                certificate: TestCertificates.intermediatesClientCertificate, key: TestCertificates.clientKey)
            #expect(try pair(settings, bob).server.principal == .user("CN=bob,O=Millrace tests"))
            #expect(try pair(settings, stranger).result == .refused)
        }

        @Test func whoShowsNoneOrAStrangersIsRefused() throws {
            for options in [Client(), stranger] {
                let pair = try pair(mutual(.required), options)
                #expect(pair.result == .refused)
                _ = pair.client.step()
                #expect(pair.client.failure != nil)
            }
        }

        /// Before anybody is authenticated little is kept of what he shows.
        @Test(arguments: [TLS1_2_VERSION, TLS1_3_VERSION]) func aLongChainIsRefused(version: Int32) throws {
            func result(_ signers: Int) throws -> StreamResult {
                var options = alice
                (options.lowest, options.highest) = (version, version)
                for _ in 0..<signers { options.certificate! += "\n" + TestCertificates.authority }
                return try pair(mutual(.required), options).result
            }
            // Of some 450 bytes each: 13 KiB, and 200.
            #expect(try result(30) == .drained(0))
            #expect(try result(450) == .refused)
        }

        @Test func aRequestedCertificateMayBeMissingButNotWrong() throws {
            let anonymous = try pair(mutual(.requested))
            #expect(!anonymous.server.isOpening)
            #expect(anonymous.server.principal == .anonymous)
            #expect(try pair(mutual(.requested), stranger).result == .refused)
            #expect(try pair(mutual(.requested), alice).server.principal != .anonymous)
        }

        @Test func rulesMakeTheName() throws {
            let pair = try pair(mutual(.required, rules: "RULE:^CN=(.*?),OU=Clients,.*$/$1/U, DEFAULT"), alice)
            #expect(pair.server.principal == .user("ALICE"))
        }

        @Test func aCertificateThatNoRuleNamesIsRefused() throws {
            let pair = try pair(mutual(.required, rules: "RULE:^CN=bob$/bob/"), alice)
            #expect(pair.result == .refused)
            #expect(pair.server.problem.contains("ssl.principal.mapping.rules"))
        }

        @Test func aCertificateThatNobodyAskedForIsNotLookedAt() throws {
            #expect(try pair(.test(), alice).server.principal == .anonymous)
        }

        @Test func askingForCertificatesNeedsToKnowWhose() {
            #expect(
                problem(.test { $0.clientAuthentication = .required }).hasPrefix("ssl.truststore.location: not set"))
        }

        // MARK: Names

        @Test(arguments: [
            ("other.example.net", "other"), ("OTHER.example.NET", "other"), ("a.example.org", "broker"),
            ("localhost", "broker"), ("unknown.example", "broker"), ("a.b.example.org", "broker"),
        ]) func theNameChoosesTheCertificate(name: String, owner: String) throws {
            let files = try [
                TemporaryFile(TestCertificates.serverKey + "\n" + TestCertificates.serverCertificate),
                TemporaryFile(TestCertificates.otherCertificate + "\n" + TestCertificates.otherKey),
            ]
            var settings = TLSSettings(listener: "TEST")
            settings.keystoreFiles = files.map(\.path)
            let pair = try pair(settings, .init(name: name))
            #expect(pair.client.certificateName?.hasSuffix("/CN=\(owner)") == true)
            let unnamed = try self.pair(settings)
            #expect(unnamed.client.certificateName?.hasSuffix("/CN=broker") == true)
        }

        /// Of several certificates, and of one.
        @Test func aConnectionIsForTheHostsOfItsCertificate() throws {
            let files = try [
                TemporaryFile(TestCertificates.serverKey + "\n" + TestCertificates.serverCertificate),
                TemporaryFile(TestCertificates.otherCertificate + "\n" + TestCertificates.otherKey),
            ]
            var several = TLSSettings(listener: "TEST")
            several.keystoreFiles = files.map(\.path)
            func served(_ settings: TLSSettings, _ name: String?, _ hosts: String...) throws -> [Bool] {
                let pair = try pair(settings, .init(name: name))
                return hosts.map { pair.server.serves($0) }
            }
            #expect(try served(several, "other.example.net", "OTHER.example.net", "localhost", "127.0.0.1") == [true, false, false])
            for settings in [several, .test()] {
                #expect(
                    try served(settings, "localhost", "localhost", "b.example.org", "127.0.0.1", "other.example.net", "[::1]", "")
                        == [true, true, true, false, false, false])
                // A name that no certificate has gets the first, and what it has asked for.
                #expect(try served(settings, "unknown.example", "unknown.example", "localhost", "x.example") == [true, true, false])
                #expect(try served(settings, nil, "whatever.example", "") == [true, true])
            }
        }

        @Test func protocolsAreChosenInOurOrder() throws {
            let both = TLSSettings.test { $0.applicationProtocols = ["h2", "http/1.1"] }
            let one = TLSSettings.test { $0.applicationProtocols = ["http/1.1"] }
            #expect(try pair(both, .init(protocols: ["http/1.1", "h2"])).client.chosenProtocol == "h2")
            #expect(try pair(one, .init(protocols: ["h2", "http/1.1"])).client.chosenProtocol == "http/1.1")
            let silent = try pair(one)
            #expect(silent.client.chosenProtocol == nil && !silent.server.isOpening)
            let foreign = try pair(one, .init(protocols: ["h2", "spdy/1"]))
            #expect(foreign.result == .refused)
            _ = foreign.client.step()
            #expect(foreign.client.failure?.contains("no application protocol") == true)
            // Kafka's listeners do not look.
            let kafka = try pair(.test(), .init(protocols: ["h2"]))
            #expect(kafka.client.chosenProtocol == nil && !kafka.server.isOpening)
        }

        // MARK: Suites

        @Test func suitesHaveIANAsNamesOrOpenSSLs() throws {
            for name in ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384"] {
                let pair = try pair(
                    .test { $0.cipherSuites = [name, "TLS_AES_128_GCM_SHA256"] }, .init(highest: TLS1_2_VERSION))
                let chosen = SSL_CIPHER_get_name(SSL_get_current_cipher(pair.client.session))
                #expect(String(cString: chosen!) == "ECDHE-ECDSA-AES256-GCM-SHA384")
            }
        }

        /// The cheapest one for both, where the client has no wish of its own that counts.
        @Test(arguments: [TLS1_2_VERSION, TLS1_3_VERSION])
        func aesOf128BitsComesFirst(version: Int32) throws {
            let pair = try pair(.test(), .init(lowest: version, highest: version))
            let chosen = String(cString: SSL_CIPHER_get_name(SSL_get_current_cipher(pair.client.session))!)
            #expect(["ECDHE-ECDSA-AES128-GCM-SHA256", "TLS_AES_128_GCM_SHA256"].contains(chosen))
        }

        @Test(arguments: ["TLS_NOTHING", "ALL:!aNULL", "HIGH @STRENGTH", "ALL", "HIGH", "kRSA", "DEFAULT", ""])
        func anUnknownSuiteIsAnError(name: String) {
            #expect(problem(.test { $0.cipherSuites = [name] }).contains("is not known"))
        }

        @Test func eachEnabledVersionNeedsASuite() {
            #expect(problem(.test { $0.cipherSuites = ["TLS_AES_128_GCM_SHA256"] }).contains("none of TLS 1.2"))
            #expect(
                problem(.test { $0.cipherSuites = ["ECDHE-ECDSA-AES256-GCM-SHA384"] }).contains("none of TLS 1.3"))
        }

        // MARK: Sessions

        private func session(_ terminator: TLSTerminator, _ version: Int32) -> OpaquePointer {
            let first = Pair(terminator, .init(lowest: version, highest: version))
            first.settle()
            // Of TLS 1.3 it comes behind the handshake.
            _ = first.client.step()
            SSL_shutdown(first.client.session)
            return SSL_get1_session(first.client.session)
        }

        private func resumes(_ terminator: TLSTerminator, _ version: Int32, _ former: OpaquePointer) -> Bool {
            let second = Pair(terminator, .init(lowest: version, highest: version, session: former))
            second.settle()
            #expect(!second.server.isOpening)
            // Else OpenSSL takes the session for a bad one.
            SSL_shutdown(second.client.session)
            return SSL_session_reused(second.client.session) == 1
        }

        @Test(arguments: [TLS1_2_VERSION, TLS1_3_VERSION]) func aTicketResumesAlsoAfterAReload(version: Int32) throws {
            let settings = TLSSettings.test { $0.issuesTickets = true }
            let terminator = try TLSTerminator(settings)
            let former = session(terminator, version)
            defer { SSL_SESSION_free(former) }
            #expect(resumes(terminator, version, former))
            #expect(resumes(try TLSTerminator(settings), version, former))
        }

        @Test(arguments: [TLS1_2_VERSION, TLS1_3_VERSION]) func otherTermsTakeNoTicket(version: Int32) throws {
            let former = session(try TLSTerminator(.test { $0.issuesTickets = true }), version)
            defer { SSL_SESSION_free(former) }
            let others: [(inout TLSSettings) -> Void] = [
                { $0.issuesTickets = false },
                { $0.listener = "OTHER" },
                { settings in
                    settings.trustedCertificates = TestCertificates.authority
                    settings.clientAuthentication = .requested
                },
            ]
            for change in others {
                let settings = TLSSettings.test {
                    $0.issuesTickets = true
                    change(&$0)
                }
                #expect(!resumes(try TLSTerminator(settings), version, former))
            }
        }

        @Test func keysOfTicketsGoByTheirPeriod() {
            let keys = TicketKeys(secret: Secret(copying: [UInt8](repeating: 9, count: 32)[...]))
            let other = TicketKeys(secret: Secret(copying: [UInt8](repeating: 9, count: 32)[...]))
            let name = keys.keys(period: 100).name
            #expect(name.count == 16)
            #expect(other.find(name, near: 100)?.isOld == false)
            #expect(other.find(name, near: 101)?.isOld == true)
            #expect(other.find(name, near: 99)?.isOld == false)
            #expect(other.find(name, near: 102) == nil)
            #expect(other.find(name, near: 98) == nil)
        }

        private func problem(_ settings: TLSSettings) -> String {
            do throws(TLSConfigurationError) {
                _ = try TLSTerminator(settings)
                return ""
            } catch { return error.description }
        }
    }
}
