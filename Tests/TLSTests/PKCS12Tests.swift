import BrokerTestKit
import ByteBuffers
import COpenSSL
import Security
import Testing

@testable import TLS
@testable import Transport

extension TLSTests {
    /// Key stores and trust stores as Java has them.
    @Suite struct PKCS12Tests {
        private func file(_ base64: String) throws -> TemporaryFile {
            let file = try TemporaryFile("")
            file.write(try #require(Base64.decode(Array(base64.utf8.filter { $0 > 0x20 }))))
            return file
        }

        private func settings(_ file: TemporaryFile, _ password: String? = "open-sesame") -> TLSSettings {
            var settings = TLSSettings(listener: "TEST")
            settings.keystoreFiles = [file.path]
            settings.keystoreType = .pkcs12
            settings.keystorePassword = password.map { Secret(copying: Array($0.utf8)[...]) }
            return settings
        }

        private func problem(_ settings: TLSSettings) -> String {
            do throws(TLSConfigurationError) {
                _ = try TLSTerminator(settings)
                return ""
            } catch { return error.description }
        }

        /// The chain is in the order of its signatures, whatever the file's is.
        @Test(arguments: [Stores.openssls, Stores.keytools]) func aKeyStoreIsServed(store: String) throws {
            let file = try file(store)
            let pair = Pair(try TLSTerminator(settings(file)))
            withExtendedLifetime(file) {}
            pair.settle()
            #expect(!pair.server.isOpening)
            #expect(pair.client.certificateName == "/O=Millrace tests/CN=carol")
            #expect(pair.client.chainNames == ["carol", "sub", "root"].map { "/O=Millrace tests/CN=\($0)" })
        }

        @Test func aTrustStoreSaysWhoIsTrusted() throws {
            let trust = try file(Stores.keytoolsTrust)
            var settings = TLSSettings.test()
            settings.clientAuthentication = .required
            settings.truststoreType = .pkcs12
            settings.truststoreFile = trust.path
            settings.truststorePassword = Secret(copying: Array("open-sesame".utf8)[...])
            let dave = Pair(
                try TLSTerminator(settings), .init(certificate: Revocations.dave, key: Revocations.davesKey))
            dave.settle()
            #expect(dave.server.principal == .user("CN=dave,O=Millrace tests"))
            let stranger = Pair(
                try TLSTerminator(settings),
                .init(certificate: TestCertificates.clientCertificate, key: TestCertificates.clientKey))
            stranger.settle()
            #expect(stranger.result == .refused)
            withExtendedLifetime(trust) {}
            let keys = try file(Stores.keytools)
            settings.truststoreFile = keys.path
            #expect(
                problem(settings)
                    == "ssl.truststore.location: \(keys.path): a private key in it; leave the certificates alone in it")
        }

        @Test func whatIsWrongIsSaid() throws {
            let (own, old, pem, trust) = try (
                file(Stores.keytools), file(Stores.rc2), TemporaryFile(TestCertificates.serverKey),
                file(Stores.keytoolsTrust)
            )
            let jks = try TemporaryFile("")
            jks.write([0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2])
            let location = "ssl.keystore.location: "
            #expect(
                problem(settings(own, "sesame")) == "\(location)\(own.path): does not open with ssl.keystore.password")
            #expect(problem(settings(own, nil)) == "\(location)\(own.path): is encrypted; set ssl.keystore.password")
            #expect(problem(settings(old)).contains("OpenSSL 3 knows no RC2"))
            #expect(problem(settings(pem)) == "\(location)\(pem.path): not a PKCS#12 file")
            #expect(problem(settings(jks)).contains("a key store in Java's old form (JKS); keytool"))
            #expect(problem(settings(trust)) == "\(location)\(trust.path): no private key in it")
            var both = settings(own)
            both.certificateChain = TestCertificates.serverCertificate
            #expect(problem(both).hasPrefix("ssl.keystore.type: PKCS12, and"))
            var inline = TLSSettings.test()
            inline.keystorePassword = Secret(copying: [1])
            #expect(problem(inline).hasPrefix("ssl.keystore.password: set, and files in PEM have none"))
            var trusting = TLSSettings.test()
            trusting.truststorePassword = Secret(copying: [1])
            #expect(problem(trusting).hasPrefix("ssl.truststore.password: set, and certificates in PEM have none"))
            trusting.truststoreType = .pkcs12
            trusting.trustedCertificates = TestCertificates.authority
            #expect(problem(trusting).hasPrefix("ssl.truststore.type: PKCS12, and"))
            withExtendedLifetime((own, old, pem, trust, jks)) {}
        }
    }
}
