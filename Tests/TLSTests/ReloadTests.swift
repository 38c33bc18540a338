import BrokerTestKit
import ByteBuffers
import Glibc
import Security
import Synchronization
import Telemetry
import Testing

@testable import TLS
@testable import Transport

extension TLSTests {
    /// Certificates while the broker runs: changed, refused, about to end.
    @Suite struct ReloadTests {
        @Test func aChangedFileIsForConnectionsToCome() throws {
            let file = try TemporaryFile(TestCertificates.serverKey + "\n" + TestCertificates.serverCertificate)
            var settings = TLSSettings(listener: "TEST")
            settings.keystoreFiles = [file.path]
            let terminator = try TLSTerminator(settings)
            let old = Pair(terminator)
            old.settle()
            let between = Pair(terminator)
            file.write("not a certificate any more")
            terminator.reloadIfChanged()
            terminator.reloadIfChanged()
            #expect(terminator.metrics.failedReloads.value == 1)
            // Who asks for it is told again.
            terminator.reload()
            #expect(terminator.metrics.failedReloads.value == 2)
            #expect(terminator.metrics.reloads.value == 0)
            let during = Pair(terminator)
            during.settle()
            #expect(during.client.certificateName?.hasSuffix("CN=broker") == true)
            file.write(TestCertificates.otherKey + "\n" + TestCertificates.otherCertificate)
            terminator.reloadIfChanged()
            let new = Pair(terminator)
            new.settle()
            #expect(new.client.certificateName?.hasSuffix("CN=other") == true)
            // Whoever came before goes on with what there was.
            between.settle()
            #expect(between.client.certificateName?.hasSuffix("CN=broker") == true)
            old.client.write([1])
            old.settle()
            #expect(old.received == [1])
        }

        /// What failed may be no fault of the file's (no descriptor, a disk): it is looked at again although nothing of it has changed.
        @Test func whatFailedIsTriedAgain() throws {
            let folder = try TemporaryFolder()
            let path = folder("sub/both.pem")
            #expect(mkdir(folder("sub"), 0o700) == 0)
            let file = try TemporaryFile(TestCertificates.serverKey + "\n" + TestCertificates.serverCertificate)
            #expect(rename(file.path, path) == 0)
            var settings = TLSSettings(listener: "TEST")
            settings.keystoreFiles = [path]
            let terminator = try TLSTerminator(settings)
            unlink(path)
            terminator.reloadIfChanged()
            #expect(terminator.metrics.failedReloads.value == 1)
            // Not there before, and not there now; but for another reason, which tells that it was tried.
            rmdir(folder("sub"))
            file.write("")
            #expect(rename(file.path, folder("sub")) == 0)
            terminator.reloadIfChanged()
            #expect(terminator.metrics.failedReloads.value == 2)
        }

        @Test func aCertificateNamesAnAddressOrNone() throws {
            #expect(try TLSTerminator(.test()).namesAddress)
            let other = TLSSettings.test {
                $0.certificateChain = TestCertificates.otherCertificate
                $0.key = Secret(copying: Array(TestCertificates.otherKey.utf8)[...])
            }
            #expect(try !TLSTerminator(other).namesAddress)
        }

        @Test func anUnchangedFileIsReadForWhoAsks() throws {
            let terminator = try TLSTerminator(.test())
            terminator.reloadIfChanged()
            #expect(terminator.metrics.reloads.value == 0)
            terminator.reload()
            #expect(terminator.metrics.reloads.value == 1)
        }

        @Test func theEndIsToldAsItComesNearer() throws {
            let terminator = try TLSTerminator(.test())
            let end = terminator.metrics.endsAt.load(ordering: .relaxed)
            let day: Int64 = 86_400
            var told: [Int64] = []
            for days in [40, 31, 29, 20, 8, 6, 5, 0, -1, -2] as [Int64] where terminator.remind(at: end - days * day) {
                told.append(days)
            }
            #expect(told == [29, 6, 0, -1])
        }

