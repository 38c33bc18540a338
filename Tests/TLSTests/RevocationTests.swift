import COpenSSL
import Glibc
import Synchronization
import Telemetry
import Testing

@testable import TLS
@testable import Transport

extension TLSTests {
    @Suite struct RevocationTests {
        private typealias Client = MemoryClient.Options

        private let carol = Client(
            certificate: Revocations.carol + "\n" + Revocations.sub, key: Revocations.carolsKey)
        private let dave = Client(certificate: Revocations.dave, key: Revocations.davesKey)

        private func settings(
            _ file: TemporaryFile, trusting trusted: String = Revocations.root, takesOutdated: Bool = false
        ) -> TLSSettings {
            .test {
                $0.clientAuthentication = .required
                $0.trustedCertificates = trusted
                $0.revocationFile = file.path
                $0.takesOutdatedLists = takesOutdated
            }
        }

        private func lists(_ texts: String...) throws -> TemporaryFile {
            try TemporaryFile(texts.joined(separator: "\n"))
        }

        /// Whether the client gets in, by both versions of the protocol alike.
        private func isServed(
            _ file: TemporaryFile, _ options: Client, trusting trusted: String = Revocations.root,
            takesOutdated: Bool = false
        ) throws -> Bool {
            defer { withExtendedLifetime(file) {} }
            let settings = settings(file, trusting: trusted, takesOutdated: takesOutdated)
            let results = try [TLS1_2_VERSION, TLS1_3_VERSION].map { version in
                var options = options
                (options.lowest, options.highest) = (version, version)
                let pair = Pair(try TLSTerminator(settings), options)
                pair.settle()
                if pair.server.isOpening || pair.result == .refused { return false }
                pair.client.write([1, 2, 3])
                pair.settle()
                return pair.received == [1, 2, 3]
            }
            #expect(Set(results).count == 1)
            return results[0]
        }

        @Test func whoIsOnNoListGetsIn() throws {
            let both = try lists(Revocations.rootNone, Revocations.subNone)
            #expect(try isServed(both, carol))
            #expect(try isServed(both, dave))
        }

        @Test func whoIsRevokedIsRefused() throws {
            let revoked = try lists(Revocations.rootNone, Revocations.subCarol)
            #expect(try !isServed(revoked, carol))
            #expect(try isServed(revoked, dave))
        }

        @Test func whoseAuthorityIsRevokedIsRefused() throws {
            let revoked = try lists(Revocations.rootSub, Revocations.subNone)
            #expect(try !isServed(revoked, carol))
            #expect(try isServed(revoked, dave))
        }

        @Test func anAuthorityWithoutAListVouchesForNobody() throws {
            let ofRoot = try lists(Revocations.rootNone)
            #expect(try !isServed(ofRoot, carol))
            #expect(try isServed(ofRoot, dave))
        }

        @Test func anOutdatedListHoldsOnlyWhereThatIsAllowed() throws {
            let old = try lists(Revocations.rootNone, Revocations.subOld)
            #expect(try !isServed(old, carol))
            #expect(try isServed(old, dave))
            #expect(try isServed(old, carol, takesOutdated: true))
            let revoked = try lists(Revocations.rootNone, Revocations.subOldCarol)
            #expect(try !isServed(revoked, carol, takesOutdated: true))
        }

        /// What OpenSSL has tried on its way through them leaves no error behind a handshake that it accepts.
        @Test func authoritiesOfBothKindsMayBeTrusted() throws {
            let both = try lists(Revocations.rootNone, Revocations.subNone)
            let trusted = Revocations.root + "\n" + Revocations.sub
            #expect(try isServed(both, carol, trusting: trusted))
            #expect(try isServed(both, dave, trusting: trusted))
            #expect(try !isServed(lists(Revocations.rootNone, Revocations.subCarol), carol, trusting: trusted))
        }

