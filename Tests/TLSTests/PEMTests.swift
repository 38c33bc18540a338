import BrokerTestKit
import Security
import Testing

@testable import TLS

extension TLSTests {
    @Suite struct PEMTests {
        private func problem(_ change: (inout TLSSettings) -> Void) -> String {
            do throws(TLSConfigurationError) {
                _ = try TLSTerminator(.test(change))
                return ""
            } catch { return error.description }
        }

        private func secret(_ text: String) -> Secret { Secret(copying: Array(text.utf8)[...]) }

        @Test func keysOfAllFormsAreRead() {
            let keys = [TestCertificates.serverKey, TestCertificates.serverKeySEC1]
            for key in keys { #expect(problem { $0.key = secret(key) } == "") }
            #expect(
                problem {
                    $0.key = secret(TestCertificates.serverKeyEncrypted)
                    $0.keyPassword = secret("open-sesame")
                } == "")
        }

        @Test func aTextMayBeOnOneLineAndHaveMoreInIt() {
            let oneLine = TestCertificates.serverCertificate.split(separator: "\n").joined(separator: " ")
            #expect(problem { $0.certificateChain = oneLine } == "")
            let windows = TestCertificates.serverCertificate.split(separator: "\n").joined(separator: "\r\n")
            #expect(problem { $0.certificateChain = windows } == "")
            #expect(
                problem { $0.certificateChain = "Bag Attributes\n  x: y\n" + TestCertificates.serverCertificate } == "")
            let chain = TestCertificates.serverCertificate + "\n" + TestCertificates.authority
            #expect(problem { $0.certificateChain = chain } == "")
        }

        @Test func whatIsWrongIsSaid() {
            let broken = TestCertificates.serverCertificate.split(separator: "\n")
            let cases: [(String, (inout TLSSettings) -> Void)] = [
                ("ssl.keystore.key: not set", { $0.key = nil }),
                ("ssl.keystore.certificate.chain: not set", { $0.certificateChain = nil }),
                (
                    "ssl.keystore.certificate.chain: listener TEST speaks TLS",
                    { settings in
                        settings.certificateChain = nil
                        settings.key = nil
                    }
                ),
                ("ssl.keystore.location: set together", { $0.keystoreFiles = ["/x.pem"] }),
                ("ssl.keystore.key: no private key in it", { $0.key = Secret(copying: [1, 2, 3]) }),
                (
                    "ssl.keystore.key: 2 private keys in it",
                    { $0.certificateChain! += "\n" + TestCertificates.otherKey }
                ),
                ("ssl.keystore.certificate.chain: no certificate in it", { $0.certificateChain = "nothing" }),
                (
                    "ssl.keystore.certificate.chain: the key is not that of the first certificate, nor",
                    { $0.certificateChain = TestCertificates.otherCertificate }
                ),
                (
                    "ssl.keystore.certificate.chain: the key is that of certificate 2",
                    { $0.certificateChain = TestCertificates.authority + "\n" + TestCertificates.serverCertificate }
                ),
                (
                    "ssl.keystore.certificate.chain: certificate 2 is not the one that signed certificate 1",
                    { $0.certificateChain! += "\n" + TestCertificates.otherCertificate }
                ),
                (
                    "ssl.keystore.certificate.chain: line 1: not a certificate",
                    { $0.certificateChain = ([broken[0]] + broken[2...]).joined(separator: "\n") }
                ),
                (
                    "ssl.keystore.certificate.chain: line 3: BEGIN CERTIFICATE without its END",
                    { $0.certificateChain = "a\nb\n" + broken.dropLast().joined(separator: "\n") }
                ),
                ("ssl.enabled.protocols:", { $0.versions = ["TLSv1.1"] }),
                ("ssl.principal.mapping.rules:", { $0.principalRules = "RULE:x" }),
                (
                    "ssl.truststore.location: set together",
                    { settings in
                        settings.truststoreFile = "/x"
                        settings.trustedCertificates = "x"
                    }
                ),
                (
                    "ssl.truststore.certificates: line 13: a private key in it",
                    { $0.trustedCertificates = TestCertificates.authority + "\n" + TestCertificates.otherKey }
                ),
                ("ssl.principal.mapping.rules: has", { $0.principalRules = "RULE:x" }),
                ("ssl.truststore.certificates: no certificate in it", { $0.trustedCertificates = "x" }),
                ("ssl.truststore.location: /nowhere/x.pem: No such file", { $0.truststoreFile = "/nowhere/x.pem" }),
            ]
            for (words, change) in cases {
                let found = problem(change)
                #expect(found.hasPrefix(words), "\(words)\n  is not the beginning of\n\(found)")
            }
        }

        @Test func passwordsAreAskedForAndNotTold() {
            let encrypted = secret(TestCertificates.serverKeyEncrypted)
            #expect(problem { $0.key = encrypted }.contains("encrypted; set ssl.key.password"))
            let wrong = problem {
                $0.key = encrypted
                $0.keyPassword = secret("pass-that-is-wrong")
            }
            #expect(wrong.contains("does not open with ssl.key.password"))
            #expect(!wrong.contains("pass-that-is-wrong"))
        }

        @Test func aFileIsNamed() throws {
            var settings = TLSSettings(listener: "TEST")
            settings.keystoreFiles = ["/nowhere/server.pem"]
            #expect(throws: TLSConfigurationError.self) { try TLSTerminator(settings) }
            let file = try TemporaryFile(TestCertificates.serverCertificate)
            settings.keystoreFiles = [file.path]
            do throws(TLSConfigurationError) {
                _ = try TLSTerminator(settings)
                Issue.record("a file without a key was taken")
            } catch {
                #expect(error.description == "ssl.keystore.location: \(file.path): no private key in it")
            }
        }

        @Test func aLongFileIsNotRead() throws {
            let file = try TemporaryFile(String(repeating: "x", count: PEMBlock.maxBytes + 10))
            var settings = TLSSettings(listener: "TEST")
            settings.keystoreFiles = [file.path]
            do throws(TLSConfigurationError) {
                _ = try TLSTerminator(settings)
                Issue.record("a long file was taken")
            } catch { #expect(error.problem.contains("longer than")) }
        }
    }
}