        @Test func aWeakCertificateIsAnErrorAndNotTheEnd() throws {
            let words = problem(
                .test { $0.certificateChain = TestCertificates.weakServerCertificate + TestCertificates.weakAuthority })
            #expect(words.hasPrefix("ssl.keystore.certificate.chain: certificate 2 is refused: "))
            let file = try TemporaryFile(TestCertificates.serverKey + "\n" + TestCertificates.serverCertificate)
            var settings = TLSSettings(listener: "TEST")
            settings.keystoreFiles = [file.path]
            let terminator = try TLSTerminator(settings)
            file.write(
                TestCertificates.serverKey + TestCertificates.weakServerCertificate + TestCertificates.weakAuthority)
            terminator.reloadIfChanged()
            #expect(terminator.metrics.failedReloads.value == 1)
            let pair = Pair(terminator)
            pair.settle()
            #expect(!pair.server.isOpening)
        }

        /// A start takes what there is, and warns; a reload does not put it in the place of a good one.
        @Test func anEndedCertificateIsNotTakenOverAGoodOne() throws {
            let file = try TemporaryFile(TestCertificates.serverKey + "\n" + TestCertificates.endedCertificate)
            var settings = TLSSettings(listener: "TEST")
            settings.keystoreFiles = [file.path]
            let terminator = try TLSTerminator(settings)
            file.write(TestCertificates.serverKey + "\n\n" + TestCertificates.endedCertificate)
            terminator.reloadIfChanged()
            // The one in force was no better.
            #expect(terminator.metrics.reloads.value == 1)
            file.write(TestCertificates.serverKey + "\n" + TestCertificates.serverCertificate)
            terminator.reloadIfChanged()
            #expect(terminator.metrics.reloads.value == 2)
            file.write(TestCertificates.serverKey + "\n" + TestCertificates.endedCertificate)
            terminator.reloadIfChanged()
            #expect(terminator.metrics.reloads.value == 2 && terminator.metrics.failedReloads.value == 1)
            let pair = Pair(terminator)
            pair.settle()
            #expect(pair.client.certificateName?.hasSuffix("CN=broker") == true)
        }

        @Test func aCertificateIsForItsTime() throws {
            let end = try TLSContext(.test()).endsAt
            let context = try TLSContext(.test())
            #expect(context.untimely(at: end - 1) == nil)
            #expect(context.untimely(at: end)?.problem.contains("certificate 1 has ended") == true)
            #expect(context.untimely(at: 0)?.problem.contains("certificate 1 is not valid yet") == true)
        }

        /// Whoever connects only to see that somebody is there costs no session of libssl, and no read.
        @Test func whoClosesAtOnceCostsNoSession() throws {
            let wire = MemoryWire()
            var calls = wire.calls
            calls.hasEnded = { _ in true }
            let stream = try TLSTerminator(.test()).stream(LoopBuffers(pool: ChunkPool()), calls: calls)
            withUnsafeTemporaryAllocation(byteCount: 64, alignment: 16) { buffer in
                #expect(stream.receive(into: buffer, from: -1, expectsEnd: true) == .end)
            }
            #expect(wire.state.withLock { $0.receives } == 0 && stream.hasFailed)
        }

        private func problem(_ settings: TLSSettings) -> String {
            do throws(TLSConfigurationError) {
                _ = try TLSTerminator(settings)
                return ""
            } catch { return error.description }
        }
    }
}

/// A file that is gone with its last reference.
final class TemporaryFile {
    let path: String

    struct Failure: Error {}

    init(_ text: String) throws {
        var name = Array("/tmp/millrace-tls-XXXXXX".utf8CString)
        let descriptor = mkstemp(&name)
        guard descriptor >= 0 else { throw Failure() }
        close(descriptor)
        path = String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        write(text)
    }

    func write(_ text: String) { write(Array(text.utf8)) }

    func write(_ bytes: [UInt8]) {
        // Under another inode, as tools that renew certificates do.
        let next = path + ".next"
        let file = fopen(next, "w")
        fwrite(bytes, 1, bytes.count, file)
        fclose(file)
        rename(next, path)
    }

    deinit { unlink(path) }
}