        /// What is trusted is not looked up: the list of the authority above it may be anywhere.
        @Test func anIntermediateThatIsTrustedNeedsItsOwnListAlone() throws {
            #expect(try isServed(lists(Revocations.subNone), carol, trusting: Revocations.sub))
            #expect(try !isServed(lists(Revocations.subCarol), carol, trusting: Revocations.sub))
            #expect(try !isServed(lists(Revocations.rootNone), carol, trusting: Revocations.sub))
        }

        @Test func aListOfAnotherAuthorityIsNone() throws {
            // Its signature is damaged: the name of the authority is in it, and she has not signed it so.
            var forged = Array(Revocations.subNone.utf8)
            let place = forged.count - 60
            forged[place] = forged[place] == UInt8(ascii: "A") ? UInt8(ascii: "B") : UInt8(ascii: "A")
            let file = try lists(Revocations.rootNone, String(decoding: forged, as: UTF8.self))
            #expect(try !isServed(file, carol))
        }

        /// Who is connected already ends with the list that revokes him, and nobody else does.
        @Test(arguments: [
            Revocations.rootNone + "\n" + Revocations.subCarol, Revocations.rootSub + "\n" + Revocations.subNone,
        ])
        func aNewListEndsWhoIsConnected(by revoking: String) throws {
            let file = try lists(Revocations.rootNone, Revocations.subNone)
            let terminator = try TLSTerminator(settings(file))
            let pairs = [carol, dave].map { Pair(terminator, $0) }
            for pair in pairs {
                pair.settle()
                #expect(pair.server.peerReviewSeconds == TLSStream.revocationReviewSeconds)
            }
            let ends = pairs.map { $0.server.peerEndsAt }
            #expect(ends.allSatisfy { $0! > time(nil) })
            terminator.reload()
            #expect(pairs.map { $0.server.peerEndsAt } == ends)
            file.write(revoking)
            terminator.reloadIfChanged()
            #expect(terminator.metrics.reloads.value == 2)
            #expect(pairs.map { $0.server.peerEndsAt } == [0, ends[1]])
            // For good: a later list that forgets her changes nothing for this connection.
            file.write(Revocations.rootNone + "\n" + Revocations.subNone + "\n")
            terminator.reloadIfChanged()
            #expect(pairs[0].server.peerEndsAt == 0)
            withExtendedLifetime(file) {}
        }

        @Test func anOutdatedListIsNotTakenOverAGoodOne() throws {
            let file = try lists(Revocations.rootNone, Revocations.subNone)
            let terminator = try TLSTerminator(settings(file))
            file.write(Revocations.rootNone + "\n" + Revocations.subOld)
            terminator.reloadIfChanged()
            #expect(terminator.metrics.reloads.value == 0 && terminator.metrics.failedReloads.value == 1)
            let pair = Pair(terminator, carol)
            pair.settle()
            #expect(!pair.server.isOpening)
            // Where an outdated one holds, it is.
            let patient = try TLSTerminator(settings(file, takesOutdated: true))
            withExtendedLifetime(file) {}
            #expect(patient.metrics.listsEndAt.load(ordering: .relaxed) == 1_580_515_200)
        }

        @Test func whatIsNoListIsAnErrorAtTheStart() throws {
            func problem(_ settings: TLSSettings) -> String {
                do throws(TLSConfigurationError) {
                    _ = try TLSTerminator(settings)
                    return ""
                } catch { return error.description }
            }
            let none = try lists(Revocations.root)
            #expect(problem(settings(none)).contains("ssl.crl.location: \(none.path): no revocation list in it"))
            let broken = try lists("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----")
            #expect(problem(settings(broken)).contains("line 1: not a revocation list"))
            var missing = settings(none)
            missing.revocationFile = "/nowhere/lists.pem"
            #expect(problem(missing) == "ssl.crl.location: /nowhere/lists.pem: No such file or directory")
            // Who asks nobody for a certificate looks nobody up.
            missing.clientAuthentication = .none
            #expect(problem(missing) == "")
            withExtendedLifetime((none, broken)) {}
        }
    }
}
